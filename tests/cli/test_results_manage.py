"""`results` with filters, `show` with everything that a folder holds, and `delete`, as a user runs them."""

import json
import os
import pty
import re
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from inference_bench.cli.main import run
from inference_bench.results.comparison import Comparison, FairnessNote, Pair, write_comparison
from inference_bench.results.finalise import finalise
from inference_bench.results.folder import RunFolder
from inference_bench.results.gates import GateCondition, GateResult, Gates
from inference_bench.results.journal import JournalWriter
from inference_bench.results.liveness import this_process
from inference_bench.results.manifest import ServiceFacts
from run_records import WHEN, manifest, request, run_with_journal

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Command:
    """Run `results …` in tmp_path, 80 columns, nobody to ask; return exit code, stdout, stderr."""
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


def make(directory: Path, name: str, **fields: object) -> RunFolder:
    """Make a run of some status without records."""
    folder = RunFolder.create(directory, name, WHEN)
    told: dict[str, Any] = {"name": name, **fields}
    folder.write_manifest(manifest(folder.test_id, **told))
    return folder


def services(*names: str) -> tuple[ServiceFacts, ...]:
    return tuple(ServiceFacts(name=name, engine="vllm", url="http://127.0.0.1:1") for name in names)


def test_each_filter_keeps_what_is_meant(command: Command, tmp_path: Path) -> None:
    place = tmp_path / "results"
    make(place, "Nightly", simulated=True, services=services("vllm", "tgi"))
    make(place, "weekly", status="failed", services=services("vllm-blue"), created=WHEN + timedelta(days=1))
    make(place, "now", status="running", process=this_process(), services=(), created=WHEN + timedelta(days=2))

    def listed(*args: str) -> list[str]:
        code, out, _ = command(*args, "--json")
        assert code == 0
        return [found["name"] for found in json.loads(out)["runs"]]

    assert listed() == ["now", "weekly", "Nightly"]
    assert listed("--status", "failed") == ["weekly"]
    assert listed("--status", "failed", "--status", "running") == ["now", "weekly"]
    assert listed("--service", "vllm") == ["Nightly"]
    assert listed("--service", "vllm", "--service", "tgi") == ["Nightly"]
    assert listed("--service", "vllm", "--service", "vllm-blue") == []
    assert listed("--name", "LY") == ["weekly", "Nightly"]
    assert listed("--name", "test_week") == ["weekly"]
    assert listed("--simulated") == ["Nightly"]
    assert listed("--real") == ["now", "weekly"]
    assert listed("--since", "2026-01-03") == ["now", "weekly"]
    assert listed("--since", "2026-01-03T10:15:00") == ["now", "weekly"]
    assert listed("--since", "2026-01-03T12:15:01+02:00") == ["now"]
    assert listed("--since", "9999w", "--limit", "1") == ["now"]
    assert listed("--since", "1m") == []
    assert listed("--real", "--name", "ly", "--service", "vllm-blue") == ["weekly"]


def test_a_filter_that_leaves_nothing_says_so(command: Command, tmp_path: Path) -> None:
    make(tmp_path / "results", "weekly")
    code, out, err = command("--status", "failed")
    assert (code, out) == (0, "")
    assert "None of the 1 runs in results is so." in err


def test_delete_says_what_goes_and_deletes_it(command: Command, tmp_path: Path) -> None:
    gone, kept = make(tmp_path / "results", "a"), make(tmp_path / "results", "b")
    gone.file("charts").mkdir()
    gone.file("charts/x.html").write_text("x" * 5000)
    code, out, err = command("delete", gone.test_id, "--yes")
    assert (code, out) == (0, f"deleted {gone.test_id}\n")
    assert re.search(r"complete, vllm, ollama; 2 files, \d+\.\d kB", err)
    assert [path.name for path in (tmp_path / "results").iterdir()] == [kept.test_id]


def test_several_runs_and_paths_are_deleted_each_once(command: Command, tmp_path: Path) -> None:
    first, second = make(tmp_path / "results", "a"), make(tmp_path / "elsewhere", "b")
    code, out, _ = command("delete", first.test_id, str(second.path), str(first.path), "--yes")
    assert code == 0
    assert out.splitlines() == [f"deleted {first.test_id}", f"deleted {second.test_id}"]
    assert list((tmp_path / "results").iterdir()) == list((tmp_path / "elsewhere").iterdir()) == []


