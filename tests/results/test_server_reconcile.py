"""The server's own times beside ours: parts that add up, and the cases in which they are not put together."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.errors import RunFolderError
from inference_bench.results.finalise import SERVER_METRICS, finalise, recover
from inference_bench.results.folder import RunFolder
from inference_bench.results.journal import ServerJournal
from inference_bench.results.schema import journal_schema
from inference_bench.results.server_facts import PART_NAMES, PartFacts, ServerFacts, parts_line, server_lines
from inference_bench.results.server_reconcile import server_facts_of
from inference_bench.results.server_series import ServerSeries, load_server_samples
from run_records import ZERO_NS, at, request, request_table, run_with_journal

Row = Mapping[str, object]
WINDOW = ((ZERO_NS, ZERO_NS + 1_000_000_000),)
MS = 1e-3
EVERY = st.floats(0.001, 500)


def asked(seq: int, sent: float, ttft: float, stream: float, *, read: float = 0.0, **more: object) -> dict[str, object]:
    """Return a good request whose tokens are read so many ms after they came."""
    first, last = sent + ttft, sent + ttft + stream
    return request(
        seq,
        sent_at=sent,
        first_token_at=first,
        first_token_read_at=first + read,
        last_token_at=last,
        last_token_read_at=last + read,
        end_at=last + 1,
        **more,
    )


def sample(
    ms: float, told: Mapping[str, float], edge: str | None = None, test: str = "load"
) -> list[tuple[object, ...]]:
    """Return the rows of one look at a page; an edge belongs to `test`."""
    return [("vllm", at(ms), name, value, test if edge else None, edge) for name, value in told.items()]


def times(count: float, **means_ms: float) -> dict[str, float]:
    """Return sums and counts of times whose means are these, over so many requests."""
    told: dict[str, float] = {}
    for name, mean in means_ms.items():
        told |= {f"{name}_s_sum": count * mean * MS, f"{name}_s_count": count}
    return told


def series(*samples: Iterable[tuple[object, ...]]) -> ServerSeries:
    rows = [row for one in samples for row in one]
    schema = journal_schema("server")
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in schema]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return ServerSeries(pa.Table.from_arrays(arrays, schema=schema), "vllm")


def facts(rows: Iterable[Row], told: ServerSeries, *, kernel: bool = True) -> ServerFacts:
    found = server_facts_of(request_table(rows), told, test="load", windows=WINDOW, kernel_stamps=kernel)
    assert found is not None
    return found


def told_by_vllm(count: float = 4, **means: float) -> ServerSeries:
    """Return a turn in which vLLM counted so many requests, after seven that were none of ours."""
    means = {"queue": 10, "prefill": 20, "decode": 60, "ttft": 31, "e2e": 92, **means}
    before = times(7, **dict.fromkeys(means, 1000.0))
    after = {name: before[name] + value for name, value in times(count, **means).items()}
    return series(sample(-1, before, "start"), sample(900, after, "end"))


FOUR = [asked(seq, 10.0 * seq, 35, 65, read=0.5) for seq in range(4)]


def total(parts: PartFacts) -> float:
    return sum(float(value) for field, _ in PART_NAMES if (value := getattr(parts, field)) is not None)


def test_the_parts_of_a_closed_loop() -> None:
    found = facts(FOUR, told_by_vllm())
    assert found.parts is not None
    assert found.first_token is not None
    assert (found.source, found.requests, found.counted) == ("metrics page", 4, 4)
    wanted = {"whole_ms": 100.5, "queue_ms": 10, "prefill_ms": 20, "decode_ms": 60}
    wanted |= {"rest_ms": 2, "network_ms": 8, "client_ms": 0.5, "n": 4}
    assert found.parts.model_dump(exclude_none=True) == pytest.approx(wanted)
    wanted = {"whole_ms": 35.5, "queue_ms": 10, "prefill_ms": 20, "rest_ms": 1, "network_ms": 4, "client_ms": 0.5}
    assert found.first_token.model_dump(exclude_none=True) == pytest.approx({**wanted, "n": 4})
    assert found.ttft is not None
    assert found.ttft.model_dump() == pytest.approx({"mean_ms": 31, "n": 4})
    line = "of 100 ms mean: queue 10, prefill 20, decode 60, server (not told apart) 2, network 8, client 0.5"
    assert parts_line(found.parts) == line
    assert server_lines({"vllm": found, "ollama": None}) == [f"vllm: {line}"]


def test_the_client_s_part_of_an_open_loop_is_the_lateness_of_the_send() -> None:
    late = [dict(row, intended_ns=int(str(row["sent_ns"])) - 3_000_000) for row in FOUR]
    with_reads, without = facts(late, told_by_vllm()), facts(late, told_by_vllm(), kernel=False)
    assert with_reads.parts is not None
    assert without.parts is not None
    assert with_reads.parts.client_ms == pytest.approx(3.5)
    assert without.parts.client_ms == pytest.approx(3.0)
    closed = facts(FOUR, told_by_vllm(), kernel=False).parts
    assert closed is not None
    assert closed.client_ms is None  # nothing of it is known, which is not 0


@given(st.lists(st.tuples(EVERY, EVERY, EVERY), min_size=1, max_size=8), st.tuples(EVERY, EVERY, EVERY, EVERY, EVERY))
def test_parts_always_add_up_to_the_whole(ours: list[tuple[float, ...]], told: tuple[float, ...]) -> None:
    rows = [
        asked(seq, 1 + seq, ttft, stream, read=lag, intended_at=seq) for seq, (ttft, stream, lag) in enumerate(ours)
    ]
    means = dict(zip(("queue", "prefill", "decode", "ttft", "e2e"), told, strict=True))
    before, after = sample(0, times(0, **means), "start"), sample(900, times(len(rows), **means), "end")
    found = facts(rows, series(before, after))
    for parts in (found.parts, found.first_token):
        assert parts is not None
        assert total(parts) == pytest.approx(parts.whole_ms)


def test_a_server_whose_clock_goes_on_after_the_last_token_is_said_and_not_clamped() -> None:
    found = facts(FOUR, told_by_vllm(e2e=104))
    assert found.parts is not None
    assert found.parts.network_ms == pytest.approx(-4)
    assert found.notes == ("the server's own total exceeds ours by 4 ms: its clock includes work after the last token",)


@pytest.mark.parametrize(
    ("count", "others", "said"),
    [(5, True, "someone else used the server: the server counted 5 requests, we sent 4"), (3, False, "counts late")],
)
def test_figures_that_are_not_of_our_requests_alone_are_not_put_beside_ours(
    count: int, others: bool, said: str
) -> None:
    found = facts(FOUR, told_by_vllm(count))
    assert (found.parts, found.first_token, found.source) == (None, None, None)
    assert found.others is others
    assert said in found.notes[0]


def test_two_per_cent_of_a_large_count_are_let_pass() -> None:
    rows = [asked(seq, seq / 2, 35, 65) for seq in range(100)]
    assert facts(rows, told_by_vllm(102)).parts is not None
    assert facts(rows, told_by_vllm(103)).others


def test_a_page_that_tells_a_turn_s_beginning_too_late_accuses_nobody() -> None:
    late = series(sample(15, times(7, e2e=50), "start"), sample(900, times(11, e2e=60), "end"))
    found = facts(FOUR, late)
    assert (found.parts, found.counted, found.others) == (None, 4, False)
    assert "answered only after the first requests of a turn were sent" in found.notes[0]
    warm = [dict(FOUR[0], warmup=True), dict(FOUR[1], warmup=True), *FOUR[2:]]
    assert facts(warm, series(sample(15, times(7, e2e=50), "start"), sample(900, times(9, e2e=60), "end"))).parts


def test_counters_that_went_back_tell_nothing() -> None:
    found = facts(FOUR, series(sample(-1, times(9, e2e=50), "start"), sample(900, times(4, e2e=50), "end")))
    assert found.parts is None
    assert "its counters went back" in found.notes[0]


def test_tgi_tells_prefill_and_decode_together_and_begins_its_series_late() -> None:
    after = times(4, queue=5, validation=1, inference=80, e2e=88)
    found = facts(FOUR, series(sample(-1, {"running": 0}, "start"), sample(900, {"running": 0, **after}, "end")))
    assert found.parts is not None
    assert found.first_token is not None
    shown = found.parts.model_dump(exclude_none=True)
    wanted = {"queue_ms": 5, "inference_ms": 80, "rest_ms": 3, "network_ms": 12, "client_ms": 0.5, "whole_ms": 100.5}
    assert shown == pytest.approx({**wanted, "n": 4})
    assert found.first_token.untold_ms == pytest.approx(30)


def test_durations_in_the_answers_need_no_page() -> None:
    rows = [dict(row, server_load_ms=1.0, server_prefill_ms=20.0, server_decode_ms=60.0) for row in FOUR]
    found = facts([dict(row, server_total_ms=90.0) for row in rows], series())
    assert found.parts is not None
    assert (found.source, found.requests) == ("each answer", None)
    assert found.parts.rest_ms == pytest.approx(9)
    assert found.parts.network_ms == pytest.approx(10)
    untold = facts(rows, series()).parts
    assert untold is not None
    assert untold.untold_ms == pytest.approx(19)
    assert untold.network_ms is None


def test_tokens_tell_of_others_where_requests_are_not_counted() -> None:
    rows = [dict(row, output_tokens=10) for row in FOUR]
    alone = series(sample(-1, {"output_tokens_total": 5}, "start"), sample(900, {"output_tokens_total": 49}, "end"))
    shared = series(sample(-1, {"output_tokens_total": 5}, "start"), sample(900, {"output_tokens_total": 95}, "end"))
    assert not facts(rows, alone).others
    assert facts(rows, shared).others


def test_levels_are_of_the_windows_and_shares_of_the_turns() -> None:
    told = series(
        sample(-500, {"running": 9, "waiting": 9}),
        sample(-1, {"prefix_hits_total": 10, "prefix_queries_total": 100, "preemptions_total": 2}, "start"),
        sample(100, {"running": 2, "waiting": 0, "kv_use": 0.25}),
        sample(200, {"running": 4, "waiting": 1, "kv_use": 0.75}),
        sample(900, {"prefix_hits_total": 40, "prefix_queries_total": 200, "preemptions_total": 3}, "end"),
    )
    found = facts(FOUR, told)
    assert found.running is not None
    assert found.kv_use is not None
    assert (found.running.mean, found.running.max, found.running.samples) == (3, 4, 2)
    assert found.kv_use.mean == pytest.approx(0.5)
    assert found.prefix_hit_share == pytest.approx(0.3)
    assert found.preemptions == 1


def test_a_turn_without_its_last_sample_is_not_reconciled() -> None:
    found = facts(FOUR, series(sample(-1, times(0, e2e=9), "start"), sample(500, {"running": 1})))
    assert (found.parts, found.requests, found.counted) == (None, None, None)
    assert found.running is not None


def test_warm_ups_and_turns_of_other_tests_are_left_out() -> None:
    warm = [request(seq, sent_at=-50 + seq, last_token_at=-20, warmup=True) for seq in (10, 11)]
    other = [*sample(950, {"e2e_s_count": 99}, "start", "more"), *sample(990, {"e2e_s_count": 400}, "end", "more")]
    rows = [
        row
        for samples in (sample(-1, times(2, e2e=9), "start"), sample(900, times(6, e2e=9), "end"), other)
        for row in samples
    ]
    found = facts([*warm, *FOUR], series(rows))
    assert (found.requests, found.counted) == (4, 4)


def test_a_server_that_told_nothing_has_no_facts() -> None:
    assert server_facts_of(request_table(FOUR), series(), test="load", windows=WINDOW, kernel_stamps=True) is None


def with_samples(directory: Path, **fields: object) -> RunFolder:
    """Return a run whose journal holds a turn of vLLM, as a run that was killed leaves it."""
    folder = run_with_journal(directory, FOUR, {}, status="running", **fields)
    journal = ServerJournal(folder.journal)
    for row in (*sample(-1, {"running": 0}, "start"), *sample(900, {"running": 1}, "end")):
        journal.add(row)
    journal.flush()  # and never closed
    return folder


def test_the_samples_of_a_killed_run_are_recovered(tmp_path: Path) -> None:
    manifest = recover(folder := with_samples(tmp_path))
    facts_of_file = manifest.files[SERVER_METRICS]
    assert facts_of_file.rows == load_server_samples(folder).num_rows == 2
    told = ServerSeries(load_server_samples(folder), "vllm")
    assert [(turn.before, turn.after) for turn in told.turns("load")] == [({"running": 0.0}, {"running": 1.0})]


def test_a_run_in_which_nobody_told_anything_has_no_file(tmp_path: Path) -> None:
    folder = run_with_journal(tmp_path, FOUR, {})
    ServerJournal(folder.journal).close()
    assert SERVER_METRICS not in finalise(folder, status="complete", save_raw_data=True).files
    assert load_server_samples(folder).num_rows == 0


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    folder = with_samples(tmp_path)
    finalise(folder, status="complete", save_raw_data=True)
    assert pq.read_metadata(folder.file(SERVER_METRICS)).num_rows == 2
    folder.file(SERVER_METRICS).write_bytes(b"PAR1 and no more")
    with pytest.raises(RunFolderError, match=r"server_metrics\.parquet is damaged"):
        load_server_samples(folder)
