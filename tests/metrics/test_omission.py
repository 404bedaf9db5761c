"""What a closed loop leaves out while its server is silent: told when it happens, never on an ordinary run."""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_bench.metrics.calculator import MetricsCalculator
from inference_bench.metrics.omission import Omission, find_omission, omission_words
from run_records import at, chunk_table, request, request_table

WINDOW = [(at(0) or 0, at(10_000) or 0)]
Timing = Callable[[int, float], tuple[float, float, int]]  # (user, sent) to (ttft, gap, tokens), ms


class Stored:
    """Chunks as a run folder gives them: batch by batch."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def batches(self) -> Sequence[pa.RecordBatch]:
        return self._table.select(["seq", "arrival_ns", "tokens"]).to_batches(max_chunksize=100)


def closed_loop(
    users: int, timing: Timing, *, pause: tuple[float, float] | None = None, apart: float = 0.0
) -> Omission | None:
    """Run `users` from before the window to beyond it, the server standing still in `pause` (from, for), in ms."""

    def server(time: float) -> float:
        """Return when something due at a time comes, with the pause in its way."""
        return time if pause is None or time < pause[0] else time + pause[1]

    rows: list[dict[str, object]] = []
    streams: dict[int, list[tuple[float, int | None]]] = {}
    for user in range(users):
        sent = -1000.0 + apart * user
        while sent < 10_000:
            ttft, gap, tokens = timing(user, sent)
            held = pause is not None and sent >= pause[0] + pause[1]
            marks = [sent + ttft + gap * number for number in range(tokens)]
            times = marks if held else [server(mark) for mark in marks]
            number = len(rows)
            rows.append(request(number, sent_at=sent, first_event_at=times[0], first_token_at=times[0],
                                last_token_at=times[-1], end_at=times[-1] + 0.1, user=user))  # fmt: skip
            streams[number] = [(time, 1) for time in times]
            sent = times[-1] + 0.2
    table, chunks = request_table(rows), chunk_table(streams)
    calculator = MetricsCalculator(table, chunks, windows=WINDOW)
    return find_omission(
        table,
        Stored(chunks),  # type: ignore[arg-type]  # a list is as good as an iterator
        WINDOW,
        users=users,
        ttft_ms=calculator.values("ttft_ms"),
        gap_p90_ms=lambda: calculator.gap_percentile("icl_ms", 90),
    )


def steady(_user: int, _sent: float) -> tuple[float, float, int]:
    return 60.0, 20.0, 10


def test_a_pause_of_a_second_is_told_with_what_was_not_sent() -> None:
    found = closed_loop(8, steady, pause=(4_000, 1_000), apart=31.0)
    assert found is not None
    (silence,) = found.silences
    assert silence.users == 8
    assert silence.start_s == pytest.approx(4.0, abs=0.05)
    assert silence.seconds == pytest.approx(1.0, abs=0.05)
    # 8 users, an answer every 240 ms: 33 requests/s, so about 33 in the second of silence.
    assert found.unsent == pytest.approx(33, abs=3)
    assert found.ttft_p99_ms is not None
    assert found.ttft_p99_estimate_ms is not None
    assert found.ttft_p99_estimate_ms > found.ttft_p99_ms
    assert "for 1.0 s no request was sent and nothing came while 8 users waited" in omission_words(found)
    assert f"about {found.unsent} more" in omission_words(found)


@pytest.mark.parametrize(
    ("users", "timing", "apart"),
    [
        (8, steady, 0.0),  # all in step: between two sends there is always a whole answer
        (1, lambda _user, _sent: (300.0, 50.0, 60), 0.0),  # a single user, answers of three seconds
        (4, lambda _user, _sent: (900.0, 5.0, 20), 0.0),  # in step, a long prefill: silent, and ordinary here
        (3, lambda user, _sent: (100.0 + 400 * user, 30.0, 20), 17.0),
        (
            1,
            lambda _user, sent: (1200.0 if int(sent // 170) % 3 == 0 else 50.0, 10.0, 10),
            0.0,
        ),  # again and again a long one
    ],
    ids=["in step", "one user", "long prefill", "unlike users", "some long prompts"],
)
def test_ordinary_loops_have_nothing_to_say(users: int, timing: Timing, apart: float) -> None:
    assert closed_loop(users, timing, apart=apart) is None


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), users=st.integers(1, 12))
def test_answers_of_random_lengths_are_no_silence(seed: int, users: int) -> None:
    rng = np.random.default_rng(seed)

    def drawn(_user: int, _sent: float) -> tuple[float, float, int]:
        return float(rng.uniform(30, 150)), float(rng.uniform(10, 40)), int(rng.integers(2, 60))

    assert closed_loop(users, drawn, apart=float(rng.uniform(0, 50))) is None


def test_without_chunks_nothing_is_claimed() -> None:
    rows = [request(0, sent_at=0, first_token_at=10, last_token_at=20, end_at=5_000)]
    ttft = np.array([10.0])
    assert find_omission(request_table(rows), None, WINDOW, users=1, ttft_ms=ttft, gap_p90_ms=lambda: None) is None
