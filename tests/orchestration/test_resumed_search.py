"""What stays of a search that was cut: whole probes, of one service also where another's at the same load gave way."""

import platform
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from inference_bench import __version__
from inference_bench.api.protocols import Message
from inference_bench.config.models import Settings
from inference_bench.orchestration.resumable import resume_command
from inference_bench.orchestration.resumed_search import cut_before
from inference_bench.orchestration.resuming import Interrupted, interrupted_run
from inference_bench.orchestration.resumption import begin_again
from inference_bench.orchestration.run_plan import RunPlan
from inference_bench.results.capacity import CapacityFacts, ProbeFacts, ServiceCapacity
from inference_bench.results.design import PREFIX_RULE, Design
from inference_bench.results.finalise import finalise
from inference_bench.results.folder import RunFolder
from inference_bench.results.journal import JournalWriter
from inference_bench.results.manifest import CutTurn, LoadShape, Manifest, PlannedTest, Window
from inference_bench.testing import rendering
from inference_bench.workloads.items import PooledWorkload, WorkItem
from run_records import DEAD_PROCESS, at, manifest, request, row_values

BOTH = ("vllm", "ollama")
CONFIG: dict[str, Any] = {
    "ttft_test": {"enabled": False},
    "load_tests": [{"name": "chat", "concurrent_users": 1, "duration_seconds": 1, "rounds": 1}],
    "slo": {"per_request": {"ttft_ms": 250}, "attainment": 0.8},
}
WORKLOAD = PooledWorkload("chat", (WorkItem((Message("user", "Hello"),), None, "any"),), 7)
# The searches as they went, in turns: both at 1 user, then at 2, ollama first. vllm was cut at 2.
MADE = (("chat@1", "vllm"), ("chat@1", "ollama"), ("chat@2", "ollama"), ("chat@2", "vllm"))


def probe(load: float, *, kept: bool) -> ProbeFacts:
    return ProbeFacts(load=load, round=0, kept=kept, why=() if kept else ("slow",), sent=2)


def found(*probes: ProbeFacts) -> ServiceCapacity:
    return ServiceCapacity(value=1, low=1, high=None, at_least=True, probes=probes)


def searched(path: Path, *, last: str, judged: bool = True, lost: int | None = None) -> RunFolder:
    """Make a run whose process died in its search. `last` is what became of the last probe: `cut`, or `whole` and not
    judged any more; without `judged` the one before it was not judged either. The record `lost` never came.
    """
    windows: dict[str, dict[str, tuple[Window, ...]]] = {"chat@1": {}, "chat@2": {}}
    path.mkdir()
    folder = RunFolder(path)
    with JournalWriter(folder.journal) as journal:
        for place, (test, service) in enumerate(MADE):
            cut = last == "cut" and place == len(MADE) - 1
            for seq in (2 * place, 2 * place + 1):
                start = 10 * seq
                row = request(seq, test=test, service=service, request_id=f"r{seq}", sent_at=start, end_at=start + 5)
                if seq != lost and not (cut and seq % 2):
                    journal.add_request(row_values(row))
            if not cut:
                start_ns, end_ns = at(20 * place), at(20 * place + 20)
                assert start_ns is not None
                assert end_ns is not None
                windows[test][service] = (Window(round=0, start_ns=start_ns, end_ns=end_ns, requests=2),)
    services = {"vllm": found(probe(1, kept=True)), "ollama": found(probe(1, kept=True))}
    if judged:
        services["ollama"] = found(probe(1, kept=True), probe(2, kept=False))
    planned = {"kind": "load", "rounds": 1, "load": LoadShape(concurrent_users=1), "sweep": "chat", "probe": True}
    fields: dict[str, object] = {
        "plan": [PlannedTest.model_validate({"name": f"chat@{load}", "services": BOTH, **planned}) for load in (1, 2)],
        "windows": windows,
        "config": Settings.model_validate(CONFIG).model_dump(mode="json"),
        "searches": ("chat",),
        "capacity": [CapacityFacts(test="chat", unit="users", promise=(), rule="", complete=False, services=services)],
        "design": Design(seed=7, nonce="n", services=BOTH, tests={}, prefix={"chat": PREFIX_RULE}),
        "resumed": (),
        "process": DEAD_PROCESS,
    }
    made = manifest(folder.test_id, status="running")
    here = made.environment.model_copy(update={"host": platform.node(), "tool_version": __version__})
    folder.write_manifest(Manifest.model_validate(made.model_dump() | {"environment": here} | fields))
    return folder


