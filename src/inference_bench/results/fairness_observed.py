"""The notes that a finished run gives, test by test: one small rule each, over its summary and what was observed."""

from collections.abc import Iterator, Mapping
from typing import Final

from inference_bench.results.comparison import FairnessNote
from inference_bench.results.fairness_words import by_value, note
from inference_bench.results.manifest import Manifest
from inference_bench.results.observed import Observations, Observed
from inference_bench.results.summary import ServiceSummary, TestSummary
from inference_bench.results.summary_parts import LowerTail, UpperTail

LENGTH_TOLERANCE: Final = 0.05  # of median output lengths; what depends on them is not comparable beyond
_PROMPT_TOLERANCE: Final = 0.05
_PROMPT_WARNING: Final = 0.2
_SUCCESS_POINTS: Final = 0.01
_CACHED_SHARE: Final = 0.1  # below, it is the chat template's own beginning that every prompt shares
_LOADING_MS: Final = 500.0  # Ollama tells some milliseconds for a model that is loaded already
_ROUNDING: Final = 1 + 1e-9  # what lies on a limit is not beyond it
_LENGTH_METRICS: Final = "e2e_ms and requests_per_s"


def lengths_differ(a: float | None, b: float | None, *, tolerance: float = LENGTH_TOLERANCE) -> bool:
    """Whether two median lengths differ by more than the tolerance, whichever is taken for the base; not if unknown."""
    if a is None or b is None or a == b:
        return False
    return max(a, b) > min(a, b) * (1 + tolerance) * _ROUNDING


def median_length(service: ServiceSummary) -> float | None:
    """Return a service's median output length in tokens, None when it is not known."""
    return _median(service, "output_tokens")


def observed_notes(
    manifest: Manifest, test: TestSummary, observed: Observations, *, unique: bool
) -> list[FairnessNote]:
    """Return every rule's notes on one test. `unique`: every prompt started with a prefix of its own."""
    of_test = {name: observed[test.name, name] for name in test.services if (test.name, name) in observed}
    asked = {facts.name for facts in manifest.services if facts.said.get("exact_length") == "asked"}
    found = [
        *_output_lengths(test),
        *_untold_lengths(test),
        *_not_exact({name: seen for name, seen in of_test.items() if name in asked}),
        *_prompt_lengths(test),
        *_truncated(test),
        *_success(test),
        *(_cached(of_test) if unique else ()),
        *_cold_starts(test),
        *_others(test),
    ]
    return [one.model_copy(update={"test": test.name}) for one in found]


def _output_lengths(test: TestSummary) -> Iterator[FairnessNote]:
    told = _told(test, "output_tokens")
    if told and lengths_differ(min(told.values()), max(told.values())):
        said = f"median output lengths in tokens differ: {_figures(told)}; so {_LENGTH_METRICS} are not comparable"
        yield note("output_length", told, said, "warning")


def _others(test: TestSummary) -> Iterator[FairnessNote]:
    """The server counted more requests than we sent: somebody else had a part of it while it was measured."""
    named = [name for name, service in test.services.items() if service.server is not None and service.server.others]
    if named:
        said = f"{' and '.join(named)} worked for others too while being measured, by the server's own count"
        yield note("others_served", named, said, "warning")


def _untold_lengths(test: TestSummary) -> Iterator[FairnessNote]:
    for name, service in test.services.items():
        unknown = service.metrics["output_tokens"].missing if "output_tokens" in service.metrics else 0
        if unknown:
            said = f"{name} did not tell the output tokens of {unknown:,} of {service.requests.ok:,} answers"
            yield note("output_tokens_untold", [name], said)


def _not_exact(observed: Mapping[str, Observed]) -> Iterator[FairnessNote]:
    """Exact lengths are asked of this engine: it told others all the same."""
    for name, seen in observed.items():
        missed = seen.counted - seen.exact
        if missed:
            said = (
                f"{name} was asked for exact output lengths and told another for {missed:,} of {seen.counted:,} answers"
            )
            yield note("length_not_exact", [name], said, "warning")


def _prompt_lengths(test: TestSummary) -> Iterator[FairnessNote]:
    told = _told(test, "prompt_tokens")
    if not told or not lengths_differ(min(told.values()), max(told.values()), tolerance=_PROMPT_TOLERANCE):
        return
    large = lengths_differ(min(told.values()), max(told.values()), tolerance=_PROMPT_WARNING)
    said = f"median prompt lengths in tokens differ: {_figures(told)}, by tokenizer, chat template or counting"
    yield note("prompt_tokens", told, said, "warning" if large else "note")


def _truncated(test: TestSummary) -> Iterator[FairnessNote]:
    for name, service in test.services.items():
        cut = service.requests.errors.get("truncated", 0)
        if cut:
            answers = f"{cut:,} of {service.requests.sent:,} answers"
            said = f"{name} broke off {answers} without a proper end; they count as failed"
            yield note("truncated", [name], said, "warning")


def _success(test: TestSummary) -> Iterator[FairnessNote]:
    told = {
        name: service.requests.success_rate
        for name, service in test.services.items()
        if service.requests.success_rate is not None
    }
    if told and max(told.values()) - min(told.values()) > _SUCCESS_POINTS * _ROUNDING:
        shown = {name: f"{100 * rate:.4g} %" for name, rate in told.items()}
        said = f"success rates differ: {by_value(shown)}; latency figures hold for the good answers alone"
        yield note("success_rate", told, said, "warning")


def _cached(observed: Mapping[str, Observed]) -> Iterator[FairnessNote]:
    shares = {name: seen.cached_share for name, seen in observed.items()}
    hits = {
        name: f"{100 * share:.0f} %" for name, share in shares.items() if share is not None and share > _CACHED_SHARE
    }
    if hits:
        said = (
            f"prompt tokens came from a prefix cache although every prompt starts with its own prefix: {by_value(hits)}"
        )
        yield note("cached_prompts", hits, said, "warning")


def _cold_starts(test: TestSummary) -> Iterator[FairnessNote]:
    """A model that had to be loaded first: outside the figures after a warm-up, inside them without one."""
    loads = {
        name: service.cold_start.server_load_ms
        for name, service in test.services.items()
        if service.cold_start is not None and (service.cold_start.server_load_ms or 0) >= _LOADING_MS
    }
    if not loads:
        return
    shown = {name: f"{load / 1000:.1f} s" for name, load in loads.items() if load is not None}
    warmed = bool(test.load.warmup_requests)
    where = "in a warm-up, outside the figures" if warmed else "in the first measured request, inside the figures"
    said = f"the model was loaded {where}: {by_value(shown)}"
    yield note("cold_start", loads, said, "note" if warmed else "warning")


def _told(test: TestSummary, metric: str) -> dict[str, float]:
    medians = {name: _median(service, metric) for name, service in test.services.items()}
    return {name: value for name, value in medians.items() if value is not None}


def _median(service: ServiceSummary, metric: str) -> float | None:
    """Return a metric's median; of fewer answers than a percentile needs, the mean."""
    found: UpperTail | LowerTail | None = service.metrics.get(metric)
    if found is None or found.n == 0:
        return None
    return found.p50 if found.p50 is not None else found.mean


def _figures(told: Mapping[str, float]) -> str:
    return by_value({name: f"{value:,.6g}" for name, value in told.items()})
