"""What sessions show: records with known marks, records that lack some, and files of a version that knew none."""

from pathlib import Path

import pyarrow as pa
import pytest

from inference_bench.metrics.sessions import SessionFigures, session_figures
from inference_bench.results.journal import read_journal
from inference_bench.results.schema import journal_schema
from run_records import ZERO_NS, at, request, request_table

THINK_MS = 50
WINDOWS = ((ZERO_NS, ZERO_NS + 10_000_000_000),)


def turn(seq: int, session: int, number: int, sent: float, **fields: object) -> dict[str, object]:
    """A turn sent then, whose first token takes 10 ms a turn and whose answer takes 100 ms."""
    marks = {"sent_at": sent, "first_token_at": sent + 10 * (number + 1), "end_at": sent + 100}
    told = {"prompt_tokens": 100 * (number + 1)}
    return request(seq, **{"session": session, "turn": number, **marks, **told, **fields})


def figures(*rows: dict[str, object]) -> SessionFigures:
    found = session_figures(request_table(rows), WINDOWS, think_seconds=THINK_MS / 1000)
    assert found is not None
    return found


def test_each_turn_has_its_medians_and_the_turnaround_leaves_out_answer_and_think_time() -> None:
    found = figures(
        turn(0, 0, 0, 0),
        turn(3, 0, 1, 152, cached_tokens=96),
        turn(1, 1, 0, 10),
        turn(2, 1, 1, 164),
        turn(4, 1, 2, 400, prompt_tokens=None),
    )
    assert [(one.turn, one.n, one.ttft_ms) for one in found.turns] == [(0, 2, 10), (1, 2, 20), (2, 1, 30)]
    assert [one.prompt_tokens for one in found.turns] == [100, 200, None]
    assert [one.cached_tokens for one in found.turns] == [None, 96, None]
    assert (found.begun, found.ended_early, found.turnarounds) == (2, 0, 3)
    assert found.turnaround_p50_ms == pytest.approx(4)  # of 2, 4 and 86
    assert found.turnaround_p99_ms is None  # three values carry no p99


def test_a_failed_turn_ends_a_session_early_an_interrupted_one_does_not_and_neither_is_followed() -> None:
    failed = {"ok": False, "error_class": "http_5xx", "first_token_at": None}
    interrupted = {"ok": False, "error_class": "interrupted", "first_token_at": None}
    found = figures(
        turn(0, 0, 0, 0, **failed),
        turn(1, 2, 0, 300),
        turn(2, 2, 1, 451, **interrupted),
        turn(3, 0, 0, 600, round=1),  # the same number in another round is another session
        turn(4, 0, 1, 755, round=1),
    )
    assert (found.begun, found.ended_early) == (3, 1)
    assert found.turnarounds == 2
    assert found.turnaround_p50_ms == pytest.approx(3)  # of 1 and 5
    assert [(one.turn, one.n) for one in found.turns] == [(0, 2), (1, 1)]


def test_what_lies_outside_the_windows_and_warm_ups_do_not_count() -> None:
    found = figures(turn(0, 0, 0, -120), turn(1, 0, 1, 33), turn(2, 1, 0, 5, warmup=True))
    assert (found.begun, found.turnarounds) == (0, 1)
    assert [one.turn for one in found.turns] == [1]


def test_percentiles_have_the_n_that_carries_them() -> None:
    rows = [turn(number, 0, number, number * 151) for number in range(102)]
    found = figures(*rows)
    assert found.turnarounds == 66  # those sent within the window's 10 s
    long = session_figures(request_table(rows), ((ZERO_NS, at(60_000) or 0),), think_seconds=THINK_MS / 1000)
    assert long is not None
    assert long.turnaround_p99_ms == pytest.approx(1)


def test_there_are_none_without_sessions_without_windows_and_in_older_files() -> None:
    plain = request_table([request(0, sent_at=1)])
    assert session_figures(plain, WINDOWS, think_seconds=0) is None
    assert session_figures(plain.drop_columns(["session", "turn"]), WINDOWS, think_seconds=0) is None
    assert session_figures(request_table([turn(0, 0, 0, 1)]), (), think_seconds=0) is None


def test_a_journal_that_was_written_without_sessions_is_read(tmp_path: Path) -> None:
    table = request_table([request(0, sent_at=1, user=3), request(1, sent_at=2)])
    older = table.drop_columns(["session", "turn"])
    with pa.OSFile(str(tmp_path / "requests.arrow"), "wb") as sink, pa.ipc.new_stream(sink, older.schema) as writer:
        writer.write_table(older)
    (batch,) = read_journal(tmp_path)
    assert batch.schema.equals(journal_schema("requests"))
    assert batch.to_pylist() == table.to_pylist()
