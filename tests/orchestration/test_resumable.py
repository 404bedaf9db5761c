"""Runs that cannot go on are refused with the reason and the way out; of the others the command is told."""

import platform
from pathlib import Path

import pytest

from inference_bench import __version__
from inference_bench.errors import BenchError
from inference_bench.orchestration.resumable import check_can_resume, resume_command
from inference_bench.orchestration.resuming import interrupted_run
from inference_bench.orchestration.resumption import begin_again
from inference_bench.orchestration.run_plan import RunPlan
from inference_bench.results import design as designs
from inference_bench.results.design import Design, Look, Sequential
from inference_bench.results.finalise import finalise
from inference_bench.results.folder import RunFolder
from inference_bench.results.journal import JournalWriter
from inference_bench.results.liveness import this_process
from inference_bench.results.manifest import LoadShape, Manifest, PlannedTest, Window
from run_records import ZERO_NS, manifest, request, row_values

DESIGN = Design(
    seed=7,
    nonce="n",
    services=("vllm", "ollama"),
    tests={"load": designs.TestDesign(unit="round", rule="", asked=1, planned=1)},
)


def partial(path: Path, **fields: object) -> tuple[RunFolder, Manifest]:
    """Return a run that was stopped in its first round, as this machine and version would have left it."""
    path.mkdir()
    folder = RunFolder(path)
    made = manifest(folder.test_id, status="partial", design=DESIGN, resumed=(), windows={}, config={})
    here = made.environment.model_copy(update={"host": platform.node(), "tool_version": __version__})
    found = Manifest.model_validate(made.model_dump() | {"environment": here} | fields)
    folder.write_manifest(found)
    with JournalWriter(folder.journal) as journal:
        journal.add_request(row_values(request(0, sent_at=0, end_at=5)))
    return folder, found


def test_a_run_that_can_go_on_has_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = partial(tmp_path / "test_here")
    assert resume_command(folder) == f"vllm-benchmark benchmark --resume {folder.path}"
    (tmp_path / "results").mkdir()
    usual, _ = partial(tmp_path / "results" / "test_usual")
    assert resume_command(usual) == f"vllm-benchmark benchmark --resume {usual.path}"  # not the results of this place
    monkeypatch.chdir(tmp_path)
    assert resume_command(usual) == "vllm-benchmark benchmark --resume test_usual"
    (tmp_path / "two words").mkdir()
    spaced, _ = partial(tmp_path / "two words" / "test_there")
    assert resume_command(spaced) == f"vllm-benchmark benchmark --resume '{spaced.path}'"


def endpoint(value: str) -> dict[str, object]:
    return {"services": {"endpoints": [{"url": "http://x", "headers": {"X-Key": value}}]}}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"status": "complete"}, "is complete: nothing of it is left to measure"),
        ({"status": "running", "process": this_process()}, "is still running"),
        ({"resumed": None}, "was made by a version that did not keep what resuming needs"),
        ({"config": endpoint("***")}, "was given the value of the header X-Key in its configuration"),
        (
            {"plan": [PlannedTest(name="load", kind="load", rounds=1, load=LoadShape(), probe=True)]},
            "searched for a capacity",
        ),
    ],
    ids=["complete", "running", "older", "secret", "capacity"],
)
def test_what_cannot_go_on_is_refused(tmp_path: Path, fields: dict[str, object], words: str) -> None:
    folder, found = partial(tmp_path / "test_no", **fields)
    with pytest.raises(BenchError, match=words) as refused:
        check_can_resume(folder, found)
    assert refused.value.hint
    assert refused.value.exit_code == 2
    assert resume_command(folder) is None


def test_a_header_that_names_a_variable_can_go_on(tmp_path: Path) -> None:
    folder, found = partial(tmp_path / "test_yes", config=endpoint("env:KEY"))
    check_can_resume(folder, found)


@pytest.mark.parametrize(("field", "words"), [("host", "was measured on moon"), ("tool_version", "by version moon")])
def test_another_machine_or_version_is_refused(tmp_path: Path, field: str, words: str) -> None:
    folder, found = partial(tmp_path / "test_far")
    far = found.model_copy(update={"environment": found.environment.model_copy(update={field: "moon"})})
    with pytest.raises(BenchError, match=words):
        check_can_resume(folder, far)


