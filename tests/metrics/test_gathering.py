"""Pooled gaps in bounded memory: exact up to a limit, from a sketch beyond it; the calculator's figures say which."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.metrics import chunks, gathering
from inference_bench.metrics.calculator import MetricsCalculator
from inference_bench.metrics.distribution import describe
from inference_bench.metrics.gathering import Gathering
from run_records import ZERO_NS, chunk_table, request, request_table

LIMIT = 100
PARTS = st.lists(st.lists(st.floats(0, 1e6, allow_nan=False), max_size=60), max_size=12)


@pytest.fixture(autouse=True)
def lower_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "EXACT_UP_TO", LIMIT)


@given(PARTS)
def test_what_is_gathered_is_described_as_a_whole(parts: list[list[float]]) -> None:
    gathered = Gathering()
    for part in parts:
        gathered.add(np.array(part))
    every = np.array([value for part in parts for value in part])
    found, exact = gathered.describe(missing=3, better="less"), describe(every, missing=3, better="less", pooled=True)
    assert (found.n, found.missing) == (every.size, 3)
    if every.size <= LIMIT:
        assert found == exact
        return
    assert found.relative_error == 0.001
    assert (found.min, found.max, found.ci, found.needed_n) == (exact.min, exact.max, {}, {})
    assert found.mean == pytest.approx(exact.mean)
    assert found.std == pytest.approx(exact.std, abs=1e-6)
    for percent, value in found.percentiles.items():
        truth = float(np.quantile(every, percent / 100, method="lower"))
        assert value == pytest.approx(truth, rel=0.001 * 1.000001, abs=1e-6)


@pytest.mark.parametrize("held", [1_000_000, 50], ids=["held", "read again each time"])
def test_gaps_beyond_the_limit_come_from_the_sketch_and_say_so(monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    monkeypatch.setattr(chunks, "HELD_CHUNKS", held)
    rng = np.random.default_rng(4)
    streams = {seq: [(float(ms), 1) for ms in np.cumsum(rng.uniform(1, 9, 40))] for seq in range(5)}
    rows = [
        request(seq, sent_at=0, first_token_at=stream[0][0], last_token_at=stream[-1][0], end_at=500, output_tokens=40)
        for seq, stream in streams.items()
    ]
    windows = [(ZERO_NS, ZERO_NS + 1_000_000_000)]
    calculator = MetricsCalculator(request_table(rows), chunk_table(streams), windows=windows)
    every = [later[0] - before[0] for stream in streams.values() for before, later in pairwise(stream)]
    for metric in ("icl_ms", "itl_ms"):
        found = calculator.distribution(metric)
        assert (found.n, found.missing, found.relative_error) == (5 * 39, 0, 0.001)
        assert found.percentiles[50] == pytest.approx(float(np.quantile(every, 0.5, method="lower")), rel=0.0011)
    assert calculator.zero_gap_share() == 0
    assert calculator.distribution("ttft_ms").relative_error is None
    assert calculator.throughput().output_tokens_per_s == 200


class Counted:
    """Chunks that count how often they are read."""

    def __init__(self, table: pa.Table) -> None:
        self.read = 0
        self._table = table.select(list(chunks.COLUMNS))

    def batches(self) -> Iterator["pa.RecordBatch"]:
        self.read += 1
        yield from self._table.to_batches()


@pytest.mark.parametrize(("sharing", "reads"), [(1, 1), (2, 1), (3, 4)])
def test_services_that_are_compared_share_what_is_held(
    monkeypatch: pytest.MonkeyPatch, sharing: int, reads: int
) -> None:
    monkeypatch.setattr(chunks, "HELD_CHUNKS", 200)
    streams: dict[int, list[tuple[float, int | None]]] = {seq: [(float(ms), 1) for ms in range(20)] for seq in range(5)}
    source = Counted(chunk_table(streams))
    calculator = MetricsCalculator(
        request_table([request(seq, sent_at=0, end_at=100) for seq in streams]),
        source,
        windows=[(ZERO_NS, ZERO_NS + 1_000_000_000)],
        sharing=sharing,
    )
    found = [calculator.values("icl_ms").tolist() for _ in range(3)]
    assert found == [[1.0] * 5 * 19] * 3
    assert source.read == reads  # 100 chunks: half of what may be held, and more than a third of it