def test_without_a_terminal_nothing_is_deleted_unless_yes_is_said(command: Command, tmp_path: Path) -> None:
    folder = make(tmp_path / "results", "a")
    code, out, err = command("delete", folder.test_id)
    assert (code, out) == (2, "")
    assert "nothing was deleted: there is nobody to ask" in err
    assert "--yes" in err
    code, _, err = command("delete", "test_a", "--yes")
    assert code == 2
    assert "only the beginning" in err
    assert folder.file("test_manifest.json").is_file()


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 2), ("", 2)])
def test_a_person_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: int) -> None:
    folder = make(tmp_path / "results", "a")
    monkeypatch.chdir(tmp_path)
    master, slave = pty.openpty()
    os.write(master, f"{answer}\n".encode())
    with os.fdopen(slave, "r") as keyboard:
        monkeypatch.setattr(sys, "stdin", keyboard)
        assert run(["results", "delete", "test_a"]) == code
    os.close(master)
    assert folder.path.exists() == (code != 0)


def test_a_run_that_goes_on_is_never_deleted(command: Command, tmp_path: Path) -> None:
    running = make(tmp_path / "results", "a", status="running", process=this_process())
    other = make(tmp_path / "results", "b")
    code, _, err = command("delete", other.test_id, running.test_id, "--yes")
    assert code == 2
    assert "still running" in err
    assert running.path.is_dir()
    assert other.path.is_dir()  # all or none: the check comes before the first deletion


def test_a_killed_run_whose_decoder_still_writes_is_not_deleted(command: Command, tmp_path: Path) -> None:
    folder = run_with_journal(tmp_path / "results", [request(0)])
    (folder.path / "journal").rename(folder.path / "old")
    with JournalWriter(folder.journal):
        code, _, err = command("delete", folder.test_id, "--yes")
    assert code == 2
    assert "still running" in err
    assert command("delete", folder.test_id, "--yes")[0] == 0


def test_links_are_not_followed(command: Command, tmp_path: Path) -> None:
    kept = make(tmp_path / "elsewhere", "kept")
    (tmp_path / "precious.txt").write_text("precious")
    folder = make(tmp_path / "results", "a")
    folder.file("link").symlink_to(tmp_path / "elsewhere")
    folder.file("file").symlink_to(tmp_path / "precious.txt")
    linked = tmp_path / "results" / kept.test_id
    linked.symlink_to(kept.path)
    code, _, err = command("delete", kept.test_id, "--yes")
    assert code == 2
    assert "symbolic link" in err
    assert command("delete", folder.test_id, "--yes")[0] == 0
    assert not folder.path.exists()
    assert kept.file("test_manifest.json").is_file()
    assert (tmp_path / "precious.txt").read_text() == "precious"


@pytest.mark.parametrize("name", ["", "test_x", "docs"])
def test_what_is_no_run_folder_stays(command: Command, tmp_path: Path, name: str) -> None:
    """A folder without a manifest, or with one and another kind of name, is none of ours."""
    folder = tmp_path / "results" / name
    folder.mkdir(parents=True)
    (folder / "thesis.txt").write_text("years of work")
    if name == "docs":
        (folder / "test_manifest.json").write_text(manifest("docs").model_dump_json())
    code, _, err = command("delete", name, "--yes")
    assert code == 2
    assert err.startswith("Error: ")
    assert (folder / "thesis.txt").is_file()


