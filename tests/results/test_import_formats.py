"""What other tools wrote against a server of known timing (TTFT 60 ms, a token every 5 ms) is read as it was meant."""

import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
from imported_files import (
    AIPERF,
    AIPERF_RECORDS,
    APPENDED,
    DETAILED,
    GUIDELLM,
    INFERENCE_PERF,
    SUMMARY,
    changed,
    loaded,
)

from inference_bench.results.importing.detect import read_foreign
from inference_bench.results.importing.introducing import ImportAs
from inference_bench.results.importing.writing import import_file
from inference_bench.results.summary import ServiceSummary, read_summary

FILES = (GUIDELLM, AIPERF, DETAILED, SUMMARY)


def services(path: Path, into: Path) -> dict[str, ServiceSummary]:
    """Import a file; return its tests' only services by the tests' names."""
    summary = read_summary(import_file(path, into, ImportAs(engine="vllm")).folder)
    assert summary is not None
    return {test.name: test.services["vllm"] for test in summary.tests}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_the_known_timing_comes_back(path: Path, tmp_path: Path) -> None:
    for service in services(path, tmp_path).values():
        ttft, tpot, e2e = (service.metrics[name].p50 for name in ("ttft_ms", "tpot_ms", "e2e_ms"))
        assert ttft is not None and 60 <= ttft < 70
        assert tpot is not None and 4.5 < tpot < 5.5
        assert e2e is not None and 95 <= e2e < 110
        assert service.requests.ok == service.requests.sent == 12
        assert service.metrics["output_tokens"].p50 == 8


def test_guidellm_keeps_marks_and_our_means_are_its_own(tmp_path: Path) -> None:
    found = services(GUIDELLM, tmp_path)
    assert list(found) == ["load@1", "load@2"]
    for benchmark, service in zip(loaded(GUIDELLM)["benchmarks"], found.values(), strict=True):
        theirs = benchmark["metrics"]["time_to_first_token_ms"]["successful"]["mean"]
        assert service.metrics["ttft_ms"].mean == pytest.approx(theirs, abs=1e-3)
        assert service.metrics["icl_ms"].n == 0  # it keeps no gaps


def test_aiperf_is_read_from_its_figures_its_records_and_their_folder_alike(tmp_path: Path) -> None:
    made = [services(path, tmp_path)["load"] for path in (AIPERF, AIPERF_RECORDS, AIPERF.parent)]
    assert made[0].metrics == made[1].metrics == made[2].metrics
    theirs = loaded(AIPERF)
    assert made[0].metrics["ttft_ms"].mean == pytest.approx(theirs["time_to_first_token"]["avg"], abs=1e-3)
    assert made[0].metrics["icl_ms"].n == theirs["inter_chunk_latency"]["count"]
    assert made[0].metrics["icl_ms"].mean == pytest.approx(theirs["inter_chunk_latency"]["avg"], abs=1e-3)


def test_aiperf_figures_alone_are_kept_and_nothing_is_made_up(tmp_path: Path) -> None:
    shutil.copy(AIPERF, tmp_path)
    service = services(tmp_path / AIPERF.name, tmp_path / "runs")["load"]
    theirs = loaded(AIPERF)["time_to_first_token"]
    ttft = service.metrics["ttft_ms"]
    assert (ttft.n, ttft.mean, ttft.p50) == (12, theirs["avg"], theirs["p50"])
    assert ttft.needed_n == {"p95": 20, "p99": 100}  # it gives them of 12 values
    assert ttft.model_dump()["p95"] is None
    assert service.metrics["e2e_intended_ms"].n == 0
    assert service.throughput.rate_sent is None
    assert service.goodput is None


def test_aiperf_counts_the_servers_tokens_before_its_own(tmp_path: Path) -> None:
    records = [json.loads(line) for line in AIPERF_RECORDS.read_text().splitlines()]
    assert any(one["metrics"]["output_sequence_length"]["value"] != 8 for one in records)
    assert services(AIPERF, tmp_path)["load"].metrics["output_tokens"].max == 8


def test_vllm_bench_gaps_start_at_its_first_chunk_and_end_at_its_last(tmp_path: Path) -> None:
    service, theirs = services(DETAILED, tmp_path)["load"], loaded(DETAILED)
    assert service.metrics["ttft_ms"].mean == pytest.approx(theirs["mean_ttft_ms"], abs=1e-3)
    assert service.metrics["icl_ms"].mean == pytest.approx(theirs["mean_itl_ms"], abs=1e-3)
    assert service.metrics["e2e_ms"].mean == pytest.approx(theirs["mean_e2el_ms"], abs=1e-3)


def test_lines_of_vllm_bench_are_tests_of_a_sweep(tmp_path: Path) -> None:
    run = import_file(APPENDED, tmp_path, ImportAs(test="curve"))
    assert [(test.name, test.sweep, test.load.concurrent_users) for test in run.manifest.plan] == [
        ("curve@2", "curve", 2),
        ("curve@4", "curve", 4),
    ]
    assert run.manifest.imported is not None
    assert run.manifest.imported.with_requests == ()


def test_inference_perf_requests_go_to_the_stage_in_which_they_started(tmp_path: Path) -> None:
    found = read_foreign(INFERENCE_PERF)
    kept = [list(test.exchanges()) for test in found.tests if test.exchanges is not None]
    assert [len(exchanges) for exchanges in kept] == [12, 12]
    assert max(one.sent or 0 for one in kept[0]) < min(one.sent or 0 for one in kept[1])
    assert list(services(INFERENCE_PERF, tmp_path)) == ["load@6", "load@12"]


