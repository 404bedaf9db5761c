"""The command `results` as a user runs it: list, show, export, recover; 80 columns, no terminal."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from inference_bench.cli.main import run
from inference_bench.metrics import MetricsCalculator
from inference_bench.results.finalise import finalise
from inference_bench.results.folder import RunFolder
from inference_bench.results.liveness import this_process
from inference_bench.results.manifest import LoadShape, ServiceFacts
from inference_bench.results.summarise import summarise_service
from inference_bench.results.summary import Summary, TestSummary, Validity, write_summary
from inference_bench.results.tables import load_chunks, load_requests
from run_records import WHEN, ZERO_NS, manifest, request, run_with_journal

LAUNCHER = Path(__file__).parents[2] / "vllm_benchmark.py"
ROWS = [
    request(
        seq,
        service=("vllm", "ollama")[seq % 2],
        sent_at=10 * seq,
        first_token_at=10 * seq + 5,
        last_token_at=10 * seq + 105,
        end_at=10 * seq + 106,
        output_tokens=11,
    )
    for seq in range(50)
]
STREAMS = {seq: [ZERO_NS + (10 * seq + 5) * 1_000_000, ZERO_NS + (10 * seq + 105) * 1_000_000] for seq in range(50)}
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Command:
    """Run `results …` in tmp_path; return exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def call(*args: str) -> tuple[int, str, str]:
        capfdbinary.readouterr()
        code = run(["results", *args])
        sys.stdout.flush()
        shown = capfdbinary.readouterr()
        return code, shown.out.decode(), shown.err.decode()

    return call


def complete(directory: Path, *, verdict: Validity | None = None, **fields: object) -> RunFolder:
    """Make a run that ran to its end, with a summary."""
    folder = run_with_journal(directory, ROWS, STREAMS, **fields)

    def summarise(made: RunFolder) -> None:
        services = {}
        for name in ("vllm", "ollama"):
            requests = load_requests(made, test="load", service=name)
            windows = made.read_manifest().window_bounds("load", name)
            calculator = MetricsCalculator(requests, load_chunks(made, requests), windows=windows)
            services[name] = summarise_service(
                calculator, engine=name, simulated=False, validity=Validity(verdict="valid")
            )
        test = TestSummary(
            name="load",
            kind="load",
            load=LoadShape(concurrent_users=2),
            rounds=1,
            window_s=1.0,
            services=services,
            validity=verdict or Validity(verdict="valid"),
        )
        simulated = made.read_manifest().simulated
        write_summary(made, Summary(test_id=made.test_id, simulated=simulated, tests=(test,)))

    finalise(folder, status="complete", save_raw_data=True, summarise=summarise)
    return folder


def test_an_empty_place_says_so_and_is_no_error(command: Command) -> None:
    code, out, err = command()
    assert (code, out) == (0, "")
    assert "No runs in results" in err


def test_the_list_is_newest_first_and_says_what_each_run_is(command: Command, tmp_path: Path) -> None:
    first = complete(tmp_path / "results", simulated=True)
    killed = run_with_journal(tmp_path / "results", ROWS[:7], created=WHEN + timedelta(hours=1))
    (tmp_path / "results" / "test_bad_20260101_000000").mkdir()
    code, out, err = command()
    assert code == 0
    lines = [line for line in out.splitlines() if "test_" in line]
    assert [line.split()[0] for line in lines] == [killed.test_id, first.test_id]
    assert "partial" in lines[0]
    assert "7 in journal" in lines[0]
    assert "complete" in lines[1]
    assert "SIMULATED" in out
    assert "vllm, ollama" in lines[1]
    assert "test_bad_20260101_000000: cannot be read" in err
    assert max(len(line) for line in out.splitlines()) <= 80
    assert "\x1b" not in out


def test_a_run_that_was_saved_without_a_summary_still_says_what_it_holds(command: Command, tmp_path: Path) -> None:
    folder = run_with_journal(tmp_path / "results", ROWS[:9])
    finalise(folder, status="partial", save_raw_data=True)
    rows = [line.split() for line in command("show", folder.test_id)[1].splitlines()]
    assert [row for row in rows if row[:1] == ["load"]] == [["load", "vllm", "5", "0"], ["load", "ollama", "4", "0"]]


