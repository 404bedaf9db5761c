"""From a run folder to its comparison: every test, every two services, the metric that decides and those that do not.

Only reading and putting together: the blocks are made in `comparing_blocks`, the verdicts in `comparing_verdicts`, the
mathematics in `metrics.comparison`.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

from inference_bench.errors import RunFolderError
from inference_bench.metrics.comparison import NotComparable, paired
from inference_bench.results.capacity_rows import NOTHING_TO_RANK
from inference_bench.results.comparing_blocks import (
    FEWEST_BLOCKS,
    SLICE_ANSWERS,
    Blocks,
    Measured,
    Question,
    coarse,
    common_rounds,
    in_rounds,
    known_of,
    measured,
    questions,
    split_alike,
)
from inference_bench.results.comparing_design import CompareSettings, design_of_run, settings_of
from inference_bench.results.comparing_scores import scores_of
from inference_bench.results.comparing_verdicts import Candidate, Side, judge, nothing_to_compare, obstacle
from inference_bench.results.comparing_winners import OVERALL, winners
from inference_bench.results.comparison import Comparison, write_comparison
from inference_bench.results.comparison_words import WITHIN_THIS_RUN
from inference_bench.results.fairness import notes_after, notes_of
from inference_bench.results.folder import RunFolder
from inference_bench.results.looks import alpha_of
from inference_bench.results.manifest import Manifest, PlannedTest
from inference_bench.results.observed import observe
from inference_bench.results.summary import TestSummary, read_summary


def write_comparison_of(folder: RunFolder) -> Comparison:
    """Compare a run's services and write comparison.json. Raises as `compare_run`."""
    comparison = compare_run(folder)
    write_comparison(folder, comparison)
    return comparison


def compare_run(folder: RunFolder, *, alpha: float | None = None) -> Comparison:
    """Return the comparison of a run's services.

    `alpha` is the level of a look at a run that goes on until it is decided. Without it a run that had looks is judged
    at the level they leave, and any other at 1 - comparison.confidence.

    Pairs stand in the order of the plan, a before b in the order of the manifest, the primary metric first.

    Raises:
        RunFolderError: the run has no summary, or its tables cannot be read.
    """
    manifest, summary = folder.read_manifest(), read_summary(folder)
    if summary is None:
        raise RunFolderError(f"{folder.test_id} has no summary to compare by", hint="`results recover` makes one.")
    settings = settings_of(manifest.config)
    alpha = alpha_of(manifest) if alpha is None else alpha
    if alpha is not None:
        settings = settings._replace(confidence=1 - alpha)
    # The loads that a search for capacity tried were chosen by their outcomes: they compare nothing.
    compared = [test for test in summary.tests if not test.probe]
    by_name = {test.name: test for test in compared}
    candidates: list[Candidate] = []
    units: dict[str, str] = {}
    for planned in manifest.plan:
        if planned.name in by_name:
            asked = _TestOfRun(folder, manifest, planned, by_name[planned.name])
            found = list(_candidates(asked, settings, units))
            candidates += found
    pairs = judge(candidates, min_effect=settings.min_effect, confidence=settings.confidence)
    won = winners(
        {test.name: tuple(test.services) for test in compared},
        pairs,
        invalid=[test.name for test in compared if test.validity.verdict == "invalid"],
    )
    # A search alone compares nothing: its intervals say who carries more.
    reasons = {**won.reasons, OVERALL: NOTHING_TO_RANK} if summary.capacity and not compared else won.reasons
    return Comparison(
        test_id=folder.test_id,
        simulated=summary.simulated,
        design=design_of_run(manifest, pairs, units, settings),
        pairs=pairs,
        winners=won.winners,
        winner_reasons=reasons,
        scores=scores_of(summary, manifest.config),
        fairness=(*notes_of(manifest), *notes_after(manifest, summary, observe(folder))),
    )


class _TestOfRun(NamedTuple):
    folder: RunFolder
    manifest: Manifest
    planned: PlannedTest
    summary: TestSummary


