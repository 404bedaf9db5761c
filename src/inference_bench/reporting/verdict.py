"""The verdict of a run in a headline, two sentences, and how sure they are; and what must be known before it.

The words about pairs and winners come from `results.comparison_words`.
"""

from collections.abc import Iterator, Sequence

from inference_bench.reporting.capacity import capacity_change_headline, capacity_change_sentences, capacity_verdict
from inference_bench.reporting.text import clean, count, listed, p_words, sentence
from inference_bench.reporting.view import Banner, Point, Verdict
from inference_bench.results.comparison import Comparison, Pair
from inference_bench.results.comparison_words import (
    NO_RUN_TO_RUN,
    certainty_words,
    metric_words,
    needed_words,
    percent_words,
    unit_of,
    winner_sentence,
)
from inference_bench.results.comparison_words import sentence as pair_sentence
from inference_bench.results.importing.definitions import imported_words
from inference_bench.results.manifest import Manifest, RunStatus
from inference_bench.results.summary import ServiceSummary, Summary, TestSummary
from inference_bench.results.summary_view import number
from inference_bench.results.sweep_rows import measured_tests
from inference_bench.results.values import value_of

LONG = 600
_STATUS: dict[RunStatus, tuple[str, str]] = {
    "running": ("This run is still going on", "What stands here is what had been measured so far."),
    "partial": (
        "This run did not run to its end",
        "It was interrupted or its process ended. What was measured until then is below; tests that were cut short "
        "have fewer requests than planned, and planned tests may be missing.",
    ),
    "failed": (
        "This run failed",
        "It broke off with an error. What was measured until then is below, and may be incomplete.",
    ),
}


def banners(manifest: Manifest | None, summary: Summary | None, status: RunStatus, simulated: bool) -> list[Banner]:
    """Return what must be said before any figure, the gravest last said first."""
    found = []
    if simulated:
        text = "These figures come from simulated engines and say nothing about real ones."
        found.append(Banner("simulated", "Simulated", text))
    if manifest is not None and manifest.imported is not None:
        said = imported_words(manifest.imported)
        text = f"Another client measured this, which nobody watched: {said}. Its notes say what its metrics mean there."
        found.append(Banner("warn", "Imported", text))
    if status in _STATUS:
        found.append(Banner("bad" if status == "failed" else "warn", *_STATUS[status]))
    # The search for capacity leaves out what was disturbed by itself.
    tests = () if summary is None else measured_tests(summary)
    invalid = [test for test in tests if test.validity.verdict == "invalid"]
    if invalid:
        text = "The measurement itself was disturbed, so these figures cannot be trusted and name no winner. "
        found.append(Banner("bad", f"Invalid: {listed([test.name for test in invalid])}", text + _reasons(invalid)))
    suspect = [test for test in tests if test.validity.verdict == "suspect"]
    if suspect:
        found.append(
            Banner(
                "warn", f"Suspect: {listed([test.name for test in suspect])}", "Read with care. " + _reasons(suspect)
            )
        )
    if manifest is not None and summary is not None:
        left_out = [test.name for test in manifest.plan if test.name not in {made.name for made in summary.tests}]
        if left_out:
            found.append(Banner("warn", "Not measured", f"Planned, but without results: {listed(left_out)}."))
    return found


def silent_services(tests: Sequence[TestSummary]) -> dict[str, list[TestSummary]]:
    """Return the services without a single good answer in a test, and which tests those are."""
    found: dict[str, list[TestSummary]] = {}
    for test in tests:
        for name, service in test.services.items():
            if service.requests.ok == 0:
                found.setdefault(name, []).append(test)
    return found


def run_verdict(summary: Summary | None, comparison: Comparison | None, numbers: dict[str, int]) -> Verdict:
    """Return the verdict of a run; one that searched for capacities leads with what it found."""
    tests = () if summary is None else tuple(measured_tests(summary))
    rest = _tests_verdict(tests, comparison, numbers) if tests else None
    led = None if summary is None else capacity_verdict(summary, numbers, rest)
    if led is not None:
        return led
    if rest is not None:
        return rest
    if summary is not None and summary.capacity:
        text = "The search for capacity did not run to its end, so there is no answer yet."
        return Verdict("No capacity found yet", "bad", (text, "The loads that were tried are shown below."))
    text = "No test of this run left any result, so there is nothing to judge."
    return Verdict("Nothing was measured", "bad", (text, "The sections below tell what was planned and where."))