def test_a_long_name_keeps_the_list_readable(command: Command, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "results", "a very long name that somebody has given to this run", WHEN)
    folder.write_manifest(manifest(folder.test_id, status="failed", simulated=True))
    complete(tmp_path / "results")
    lines = [line.strip() for line in command()[1].splitlines()]
    assert folder.test_id in lines
    assert "failed SIMULATED, requests –, vllm, ollama" in lines
    assert "complete, requests 50, vllm, ollama" in lines


def test_limit_says_how_many_more(command: Command, tmp_path: Path) -> None:
    for _ in range(3):
        complete(tmp_path / "elsewhere")
    code, out, err = command("--limit", "2", "--dir", "elsewhere")
    assert code == 0
    assert out.count("test_default") == 2
    assert "1 more" in err
    assert command("--limit", "0")[0] == 2


def test_list_as_json(command: Command, tmp_path: Path) -> None:
    folder = complete(tmp_path / "results", simulated=True)
    _, out, _ = command("--json")
    (found,) = json.loads(out)["runs"]
    assert found["test_id"] == folder.test_id
    assert (found["status"], found["simulated"], found["requests"]) == ("complete", True, 50)
    assert found["requests_in_journal"] is None


def test_the_configured_directory_is_the_default(command: Command, tmp_path: Path) -> None:
    complete(tmp_path / "kept")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "default.yaml").write_text("output:\n  directory: kept\n")
    assert "test_default" in command()[1]


@pytest.mark.parametrize("words", [("show",), ("--test-id",)])
def test_show_gives_the_figures_and_fits_80_columns(command: Command, tmp_path: Path, words: tuple[str, ...]) -> None:
    folder = complete(tmp_path / "results", simulated=True)
    code, out, _ = command(*words, "test_default")
    assert code == 0
    assert folder.test_id in out
    assert "SIMULATED" in out
    assert "TTFT p50, ms" in out
    assert "– (n 25 of 100)" in out  # p99 of 25 requests is not given
    assert "requests.parquet" in out
    assert "http://127.0.0.1:8000" in out
    long = [line for line in out.splitlines() if len(line) > 80 and not line.startswith("Folder")]
    assert long == []


def test_an_invalid_test_is_shown_under_a_banner(command: Command, tmp_path: Path) -> None:
    reasons = ("worker 0 waited 12 % of the window to run",)
    complete(tmp_path / "results", verdict=Validity(verdict="invalid", reasons=reasons))
    _, out, _ = command("show", "test_")
    assert "INVALID worker 0 waited 12 % of the window to run" in " ".join(out.split())


def test_show_as_json_is_manifest_and_summary(command: Command, tmp_path: Path) -> None:
    folder = complete(tmp_path / "results")
    found = json.loads(command("show", str(folder.path), "--json")[1])
    assert found["status"] == "complete"
    assert found["summary"] == json.loads(folder.file("summary.json").read_text())
    assert found["manifest"]["nonce"] == "n"
    assert json.loads(command("--json", "--test-id", folder.test_id)[1]) == found


def test_a_killed_run_is_partial_and_recover_saves_it(command: Command, tmp_path: Path) -> None:
    folder = run_with_journal(tmp_path / "results", ROWS[:9], STREAMS)
    code, out, _ = command("show", folder.test_id)
    assert code == 0
    assert "partial" in out
    assert "its journal holds 9 requests" in out
    code, _, err = command("export", folder.test_id, "--format", "csv")
    assert code == 2
    assert "recover" in err
    code, out, _ = command("recover", folder.test_id)
    assert code == 0
    assert "9 requests" in out
    assert not folder.journal.exists()
    _, out, _ = command("show", folder.test_id)
    assert "partial" in out
    assert "journal" not in out
    assert "5 / 5" in out  # a summary was made of it
    assert (tmp_path / "results" / folder.test_id / "summary.csv").is_file()
    assert command("recover", folder.test_id)[0] == 0
    code, _, err = command("export", folder.test_id, "--format", "json", "-o", "rows.jsonl")
    assert code == 0
    assert "This run is partial" in err


def test_a_running_run_is_left_alone(command: Command, tmp_path: Path) -> None:
    folder = run_with_journal(tmp_path / "results", ROWS[:3], process=this_process())
    assert "running" in command()[1]
    assert "3 requests so far" in command("show", folder.test_id)[1]
    code, _, err = command("recover", folder.test_id)
    assert code == 2
    assert "still running" in err


