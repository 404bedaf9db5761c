"""JUnit XML read back by a parser that is not ours: what passes, what fails, and text that no XML may hold."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from gate_runs import VALID, service, summary
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.errors import RunFolderError, UsageError
from inference_bench.results.comparison import Comparison, Pair
from inference_bench.results.finalise import finalise
from inference_bench.results.gates import Gates, evaluate, parse_gates
from inference_bench.results.junit import check_junit_path, junit_document, write_junit
from inference_bench.results.manifest import ServiceFacts
from inference_bench.results.summary import ServiceSummary, Validity
from inference_bench.testing.analyzers import write_summaries
from run_records import manifest, request, run_with_journal

RUN = {
    "ttft": {"vllm": service(), "tgi": service([], errors={"connect": 3})},
    "load": {
        "vllm": service(validity=Validity(verdict="suspect", reasons=("a little late",))),
        "tgi": service(validity=Validity(verdict="invalid", reasons=("far too late",))),
    },
}
PAIR = Pair(
    test="load",
    metric="ttft_ms",
    statistic="p95",
    primary=True,
    a="vllm",
    b="tgi",
    ratio=0.5,
    ci_low=0.4,
    ci_high=0.6,
    confidence=0.95,
    p=0.001,
    p_adjusted=0.002,
    verdict="better",
    better="vllm",
    blocks=30,
)


def document(
    tests: dict[str, dict[str, ServiceSummary]] | None = None, *, gates: tuple[str, ...] = (), **fields: Any
) -> ET.Element:
    """Return the parsed XML of a run; `fields` go into the manifest."""
    found = summary(tests or RUN)
    results = evaluate(parse_gates(gates), found, {})
    comparison = Comparison(
        test_id=found.test_id,
        simulated=True,
        pairs=(PAIR, PAIR.model_copy(update={"primary": False, "metric": "e2e_ms"})),
        winners={"load": "vllm", "overall": None},
        winner_reasons={"overall": "nothing decided"},
    )
    raw = junit_document(
        manifest(found.test_id, **fields),
        found,
        answered={
            (test.name, name): one.requests.ok > 0 for test in found.tests for name, one in test.services.items()
        },
        comparison=comparison,
        gates=Gates(test_id=found.test_id, simulated=True, results=results) if results else None,
    )
    return ET.fromstring(raw)


def cases(root: ET.Element) -> dict[tuple[str, str], str]:
    """Return every test case as (class, name), with what became of it."""
    told = {}
    for case in root.iter("testcase"):
        broken = [child.tag for child in case if child.tag in ("failure", "error")]
        told[case.get("classname", ""), case.get("name", "")] = broken[0] if broken else "passed"
    return told


def test_each_thing_that_is_judged_is_a_case() -> None:
    gates = ("vllm.ttft_ms.p50 > 50", "ttft:vllm.ok < 1", "ttft:vllm.ok > 1 and load:vllm.ok > 1")
    assert cases(document(gates=gates)) == {
        ("ttft.vllm", "answered"): "passed",
        ("ttft.vllm", "validity"): "passed",
        ("ttft.tgi", "answered"): "failure",
        ("ttft.tgi", "validity"): "passed",
        ("ttft.gates", "fail if: vllm.ttft_ms.p50 > 50"): "failure",
        ("ttft.gates", "fail if: ttft:vllm.ok < 1"): "passed",
        ("load.vllm", "answered"): "passed",
        ("load.vllm", "validity"): "passed",
        ("load.tgi", "answered"): "passed",
        ("load.tgi", "validity"): "error",
        ("load.gates", "fail if: vllm.ttft_ms.p50 > 50"): "failure",
        ("load.comparison", "vllm against tgi: TTFT p95"): "passed",
        ("run", "completed"): "passed",
        ("run.gates", "fail if: ttft:vllm.ok > 1 and load:vllm.ok > 1"): "failure",
        ("run.comparison", "overall"): "passed",
    }


def test_the_numbers_are_those_of_the_cases() -> None:
    root = document(gates=("vllm.ttft_ms.p50 > 50",))
    for element in (root, *root):
        found = {kind: len(list(element.iter(kind))) for kind in ("testcase", "failure", "error")}
        assert [int(element.get(key, "-1")) for key in ("tests", "failures", "errors")] == list(found.values())


def test_a_failure_tells_the_value_and_the_limit_and_passed_cases_tell_their_words() -> None:
    root = document(gates=("ttft:tgi.ttft_ms.p50 > 50", "ttft:vllm.ttft_ms.p50 > 50"))
    told = [(failure.get("type"), failure.get("message")) for failure in root.iter("failure")]
    assert told == [
        ("silent", "tgi answered not a single request (connect 3)"),
        ("fail_if", "ttft_ms.p50 of tgi in ttft is missing: no request succeeded in the steady window"),
        ("fail_if", "ttft_ms.p50 of vllm in ttft is 100, > 50"),
    ]
    out = {(case.get("classname"), case.get("name")): case.findtext("system-out", "") for case in root.iter("testcase")}
    assert out["load.vllm", "validity"] == "suspect; a little late"
    assert "vllm is 2.00x faster than tgi" in out["load.comparison", "vllm against tgi: TTFT p95"]
    assert out["run.comparison", "overall"] == "No overall winner: nothing decided"


def test_every_suite_says_what_it_is_of() -> None:
    services = (ServiceFacts(name="vllm", engine="vllm", product="vLLM", version="0.9", model="m", url="http://a"),)
    root = document(services=services, status="partial")
    assert [suite.get("name") for suite in root] == ["ttft (SIMULATED)", "load (SIMULATED)", "run (SIMULATED)"]
    for suite in root:
        told = {one.get("name"): one.get("value") for one in suite.iter("property")}
        assert told["test_id"] == "test_small_20260102_101500"
        assert (told["simulated"], told["status"], told["service.vllm"]) == ("true", "partial", "vLLM 0.9 m")
        assert str(told["tool"]).startswith("vllm-benchmark ")
        assert suite.get("timestamp") == "2026-01-02T10:15:00"
    assert cases(root)["run", "completed"] == "error"


@given(st.text() | st.text(alphabet="\x00\x07\x1b[31m<&>\"']]>\ufffe\ud800\n"))
def test_whatever_a_server_said_the_document_is_well_formed(said: str) -> None:
    odd = service(validity=Validity(verdict="invalid", reasons=(said,)))
    services = (ServiceFacts(name="vllm", engine="vllm", version=said, model=said, url="http://a"),)
    root = document({"load": {"vllm": odd, "tgi": service(validity=VALID)}}, services=services)
    (error,) = root.iter("error")
    assert error.text is not None
    assert [ord(character) for character in error.text if ord(character) < 32 and character not in "\t\n"] == []


def finished(tmp_path: Path) -> Any:
    """Make a finished run whose only good request of tgi came outside the steady window."""
    rows = [
        request(0, test="load", service="vllm", sent_at=1, first_token_at=5, last_token_at=9, end_at=10),
        request(1, test="load", service="ollama", sent_at=-900, first_token_at=-800, last_token_at=-7, end_at=-6),
    ]
    folder = run_with_journal(tmp_path, rows)
    finalise(folder, status="complete", save_raw_data=True, summarise=write_summaries)
    return folder


def test_a_run_folder_is_all_it_takes_and_an_answer_in_the_ramp_is_an_answer(tmp_path: Path) -> None:
    folder = finished(tmp_path)
    write_junit(tmp_path / "j.xml", folder)
    told = cases(ET.parse(tmp_path / "j.xml").getroot())
    assert told["load.vllm", "answered"] == told["load.ollama", "answered"] == told["run", "completed"] == "passed"


def test_a_run_without_a_summary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="has no summary"):
        write_junit(tmp_path / "j.xml", run_with_journal(tmp_path, []))


def test_a_place_that_cannot_be_written_is_refused_before_the_run(tmp_path: Path) -> None:
    check_junit_path(tmp_path / "j.xml")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("x")
    wrong = {
        tmp_path: "it is a folder",
        tmp_path / "none" / "j.xml": f"there is no folder {tmp_path / 'none'}",
        tmp_path / "file" / "j.xml": "there is no folder",
        Path("/dev/null"): "it is not a regular file",
        Path("/proc/j.xml"): "--junit cannot write /proc/j.xml",
    }
    for path, problem in wrong.items():
        with pytest.raises(UsageError) as caught:
            check_junit_path(path)
        assert problem in caught.value.message
    assert (tmp_path / "file").read_text() == "x"