def _tests_verdict(tests: Sequence[TestSummary], comparison: Comparison | None, numbers: dict[str, int]) -> Verdict:
    """Return the verdict of the tests that are no probes of a search; there is at least one."""
    invalid = [test.name for test in tests if test.validity.verdict == "invalid"]
    if len(invalid) == len(tests):
        return Verdict(
            "No verdict: the run is invalid",
            "bad",
            (
                f"The measurement of {listed(invalid)} was disturbed, so its figures cannot be trusted.",
                "They are shown below for whoever looks for the cause; no winner is named.",
            ),
        )
    services = list(dict.fromkeys(name for test in tests for name in test.services))
    if len(services) == 1:
        return _alone(services[0], tests)
    silent = silent_services(tests)
    never = [name for name in services if len(silent.get(name, ())) == len(_tests_of(name, tests))]
    if never:
        return _unanswered(never, services, tests, comparison)
    if comparison is None:
        return Verdict("No comparison", "plain", ("This run holds no comparison.", "Its figures are shown below."))
    return comparison_verdict(comparison, numbers)


def comparison_verdict(comparison: Comparison, numbers: dict[str, int]) -> Verdict:
    """Return the verdict of a comparison: who wins and the pair that says most, and how sure that is."""
    winner = comparison.winners.get("overall")
    lead = _lead(comparison, winner)
    if winner is not None:
        headline, tone = f"{clean(winner, limit=60)} is better", "good"
    else:
        headline, tone = _no_winner(comparison), "plain"
    first = sentence(clean(winner_sentence(comparison), limit=LONG))
    second = "Nothing was compared on a metric that decides."
    capacities = capacity_change_sentences(comparison)
    if capacities and not comparison.primary_pairs:
        second = "Only capacities are compared, by their intervals."
    if lead is not None:
        second = sentence(clean(f"In {lead.test}, {pair_sentence(lead, comparison.design)}", limit=LONG))
    return Verdict(
        headline,
        "good" if tone == "good" else "plain",
        (first, second, *capacities),
        tuple(_how_sure(comparison, lead)),
        numbers.get(winner) if winner is not None else None,
    )


def _no_winner(comparison: Comparison) -> str:
    verdicts = {pair.verdict for pair in comparison.primary_pairs}
    if "better" in verdicts:
        return "No overall winner"
    if verdicts == {"equivalent"}:
        return "The services are equivalent"
    if "no_difference_shown" in verdicts:
        return "No difference shown"
    if verdicts:
        return "Not comparable"
    return capacity_change_headline(comparison) if comparison.capacities else "No comparison"


def _lead(comparison: Comparison, winner: str | None) -> Pair | None:
    """Return the primary pair to speak of: one that the winner wins, else one that is decided, else one at all."""
    pairs = comparison.primary_pairs
    ranked = (
        [pair for pair in pairs if winner is not None and pair.better == winner],
        [pair for pair in pairs if pair.better is not None],
        [pair for pair in pairs if pair.decided],
        [pair for pair in pairs if pair.ratio is not None],
        list(pairs),
    )
    return next((found[0] for found in ranked if found), None)


def _how_sure(comparison: Comparison, lead: Pair | None) -> Iterator[Point]:
    pairs = comparison.primary_pairs
    if lead is not None and lead.p_adjusted is not None:
        unit = unit_of(comparison.design, lead.test)
        text = f"{lead.test}, {metric_words(lead)}: adjusted p {p_words(lead.p_adjusted)}"
        interval = certainty_words(lead)
        text += f", {interval}" if interval else ""
        text += f", from {count(lead.blocks, f'paired {unit}')}" if lead.blocks else ""
        yield Point("Evidence", sentence(clean(text)))
    if len(pairs) > 1:
        better, alike = sum(pair.verdict == "better" for pair in pairs), sum(p.verdict == "equivalent" for p in pairs)
        parts = [f"one is better in {better}"] if better else []
        parts += [f"both are equivalent in {alike}"] if alike else []
        many = f"All {len(pairs)}" if better + alike == len(pairs) else f"{better + alike} of the {len(pairs)}"
        text = f"{many} comparisons that count are decided"
        yield Point("Decided", f"{text}{': ' if parts else ''}{' and '.join(parts)}.")
    if pairs:
        yield from _error_rate(comparison, len(pairs))
    needed = [(pair, needed_words(pair, comparison.design)) for pair in pairs if pair.verdict == "no_difference_shown"]
    for pair, more in needed[:3]:
        if more is not None:
            yield Point("To decide", sentence(clean(f"{pair.test}, {pair.a} and {pair.b}: {more}")))
    if comparison.design.get("run_to_run") is not True:
        where = "these runs" if comparison.scope == "between_runs" else "this run"
        yield Point("Reach", f"Intervals hold within {where}: the comparison {NO_RUN_TO_RUN}.")


