"""Gates against a summary: each operator, missing values, and/or, several tests, promises, unknown names, files."""

import operator
from pathlib import Path

import pytest
from gate_runs import service, summary
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.config.models import Settings
from inference_bench.config.promise_models import SloSettings
from inference_bench.errors import RunFolderError, UsageError
from inference_bench.metrics.definitions import METRICS
from inference_bench.results.folder import RunFolder
from inference_bench.results.gate_expression import parse_gate
from inference_bench.results.gates import (
    GATES_JSON,
    GateResult,
    cause_text,
    check_services,
    check_tests,
    evaluate,
    parse_gates,
    read_gates,
    write_gates_of,
)
from inference_bench.results.slo import slo_of
from inference_bench.results.summary import Summary, write_summary
from inference_bench.results.values import LIMITED, PRIMARIES, VALUES, better_of, value_of
from run_records import WHEN, manifest

FAST, SLOW = [100.0] * 20, [float(ms) for ms in range(281, 301)]
RUN = summary(
    {
        "ttft": {"vllm-blue": service(FAST), "tgi": service(SLOW)},
        "load": {"vllm-blue": service(SLOW), "tgi": service([], errors={"timeout": 2, "http_5xx": 1})},
    }
)
SIGNS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def judged(*texts: str, run: Summary = RUN, config: dict[str, object] | None = None) -> tuple[GateResult, ...]:
    """Judge expressions (and the promises of `config`)."""
    return evaluate(parse_gates(texts), run, config or {})


def failed(text: str, run: Summary = RUN) -> bool:
    """Whether any result of one expression failed."""
    return any(result.failed for result in judged(text, run=run))


def test_the_loads_that_a_search_tried_are_no_tests() -> None:
    """Not every service was asked at each of them, and breaking promises is what they are for."""
    tried = summary({"chat@4": {"tgi": service(SLOW)}}).tests[0].model_copy(update={"sweep": "chat", "probe": True})
    run = RUN.model_copy(update={"tests": (*RUN.tests, tried)})
    assert [result.test for result in judged("vllm-blue.ok<1", run=run)] == ["ttft", "load"]
    with pytest.raises(UsageError, match="no test 'chat@4'"):
        judged("chat@4:tgi.ok<1", run=run)


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("limit", [99, 100, 101])
def test_each_operator(sign: str, limit: int) -> None:
    (result,) = judged(f"ttft:vllm-blue.ttft_ms.p50 {sign} {limit}")
    assert result.failed == SIGNS[sign](100, limit)
    (condition,) = result.conditions
    assert (condition.test, condition.service, condition.name) == ("ttft", "vllm-blue", "ttft_ms.p50")
    assert (condition.op, condition.limit, condition.value, condition.holds) == (sign, limit, 100, result.failed)


def test_without_a_test_every_test_is_judged_by_itself() -> None:
    fast, slow = judged("vllm-blue.ttft_ms.p95 > 200")
    assert [(fast.test, fast.failed), (slow.test, slow.failed)] == [("ttft", False), ("load", True)]
    assert slow.causes == slow.conditions
    assert cause_text(slow.conditions[0]) == "ttft_ms.p95 of vllm-blue in load is 299.05, > 200"


def test_a_named_test_is_judged_alone_and_mixed_ones_stand_beside_each_test() -> None:
    (only,) = judged("load:vllm-blue.ok < 1")
    assert (only.test, only.failed) == ("load", False)
    (both,) = judged("ttft:vllm-blue.ok == 20 and load:vllm-blue.ok == 20")
    assert (both.test, both.failed) == (None, True)
    results = judged("ttft:tgi.ttft_ms.p50 > 200 and vllm-blue.ttft_ms.p50 > 200")
    assert [(result.test, result.failed) for result in results] == [("ttft", False), ("load", True)]


def test_and_needs_all_or_needs_one_and_and_binds_tighter() -> None:
    yes, no = "ttft:tgi.ok > 1", "ttft:tgi.ok < 1"
    assert failed(f"{yes} and {yes}")
    assert not failed(f"{yes} and {no}")
    assert failed(f"{no} or {yes}")
    assert not failed(f"{no} or {no}")
    assert failed(f"{yes} or {no} and {no}")
    assert not failed(f"{no} and {yes} or {yes} and {no}")


@pytest.mark.parametrize("sign", SIGNS)
def test_a_missing_value_trips_whatever_is_asked_of_it(sign: str) -> None:
    (result,) = judged(f"ttft:tgi.ttft_ms.p99 {sign} 300")
    assert result.failed
    assert result.conditions[0].value is None
    assert cause_text(result.conditions[0]) == "ttft_ms.p99 of tgi in ttft is missing: p99 needs n 100, there are 20"


