"""Scores: each part against a stated reference; what is not known is null, and then there is no overall score."""

from collections.abc import Mapping

import pytest

from inference_bench.metrics import MetricsCalculator
from inference_bench.results.comparing_scores import Weights, score, scores_of
from inference_bench.results.comparison import ServiceScore
from inference_bench.results.manifest import LoadShape
from inference_bench.results.summarise import summarise_service
from inference_bench.results.summary import ServiceSummary, Summary, TestSummary, Validity
from run_records import ZERO_NS, request, request_table


def service(count: int = 100, *, failing: int = 0, asked: bool = False, measured: bool = True) -> ServiceSummary:
    """Return figures: 10 requests a second, TTFT 50 ms, e2e 200 ms; `asked` makes the loop open. Without `measured`
    there was no steady window.
    """
    rows = []
    for seq in range(count):
        sent = 100.0 * seq
        ok = {"first_token_at": sent + 50, "last_token_at": sent + 200, "end_at": sent + 201, "output_tokens": 16}
        failed = {"ok": False, "error_class": "timeout", "end_at": sent + 90}
        when = {"intended_at": sent} if asked else {}
        rows.append(request(seq, sent_at=sent, **when, **(failed if seq < failing else ok)))
    windows = [(ZERO_NS, ZERO_NS + 10_000_000_000)] if measured else []
    calculator = MetricsCalculator(request_table(rows), None, windows=windows)
    return summarise_service(calculator, engine="vllm", simulated=False, validity=Validity(verdict="valid"))


def a_test(found: ServiceSummary, kind: str = "load", *, valid: bool = True, **load: object) -> TestSummary:
    return TestSummary.model_validate(
        {
            "name": "t",
            "kind": kind,
            "load": LoadShape.model_validate(load),
            "rounds": 1,
            "window_s": 10.0,
            "services": {"a": found},
            "validity": Validity(verdict="valid" if valid else "invalid"),
        }
    )


def scored(test: TestSummary, references: Mapping[str, float] | None = None) -> ServiceScore:
    return score(test, test.services["a"], references or {}, Weights())


def test_an_open_loop_is_held_against_what_was_asked() -> None:
    found = scored(a_test(service(failing=20, asked=True), target_p95_ms=100.0))
    assert found.latency == pytest.approx(0.5)  # 100 of 200 ms
    assert found.throughput == pytest.approx(0.79, abs=0.011)  # 10 a second asked; 80 good ends, the last one late
    assert found.reliability == 0.8
    assert found.throughput is not None
    assert found.overall == pytest.approx(0.4 * 0.5 + 0.3 * found.throughput + 0.3 * 0.8)
    assert found.reason is None


def test_better_than_the_reference_is_a_full_score() -> None:
    found = scored(a_test(service(), target_p95_ms=1000.0), {"requests_per_s": 5.0})
    assert (found.latency, found.throughput, found.reliability) == (1.0, 1.0, 1.0)
    assert found.overall == pytest.approx(1.0)


def test_a_closed_loop_without_a_reference_has_no_overall_score() -> None:
    found = scored(a_test(service(), target_p95_ms=400.0))
    assert (found.latency, found.throughput, found.overall) == (1.0, None, None)
    assert found.reason == "no throughput: a closed loop asks for no rate, and scoring.references has none"


def test_a_test_that_was_not_reached_says_nothing_of_what_it_asks() -> None:
    found = scored(a_test(service(asked=True, measured=False), target_p95_ms=400.0))
    assert "; no throughput: no steady window" in str(found.reason)


def test_a_closed_loop_is_held_against_a_reference() -> None:
    found = scored(a_test(service(), target_p95_ms=400.0), {"requests_per_s": 20.0})
    assert found.throughput == pytest.approx(0.495, abs=0.01)


def test_a_ttft_test_is_held_against_its_target_and_has_no_throughput() -> None:
    found = scored(a_test(service(), "ttft", target_ms=40.0))
    assert found.latency == pytest.approx(0.8)
    assert (found.throughput, found.overall) == (None, None)
    assert found.reason == "no throughput: a TTFT test has no rates"


def test_a_reference_takes_the_place_of_a_target() -> None:
    assert scored(a_test(service(), "ttft", target_ms=40.0), {"ttft_ms.p50": 25.0}).latency == pytest.approx(0.5)
    assert scored(a_test(service(), "ttft"), {"ttft_ms.p95": 10.0}).latency == pytest.approx(0.2)
    assert scored(a_test(service(), "ttft", target_ms=40.0), {"ttft_ms.p95": 10.0}).latency == pytest.approx(0.8)


def test_without_a_target_or_a_value_there_is_no_latency_score() -> None:
    assert scored(a_test(service())).reason == (
        "no latency: there is no target for e2e_ms.p95; "
        "no throughput: a closed loop asks for no rate, and scoring.references has none"
    )
    few = scored(a_test(service(5, asked=True), target_p95_ms=100.0))
    assert few.latency is None
    assert few.reason == "no latency: e2e_ms.p95: p95 needs n 20, there are 5"
    silent = scored(a_test(service(3, failing=3, asked=True), target_p95_ms=100.0))
    assert (silent.latency, silent.throughput, silent.reliability) == (None, 0.0, 0.0)


def test_an_invalid_test_has_no_overall_score() -> None:
    found = scored(a_test(service(asked=True), target_p95_ms=100.0, valid=False))
    assert (found.overall, found.reason) == (None, "the test is invalid")


def test_weights_and_references_come_from_the_configuration() -> None:
    one = a_test(service(), target_p95_ms=100.0)
    summary = Summary(test_id="x", simulated=False, tests=(one,))
    config = {
        "scoring": {
            "weights": {"latency": 1.0, "throughput": 0.0, "reliability": 0.0},
            "references": {"requests_per_s": 1.0, "nonsense_ms.p50": 3.0, "output_tokens.p50": 3.0},
        }
    }
    found = scores_of(summary, config)["t"]["a"]  # type: ignore[arg-type] # plain JSON
    assert found.overall == found.latency == pytest.approx(0.5)
    assert scores_of(summary, {})["t"]["a"].overall is None


def test_nobody_else_changes_a_score() -> None:
    alone = a_test(service(asked=True), target_p95_ms=100.0)
    both = alone.model_copy(update={"services": {"a": alone.services["a"], "b": service(failing=90, asked=True)}})
    summaries = [Summary(test_id="x", simulated=False, tests=(one,)) for one in (alone, both)]
    assert scores_of(summaries[0], {})["t"]["a"] == scores_of(summaries[1], {})["t"]["a"]
