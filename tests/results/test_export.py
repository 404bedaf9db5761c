"""Exports: every row with its run, its marks and its metrics; SIMULATED in each; servers' words kept harmless."""

import csv
import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from inference_bench.errors import RunFolderError
from inference_bench.metrics.records import REQUEST_COLUMNS
from inference_bench.results.export import export_file, export_text
from inference_bench.results.finalise import finalise
from inference_bench.results.folder import Run
from inference_bench.results.manifest import LoadShape, ServiceFacts
from inference_bench.results.markdown import escaped, run_markdown
from inference_bench.results.summary import Summary, TestSummary, Validity, write_summary
from inference_bench.results.tables import load_requests
from run_records import manifest, request, run_with_journal

NASTY = 'a "quoted", <b>|pipe|</b>\nline\x1b[31m'
ROWS = [
    request(1, sent_at=10, first_token_at=20, last_token_at=120, end_at=121, output_tokens=11, simulated=True),
    request(2, sent_at=10, first_token_at=20, ok=False, error_class="reset", error_message=NASTY),
]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    folder = run_with_journal(tmp_path, ROWS)
    return Run(folder, finalise(folder, status="complete", save_raw_data=True))


def text(run: Run, form: str) -> str:
    return b"".join(export_text(run, form)).decode()


def test_csv(run: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(text(run, "csv"), newline="")))
    assert len(rows) == 2
    names = list(rows[0])
    assert names[:2] == ["test_id", "run_simulated"]
    assert [column.name for column in REQUEST_COLUMNS] == names[2 : 2 + len(REQUEST_COLUMNS)]
    first, second = rows
    assert first["test_id"] == run.folder.test_id
    assert (first["simulated"], second["simulated"], second["run_simulated"]) == ("true", "false", "true")
    assert (first["ttft_ms"], first["e2e_ms"], first["tpot_ms"]) == ("10", "110", "10")
    assert second["ttft_ms"] == ""  # a failed request keeps its marks and has no metrics
    assert second["first_token_ns"] != ""
    assert second["error_message"] == NASTY.replace("\x1b", "\\x1b")  # CSV has no escape of its own


def test_json_lines(run: Run) -> None:
    rows = [json.loads(line) for line in text(run, "json").splitlines()]
    assert [row["ttft_ms"] for row in rows] == [10.0, None]
    assert rows[1]["error_message"] == NASTY
    assert rows[0]["run_simulated"] is True


def test_parquet(run: Run, tmp_path: Path) -> None:
    export_file(run, "parquet", tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column("ttft_ms").to_pylist() == [10.0, None]
    assert table.column("service").to_pylist() == ["vllm", "vllm"]
    assert pq.read_schema(tmp_path / "out.parquet").metadata[b"simulated"] == b"true"


def test_an_empty_run_still_has_a_header(tmp_path: Path) -> None:
    folder = run_with_journal(tmp_path, [])
    run = Run(folder, finalise(folder, status="partial", save_raw_data=True))
    assert text(run, "csv").startswith('"test_id","run_simulated","seq"')
    assert text(run, "json") == ""


def test_a_run_that_did_not_end_says_what_to_do(tmp_path: Path) -> None:
    folder = run_with_journal(tmp_path, ROWS)
    with pytest.raises(RunFolderError, match="did not run to its end") as caught:
        text(Run(folder, folder.read_manifest()), "csv")
    assert "recover" in (caught.value.hint or "")


def test_a_file_is_replaced_whole_or_not_at_all(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "out.md"
    target.write_text("before")
    with pytest.raises(RunFolderError, match="no summary"):
        export_file(run, "markdown", target)
    assert target.read_text() == "before"
    with pytest.raises(RunFolderError, match="cannot write"):
        export_file(run, "csv", tmp_path / "nowhere" / "out.csv")


def test_markdown_says_what_it_is_and_escapes_what_servers_said(run: Run) -> None:
    service = ServiceFacts(name="vllm", engine="vllm", version="<script>|\n# 1", model="a*b", url="http://h")
    invalid = Validity(verdict="invalid", reasons=("the clock stepped by 20 ms",))
    test = TestSummary(
        name="load", kind="load", load=LoadShape(), rounds=1, window_s=1.0, services={}, validity=invalid
    )
    summary = Summary(test_id=run.folder.test_id, simulated=True, tests=(test,))
    write_summary(run.folder, summary)
    assert "SIMULATED" in text(run, "markdown")
    partial = manifest("t", status="partial", services=(service,))
    shown = run_markdown(partial, summary)
    assert "This run is partial" in shown
    assert "INVALID: the clock stepped by 20 ms" in shown
    assert "| \\<script\\>\\| \\# 1 | a\\*b |" in shown


def test_escaped_text_is_one_plain_line() -> None:
    assert escaped("a\x1b[1m\u202eb\r\nc") == "a \\[1m b c"


def test_a_file_of_a_version_that_did_not_look_at_texts_is_read_as_ever(run: Run, tmp_path: Path) -> None:
    path = run.folder.file("requests.parquet")
    pq.write_table(pq.read_table(path).drop_columns(["text_check"]), path)
    assert load_requests(run.folder, test="load", service="vllm").num_rows == 2
    for form in ("csv", "json"):
        assert text(run, form)
    (first, _) = list(csv.DictReader(io.StringIO(text(run, "csv"), newline="")))
    assert (first["text_check"], first["text_chars"]) == ("", "10")
    export_file(run, "parquet", tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").column("text_check").to_pylist() == [None, None]


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x7f", "\x9b", "\x9d"])
def test_no_export_holds_a_character_that_a_terminal_obeys(tmp_path: Path, character: str) -> None:
    said = f"before{character}2J日本 after"
    rows = [request(0, ok=False, error_class="http_5xx", error_message=said, finish_reason=said, response_text=said)]
    folder = run_with_journal(tmp_path, rows)
    run = Run(folder, finalise(folder, status="complete", save_raw_data=True))
    for form in ("csv", "json"):
        exported = text(run, form)
        assert character not in exported
        assert "before\\" in exported
        assert "日本" in exported
    (row,) = [json.loads(line) for line in text(run, "json").splitlines()]
    assert row["error_message"] == row["response_text"] == said
