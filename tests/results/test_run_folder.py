"""Run folders: names, manifests, listing, finding, and whether the process that writes a run is still there."""

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from inference_bench.errors import RunFolderError
from inference_bench.results import liveness
from inference_bench.results.environment import describe_environment
from inference_bench.results.folder import MANIFEST, RunFolder, find_run, list_runs, shown_status, slug
from inference_bench.results.liveness import ProcessMark, is_alive, this_process
from run_records import DEAD_PROCESS, WHEN, manifest


def make(directory: Path, name: str = "default", when: datetime = WHEN, **fields: object) -> RunFolder:
    folder = RunFolder.create(directory, name, when)
    folder.write_manifest(manifest(folder.test_id, **{"created": when, **fields}))  # type: ignore[arg-type]
    return folder


def test_names_are_slug_and_utc_time_and_never_taken_twice(tmp_path: Path) -> None:
    local = datetime(2026, 1, 2, 12, 15, 0, tzinfo=timezone(timedelta(hours=2)))
    names = [RunFolder.create(tmp_path / "deep" / "down", "vLLM vs. TGI!", local).test_id for _ in range(3)]
    base = "test_vllm-vs-tgi_20260102_101500"
    assert names == [base, f"{base}_2", f"{base}_3"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("../../etc", "etc"), ("", "run"), ("日本", "run"), ("Größe", "grosse"), ("a" * 99, "a" * 40), ("-x-", "x")],
)
def test_slug(name: str, expected: str) -> None:
    assert slug(name) == expected


def test_a_time_without_zone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="zone"):
        RunFolder.create(tmp_path, "x", datetime(2026, 1, 2))  # noqa: DTZ001 - the point


def test_a_place_that_cannot_be_written_to_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot write"):
        RunFolder.create(tmp_path / "file", "x", WHEN)


def test_manifest_round_trip(tmp_path: Path) -> None:
    folder = make(tmp_path)
    whole = folder.read_manifest()
    assert whole == manifest(folder.test_id)
    changed = folder.update(lambda old: old.model_copy(update={"notes": ("ü",)}))
    assert RunFolder.open(folder.path).read_manifest() == changed
    assert changed.notes == ("ü",)
    assert whole.window_bounds("load", "vllm") != ()
    assert whole.window_bounds("load", "tgi") == ()
    assert sorted(path.name for path in folder.path.iterdir()) == [MANIFEST]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "damaged"),
        ('{"schema_version": 1}', "damaged"),
        ('{"schema_version": 2, "anything": 1}', "schema version 2"),
    ],
)
def test_a_bad_manifest_is_one_clear_error(tmp_path: Path, text: str, said: str) -> None:
    folder = make(tmp_path)
    folder.file(MANIFEST).write_text(text)
    with pytest.raises(RunFolderError, match=said):
        RunFolder.open(folder.path)


def test_an_unknown_key_is_damage_and_a_missing_folder_too(tmp_path: Path) -> None:
    folder = make(tmp_path)
    data = json.loads(folder.file(MANIFEST).read_text())
    folder.file(MANIFEST).write_text(json.dumps({**data, "surprise": 1}))
    with pytest.raises(RunFolderError, match="surprise"):
        RunFolder.open(folder.path)
    with pytest.raises(RunFolderError, match="not a run folder"):
        RunFolder.open(tmp_path / "nowhere")


def test_runs_are_listed_newest_first_and_damaged_ones_named(tmp_path: Path) -> None:
    old = make(tmp_path, "zz", WHEN)
    new = make(tmp_path, "aa", WHEN + timedelta(seconds=5))
    (tmp_path / "test_broken_20260101_000000").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "test_file").write_text("")
    listing = list_runs(tmp_path)
    assert [run.folder.test_id for run in listing.runs] == [new.test_id, old.test_id]
    assert [path.name for path, _ in listing.damaged] == ["test_broken_20260101_000000"]
    assert list_runs(tmp_path / "nowhere").runs == ()


def test_a_run_is_found_by_id_prefix_or_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = make(tmp_path, "alpha"), make(tmp_path, "alpha")
    assert find_run(tmp_path, first.test_id).folder.test_id == first.test_id  # though the second begins like it
    assert find_run(tmp_path, second.test_id[:-1] + "2").folder.test_id == second.test_id
    other = make(tmp_path, "beta")
    assert find_run(tmp_path, "test_b").folder.test_id == other.test_id
    monkeypatch.chdir(tmp_path)
    assert find_run(Path("elsewhere"), f"./{other.test_id}").folder.test_id == other.test_id
    with pytest.raises(RunFolderError, match="2 runs"):
        find_run(tmp_path, "test_a")
    with pytest.raises(RunFolderError, match="no run"):
        find_run(tmp_path, "gamma")
    other.file(MANIFEST).write_text("{")
    with pytest.raises(RunFolderError, match="damaged"):
        find_run(tmp_path, "test_b")


def test_the_test_id_of_the_working_directory_is_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(tmp_path)
    monkeypatch.chdir(folder.path)
    assert RunFolder.open(Path()).test_id == folder.test_id


def test_a_running_run_whose_process_died_is_partial() -> None:
    assert shown_status(manifest("t", status="running", process=this_process())) == "running"
    assert shown_status(manifest("t", status="running", process=DEAD_PROCESS)) == "partial"
    assert shown_status(manifest("t", status="running")) == "partial"
    assert shown_status(manifest("t", status="failed", process=this_process())) == "failed"


def test_a_process_is_told_from_a_later_one_with_its_number() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mark = this_process().model_copy(update={"pid": process.pid, "started_ticks": liveness._started_ticks(process.pid)})
    assert is_alive(mark)
    if mark.started_ticks is not None:
        assert not is_alive(mark.model_copy(update={"started_ticks": mark.started_ticks - 1}))
    process.kill()
    process.wait(timeout=60)
    assert not is_alive(mark)


def test_another_host_cannot_be_seen_from_here_and_another_boot_is_over() -> None:
    mark = ProcessMark(pid=os.getpid(), host="somewhere-else", boot_id="x", started_ticks=1)
    assert is_alive(mark)
    assert not is_alive(mark.model_copy(update={"host": platform.node()}))


def test_the_environment_says_where_and_with_what_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "s3cret-value")
    found = describe_environment(tmp_path)
    assert found.git is None
    assert found.python.split()[1] == platform.python_version()
    assert found.packages["numpy"]
    text = found.model_dump_json()
    assert "s3cret-value" not in text
    assert "SOME_API_KEY" not in text


def test_the_environment_knows_the_checkout(tmp_path: Path) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "f"], [*identity, "commit", "-qm", "m"]):
        (tmp_path / "f").write_text("1")
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    clean = describe_environment(tmp_path).git
    assert clean is not None
    assert len(clean.commit) == 40
    assert clean.dirty is False
    (tmp_path / "f").write_text("2")
    dirty = describe_environment(tmp_path).git
    assert dirty is not None
    assert dirty.dirty is True


def test_the_created_time_is_kept_in_utc(tmp_path: Path) -> None:
    assert make(tmp_path).read_manifest().created == WHEN.astimezone(UTC)


def test_a_folder_that_cannot_be_written_to_is_told_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"cannot write to .*test_gone: No such file") as caught:
        RunFolder(tmp_path / "test_gone").write_manifest(manifest("test_gone"))
    assert caught.value.hint