def test_export_to_stdout_a_file_and_a_folder(command: Command, tmp_path: Path) -> None:
    folder = complete(tmp_path / "results", simulated=True)
    code, out, err = command("export", "test_", "--format", "csv")
    assert code == 0
    assert len(out.splitlines()) == 51
    assert "SIMULATED" in err
    assert command("export", "test_", "--format", "json", "-o", "one.jsonl")[0] == 0
    assert len((tmp_path / "one.jsonl").read_text().splitlines()) == 50
    assert command("export", "test_", "--format", "csv,json,parquet,markdown", "-o", "all")[0] == 0
    names = {path.name for path in (tmp_path / "all").iterdir()}
    kinds = ("requests.csv", "requests.jsonl", "requests.parquet", "md")
    assert names == {f"{folder.test_id}.{kind}" for kind in kinds}
    for path in (tmp_path / "all").iterdir():
        marked = pq.read_schema(path).metadata[b"simulated"] if path.suffix == ".parquet" else path.read_bytes().lower()
        assert b"simulated" in marked or marked == b"true"
    markdown = command("export", "test_", "--format", "markdown")[1]
    assert markdown.startswith("# default\n\n**SIMULATED")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("export", "test_", "--format", "xml"), "xml"),
        (
            ("export", "test_", "--format", "parquet"),
            "a Parquet file is written from both ends and cannot go to stdout",
        ),
        (("export", "test_", "--format", "csv,json"), "several formats cannot go to stdout together"),
        (("export", "test_"), "--format"),
        (("export", "test_", "--format", "csv", "-o", "no/such/file.csv"), "cannot write"),
        (("show", "nothing"), "no run 'nothing'"),
        (("show",), "TEST_ID"),
        (("--test-id", "x", "show", "y"), "--test-id"),
        (("--json", "show", "y"), "--json does not go with the sub-command show"),
        (("--status", "failed", "recover", "y"), "--status does not go with the sub-command recover"),
        (("--test-id", "test_", "--real"), "--simulated/--real does not go with --test-id"),
        (("--since", "yesterday"), "--since cannot read 'yesterday'"),
        (("--since", "999999w"), "--since cannot read"),
        (("--status", "done"), "done"),
        (("--dir", "vllm.txt"), "vllm.txt"),
    ],
)
def test_wrong_usage_is_one_clear_line(command: Command, tmp_path: Path, args: tuple[str, ...], said: str) -> None:
    complete(tmp_path / "results")
    (tmp_path / "vllm.txt").write_text("")
    code, out, err = command(*args)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


def test_what_servers_said_of_themselves_cannot_touch_the_screen(command: Command, tmp_path: Path) -> None:
    nasty = ServiceFacts(
        name="vllm", engine="vllm", version="[bold]1\x1b[2J\u202e", model="[/]\n|", url="http://127.0.0.1:1"
    )
    folder = complete(tmp_path / "results", services=(nasty,), notes=("[red]\x07x",))
    code, out, _ = command("show", folder.test_id)
    assert code == 0
    assert "[bold]1" in out
    assert "[/] |" in out
    assert not {"\x1b", "\x07", "\u202e"} & set(out)
    assert command()[0] == 0


def test_a_damaged_summary_is_one_clear_line(command: Command, tmp_path: Path) -> None:
    folder = complete(tmp_path / "results")
    folder.file("summary.json").write_text("{")
    code, _, err = command("show", folder.test_id)
    assert code == 2
    assert "summary.json is damaged" in err


def test_through_the_launcher_and_a_pipe_that_closes_early(tmp_path: Path) -> None:
    folder = complete(tmp_path / "results")
    script = f"{sys.executable} {LAUNCHER} results export {folder.test_id} --format csv | head -n 1"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith('"test_id"')
    assert "Traceback" not in done.stderr


def test_a_run_without_services_or_tests_is_shown(command: Command, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "results", "default", WHEN)
    folder.write_manifest(manifest(folder.test_id, status="failed", services=(), plan=(), windows={}))
    code, out, _ = command("show", folder.test_id)
    assert code == 0
    assert "failed" in out
    assert "–" in command()[1]
