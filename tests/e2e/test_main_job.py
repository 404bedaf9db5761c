"""The main job, whole: several engines measured at once over their own protocols, and the evidence that is kept."""

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jsonschema
import pyarrow.parquet as pq
import pytest
from front_door import Done, Row, benchmark, only_folder, read_json, requests_of, truth_of, users, write_config

from inference_bench.results.summary import published_json_schema
from inference_bench.simulator.launcher import SimulatorProcess
from inference_bench.simulator.truth import TruthRecord

FILES = {
    "chunks.parquet",
    "comparison.json",
    "executive_report.html",
    "report.md",
    "requests.parquet",
    "server_metrics.parquet",
    "summary.csv",
    "summary.json",
    "test_manifest.json",
    "worker_samples.parquet",
}
TABLES = ("chunks.parquet", "requests.parquet", "server_metrics.parquet", "worker_samples.parquet")
TTFT = {"iterations": 4, "warmup_requests": 1, "max_tokens": 5}
TIMING = "ttft-ms=30,itl-ms=12"
# A stamp is the kernel's wall clock brought to the monotonic one; between samples of their distance a clock may drift.
CLOCK_SLACK_NS = 1_000_000


class Measured(NamedTuple):
    """A run that is over: what it said, its folder, its rows, and what the engines say happened."""

    done: Done
    folder: Path
    rows: list[Row]
    truth: dict[str, TruthRecord]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("main_job")


@pytest.fixture(scope="module")
def engines(place: Path) -> Iterator[SimulatorProcess]:
    """One engine of each kind, and a second vLLM."""
    serve = ["vllm,name=vllm-a", "vllm,name=vllm-b", "tgi", "ollama", "openai"]
    with SimulatorProcess([f"{one},{TIMING}" for one in serve], truth_log=place / "truth.jsonl") as simulator:
        yield simulator


def measure(place: Path, engines: SimulatorProcess, name: str, *args: str) -> Measured:
    """Measure all engines by URL in a directory of its own."""
    cwd = place / name
    cwd.mkdir()
    closed = users("closed", 2, requests=10, warmup_requests=1)
    write_config(cwd / "c.yaml", name=name, ttft_test=TTFT, load_tests=[closed], output={"save_responses": True})
    urls: list[str] = []
    for service, url in engines.urls.items():
        urls += ["--url", f"{engines.engines[service]}{'/' + service[-1] if '-' in service else ''}={url}"]
    done = benchmark("-c", "c.yaml", *urls, *args, cwd=cwd)
    assert done.code == 0, done.said()
    folder = only_folder(cwd)
    rows = requests_of(folder)
    return Measured(done, folder, rows, truth_of(place / "truth.jsonl", wanted=(row["request_id"] for row in rows)))


@pytest.fixture(scope="module")
def measured(place: Path, engines: SimulatorProcess) -> Measured:
    return measure(place, engines, "first", "--nonce", "the-same")


def work(measured: Measured) -> dict[tuple[str, str, int, int, bool], str]:
    """Return what each place of the plan was answered: the simulator's text depends on prompt and seed alone."""
    return {
        (row["service"], row["test"], row["round"], row["index"], row["warmup"]): row["response_text"]
        for row in measured.rows
    }


def test_the_folder_holds_the_files_of_the_contract_and_the_manifest_names_them(measured: Measured) -> None:
    assert {path.relative_to(measured.folder).as_posix() for path in measured.folder.rglob("*")} == FILES
    manifest = read_json(measured.folder / "test_manifest.json")
    assert (manifest["status"], manifest["simulated"], manifest["name"]) == ("complete", True, "first")
    assert (manifest["seed"], manifest["nonce"], manifest["test_id"]) == (3, "the-same", measured.folder.name)
    assert set(manifest["files"]) == FILES - {"test_manifest.json"}
    for name, facts in manifest["files"].items():
        assert facts["bytes"] == (measured.folder / name).stat().st_size
        rows = pq.read_metadata(measured.folder / name).num_rows if name in TABLES else None
        assert facts["rows"] == rows
    services = {one["name"]: one for one in manifest["services"]}
    assert {name: one["engine"] for name, one in services.items()} == {
        "vllm-a": "vllm",
        "vllm-b": "vllm",
        "tgi": "tgi",
        "ollama": "ollama",
        "openai": "openai",
    }
    for one in services.values():
        assert one["simulated"]
        assert "simulator" in one["version"]
        assert one["addresses"] == [one["url"].removeprefix("http://")]
    assert manifest["environment"]["python"]


def test_simulated_stands_on_the_screen_and_in_every_file(measured: Measured) -> None:
    assert "SIMULATED" in measured.done.out
    assert "SIMULATED" in measured.done.err
    for name in TABLES:
        assert (pq.read_schema(measured.folder / name).metadata or {})[b"simulated"] == b"true"
    assert all(row["simulated"] for row in measured.rows)
    summary = read_json(measured.folder / "summary.json")
    assert summary["simulated"]
    assert all(service["simulated"] for test in summary["tests"] for service in test["services"].values())
    with (measured.folder / "summary.csv").open(newline="") as file:
        assert {(row["run_simulated"], row["simulated"]) for row in csv.DictReader(file)} == {("true", "true")}