def _error_rate(comparison: Comparison, pairs: int) -> Iterator[Point]:
    """A run that went on until it was decided has its error rate over all looks, not that of the last one."""
    sequential, confidence = comparison.design.get("sequential"), comparison.design.get("confidence")
    alpha = sequential.get("alpha") if isinstance(sequential, dict) else None
    looks = sequential.get("looks") if isinstance(sequential, dict) else None
    if isinstance(alpha, int | float) and isinstance(looks, list):
        text = (
            f"At most {percent_words(alpha)} false verdicts over all comparisons and all {count(len(looks), 'look')}."
        )
        yield Point("Error rate", text)
    elif isinstance(confidence, int | float) and pairs > 1:
        yield Point("Error rate", f"At most {percent_words(1 - confidence)} false verdicts over all of them (Holm).")


def _alone(name: str, tests: Sequence[TestSummary]) -> Verdict:
    shown = clean(name, limit=60)
    test = tests[0]
    said = primary_words(test, test.services[name])
    if test.services[name].requests.ok == 0:
        second = f"In {test.name} not one of its {count(test.services[name].requests.sent, 'request')} succeeded."
    else:
        second = f"In {test.name} its {said}." if said else "Its figures are shown below."
    first = f"{shown} was measured alone, so there is no other to compare it with."
    return Verdict("One service was measured", "plain", (first, second))


def _unanswered(
    never: list[str], services: list[str], tests: Sequence[TestSummary], comparison: Comparison | None
) -> Verdict:
    """A service that answered nothing wins nothing and loses nothing; the others still have their verdict."""
    sent = sum(test.services[name].requests.sent for test in tests for name in never if name in test.services)
    names = listed([clean(name, limit=60) for name in never])
    whose = "its" if len(never) == 1 else "their"
    first = f"Not one of the {count(sent, 'request')} to {names} succeeded, so nothing is said about {whose} speed."
    others = [name for name in services if name not in never]
    if not others:
        return Verdict("No service answered", "bad", (first, "The errors are listed below, by class."))
    second = f"{listed(others)} answered; the figures and the errors are shown below."
    sure: tuple[Point, ...] = ()
    if comparison is not None:
        second = sentence(clean(winner_sentence(comparison), limit=LONG))
        sure = tuple(_how_sure(comparison, _lead(comparison, comparison.winners.get("overall"))))
    return Verdict(f"{names} did not answer", "bad", (first, second), sure)


def primary_words(test: TestSummary, service: ServiceSummary) -> str:
    """Return the figure that a test is about, with its n: "TTFT p50 is 61 ms (n 100)"; empty when it is missing."""
    for name, words in (("ttft_ms.p95", "TTFT p95"), ("ttft_ms.p50", "TTFT p50")):
        value = value_of(service, name)
        if value is not None and not (test.kind == "ttft" and name == "ttft_ms.p95"):
            return f"{words} is {number(value)} ms (n {service.metrics['ttft_ms'].n:,})"
    return ""


def _reasons(tests: list[TestSummary]) -> str:
    reasons = list(dict.fromkeys(clean(reason) for test in tests for reason in test.validity.reasons))
    shown = "; ".join(reasons[:4])
    return sentence(f"{shown}{f'; and {len(reasons) - 4} more' if len(reasons) > 4 else ''}") if shown else ""


def _tests_of(name: str, tests: Sequence[TestSummary]) -> list[TestSummary]:
    return [test for test in tests if name in test.services]
