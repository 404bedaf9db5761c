"""The windows of turns that were cut short, told by their records."""

import pyarrow as pa

from inference_bench.results.cut_windows import with_cut_windows
from inference_bench.results.manifest import LoadShape, Manifest, PlannedTest, Window
from run_records import at, manifest, request, request_table

Bounds = tuple[int | None, int | None]


def plan(rounds: int = 2, **load: float) -> tuple[PlannedTest, ...]:
    shape = LoadShape.model_validate({"concurrent_users": 2, **load})
    return (PlannedTest(name="load", kind="load", rounds=rounds, load=shape),)


def windows_of(found: Manifest, service: str = "vllm") -> list[tuple[int, int, int]]:
    of_test = found.windows.get("load", {})
    return [(window.round, window.start_ns, window.end_ns) for window in of_test.get(service, ())]


def batches(*rows: dict[str, object]) -> list[pa.RecordBatch]:
    """Return the rows in batches of one, as a slow run's journal holds them."""
    return [batch for row in rows for batch in request_table([row]).to_batches()]


def test_a_turn_without_a_window_gets_one_and_the_others_keep_theirs() -> None:
    kept = Window(round=0, start_ns=5, end_ns=6)
    before = manifest("t", plan=plan(), windows={"load": {"vllm": (kept,)}})
    rows = [
        request(1, round=0, sent_at=1, end_at=900),
        request(2, round=1, sent_at=1000, end_at=1200, ok=False, error_class="reset"),
        request(3, round=1, sent_at=1010, end_at=1100),
        request(4, round=1, sent_at=900, end_at=5000, warmup=True),
        request(5, round=1, service="ollama", sent_at=2000, end_at=None),
    ]
    after = with_cut_windows(before, batches(*rows))
    assert windows_of(after) == [(0, 5, 6), (1, at(1000), (at(1200) or 0) + 1)]
    assert windows_of(after, "ollama") == []
    assert before.windows == {"load": {"vllm": (kept,)}}


def test_the_window_opens_after_the_ramp_and_is_no_longer_than_planned() -> None:
    before = manifest("t", plan=plan(duration_seconds=2.0, ramp_up_seconds=0.5), windows={})
    rows = [request(1, sent_at=0, end_at=400), request(2, sent_at=1400, end_at=9000)]
    assert windows_of(with_cut_windows(before, batches(*rows))) == [(0, at(500), at(1500))]
    # It did not outlive its ramp.
    assert windows_of(with_cut_windows(before, batches(rows[0]))) == []


def test_an_open_loop_counts_from_its_intended_times() -> None:
    before = manifest("t", plan=plan(), windows={})
    rows = [request(1, intended_at=10, sent_at=30, end_at=50)]
    assert windows_of(with_cut_windows(before, batches(*rows))) == [(0, at(10), (at(50) or 0) + 1)]