def in_time(measured: Measured, test: str, service: str) -> bool:
    """Whether the samples at both ends of each turn were there before its first answer ended, and the next one's.

    Where a busy machine held up the process that asks for them, the server rightly counts others than we do.
    """
    samples = pq.read_table(measured.folder / "server_metrics.parquet").to_pylist()
    edges = {(one["at_ns"], one["edge"]) for one in samples if (one["test"], one["service"]) == (test, service)}
    if not edges:
        return True  # it has no page
    starts, ends = (sorted(at for at, edge in edges if edge == wanted) for wanted in ("start", "end"))
    rows = [row for row in measured.rows if row["service"] == service]
    turns: dict[int, list[int]] = {}
    for row in rows:
        if row["test"] == test and not row["warmup"]:
            turns.setdefault(row["round"], []).append(row["end_ns"])
    if not len(starts) == len(ends) == len(turns):
        return False
    for start, end, (_, answers) in zip(starts, ends, sorted(turns.items()), strict=True):
        later = [row["end_ns"] for row in rows if row["end_ns"] > max(answers)]
        if start > min(answers) or end > min(later, default=end):
            return False
    return True


def test_the_server_s_own_parts_are_of_the_same_requests_and_add_up(measured: Measured) -> None:
    for test in read_json(measured.folder / "summary.json")["tests"]:
        for name, service in test["services"].items():
            told = service["server"]
            counted = {"ttft": 4, "closed": 10}[test["name"]]
            # llama.cpp counts no requests on its page, and Ollama has none: both tell their times in each answer.
            parts = {part: value for part, value in told["parts"].items() if value is not None}
            found = (told["counted"], told["requests"], parts.pop("n"))
            if in_time(measured, test["name"], name):
                of_page = None if name in {"ollama", "openai"} else counted
                assert found == (of_page, None if name == "ollama" else counted, counted)
            whole = parts.pop("whole_ms")
            assert sum(parts.values()) == pytest.approx(whole)
            ours = service["metrics"]["e2e_ms"]["mean"]
            assert whole - parts.get("client_ms", 0.0) == pytest.approx(ours)
            assert f"{name}: of " in measured.done.out


def test_the_summary_counts_what_the_records_hold(measured: Measured) -> None:
    summary = read_json(measured.folder / "summary.json")
    jsonschema.Draft202012Validator(published_json_schema()).validate(summary)
    assert [test["name"] for test in summary["tests"]] == ["ttft", "closed"]
    for test in summary["tests"]:
        for name, service in test["services"].items():
            rows = [row for row in measured.rows if (row["test"], row["service"]) == (test["name"], name)]
            counted = [row for row in rows if row["in_window"] and not row["warmup"]]
            good = [row for row in counted if row["ok"]]
            requests = service["requests"]
            assert (requests["sent"], requests["ok"], requests["failed"]) == (len(counted), len(good), 0)
            assert len(good) == {"ttft": 4, "closed": 10}[test["name"]]
            ttft = [(row["first_token_ns"] - row["sent_ns"]) / 1e6 for row in good]
            figures = service["metrics"]["ttft_ms"]
            assert (figures["n"], figures["missing"]) == (len(good), 0)
            assert (figures["min"], figures["max"]) == pytest.approx((min(ttft), max(ttft)))
            tokens = service["metrics"]["output_tokens"]
            assert (tokens["min"], tokens["max"]) == (test["load"]["max_tokens"], test["load"]["max_tokens"])


def test_the_csv_says_the_same_as_the_json(measured: Measured) -> None:
    summary = read_json(measured.folder / "summary.json")
    with (measured.folder / "summary.csv").open(newline="") as file:
        lines = {(row["test"], row["service"]): row for row in csv.DictReader(file)}
    assert list(lines) == [(test["name"], name) for test in summary["tests"] for name in test["services"]]
    for test in summary["tests"]:
        for name, service in test["services"].items():
            line = lines[test["name"], name]
            assert int(line["ok"]) == service["requests"]["ok"]
            assert float(line["ttft_ms.p50"]) == service["metrics"]["ttft_ms"]["p50"]


def test_the_marks_of_every_answer_stand_in_order(measured: Measured) -> None:
    assert all(row["ok"] for row in measured.rows)
    for row in measured.rows:
        marks = [row[f"{name}_ns"] for name in ("sent", "first_byte", "first_token", "last_token", "end")]
        assert marks == sorted(marks)
        assert row["intended_ns"] is None
        assert row["first_event_ns"] <= row["first_token_ns"] <= row["first_token_read_ns"] + CLOCK_SLACK_NS
        if row["reused"]:
            assert (row["connect_start_ns"], row["connected_ns"]) == (None, None)
        else:
            assert row["connect_start_ns"] <= row["connected_ns"] <= row["sent_ns"]