def plan_of(run: Interrupted) -> RunPlan:
    shape = rendering.TestShape("chat", "load", 8, 0.0, unique=True, workload=WORKLOAD)
    return RunPlan(
        settings=run.settings,
        services=(),
        tests=(),
        shapes={"chat": shape},
        estimates=(),
        workers=1,
        notes=(),
        facts=(),
        found=(),
        fairness=(),
    )


def numbers(folder: RunFolder) -> set[int | None]:
    return set(pq.read_table(folder.file("requests.parquet")).column("seq").to_pylist())


def test_the_probe_that_was_cut_gives_way_for_its_service_alone(tmp_path: Path) -> None:
    folder = searched(tmp_path / "test_cut", last="cut")
    assert resume_command(folder) is not None
    run = interrupted_run(folder, rescue=True)
    (left,) = run.searches
    assert (left.probes, left.over, run.selection.find_capacity) == (3, False, True)
    assert left.cut == (CutTurn(test="chat@2", service="vllm", round=0),)
    upcoming = left.state.next_probe()
    assert upcoming is not None
    assert (upcoming[0].name, upcoming[1]) == ("vllm", 2)

    resumption = begin_again(run, plan_of(run))
    assert (resumption.after_requests, resumption.removed_requests) == (6, 1)
    after = folder.read_manifest()
    assert list(after.windows["chat@2"]) == ["ollama"]
    assert [(test.name, test.services) for test in after.plan] == [("chat@1", BOTH), ("chat@2", ("ollama",))]
    assert cut_before(after, "chat@2", "vllm", 0) == 1
    assert cut_before(after, "chat@2", "ollama", 0) == cut_before(after, "chat@2", "vllm", 1) == 0
    assert after.design is not None
    assert "in round number 0 of chat@2 for vllm the test's name in it is chat@2/again-1" in after.design.prefix["chat"]
    assert "1 of its requests removed (probe 1 of vllm at chat@2)" in after.notes[-1]
    assert "the search of chat went on after 3 probes" in after.notes[-1]

    with JournalWriter(folder.journal) as journal:
        journal.add_request(row_values(request(resumption.first_seq, test="chat@2", sent_at=900, end_at=905)))
    finalise(folder, status="partial", save_raw_data=True)
    assert numbers(folder) == {0, 1, 2, 3, 4, 5, resumption.first_seq}


@pytest.mark.parametrize("judged", [True, False])
def test_a_probe_that_was_made_and_not_judged_stays(tmp_path: Path, judged: bool) -> None:
    """It is the next one; one that the search would have made after it, and could not have, does not stay."""
    folder = searched(tmp_path / "test_whole", last="whole", judged=judged)
    (left,) = interrupted_run(folder, rescue=False).searches
    next_one = "vllm" if judged else "ollama"
    assert ("chat@2", next_one, 0) in left.kept
    assert left.cut == (() if judged else (CutTurn(test="chat@2", service="vllm", round=0),))
    assert left.probes == (3 if judged else 2)


def test_a_probe_that_lost_a_record_is_measured_anew_with_all_after_it(tmp_path: Path) -> None:
    folder = searched(tmp_path / "test_lost", last="cut", lost=3)
    run = interrupted_run(folder, rescue=True)
    (left,) = run.searches
    assert left.probes == 1
    assert {(turn.test, turn.service) for turn in left.cut} == {*MADE} - {("chat@1", "vllm")}
    begin_again(run, plan_of(run))
    after = folder.read_manifest()
    assert [(test.name, test.services) for test in after.plan] == [("chat@1", ("vllm",))]
    (facts,) = after.capacity
    assert [len(one.probes) for one in facts.services.values()] == [1, 0]


def test_a_probe_that_was_killed_before_it_left_a_record_is_asked_with_other_prefixes(tmp_path: Path) -> None:
    folder = searched(tmp_path / "test_at_once", last="cut", lost=6)
    run = interrupted_run(folder, rescue=True)
    assert ("chat@2", "vllm", 0) not in run.progress.turns
    assert run.cut_turns == (CutTurn(test="chat@2", service="vllm", round=0),)
    begin_again(run, plan_of(run))
    assert cut_before(folder.read_manifest(), "chat@2", "vllm", 0) == 1