def test_inference_perf_without_records_is_figures(tmp_path: Path) -> None:
    shutil.copy(INFERENCE_PERF / "stage_1_lifecycle_metrics.json", tmp_path)
    service = services(tmp_path / "stage_1_lifecycle_metrics.json", tmp_path / "runs")["load"]
    latency = loaded(INFERENCE_PERF / "stage_1_lifecycle_metrics.json")["successes"]["latency"]
    assert service.metrics["ttft_ms"].p50 == pytest.approx(latency["time_to_first_token"]["median"] * 1000)
    assert service.throughput.rate_asked == 12


def _fail_guidellm(data: Any) -> None:
    for benchmark in data["benchmarks"]:
        failed = benchmark["requests"]["successful"].pop()
        failed["info"]["error"] = "Traceback\n  File\nhttpx.ConnectError: All connection attempts failed"
        benchmark["requests"]["errored"].append(failed)
        benchmark["metrics"]["request_totals"] |= {"successful": 11, "errored": 1}


def _fail_vllm(data: Any) -> None:
    data["errors"][3], data["ttfts"][3], data["itls"][3], data["output_lens"][3] = "Service Unavailable", 0.0, [], 0


def _fail_inference_perf(data: Any) -> None:
    data[3]["error"] = {"error_type": "HTTP Error 504", "error_msg": "<html>Gateway Time-out</html>"}
    del data[3]["computed_metrics"]


@pytest.mark.parametrize(
    ("path", "change", "kind"),
    [
        (GUIDELLM, _fail_guidellm, "connect"),
        (DETAILED, _fail_vllm, "overloaded"),
        (INFERENCE_PERF / "per_request_lifecycle_metrics.json", _fail_inference_perf, "http_5xx"),
    ],
    ids=["guidellm", "vllm", "inference-perf"],
)
def test_a_failed_request_is_counted_by_its_class_and_has_no_latency(
    path: Path, change: Callable[[Any], object], kind: str, tmp_path: Path
) -> None:
    for service in services(changed(path, tmp_path, change), tmp_path / "runs").values():
        assert service.requests.errors == {kind: 1}
        assert service.requests.ok == service.metrics["ttft_ms"].n == service.requests.sent - 1


def test_a_failed_record_of_aiperf_is_counted(tmp_path: Path) -> None:
    lines = AIPERF_RECORDS.read_text().splitlines()
    record = json.loads(lines[0])
    record |= {"metrics": {}, "error": {"code": 429, "type": "Too Many", "message": "slow down\x1b[31m Bearer abc123"}}
    path = tmp_path / "profile_export.jsonl"
    path.write_text("\n".join([json.dumps(record), *lines[1:], ""]))
    assert services(path, tmp_path / "runs")["load"].requests.errors == {"overloaded": 1}


def test_marks_that_run_backwards_are_left_out_and_said(tmp_path: Path) -> None:
    def step(data: Any) -> None:
        data["benchmarks"][0]["requests"]["successful"][0]["info"]["timings"]["last_token_iteration"] -= 5

    run = import_file(changed(GUIDELLM, tmp_path, step), tmp_path / "runs")
    assert any("1 requests run backwards" in note for note in run.manifest.notes)
    summary = read_summary(run.folder)
    assert summary is not None
    assert [test.services["imported"].metrics["ttft_ms"].missing for test in summary.tests] == [1, 0]


def test_a_sample_of_requests_is_not_taken_for_all_of_them(tmp_path: Path) -> None:
    def sample(data: Any) -> None:
        for benchmark in data["benchmarks"]:
            del benchmark["requests"]["successful"][3:]

    run = import_file(changed(GUIDELLM, tmp_path, sample), tmp_path / "runs")
    assert run.manifest.imported is not None and run.manifest.imported.with_requests == ()
    assert any("keeps 3 of 12 requests" in note for note in run.manifest.notes)
    summary = read_summary(run.folder)
    assert summary is not None
    assert summary.tests[0].services["imported"].requests.ok == 12


def test_requests_without_marks_leave_the_figures_of_the_tool(tmp_path: Path) -> None:
    def forget(data: Any) -> None:
        for benchmark in data["benchmarks"]:
            for request in benchmark["requests"]["successful"]:
                del request["info"]

    run = import_file(changed(GUIDELLM, tmp_path, forget), tmp_path / "runs")
    assert run.manifest.imported is not None and run.manifest.imported.with_requests == ()
    assert "load@1: 12 requests have no mark in this run's time and were left out" in run.manifest.notes
    summary = read_summary(run.folder)
    assert summary is not None
    theirs = loaded(GUIDELLM)["benchmarks"][0]["metrics"]["time_to_first_token_ms"]["successful"]
    assert summary.tests[0].services["imported"].metrics["ttft_ms"].mean == theirs["mean"]


@pytest.mark.parametrize("key", ["request_goodput", "request_goodput:"])
def test_a_goodput_is_told_with_its_limits_and_not_taken_over(key: str, tmp_path: Path) -> None:
    def rename(data: Any) -> None:
        data[key] = data.pop("request_goodput")

    run = import_file(changed(DETAILED, tmp_path, rename), tmp_path / "runs")
    assert any("reports a goodput of 17.16 requests/s by its own limits" in note for note in run.manifest.notes)
    summary = read_summary(run.folder)
    assert summary is not None and summary.tests[0].services["imported"].goodput is None


def test_every_exchange_of_the_recordings_is_orderly() -> None:
    for path in FILES:
        for test in read_foreign(path).tests:
            exchanges = list(test.exchanges()) if test.exchanges is not None else []
            assert exchanges and all(one.orderly for one in exchanges)
            assert all(first <= second for one in exchanges for first, second in pairwise(one.chunks))
            assert mean(one.output_tokens or 0 for one in exchanges) == 8