def test_the_records_agree_with_what_the_engines_did(measured: Measured) -> None:
    assert len({row["request_id"] for row in measured.rows}) == len(measured.rows)
    for row in measured.rows:
        truth = measured.truth[row["request_id"]]
        assert truth.service == row["service"]
        assert (truth.tokens, truth.prompt_tokens) == (row["output_tokens"], row["prompt_tokens"])
        assert row["token_source"] == "usage"
        assert row["text_chunks"] == truth.text_tokens
        assert row["sent_ns"] <= truth.received_ns
        assert row["first_token_ns"] >= truth.written_ns[0] - CLOCK_SLACK_NS
        assert row["last_token_ns"] >= truth.written_ns[truth.text_tokens - 1] - CLOCK_SLACK_NS


def test_chunks_are_counted_once_and_belong_to_their_requests(measured: Measured) -> None:
    chunks = pq.read_table(measured.folder / "chunks.parquet").to_pylist()
    per_request = Counter(chunk["seq"] for chunk in chunks)
    assert per_request == {row["seq"]: row["text_chunks"] for row in measured.rows}
    sizes: Counter[int] = Counter()
    for chunk in chunks:
        sizes[chunk["seq"]] += chunk["size"]
    assert sizes == {row["seq"]: row["text_chars"] for row in measured.rows}
    assert all(len(row["response_text"]) == row["text_chars"] for row in measured.rows)


def test_equal_places_in_the_plan_are_equal_work_for_every_service(measured: Measured) -> None:
    answers = work(measured)
    mine = {place[1:]: text for place, text in answers.items() if place[0] == "vllm-a"}
    other = {place[1:]: text for place, text in answers.items() if place[0] == "vllm-b"}
    measured_places = [place for place in mine if not place[3]]
    assert [mine[place] for place in measured_places] == [other[place] for place in measured_places]
    assert mine.keys() == other.keys()
    # Over other protocols the same prompt takes the same tokens, but for what the protocol wraps around it.
    prompts: dict[str, dict[tuple[str, int, int], int]] = {}
    for row in measured.rows:
        if not row["warmup"]:
            place = (row["test"], row["round"], row["index"])
            prompts.setdefault(row["service"], {})[place] = row["prompt_tokens"]
    assert len(set(prompts["vllm-a"].values())) > 4
    for service, counts in prompts.items():
        assert len({counts[place] - prompts["vllm-a"][place] for place in counts}) == 1, service
        assert counts.keys() == prompts["vllm-a"].keys()


def test_every_service_has_every_turn_and_the_order_changes(measured: Measured) -> None:
    blocks: dict[int, list[str]] = {}
    for row in sorted(measured.rows, key=lambda row: int(row["sent_ns"])):
        if row["test"] == "ttft" and not row["warmup"]:
            blocks.setdefault(row["block"], []).append(row["service"])
    names = sorted(row["name"] for row in read_json(measured.folder / "test_manifest.json")["services"])
    assert [sorted(block) for block in blocks.values()] == [names] * 4
    assert len({tuple(block) for block in blocks.values()}) > 1
    first_of_round: dict[int, tuple[int, str]] = {}
    for row in measured.rows:
        if row["test"] == "closed":
            begun = (row["sent_ns"], row["service"])
            first_of_round[row["round"]] = min(begun, first_of_round.get(row["round"], begun))
    assert sorted(service for _, service in first_of_round.values()) == names


def test_the_same_seed_and_nonce_ask_the_same_again_and_another_nonce_does_not(
    place: Path, engines: SimulatorProcess, measured: Measured
) -> None:
    again = work(measure(place, engines, "again", "--nonce", "the-same", "--test", "ttft"))
    first = work(measured)
    assert again == {place: text for place, text in first.items() if place[1] == "ttft"}
    other = work(measure(place, engines, "other", "--nonce", "another", "--test", "ttft"))
    assert other.keys() == again.keys()
    assert sum(other[place] == again[place] for place in again) < len(again) / 2


def test_simulate_needs_nothing_else(tmp_path: Path) -> None:
    tests = [users("closed", 2, requests=6)]
    write_config(tmp_path / "c.yaml", ttft_test={**TTFT, "iterations": 2}, load_tests=tests)
    done = benchmark("-c", "c.yaml", "--simulate", cwd=tmp_path)
    assert done.code == 0, done.said()
    assert "SIMULATED" in done.out
    folder = only_folder(tmp_path)
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*")} == FILES
    rows = requests_of(folder)
    assert Counter(row["service"] for row in rows if not row["warmup"]) == {"vllm": 8, "tgi": 8, "ollama": 8}
    assert all(row["ok"] for row in rows)
