"""Two sides out of stored runs, compared: one service over time, or any two services. Nothing is paired here.

One run on each side: blocks are those within the runs, and the interval does not include run-to-run change, which is
said. Several runs on a side: runs are the blocks, and it does.
"""

from collections.abc import Sequence

from pydantic import JsonValue

from inference_bench.errors import NoServiceError
from inference_bench.results.between_candidates import Sides, Stored, candidates
from inference_bench.results.between_notes import notes_between
from inference_bench.results.between_sides import Chosen, common_tests, pair_services
from inference_bench.results.capacity_between import capacities_between
from inference_bench.results.comparing_design import design_of_verdicts, settings_of
from inference_bench.results.comparing_verdicts import judge
from inference_bench.results.comparing_winners import OVERALL
from inference_bench.results.comparison import Comparison, Pair
from inference_bench.results.comparison_words import NO_RUN_TO_RUN, WITHIN_THIS_RUN


def compare_runs(a: Chosen, b: Chosen, *, metric: str | None = None) -> Comparison:
    """Return the comparison of two sides, unpaired; services are called A/NAME and B/NAME, ratios are A's over B's.

    `metric` (a word of `values.PRIMARIES`) decides instead of comparison.primary. That, the smallest effect worth
    naming and the confidence are those of A's first run.

    Raises:
        UsageError: the sides have no service or no test in common, or are the same.
        NoServiceError: a service answered not a single request.
        RunFolderError: a run has no summary, or its tables cannot be read.
    """
    services = pair_services(a, b)
    tests = common_tests(a, b)
    sides: Sides = [Stored.read(run) for run in a.runs], [Stored.read(run) for run in b.runs]
    for side, runs, position in ((a, sides[0], 0), (b, sides[1], 1)):
        for name in dict.fromkeys(pair[position] for pair in services):
            if tests:
                _check_answers(side.letter, runs, name, tests)
    settings = settings_of(a.runs[0].manifest.config)
    if metric is not None:
        settings = settings._replace(primary=metric)
    asked = [one for test in tests for pair in services for one in candidates(test, pair, sides, settings)]
    pairs = judge(asked, min_effect=settings.min_effect, confidence=settings.confidence)
    several = any(len(side) > 1 for side in sides)
    return Comparison(
        test_id=f"{','.join(a.ids)} against {','.join(b.ids)}",
        simulated=any(one.summary.simulated for side in sides for one in side),
        scope="between_runs",
        design={
            **design_of_verdicts(pairs, settings),
            "sides": {side.letter: {"runs": list(side.ids), "service": side.service} for side in (a, b)},
            "run_to_run": several,
            "reach": _reach(several),
            "tests": {test: _of_test(sides[0][0].planned(test).kind, test, pairs, several) for test in tests},
        },
        pairs=pairs,
        winners=dict.fromkeys((*tests, OVERALL)),
        winner_reasons=dict.fromkeys((*tests, OVERALL), "a comparison of runs answers pair by pair"),
        fairness=notes_between(a, b, tests, services),
        capacities=capacities_between(a, b, services),
    )


def _reach(several: bool) -> str:
    if several:
        return "runs are the blocks: the intervals include run-to-run change"
    return f"the intervals' reach is these two runs: the comparison {NO_RUN_TO_RUN}"


def _of_test(kind: str, test: str, pairs: Sequence[Pair], several: bool) -> dict[str, JsonValue]:
    deciding = [pair for pair in pairs if pair.primary and pair.test == test]
    sliced = any(WITHIN_THIS_RUN in (pair.reason or "") for pair in deciding)
    unit = "run" if several else "block" if kind == "ttft" else "slice" if sliced else "round"
    return {"kind": kind, "unit": unit, "blocks": min((pair.blocks for pair in deciding), default=0)}


def _check_answers(letter: str, runs: Sequence[Stored], service: str, tests: Sequence[str]) -> None:
    for one in runs:
        found = [test.services.get(service) for test in one.summary.tests if test.name in tests]
        if not any(summary is not None and summary.requests.ok for summary in found):
            test_id = one.run.folder.test_id
            raise NoServiceError(
                f"{letter}: {service} answered no request in {test_id}; there is nothing to compare",
                hint=f"`results show {test_id}` tells what went wrong.",
            )