def test_a_run_without_its_chunks_is_refused(tmp_path: Path) -> None:
    folder, found = partial(tmp_path / "test_gone")
    finalise(folder, status="partial", save_raw_data=True)
    folder.file("chunks.parquet").unlink()
    with pytest.raises(BenchError, match=r"has no chunks.parquet any more"):
        check_can_resume(folder, found)


def test_going_on_until_decided_is_not_resumed(tmp_path: Path) -> None:
    whole = (Window(round=0, start_ns=ZERO_NS, end_ns=ZERO_NS + 10),)
    design = DESIGN.model_copy(update={"sequential": Sequential(alpha=0.05, budget_seconds=9)})
    windows = {"load": {"vllm": whole, "ollama": whole}}
    folder, _ = partial(tmp_path / "test_decided", design=design, windows=windows)
    with pytest.raises(BenchError, match="the planned part of test_decided is complete"):
        interrupted_run(folder, rescue=False)
    assert folder.journal.is_dir()


def test_a_test_may_have_been_begun_though_no_record_of_it_is_left(tmp_path: Path) -> None:
    """A run that is killed has sent requests that nothing tells of: a prefix cache may know them."""
    whole = (Window(round=0, start_ns=ZERO_NS, end_ns=ZERO_NS + 10),)
    load = LoadShape(concurrent_users=1)
    plan = [PlannedTest(name=name, kind="load", rounds=2, load=load) for name in ("load", "next", "last")]
    tests = {test.name: designs.TestDesign(unit="round", rule="", asked=2, planned=2) for test in plan}
    design = DESIGN.model_copy(update={"tests": tests})
    windows = {"load": {"vllm": whole, "ollama": whole}}
    between, _ = partial(tmp_path / "test_between", plan=plan, windows=windows, design=design)
    assert interrupted_run(between, rescue=False).cut == {"load": 1}
    twice = tuple(window.model_copy(update={"round": number}) for number in range(2) for window in whole)
    both = {"load": {"vllm": twice, "ollama": twice}}
    after, _ = partial(tmp_path / "test_after", plan=plan, windows=both, design=design)
    assert interrupted_run(after, rescue=False).cut == {"next": 0}


def test_the_configuration_must_still_be_one(tmp_path: Path) -> None:
    folder, _ = partial(tmp_path / "test_changed", config={"benchmark": {"seed": "no number"}})
    with pytest.raises(BenchError, match="cannot be used: "):
        interrupted_run(folder, rescue=False)


def test_a_run_that_goes_on_is_marked_and_looked_at_again_at_its_end(tmp_path: Path) -> None:
    cut = (Window(round=0, start_ns=ZERO_NS, end_ns=ZERO_NS + 10, cut=True),)
    looks = (Look(look=1, alpha=0.025, stopped="interrupted"),)
    design = DESIGN.model_copy(update={"sequential": Sequential(alpha=0.05, budget_seconds=9, looks=looks)})
    folder, _ = partial(tmp_path / "test_on", design=design, windows={"load": {"vllm": cut}})
    found = interrupted_run(folder, rescue=True)
    assert not folder.journal.exists()
    assert folder.file("summary.json").is_file()
    plan = RunPlan(
        settings=found.settings,
        services=(),
        tests=(),
        shapes={},
        estimates=(),
        workers=1,
        notes=(),
        facts=(),
        found=(),
        fairness=(),
    )
    resumption = begin_again(found, plan, calibrate=True)
    assert (resumption.after_requests, resumption.removed_requests, resumption.cut) == (0, 1, {"load": 0})
    after = folder.read_manifest()
    assert (after.status, after.resumed, after.windows) == ("running", (resumption,), {})
    assert after.calibrate  # should it be cut before it is
    assert "what was cut is measured anew, 1 of its requests removed (load from round 1 on)" in after.notes[-1]
    assert after.design is not None
    assert after.design.sequential is not None
    assert [(look.look, look.stopped) for look in after.design.sequential.looks] == [(1, None)]
    with pytest.raises(BenchError, match="test_on is still running"):
        interrupted_run(folder, rescue=False)
    with pytest.raises(BenchError, match="test_on has changed meanwhile"):
        begin_again(found, plan)
