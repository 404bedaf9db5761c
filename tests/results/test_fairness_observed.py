"""Apples and oranges after a run: each rule over the figures of a test, and what is read from the requests."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.errors import RunFolderError
from inference_bench.metrics import MetricsCalculator
from inference_bench.results.comparison import FairnessNote
from inference_bench.results.fairness import lengths_differ, notes_after
from inference_bench.results.finalise import finalise
from inference_bench.results.folder import RunFolder
from inference_bench.results.manifest import LoadShape, Manifest, ServiceFacts
from inference_bench.results.observed import Observations, Observed, observe
from inference_bench.results.summarise import summarise_service
from inference_bench.results.summary import ServiceSummary, Summary, TestSummary, Validity
from inference_bench.testing.analyzers import write_summaries
from run_records import ZERO_NS, manifest, request, request_table, run_with_journal

WINDOW = [(ZERO_NS, ZERO_NS + 1_000_000_000)]
VALID = Validity(verdict="valid")


def rows(count: int = 10, **fields: Any) -> list[dict[str, object]]:
    """Return good requests of 64 tokens out of 20, unless told otherwise."""
    usual = {"output_tokens": 64, "prompt_tokens": 20, **fields}
    return [
        request(seq, sent_at=seq, first_token_at=seq + 5, last_token_at=seq + 9, end_at=seq + 9, **usual)
        for seq in range(count)
    ]


def broken(count: int, kind: str = "truncated") -> list[dict[str, object]]:
    return [request(100 + seq, sent_at=20 + seq, ok=False, error_class=kind) for seq in range(count)]


def service(records: list[dict[str, object]]) -> ServiceSummary:
    calculator = MetricsCalculator(request_table(records), None, windows=WINDOW)
    return summarise_service(calculator, engine="vllm", simulated=False, validity=VALID)


def notes(
    first: list[dict[str, object]],
    second: list[dict[str, object]],
    *,
    observed: Observations | None = None,
    warmup: int = 2,
    run: Manifest | None = None,
) -> tuple[FairnessNote, ...]:
    test = TestSummary(
        name="load",
        kind="load",
        load=LoadShape(concurrent_users=2, warmup_requests=warmup),
        rounds=3,
        window_s=1.0,
        services={"vllm": service(first), "ollama": service(second)},
        validity=VALID,
    )
    return notes_after(run or manifest("t"), Summary(test_id="t", simulated=False, tests=(test,)), observed)


RULES: dict[str, tuple[list[dict[str, object]], str, str, str]] = {
    "output length": (
        rows(output_tokens=50), "output_length", "warning",
        "Median output lengths in tokens differ: 64 (vllm), 50 (ollama); so e2e_ms and requests_per_s are not "
        "comparable.",
    ),
    "output length not told": (
        rows(9) + rows(1, output_tokens=None), "output_tokens_untold", "note",
        "ollama did not tell the output tokens of 1 of 10 answers.",
    ),
    "prompt length": (
        rows(prompt_tokens=22), "prompt_tokens", "note",
        "Median prompt lengths in tokens differ: 20 (vllm), 22 (ollama), by tokenizer, chat template or counting.",
    ),
    "prompt length, far": (
        rows(prompt_tokens=60), "prompt_tokens", "warning",
        "Median prompt lengths in tokens differ: 20 (vllm), 60 (ollama), by tokenizer, chat template or counting.",
    ),
    "cold start": (
        rows(server_load_ms=2345.6), "cold_start", "note",
        "The model was loaded in a warm-up, outside the figures: 2.3 s (ollama).",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("second", "code", "weight", "text"), RULES.values(), ids=RULES.keys())
def test_each_rule_says_its_sentence_and_nothing_else_is_said(
    second: list[dict[str, object]], code: str, weight: str, text: str
) -> None:
    (note,) = notes(rows(), second)
    assert (note.code, note.weight, note.text, note.test) == (code, weight, text, "load")


def test_what_is_alike_gives_no_note() -> None:
    assert notes(rows(), rows(output_tokens=62, prompt_tokens=21, server_load_ms=12.0)) == ()
    assert notes(rows(prompt_tokens=None), rows(prompt_tokens=None)) == ()


def test_broken_answers_are_counted_and_success_rates_compared() -> None:
    cut, rates = notes(rows(), rows() + broken(2))
    assert (cut.code, cut.text) == (
        "truncated", "ollama broke off 2 of 12 answers without a proper end; they count as failed.",
    )  # fmt: skip
    assert (rates.code, rates.weight, rates.services) == ("success_rate", "warning", ("vllm", "ollama"))
    assert rates.text.startswith("Success rates differ: 100 % (vllm), 83.33 % (ollama);")


def test_a_point_of_success_is_no_difference_and_interrupted_requests_are_none() -> None:
    assert notes(rows(100), rows(99) + broken(1, "http_5xx")) == ()
    assert notes(rows(), rows() + broken(5, "interrupted")) == ()


def test_a_model_loaded_in_a_measured_request_is_a_warning() -> None:
    (note,) = notes(rows(), rows(server_load_ms=900.0), warmup=0)
    assert (note.weight, note.text) == (
        "warning", "The model was loaded in the first measured request, inside the figures: 0.9 s (ollama).",
    )  # fmt: skip


def test_a_service_without_any_answer_is_no_obstacle() -> None:
    (note,) = notes(rows(), broken(3, "http_5xx"))
    assert note.code == "success_rate"
    assert "0 % (ollama)" in note.text


def asked_exactly() -> Manifest:
    services = (
        ServiceFacts(name="vllm", engine="vllm", url="http://a", said={"exact_length": "asked"}),
        ServiceFacts(name="ollama", engine="ollama", url="http://b", said={"exact_length": "not possible"}),
    )
    return manifest("t", services=services)


def test_a_length_that_was_asked_for_and_not_kept_is_a_warning() -> None:
    missed = Observed(answers=10, counted=10, exact=7)
    observed = {("load", "vllm"): missed, ("load", "ollama"): missed}
    (note,) = notes(rows(), rows(), observed=observed, run=asked_exactly())
    assert (note.code, note.weight, note.services) == ("length_not_exact", "warning", ("vllm",))
    assert note.text == "vllm was asked for exact output lengths and told another for 3 of 10 answers."
    kept = {("load", "vllm"): Observed(answers=10, counted=9, exact=9)}
    assert notes(rows(), rows(), observed=kept, run=asked_exactly()) == ()


def test_prompts_out_of_a_cache_are_a_warning_where_each_was_its_own() -> None:
    observed = {
        ("load", "vllm"): Observed(answers=10, prompt_tokens=1000, cached_tokens=160),
        ("load", "ollama"): Observed(answers=10, prompt_tokens=1000, cached_tokens=90),
    }
    (note,) = notes(rows(), rows(), observed=observed)
    assert (note.code, note.weight) == ("cached_prompts", "warning")
    assert note.text.endswith("although every prompt starts with its own prefix: 16 % (vllm).")
    shared = manifest("t", config={"workload": {"cache": "shared"}, "load_tests": []})
    assert notes(rows(), rows(), observed=observed, run=shared) == ()


POSITIVE = st.floats(1e-3, 1e6)


@given(POSITIVE, POSITIVE)
def test_differing_lengths_are_symmetric_and_a_matter_of_their_ratio(a: float, b: float) -> None:
    assert lengths_differ(a, b) == lengths_differ(b, a)
    ratio = max(a, b) / min(a, b)
    if abs(ratio - 1.05) > 1e-8:
        assert lengths_differ(a, b) == (ratio > 1.05)


def test_lengths_that_are_unknown_do_not_differ_and_none_differs_from_some() -> None:
    assert not lengths_differ(None, 5) and not lengths_differ(5, None) and not lengths_differ(0, 0)
    assert lengths_differ(0, 5)


def finished(directory: Path) -> RunFolder:
    """Make a run of two services: vllm tells its cache and misses a length, ollama tells no tokens at all."""
    window = {"sent_at": 1, "first_token_at": 5, "last_token_at": 9, "end_at": 9}
    told = {"output_tokens": 64, "prompt_tokens": 100, "cached_tokens": 30, **window}
    records = [
        request(0, warmup=True, **told),
        request(1, **told),
        request(2, **{**told, "output_tokens": 60}),
        request(3, **{**told, "cached_tokens": None}),
        request(4, **{**told, "sent_at": 2000}),
        request(5, **window, ok=False, error_class="truncated"),
        request(6, service="ollama", engine="ollama", **window),
    ]
    folder = run_with_journal(directory, records)
    finalise(folder, status="complete", save_raw_data=True, summarise=write_summaries)
    return folder


def test_only_good_requests_of_the_window_are_observed(tmp_path: Path) -> None:
    assert observe(finished(tmp_path)) == {
        ("load", "vllm"): Observed(answers=3, counted=3, exact=2, prompt_tokens=200, cached_tokens=60),
        ("load", "ollama"): Observed(answers=1),
    }


def test_older_runs_lack_columns_and_damaged_ones_are_said_to_be(tmp_path: Path) -> None:
    folder = finished(tmp_path)
    path = folder.file("requests.parquet")
    pq.write_table(pq.read_table(path).drop_columns(["cached_tokens", "max_tokens"]), path)
    seen = observe(folder)["load", "vllm"]
    assert (seen.answers, seen.counted, seen.cached_tokens, seen.cached_share) == (3, 0, None, None)
    path.write_bytes(b"PAR1")
    with pytest.raises(RunFolderError, match=r"requests\.parquet is missing or damaged"):
        observe(folder)
    path.unlink()
    assert observe(folder) == {}