def test_a_missing_value_counts_as_true_beside_others() -> None:
    missing = "ttft:tgi.ttft_ms.p99 > 300"
    assert failed(f"{missing} and ttft:tgi.ok > 1")
    assert not failed(f"{missing} and ttft:tgi.ok < 1")
    assert failed(f"{missing} or ttft:tgi.ok < 1")


def test_a_service_without_a_single_success() -> None:
    (result,) = judged("load:tgi.ttft_ms.p50 > 1")
    assert cause_text(result.conditions[0]).endswith("is missing: no request succeeded in the steady window")
    assert failed("load:tgi.success_rate < 0.5")
    assert failed("load:tgi.failed == 3 and load:tgi.errors == 3 and load:tgi.errors.timeout == 2")
    assert not failed("load:tgi.errors.dns != 0")
    config: dict[str, object] = {"slo": {"per_request": {"ttft_ms": 1}}}
    (gate,) = judged("load:tgi.goodput.attainment >= 0", config=config)
    assert gate.failed
    assert gate.conditions[0].value is None


def test_promises_are_gates_of_every_service_and_test() -> None:
    config: dict[str, object] = {
        "slo": {
            "per_request": {"ttft_ms": 200},
            "attainment": 0.9,
            "success_rate": 0.99,
            "limits": {"ttft_ms.p50": 250, "output_tok_per_s_user.p5": 20, "failed": 0},
        }
    }
    good = service(FAST, values={"output_tok_per_s_user": [25.0] * 20}, attainment=0.95)
    bad = service(SLOW, values={"output_tok_per_s_user": [15.0] * 20}, attainment=0.5, errors={"reset": 1})
    results = judged(run=summary({"load": {"vllm": good, "tgi": bad}}), config=config)
    assert [result.expression for result in results if result.conditions[0].service == "tgi"] == [
        "tgi.goodput.attainment >= 0.9",
        "tgi.success_rate >= 0.99",
        "tgi.ttft_ms.p50 <= 250",
        "tgi.output_tok_per_s_user.p5 >= 20",
        "tgi.failed <= 0",
    ]
    assert {result.conditions[0].service for result in results if result.failed} == {"tgi"}
    assert len([result for result in results if result.failed]) == 5
    assert {result.source for result in results} == {"slo"}
    assert [result.conditions[0].op for result in results[:6:2]] == ["<", "<", ">"]


def test_a_promise_that_is_just_kept_is_kept_and_a_missing_value_breaks_it() -> None:
    config: dict[str, object] = {"slo": {"limits": {"ttft_ms.p50": 100, "ttft_ms.p99": 1e9}, "success_rate": 1}}
    results = judged(run=summary({"load": {"vllm": service(FAST)}}), config=config)
    assert [(result.conditions[0].name, result.failed) for result in results] == [
        ("success_rate", False),
        ("ttft_ms.p50", False),
        ("ttft_ms.p99", True),
    ]


def test_a_test_s_own_promises_stand_in_the_place_of_the_run_s() -> None:
    config = Settings.model_validate(
        {
            "slo": {"success_rate": 0.5, "limits": {"ttft_ms.p95": 1}},
            "ttft_test": {"slo": {"limits": {"ttft_ms.p50": 90}}},
            "load_tests": [
                {"name": "own", "rate": 1, "requests": 5, "slo": {"success_rate": 0.9}},
                {"name": "plain", "rate": 1, "requests": 5},
            ],
        }
    ).model_dump(mode="json")
    run = summary({name: {"vllm": service()} for name in ("ttft", "own", "plain")})
    promised = [(result.test, result.expression.partition(".")[2]) for result in judged(run=run, config=config)]
    assert promised == [
        ("ttft", "ttft_ms.p50 <= 90"),
        ("own", "success_rate >= 0.9"),
        ("plain", "success_rate >= 0.5"),
        ("plain", "ttft_ms.p95 <= 1"),
    ]
    assert slo_of({}, "ttft") is None
    assert slo_of({"load_tests": []}, "load") is None


