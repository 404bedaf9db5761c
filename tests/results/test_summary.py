"""summary.json and summary.csv: from records to files, null for missing, the published schema, an old file."""

import csv
import io
import json
from pathlib import Path

import jsonschema
import pytest

from inference_bench.config.models import PerRequestSlo
from inference_bench.errors import RunFolderError
from inference_bench.metrics import METRICS, MetricsCalculator
from inference_bench.results.folder import RunFolder
from inference_bench.results.manifest import LoadShape
from inference_bench.results.summarise import summarise_service, worst
from inference_bench.results.summary import (
    ServiceSummary,
    Summary,
    TestSummary,
    Validity,
    published_json_schema,
    read_summary,
    summary_json_schema,
    write_summary,
)
from inference_bench.results.summary_csv import columns, summary_csv, write_summary_csv
from inference_bench.results.summary_view import number, percent, rows
from run_records import WHEN, ZERO_NS, chunk_table, request, request_table

OLD_FILES = sorted((Path(__file__).parents[1] / "data" / "runs").glob("summary-v1*.json"))
WINDOW = [(ZERO_NS, ZERO_NS + 1_000_000_000)]


def service(requests: int = 3, *, slo: PerRequestSlo | None = None, **fields: object) -> ServiceSummary:
    records = [
        request(
            seq,
            **{
                "sent_at": 10 * seq,
                "first_token_at": 10 * seq + 5,
                "last_token_at": 10 * seq + 105,
                "end_at": 10 * seq + 106,
                "output_tokens": 11,
                **fields,
            },
        )
        for seq in range(requests)
    ]
    chunks = chunk_table({seq: [(10 * seq + 5, 1), (10 * seq + 105, 10)] for seq in range(requests)})
    calculator = MetricsCalculator(request_table(records), chunks, windows=WINDOW, slo=slo)
    return summarise_service(
        calculator, engine="vllm", simulated=False, validity=Validity(verdict="valid"), price=("EUR", 3.6)
    )


def summary(**services: ServiceSummary) -> Summary:
    test = TestSummary(
        name="standard-load",
        kind="load",
        load=LoadShape(concurrent_users=5, duration_seconds=1),
        rounds=1,
        window_s=1.0,
        services=services,
        validity=worst({name: each.validity for name, each in services.items()}),
    )
    return Summary(test_id="test_x_20260102_101500", simulated=False, tests=(test,))


def test_figures_are_named_as_the_contract_says() -> None:
    found = json.loads(summary(vllm=service(slo=PerRequestSlo(ttft_ms=100))).model_dump_json())
    assert list(found) == ["schema_version", "test_id", "simulated", "tests", "capacity"]
    test = found["tests"][0]
    assert {"name", "kind", "load", "rounds", "window_s", "points", "services", "validity"} <= set(test)
    assert (test["calibration"], test["watch"]) == (None, None)
    figures = test["services"]["vllm"]
    assert figures["requests"] == {
        "sent": 3, "ok": 3, "failed": 0, "interrupted": 0, "success_rate": 1.0, "errors": {},
    }  # fmt: skip
    ttft = figures["metrics"]["ttft_ms"]
    assert {"n", "missing", "mean", "std", "min", "p50", "p90", "p95", "p99", "max", "ci"} <= set(ttft)
    assert (ttft["n"], ttft["mean"], ttft["p50"], ttft["p95"]) == (3, 5.0, 5.0, None)
    assert ttft["needed_n"] == {"p90": 10, "p95": 20, "p99": 100}
    assert ttft["ci"]["mean"] == [5.0, 5.0]
    assert ttft["ci"]["p95"] is None
    assert ttft["ci"]["needed_n"]["p95"] == 73
    assert figures["metrics"]["tpot_ms"]["mean"] == 10.0
    assert figures["metrics"]["itl_ms"]["n"] == 30
    assert set(figures["metrics"]["output_tok_per_s_user"]) >= {"p1", "p5", "p10", "p50"}
    assert "p99" not in figures["metrics"]["output_tok_per_s_user"]
    assert figures["throughput"]["requests_per_s"] == 3.0
    assert figures["throughput"]["output_tokens_per_s"] == 33.0
    assert figures["goodput"]["attainment"] == 1.0
    assert figures["cost"]["per_million_output_tokens"] == pytest.approx(3.6 / 3600 / 33 * 1e6)
    assert set(figures["metrics"]) == set(METRICS)


def test_missing_is_null_in_every_file_and_never_zero() -> None:
    nothing = service(2, first_token_at=None, last_token_at=None, output_tokens=None, ok=False, error_class="timeout")
    found = json.loads(summary(vllm=nothing).model_dump_json())["tests"][0]["services"]["vllm"]
    for figures in found["metrics"].values():
        assert figures["n"] == 0
        assert {figures[name] for name in ("mean", "std", "min", "max", "p50", "ci")} == {None}
    assert found["requests"]["errors"] == {"timeout": 2}
    assert found["goodput"] is None
    row = next(csv.DictReader(io.StringIO(summary_csv(summary(vllm=nothing)))))
    assert row["ttft_ms.n"] == "0"
    assert row["ttft_ms.p50"] == row["ttft_ms.mean"] == row["goodput_attainment"] == ""
    assert row["errors"] == "timeout=2"