def test_a_deletion_that_is_cut_off_leaves_no_half_run(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(tmp_path / "results", "a")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", refuse)
        code, out, err = command("delete", folder.test_id, "--yes")
    assert (code, out) == (2, "")
    assert "No space left on device" in err
    assert "it is no run any more" in err
    code, out, err = command()
    assert (code, out) == (0, "")
    assert "cannot be read" not in err


PAIR = Pair(
    test="load",
    metric="ttft_ms",
    statistic="p95",
    primary=True,
    a="vllm",
    b="ollama",
    ratio=0.5,
    ci_low=0.45,
    ci_high=0.55,
    confidence=0.95,
    p=0.001,
    p_adjusted=0.001,
    verdict="better",
    better="vllm",
    blocks=20,
    value_a=50.0,
    value_b=100.0,
    unit="ms",
)


def compared(directory: Path) -> RunFolder:
    """Make a finished run with a comparison and gates, one of which failed."""
    folder = run_with_journal(directory, [request(0, sent_at=1, first_token_at=2)])
    finalise(folder, status="complete", save_raw_data=False)
    note = FairnessNote(code="model", weight="warning", services=("vllm",), text="models are <b>spelled</b> apart")
    winners: dict[str, str | None] = {"load": "vllm", "overall": "vllm"}
    found = Comparison(test_id=folder.test_id, simulated=False, pairs=(PAIR,), winners=winners, fairness=(note,))
    write_comparison(folder, found)
    condition = GateCondition(
        test="load", service="vllm", name="ttft_ms.p95", op=">", limit=10.0, value=50.0, holds=True
    )
    results = tuple(
        GateResult(source="fail_if", expression=f"vllm.ttft_ms.p95 > {limit}", test="load", failed=failed,
                   conditions=(condition.model_copy(update={"holds": failed}),))
        for limit, failed in ((10, True), (99, False))
    )  # fmt: skip
    gates = Gates(test_id=folder.test_id, simulated=False, results=results)
    folder.file("gates.json").write_text(gates.model_dump_json())
    return folder


def test_show_has_the_comparison_and_the_gates(command: Command, tmp_path: Path) -> None:
    folder = compared(tmp_path / "results")
    code, out, _ = command("show", folder.test_id)
    assert code == 0
    assert "vllm is 2.00x faster than ollama" in out
    assert "Overall winner: vllm" in out
    assert "Gates: 1 of 2 passed" in out
    assert "vllm.ttft_ms.p95 > 10" in " ".join(out.split())
    found = json.loads(command("show", folder.test_id, "--json")[1])
    assert found["comparison"]["winners"]["overall"] == "vllm"
    assert [gate["failed"] for gate in found["gates"]["results"]] == [True, False]


def test_services_with_long_addresses_can_be_copied(command: Command, tmp_path: Path) -> None:
    url = "https://inference-gateway.a-very-long-name-of-a-cluster.example.org:8443/teams/search/vllm"
    long = ServiceFacts(name="vllm", engine="vllm", model="Qwen/Qwen2.5-72B-Instruct-AWQ", url=url)
    folder = make(tmp_path / "results", "a", services=(long, *services("tgi")))
    out = command("show", folder.test_id)[1]
    assert f"vllm  {url}" in out.splitlines()


def test_without_a_terminal_and_its_width_nothing_is_folded(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS")
    model = "a-model-with-a-rather-long-name/" * 3
    folder = make(
        tmp_path / "results", "a", services=(ServiceFacts(name="x", engine="y", model=model, url="http://h"),)
    )
    assert any(model in line for line in command("show", folder.test_id)[1].splitlines())


@pytest.mark.parametrize("content", ["[]", "3", '"x"', "null"])
def test_a_manifest_that_is_no_object_is_said_in_our_words(command: Command, tmp_path: Path, content: str) -> None:
    folder = tmp_path / "results" / "test_a_20260101_000000"
    folder.mkdir(parents=True)
    (folder / "test_manifest.json").write_text(content)
    code, _, err = command("show", "test_a")
    assert code == 2
    assert "is damaged: it holds no JSON object" in err
    (folder / "test_manifest.json").write_text("{}")
    assert "is damaged: test_id is missing" in command("show", "test_a")[2]


def test_show_says_which_answers_do_not_look_sound(command: Command, tmp_path: Path) -> None:
    rows = [request(n, sent_at=n, service="vllm", text_check="few_characters", output_tokens=9) for n in range(10)]
    rows += [request(n, sent_at=n, service="ollama", text_check="sound", output_tokens=9) for n in range(10, 20)]
    folder = run_with_journal(tmp_path / "results", rows)
    assert command("recover", folder.test_id)[0] == 0
    out = command("show", folder.test_id)[1]
    said = " ".join(out.split())
    assert "NOT SOUND vllm: 10 of 10 answers do not look sound: 10 garbled (few characters)" in said
    assert "Sound answers 0.0 % (!) 100.0 %" in said
    assert "NOT SOUND: vllm: 10 of 10" in command("export", folder.test_id, "--format", "markdown")[1]
    table = (folder.path / "summary.csv").read_text().splitlines()
    assert "sanity_sound_rate" in table[0]