UNKNOWN_VALUES = {
    "vllm.ttft.p95 > 1": "column 1: ttft.p95: there is no such value here; did you mean ttft_ms?",
    "vllm.ok > 1 and vllm.ttft_ms > 1": "column 17: ttft_ms: needs a statistic, such as ttft_ms.p50. It has: p50, p90",
    "vllm.ttft_ms.p96 > 1": "ttft_ms has no 'p96'. It has: p50, p90, p95, p99, mean, std, min, max, n",
    "vllm.output_tok_per_s_user.p95 > 1": "output_tok_per_s_user has no 'p95'",
    "vllm.success_rate.p50 > 1": "success_rate is one value and has no statistics",
    "vllm.goodput > 1": "needs a statistic, such as goodput.requests_per_s. It has: requests_per_s, attainment",
    "vllm.errors.timeouts > 1": "did you mean errors.timeout?",
    "vllm.sucess_rate > 1": "did you mean success_rate?",
}


@pytest.mark.parametrize(("text", "wanted"), UNKNOWN_VALUES.items())
def test_an_unknown_value_is_refused_with_what_was_meant(text: str, wanted: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_gates([text])
    assert wanted in caught.value.message


def test_unknown_tests_and_services_are_refused_with_what_there_is() -> None:
    gates = parse_gates(["high-load:vllm.ok < 1"])
    with pytest.raises(UsageError, match=r"no test 'high-load' in this run; did you mean highload\? The tests are: tt"):
        check_tests(gates, {"ttft": None, "highload": None})
    with pytest.raises(
        UsageError, match=r"column 1: there is no service 'vllm' in this run. The services are: tgi, ollama"
    ):
        check_services(gates, ["tgi", "ollama"])
    check_services(gates, ["vllm", "tgi"])
    with pytest.raises(UsageError, match="no service 'ollama'"):
        judged("ollama.ok < 1")


def test_goodput_is_refused_where_nothing_is_promised() -> None:
    limits = SloSettings.model_validate({"per_request": {"ttft_ms": 5}})
    gates = parse_gates(["vllm.goodput.attainment < 0.9"])
    with pytest.raises(UsageError, match=r"there is no goodput in ttft, which has no slo\.per_request; name a test"):
        check_tests(gates, {"ttft": None, "load": limits})
    check_tests(gates, {"load": limits})
    check_tests(parse_gates(["load:vllm.goodput.attainment < 0.9"]), {"ttft": None, "load": limits})


def test_every_value_can_be_read_and_every_limit_has_a_direction() -> None:
    one = service(SLOW, attainment=0.5)
    for name in VALUES:
        value_of(one, name)
        parse_gate(f"vllm.{name} > 1")
    assert {f"{metric}.mean" for metric in METRICS} <= set(VALUES)
    assert all(better_of(name) in ("less", "more") for name in LIMITED)
    assert set(PRIMARIES) < set(LIMITED) < set(VALUES)
    assert "output_tokens.p50" not in LIMITED
    with pytest.raises(KeyError):
        value_of(one, "ttft_ms.p1")


@given(st.floats(0.1, 1e6), st.floats(0, 1e6), st.sampled_from(sorted(SIGNS)))
def test_a_gate_and_its_opposite_never_agree(value: float, limit: float, sign: str) -> None:
    opposite = {"<": ">=", ">=": "<", ">": "<=", "<=": ">", "==": "!=", "!=": "=="}[sign]
    run = summary({"load": {"vllm": service([value] * 5)}})
    assert failed(f"vllm.ttft_ms.max {sign} {limit!r}", run) != failed(f"vllm.ttft_ms.max {opposite} {limit!r}", run)


def folder_of(tmp_path: Path, **config: object) -> RunFolder:
    """Make a finished run folder with the summary RUN."""
    folder = RunFolder.create(tmp_path, "small", WHEN)
    folder.write_manifest(manifest(folder.test_id, config=config))
    write_summary(folder, RUN)
    return folder


def test_gates_are_written_and_read_and_absent_without_any(tmp_path: Path) -> None:
    plain = folder_of(tmp_path)
    assert write_gates_of(plain) is None
    assert read_gates(plain) is None
    assert not plain.file(GATES_JSON).exists()
    folder = folder_of(tmp_path, slo={"success_rate": 0.5})
    written = write_gates_of(folder, parse_gates(["vllm-blue.ok > 1"]))
    assert written is not None
    assert read_gates(folder) == written
    assert (written.test_id, written.simulated, len(written.results)) == (folder.test_id, True, 6)
    assert [result.test for result in written.failed] == ["load", "ttft", "load"]


@pytest.mark.parametrize("text", ["{", "[]", '{"schema_version": 99}', '{"schema_version": 1, "results": 3}'])
def test_a_damaged_file_is_named(text: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    folder.file(GATES_JSON).write_text(text)
    with pytest.raises(RunFolderError, match=r"gates\.json"):
        read_gates(folder)
