"""The questions about two services of stored runs, unpaired: within one run on each side, or with runs as blocks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from inference_bench.errors import RunFolderError
from inference_bench.metrics.block_values import BlockValues
from inference_bench.metrics.comparison import NotComparable, unpaired
from inference_bench.results.comparing_blocks import (
    FEWEST_BLOCKS,
    SLICE_ANSWERS,
    Measured,
    Question,
    coarse,
    in_rounds,
    known_of,
    measured,
    questions,
    split_apart,
    whole_run,
)
from inference_bench.results.comparing_design import CompareSettings
from inference_bench.results.comparing_verdicts import Candidate, Side, nothing_to_compare, obstacle
from inference_bench.results.comparison_words import NO_RUN_TO_RUN, WITHIN_THIS_RUN
from inference_bench.results.folder import Run
from inference_bench.results.importing.between import import_obstacle
from inference_bench.results.manifest import PlannedTest
from inference_bench.results.summary import Summary, TestSummary, read_summary


@dataclass(frozen=True, slots=True)
class Stored:
    """A run with its summary."""

    run: Run
    summary: Summary

    @classmethod
    def read(cls, run: Run) -> "Stored":
        """Read the run's summary. Raises RunFolderError when it has none."""
        summary = read_summary(run.folder)
        if summary is None:
            raise RunFolderError(
                f"{run.folder.test_id} has no summary to compare by", hint="`results recover` makes one."
            )
        return cls(run, summary)

    def planned(self, test: str) -> PlannedTest:
        """Return what a test was to be."""
        return next(planned for planned in self.run.manifest.plan if planned.name == test)

    def test(self, name: str) -> TestSummary | None:
        """Return a test's summary; None when the run ended before it."""
        return next((test for test in self.summary.tests if test.name == name), None)

    def measured(self, test: str, service: str, *, sharing: int) -> Measured | None:
        """Return a service's records of a test; None when it has none. `sharing`: how many are read at a time."""
        summary = self.test(test)
        if summary is None or service not in summary.services:
            return None
        of_service = summary.services[service]
        planned = self.planned(test)
        return measured(self.run.folder, self.run.manifest, planned, service, of_service, sharing=sharing)


Sides = tuple[Sequence[Stored], Sequence[Stored]]
_Measurements = tuple[list[Measured], list[Measured]]


def candidates(test: str, services: tuple[str, str], sides: Sides, settings: CompareSettings) -> Iterator[Candidate]:
    """Yield every question about a service of A and one of B in a test.

    Raises:
        RunFolderError: a run's tables cannot be read.
    """
    runs = sum(map(len, sides))
    first, second = (
        [found for one in side if (found := one.measured(test, service, sharing=runs)) is not None]
        for service, side in zip(services, sides, strict=True)
    )
    named = [
        Side(f"{letter}/{service}", tuple(one.summary for one in found))
        for letter, service, found in zip("AB", services, (first, second), strict=True)
    ]
    validity = [held.validity for side in sides for one in side if (held := one.test(test)) is not None]
    several = any(len(side) > 1 for side in sides)
    seed = sides[0][0].run.manifest.seed
    kind = sides[0][0].planned(test).kind
    manifests = {letter: [one.run.manifest for one in side] for letter, side in zip("AB", sides, strict=True)}
    for question in questions(kind, settings.primary if settings.problem is None else None):
        asked = Candidate(test, question, named[0], named[1])
        problem = (settings.problem if question.primary else None) or import_obstacle(question.metric, test, manifests)
        reason = problem or obstacle(question, asked.a, asked.b, validity)
        answered = (
            replace(asked, obstacle=reason) if reason is not None else _answered(asked, (first, second), several, seed)
        )
        if answered is not None:
            yield answered


def _answered(asked: Candidate, read: _Measurements, several: bool, seed: int) -> Candidate | None:
    """Return the question with its estimate or obstacle; None where neither side has values and nothing hangs on it."""
    question = asked.question
    blocks: tuple[BlockValues, BlockValues]
    remark = None
    if several:
        blocks = _by_run(read[0], question), _by_run(read[1], question)
    else:
        blocks, unit, problem = _within(read[0][0], read[1][0], question)
        remark = f"{WITHIN_THIS_RUN}: windows cut into slices; {NO_RUN_TO_RUN}" if unit == "slice" else NO_RUN_TO_RUN
        if problem is not None:
            return replace(asked, obstacle=problem)
    without = [side for side, known in zip((asked.a, asked.b), blocks, strict=True) if not known.sizes.any()]
    if len(without) == 2 and not question.primary:
        return None
    if without:
        return replace(asked, obstacle=nothing_to_compare(question, without[0]))
    if several and min(map(len, blocks)) < FEWEST_BLOCKS:
        counts = f"A has {len(blocks[0])}, B {len(blocks[1])}"
        return replace(asked, obstacle=f"runs are the blocks, and {FEWEST_BLOCKS} are needed on each side: {counts}")
    estimate = unpaired(*blocks, question.statistic, seed=seed)
    if isinstance(estimate, NotComparable):
        return replace(asked, obstacle=estimate.reason)
    return replace(asked, estimate=estimate, remark=remark)


def _by_run(runs: Sequence[Measured], question: Question) -> BlockValues:
    """Return the runs of a side as blocks; one run's values are gone before the next one's are made."""
    return BlockValues.of(lambda: (whole_run(one, question) for one in runs), question.statistic)


def _within(a: Measured, b: Measured, question: Question) -> tuple[tuple[BlockValues, BlockValues], str, str | None]:
    """Return the blocks within one run on each side, what a block is, and why they cannot be compared, if so."""
    if question.statistic is None and a.kind == "ttft":
        nothing = BlockValues.of(lambda: [], question.statistic)
        return (nothing, nothing), "block", "a TTFT test has no rates: one request is sent at a time"
    split = (in_rounds(a), in_rounds(b)) if question.statistic is None else split_apart(a, b)
    if question.statistic is not None:
        split = coarse(split[0], question), coarse(split[1], question)
    blocks = known_of(a, split[0], question), known_of(b, split[1], question)
    count, unit = min(part.count for part in split), split[0].unit
    if count >= FEWEST_BLOCKS:
        return blocks, unit, None
    if question.statistic is None:
        return blocks, unit, f"a rate is one value per round; {FEWEST_BLOCKS} rounds are needed on each side"
    of = f" of {SLICE_ANSWERS} median answers" if unit == "slice" else ""
    return blocks, unit, f"{count} {unit}s{of} on a side; {FEWEST_BLOCKS} are needed"