def _candidates(test: _TestOfRun, settings: CompareSettings, units: dict[str, str]) -> Iterator[Candidate]:
    """Yield every question about every two services of a test; `units` learns what the test's blocks are."""
    names = [facts.name for facts in test.manifest.services if facts.name in test.summary.services]
    if len(names) < 2:
        return
    services = {
        name: measured(test.folder, test.manifest, test.planned, name, test.summary.services[name], sharing=len(names))
        for name in names
    }
    asked = questions(test.planned.kind, settings.primary if settings.problem is None else None)
    for first, second in combinations(names, 2):
        a, b = services[first], services[second]
        blocks = split_alike(a, b)
        units[test.planned.name] = blocks[0].unit
        for question in asked:
            candidate = _candidate(test, question, (a, b), blocks, settings)
            if candidate is not None:
                yield candidate


def _candidate(
    test: _TestOfRun,
    question: Question,
    services: tuple[Measured, Measured],
    blocks: tuple[Blocks, Blocks],
    settings: CompareSettings,
) -> Candidate | None:
    """Return one question about two services; None where neither has such values and nothing hangs on it."""
    a, b = (Side(service.name, (service.summary,)) for service in services)
    found = Candidate(test.planned.name, question, a, b)
    problem = settings.problem if question.primary else None
    reason = problem or obstacle(question, a, b, (test.summary.validity,))
    split = reason or _split(test, question, services, blocks)
    if isinstance(split, str):
        return replace(found, obstacle=split)
    per_block = known_of(services[0], split[0], question), known_of(services[1], split[1], question)
    without = [side for side, known in zip((a, b), per_block, strict=True) if not known.sizes.any()]
    if len(without) == 2 and not question.primary:
        return None
    if without:
        return replace(found, obstacle=nothing_to_compare(question, without[0]))
    estimate = paired(*per_block, question.statistic, seed=test.manifest.seed)
    if isinstance(estimate, NotComparable):
        return replace(found, obstacle=estimate.reason)
    return replace(found, estimate=estimate, remark=_remark(split[0]))


def _split(
    test: _TestOfRun, question: Question, services: tuple[Measured, Measured], blocks: tuple[Blocks, Blocks]
) -> tuple[Blocks, Blocks] | str:
    """Return how the two are split for this question, or why they cannot be."""
    if question.statistic is None:
        rounds = common_rounds(*services)
        if test.planned.kind == "ttft" or len(rounds) < FEWEST_BLOCKS:
            return _no_rate(test.planned.kind, len(rounds))
        return in_rounds(services[0], rounds), in_rounds(services[1], rounds)
    if blocks[0].count < FEWEST_BLOCKS:
        return _too_short(test, blocks[0])
    return coarse(blocks[0], question), coarse(blocks[1], question)


def _remark(blocks: Blocks) -> str | None:
    if blocks.unit != "slice":
        return None
    rounds = len({window.round for window in blocks.windows})
    return f"{WITHIN_THIS_RUN}: {_counted(rounds, 'round')} cut into {blocks.count} slices"


def _too_short(test: _TestOfRun, blocks: Blocks) -> str:
    if test.planned.kind == "ttft":
        return f"{_counted(blocks.count, 'block')} with values; {FEWEST_BLOCKS} are needed"
    rounds = _counted(test.manifest.rounds_of(test.planned), "round")
    return (
        f"in {rounds} there is room for {_counted(blocks.count, 'slice')} of {SLICE_ANSWERS} median answers; "
        f"{FEWEST_BLOCKS} are needed: measure longer, or in {FEWEST_BLOCKS} rounds or more"
    )


def _no_rate(kind: str, rounds: int) -> str:
    if kind == "ttft":
        return "a TTFT test has no rates: one request is sent at a time"
    return f"a rate is one value per round; there are {rounds} of the {FEWEST_BLOCKS} rounds needed"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