def test_the_published_schema_is_up_to_date() -> None:
    assert published_json_schema() == summary_json_schema(), (
        "run: python -c 'from inference_bench.results.summary import publish_json_schema as p; p()'"
    )


@pytest.mark.parametrize("count", [0, 1, 3, 400])
def test_what_is_written_holds_to_the_published_schema(count: int, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "x", WHEN)
    whole = summary(vllm=service(count, slo=PerRequestSlo(e2e_ms=1)), ollama=service(count))
    write_summary(folder, whole)
    data = json.loads(folder.file("summary.json").read_text())
    jsonschema.Draft202012Validator.check_schema(published_json_schema())
    jsonschema.validate(data, published_json_schema(), jsonschema.Draft202012Validator)
    assert read_summary(folder) == whole


def says_all_of(new: object, old: object) -> bool:
    """Whether everything the old file said is still said; a later version may say more."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(key in new and says_all_of(new[key], value) for key, value in old.items())
    if isinstance(old, list):
        return isinstance(new, list) and len(new) == len(old) and all(map(says_all_of, new, old))
    return new == old


@pytest.mark.parametrize("path", OLD_FILES, ids=lambda path: path.name)
def test_an_old_file_holds_to_the_schema_and_is_read(path: Path, tmp_path: Path) -> None:
    data = json.loads(path.read_text())
    jsonschema.validate(data, published_json_schema(), jsonschema.Draft202012Validator)
    folder = RunFolder.create(tmp_path, "old", WHEN)
    folder.file("summary.json").write_text(path.read_text())
    read = read_summary(folder)
    assert read is not None
    assert says_all_of(json.loads(read.model_dump_json()), data)


def test_there_is_an_old_file() -> None:
    assert OLD_FILES


@pytest.mark.parametrize(
    "change", [{"tests": 3}, {"surprise": 1}, {"schema_version": "one"}, {"simulated": None}, {"test_id": None}]
)
def test_the_schema_refuses_what_the_models_refuse(change: dict[str, object], tmp_path: Path) -> None:
    data = {**json.loads(summary(vllm=service()).model_dump_json()), **change}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, published_json_schema(), jsonschema.Draft202012Validator)
    folder = RunFolder.create(tmp_path, "x", WHEN)
    folder.file("summary.json").write_text(json.dumps(data))
    with pytest.raises(RunFolderError, match="damaged"):
        read_summary(folder)


def test_a_later_version_is_named_and_no_summary_is_none(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "x", WHEN)
    assert read_summary(folder) is None
    folder.file("summary.json").write_text('{"schema_version": 9}')
    with pytest.raises(RunFolderError, match="schema version 9"):
        read_summary(folder)
    folder.file("summary.json").write_text("{")
    with pytest.raises(RunFolderError, match="damaged"):
        read_summary(folder)


def test_csv_has_a_row_per_test_and_service_and_says_simulated(tmp_path: Path) -> None:
    simulated = service().model_copy(update={"simulated": True})
    whole = summary(vllm=simulated, ollama=service()).model_copy(update={"simulated": True})
    folder = RunFolder.create(tmp_path, "x", WHEN)
    write_summary_csv(folder, whole)
    found = list(csv.DictReader(io.StringIO(folder.file("summary.csv").read_text())))
    assert [(row["service"], row["simulated"], row["run_simulated"]) for row in found] == [
        ("vllm", "true", "true"),
        ("ollama", "false", "true"),
    ]
    assert list(found[0]) == columns()
    assert found[0]["validity"] == "valid"
    assert float(found[0]["ttft_ms.p50"]) == 5.0


def test_the_worst_service_stands_for_the_test() -> None:
    valid, suspect = Validity(verdict="valid"), Validity(verdict="suspect", reasons=("late",))
    invalid = Validity(verdict="invalid", reasons=("starved", "late"))
    assert worst({"a": valid}) == valid
    assert worst({"a": valid, "b": suspect}) == Validity(verdict="suspect", reasons=("b: late",))
    assert worst({"a": suspect, "b": valid, "c": invalid}) == Validity(
        verdict="invalid", reasons=("c: starved", "c: late", "a: late")
    )
    assert worst({}).verdict == "invalid"


def test_rows_for_people_show_a_dash_and_the_n_that_is_needed() -> None:
    shown = dict(rows(summary(vllm=service(), ollama=service(25)).tests[0]))
    assert shown["TTFT p95, ms"] == ["– (n 3 of 20)", "5"]
    assert shown["Requests good / sent"] == ["3 / 3", "25 / 25"]
    assert "Failed" not in shown
    assert "TTFT from intended p95, ms" not in shown


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0"), (0.01234, "0.012"), (1.234, "1.23"), (123.456, "123.5"), (12345.6, "12,346"), (3, "3")],
)
def test_numbers_for_people(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_share_is_100_per_cent_only_when_it_is_all() -> None:
    assert percent(1.0) == "100.0 %"
    assert percent(0.99999) == ">99.9 %"
    assert percent(None) == "–"
