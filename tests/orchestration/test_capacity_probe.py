"""A probe is judged by what its own service did, also where another was offered the same load in the same round."""

from pathlib import Path

import pytest

from drawn_runs import drawn_run
from inference_bench.config.promise_models import SloSettings
from inference_bench.orchestration.find_capacity import judge_probe
from inference_bench.results.summary import TestSummary, Validity, read_summary

SLO = {"per_request": {"ttft_ms": 60.0}, "attainment": 0.9}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> TestSummary:
    """Give one load that vllm (TTFT about 40 ms) keeps within 60 ms, and tgi (55 ms, waving) does not."""
    directory: Path = tmp_path_factory.mktemp("probe")
    run = drawn_run(directory, services=("vllm", "tgi"), blocks=0, requests=20, config={"slo": SLO})
    summary = read_summary(run.folder)
    assert summary is not None
    return next(test for test in summary.tests if test.name == "few")


def test_what_another_service_broke_is_not_held_against_it(both: TestSummary) -> None:
    slo = SloSettings.model_validate(SLO)
    kept, broken = (judge_probe(both, name, slo, 2, 0) for name in ("vllm", "tgi"))
    assert (kept.kept, kept.why, kept.attainment) == (True, (), 1.0)
    assert broken.kept is False
    assert broken.why[0].startswith("goodput.attainment 0")
    assert broken.why[1:] == ("6 of 60 requests failed: http_5xx, timeout",)


def test_a_probe_that_the_client_spoiled_says_nothing(both: TestSummary) -> None:
    disturbed = both.services["tgi"].model_copy(update={"validity": Validity(verdict="invalid", reasons=("late",))})
    test = both.model_copy(update={"services": {**both.services, "tgi": disturbed}})
    found = judge_probe(test, "tgi", SloSettings.model_validate(SLO), 2, 0)
    assert (found.kept, found.why) == (None, ("late",))


def test_a_probe_in_which_requests_failed_says_so_first(both: TestSummary) -> None:
    service = both.services["tgi"]
    sent = service.requests.sent
    update = {"ok": 0, "failed": sent, "success_rate": 0.0, "errors": {"connect": 1, "timeout": sent - 1}}
    dead = service.model_copy(update={"requests": service.requests.model_copy(update=update)})
    test = both.model_copy(update={"services": {**both.services, "tgi": dead}})
    found = judge_probe(test, "tgi", SloSettings.model_validate(SLO), 2, 0)
    assert found.kept is False
    assert found.why[0] == f"{sent} of {sent} requests failed: timeout, connect"
    assert found.why[1].startswith("goodput.attainment")
    assert judge_probe(test, "vllm", SloSettings.model_validate(SLO), 2, 0).why == ()


def test_a_service_that_is_gone_says_nothing_of_the_load(both: TestSummary) -> None:
    service = both.services["vllm"]
    sent = service.requests.sent
    update = {"ok": 0, "failed": sent, "success_rate": 0.0, "errors": {"connect": sent}}
    gone = service.model_copy(update={"requests": service.requests.model_copy(update=update)})
    found = judge_probe(
        both.model_copy(update={"services": {"vllm": gone}}), "vllm", SloSettings.model_validate(SLO), 2, 0
    )
    assert (found.kept, found.unreachable, found.too_few) == (None, True, False)
    assert found.why == (f"{sent} of {sent} requests failed: connect",)


def test_too_few_requests_for_a_percentile_say_nothing_and_answers_that_never_came_do(both: TestSummary) -> None:
    slo = SloSettings.model_validate({"limits": {"ttft_ms.p99": 60}})
    found = judge_probe(both, "vllm", slo, 2, 0)
    assert (found.kept, found.too_few) == (None, True)
    assert found.why[0].startswith("ttft_ms.p99 is missing: p99 needs n 100")

    service = both.services["vllm"]
    many = service.model_copy(update={"requests": service.requests.model_copy(update={"sent": 500})})
    found = judge_probe(both.model_copy(update={"services": {"vllm": many}}), "vllm", slo, 2, 0)
    assert (found.kept, found.too_few) == (False, False)

    with_rate = SloSettings.model_validate({"limits": {"ttft_ms.p99": 60, "requests_per_s": 1e6}})
    assert judge_probe(both, "vllm", with_rate, 2, 0).kept is False

    idle = service.model_copy(update={"requests": service.requests.model_copy(update={"sent": 0}), "goodput": None})
    found = judge_probe(
        both.model_copy(update={"services": {"vllm": idle}}), "vllm", SloSettings.model_validate(SLO), 2, 0
    )
    assert (found.kept, found.too_few) == (None, True)
