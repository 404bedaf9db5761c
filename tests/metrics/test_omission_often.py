"""A server that pauses again and again: every pause is told, and the estimate is never below plain arithmetic."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_bench.metrics.calculator import MetricsCalculator
from inference_bench.metrics.omission import MOST_TOLD, Omission, find_omission, omission_words
from run_records import at, chunk_table, request, request_table

LENGTH_MS = 20_000
WINDOW = [(at(0) or 0, at(LENGTH_MS) or 0)]
Pauses = Sequence[tuple[float, float]]  # (after so much work, for), in ms


class Kept:
    """Chunks as a run folder gives them."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def batches(self) -> Sequence[pa.RecordBatch]:
        return self._table.select(["seq", "arrival_ns", "tokens"]).to_batches()


def loop(pauses: Pauses, *, users: int, ttft: float = 60.0, gap: float = 20.0, tokens: int = 10) -> Omission | None:
    """Run users against a server that does nothing in its pauses: in them its own time stands still."""

    def seen(time: float) -> float:
        return time + sum(length for since, length in pauses if since <= time)

    rows: list[dict[str, object]] = []
    streams: dict[int, list[tuple[float, int | None]]] = {}
    for user in range(users):
        sent = -1000.0 + 31.0 * user
        while seen(sent) < LENGTH_MS:
            times = [seen(sent + ttft + gap * number) for number in range(tokens)]
            number = len(rows)
            rows.append(request(number, sent_at=seen(sent), first_event_at=times[0], first_token_at=times[0],
                                last_token_at=times[-1], end_at=times[-1], user=user))  # fmt: skip
            streams[number] = [(time, 1) for time in times]
            sent += ttft + gap * (tokens - 1)
    table, chunks = request_table(rows), chunk_table(streams)
    calculator = MetricsCalculator(table, chunks, windows=WINDOW)
    found = find_omission(
        table,
        Kept(chunks),  # type: ignore[arg-type]  # a list is as good as an iterator
        WINDOW,
        users=users,
        ttft_ms=calculator.values("ttft_ms"),
        gap_p90_ms=lambda: calculator.gap_percentile("icl_ms", 90),
    )
    if found is not None:
        sent_in_window = sum(0 <= (row["sent_ns"] - WINDOW[0][0]) < LENGTH_MS * 1e6 for row in table.to_pylist())
        # What is not sent at the mean pace of the whole window, silences included, is the least that can be missing.
        assert found.unsent >= int(sent_in_window / LENGTH_MS * 1000 * found.seconds)
    return found


@pytest.mark.parametrize("count", [1, 4, 5, 6, 12])
def test_every_pause_is_counted_however_many_there_are(count: int) -> None:
    found = loop([(1_000 * number + 300, 500) for number in range(count)], users=8)
    assert found is not None
    assert found.count == count
    assert found.seconds == pytest.approx(0.5 * count, abs=0.03 * count)
    assert len(found.silences) == min(count, MOST_TOLD)
    # 8 users, an answer each 240 ms: 33 requests/s while the server works.
    assert found.unsent == pytest.approx(33.3 * 0.5 * count, rel=0.15)
    assert (found.ttft_p99_ms or 0) <= (found.ttft_p99_estimate_ms or 0)


def test_the_words_state_count_longest_few_and_estimate() -> None:
    found = loop([(2_000, 400), (4_000, 1_500), (6_000, 600), (8_000, 900), (9_000, 400), (9_900, 400)], users=6)
    assert found is not None
    words = omission_words(found)
    assert "for 4.2 s, 6 times (the longest 1.5, 0.9, 0.6 s) no request was sent and nothing came" in words
    assert f"about {found.unsent} more" in words
    assert "TTFT p99 at least about" in words
    # Told in the order of time.
    assert [round(one.seconds, 1) for one in found.silences] == [0.4, 1.5, 0.6, 0.9, 0.4, 0.4]


@settings(max_examples=25, deadline=None)
@given(
    gaps=st.lists(st.floats(300, 2_000), min_size=1, max_size=18),
    lengths=st.lists(st.floats(300, 900), min_size=18, max_size=18),
    users=st.integers(4, 9),
)
def test_the_estimate_is_never_below_the_arithmetic_of_the_silences(
    gaps: list[float], lengths: list[float], users: int
) -> None:
    starts = np.cumsum(gaps)
    pauses = [(float(start), length) for start, length in zip(starts, lengths, strict=False)]
    found = loop(pauses, users=users)
    ends = starts + np.cumsum(lengths)[: len(pauses)]
    whole = int(np.count_nonzero(ends < LENGTH_MS))
    if whole:
        assert found is not None
        assert whole <= found.count <= len(pauses)
        assert found.seconds * 1000 >= sum(lengths[:whole]) - 10 * whole  # a grain on either side
        assert max(one.seconds for one in found.silences) * 1000 >= max(lengths[:whole]) - 10


def test_silences_too_short_for_a_request_of_their_own_add_up() -> None:
    """One user, an answer in 2 s, twenty stops of half a second: a quarter of a request is missing in each."""
    found = loop([(500.0 * number + 150, 500) for number in range(20)], users=1, ttft=80.0, gap=20.0, tokens=100)
    assert found is not None
    assert found.count >= 18
    assert found.unsent >= 4


@pytest.mark.parametrize("count", [3, 30])
def test_single_chunks_of_several_users_tell_pauses_by_their_length(count: int) -> None:
    """No answer is under way when the server stops: only the length of the silence tells."""
    found = loop([(300.0 * number + 130, 350) for number in range(count)], users=6, ttft=15.0, tokens=1)
    assert found is not None
    assert found.count == count


@pytest.mark.parametrize(("ttft", "tokens"), [(600.0, 5), (900.0, 1), (300.0, 30)])
def test_long_prompts_of_one_user_are_no_pauses(ttft: float, tokens: int) -> None:
    assert loop([], users=1, ttft=ttft, tokens=tokens) is None
