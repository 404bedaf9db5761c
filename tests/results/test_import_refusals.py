"""Foreign files that are broken, unknown, too large or hostile: one clear error, or a run in which they do no harm."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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

from inference_bench.errors import BenchError, ConfigError, UsageError
from inference_bench.results.export import export_text
from inference_bench.results.importing import aiperf, files, guidellm, inference_perf, vllm_bench
from inference_bench.results.importing.fields import one_line, plain_url
from inference_bench.results.importing.introducing import ImportAs
from inference_bench.results.importing.model import Foreign
from inference_bench.results.importing.writing import import_file
from inference_bench.results.summary import read_summary

_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.just(10**400),
    st.just([]),
    st.just({}),
    st.lists(st.integers(), max_size=3),
)


def refused(path: Path, into: Path, kind: type[BenchError]) -> BenchError:
    """Import a file that must be refused, and check that nothing is left of it."""
    with pytest.raises(kind) as caught:
        import_file(path, into / "runs")
    assert caught.value.hint or isinstance(caught.value, ConfigError)
    assert "\n" not in caught.value.message
    assert not list((into / "runs").glob("*"))
    return caught.value


def loaded_line(path: Path) -> Any:
    return json.loads(path.read_text().splitlines()[0])


def written(into: Path, name: str, text: str) -> Path:
    path = into / name
    path.write_text(text)
    return path


def test_broken_json_is_told_by_line_and_column(tmp_path: Path) -> None:
    text = json.dumps(loaded(SUMMARY), indent=1)
    path = written(tmp_path, "broken.json", text.replace('"successes": {', '"successes" {', 1))
    line = next(at for at, one in enumerate(text.splitlines(), 1) if '"successes"' in one)
    error = refused(path, tmp_path, ConfigError)
    assert f"line {line}, column 14" in error.message
    assert isinstance(error, ConfigError) and error.line == line


def test_a_broken_line_is_told_and_leaves_no_folder(tmp_path: Path) -> None:
    lines = AIPERF_RECORDS.read_text().splitlines()
    lines[6] = lines[6][:100]
    error = refused(written(tmp_path, "profile_export.jsonl", "\n".join(lines)), tmp_path, ConfigError)
    assert "line 7, column" in error.message


def test_a_second_run_that_was_cut_off_is_told_by_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, "appended.json", APPENDED.read_text()[:-40])
    assert "line 2, column" in refused(path, tmp_path, ConfigError).message


@pytest.mark.parametrize("text", ["{}", "[]", "[1, 2]", "null", '"text"', '{"benchmarks": 3}', '{"a": 1}\n{"b": 2}\n'])
def test_what_no_tool_wrote_is_refused_with_those_that_are_known(text: str, tmp_path: Path) -> None:
    error = refused(written(tmp_path, "other.json", text), tmp_path, UsageError)
    assert "no tool that is known" in error.message
    assert all(name in (error.hint or "") for name in ("GuideLLM", "AIPerf", "inference-perf", "vllm bench serve"))


def test_an_empty_file_a_deep_one_and_bytes_are_refused(tmp_path: Path) -> None:
    assert "line 1, column 1" in refused(written(tmp_path, "empty.json", ""), tmp_path, ConfigError).message
    refused(written(tmp_path, "deep.json", "[" * 100_000), tmp_path, ConfigError)
    refused(written(tmp_path, "digits.json", "1" * 100_000), tmp_path, ConfigError)
    path = tmp_path / "bytes.json"
    path.write_bytes(b"\xff\xfe\x00{")
    assert "not UTF-8" in refused(path, tmp_path, ConfigError).message


def test_the_first_byte_that_is_no_text_is_told_by_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1,\n "\xff": 2}')
    found = refused(path, tmp_path, ConfigError)
    assert found.message == f"{path}: line 2, column 3: this is not UTF-8"
    assert found.hint == "Result files are text in UTF-8: unpack it, or save it so."
    path = tmp_path / "profile_export.jsonl"
    path.write_bytes(AIPERF_RECORDS.read_bytes() + b'{"\xff": 2}\n')
    assert "column 3: this is not UTF-8" in refused(path, tmp_path, ConfigError).message


def test_a_byte_order_mark_and_a_name_that_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / "profile_export.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + AIPERF_RECORDS.read_bytes())
    assert import_file(path, tmp_path / "marked").folder.path.is_dir()
    assert "File name too long" in refused(Path("x" * 5000), tmp_path, UsageError).message


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LARGEST_BYTES", 1000)
    assert "1,000 is the most" in refused(GUIDELLM, tmp_path, UsageError).message


def test_places_without_a_file_are_refused(tmp_path: Path) -> None:
    refused(tmp_path / "missing.json", tmp_path, UsageError)
    os.mkfifo(tmp_path / "pipe.json")
    assert "is no file" in refused(tmp_path / "pipe.json", tmp_path, UsageError).message
    assert "holds no result file" in refused(tmp_path, tmp_path, UsageError).message


def test_a_folder_of_several_results_asks_which(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        written(tmp_path, name, DETAILED.read_text())
    written(tmp_path, "other.json", "{}")
    assert "2 result files: a.json, b.json" in refused(tmp_path, tmp_path, UsageError).message
    (tmp_path / "b.json").unlink()
    assert import_file(tmp_path, tmp_path / "runs").manifest.imported is not None


def test_a_folder_of_several_tools_asks_which(tmp_path: Path) -> None:
    for path in (GUIDELLM, AIPERF, AIPERF_RECORDS):
        written(tmp_path, path.name, path.read_text())
    said = refused(tmp_path, tmp_path, UsageError).message
    assert "2 result files: benchmarks.json, profile_export_aiperf.json" in said


def test_a_value_of_another_kind_is_told_by_its_place(tmp_path: Path) -> None:
    def spoil(data: Any) -> None:
        data["benchmarks"][1]["requests"]["successful"][2]["info"]["timings"]["request_start"] = "soon"

    error = refused(changed(GUIDELLM, tmp_path, spoil), tmp_path, ConfigError)
    place = "benchmarks.json.benchmarks[1].requests.successful[2].info.timings.request_start"
    assert error.message == f"{place} is 'soon', not a number"


@pytest.mark.parametrize(("key", "told"), [("mean_ttft_ms", -50.0), ("duration", -1.0), ("request_throughput", -0.5)])
def test_a_figure_below_zero_is_refused(key: str, told: float, tmp_path: Path) -> None:
    path = written(tmp_path, "below.json", json.dumps(loaded_line(APPENDED) | {key: told}))
    assert f"is {told}, not a figure from 0 on" in refused(path, tmp_path, ConfigError).message


def test_what_is_beyond_all_measuring_counts_as_not_told(tmp_path: Path) -> None:
    def spoil(data: Any) -> None:
        data["successes"]["latency"]["request_latency"]["p90"] = 1e308
        data["load_summary"] = {}

    run = import_file(changed(SUMMARY, tmp_path, spoil), tmp_path / "runs")
    summary = read_summary(run.folder)
    assert summary is not None
    (service,) = summary.tests[0].services.values()
    assert service.metrics["e2e_ms"].model_dump()["p90"] is None


def test_marks_on_no_clock_are_left_out_and_told(tmp_path: Path) -> None:
    def spoil(data: Any) -> None:
        data["start_times"][0] = 1e20  # a float that far from zero tells no two chunks apart
        data["date"] = "00010101-000000"

    run = import_file(changed(DETAILED, tmp_path, spoil), tmp_path / "runs")
    assert any("1 requests have no mark in this run's time" in note for note in run.manifest.notes)
    assert run.manifest.created.year >= 2000


def test_lists_of_unlike_length_are_refused(tmp_path: Path) -> None:
    path = changed(DETAILED, tmp_path, lambda data: data["ttfts"].pop())
    assert "differ in length" in refused(path, tmp_path, ConfigError).message


def test_requests_that_are_told_of_and_not_kept_are_said(tmp_path: Path) -> None:
    run = import_file(changed(DETAILED, tmp_path, lambda data: data.update(num_prompts=1000)), tmp_path / "runs")
    assert any("it tells of 1,000 requests and keeps" in note for note in run.manifest.notes)
    assert not any("it tells of" in note for note in import_file(DETAILED, tmp_path / "runs").manifest.notes)


def test_runs_that_generated_no_text_are_refused(tmp_path: Path) -> None:
    path = changed(DETAILED, tmp_path, lambda data: data.pop("total_output_tokens"))
    assert "generated no text" in refused(path, tmp_path, ConfigError).message


@pytest.mark.parametrize(("engine", "test"), [("../x", "load"), ("vllm", "a/b"), ("", "load"), ("vllm", "a@b")])
def test_names_that_are_none_are_refused(engine: str, test: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        import_file(DETAILED, tmp_path, ImportAs(engine=engine, test=test))


def test_hostile_words_stay_words_and_secrets_stay_out(tmp_path: Path) -> None:
    evil = "\x1b[2J[bold]<script>alert(1)</script>\n| x |"

    def spoil(data: Any) -> None:
        data["model_id"] = evil
        data["errors"][0] = f"{evil} Authorization: Bearer s3cr3t-t0ken api_key=sk-abcdefghijkl"

    run = import_file(changed(DETAILED, tmp_path, spoil), tmp_path / "runs", ImportAs(name=evil))
    assert "script" in run.folder.test_id and "/" not in run.folder.test_id
    stored = b"".join(path.read_bytes() for path in run.folder.path.iterdir())
    markdown = b"".join(export_text(run, "markdown")).decode()
    rows = b"".join(export_text(run, "csv"))
    assert b"s3cr3t" not in stored + rows and b"sk-abcdef" not in stored + rows
    assert "\x1b" not in markdown and "<script>" not in markdown
    assert b"\x1b" not in rows


@given(st.text(), st.integers(1, 50))
def test_a_foreign_text_is_one_bounded_line(text: str, most: int) -> None:
    line = one_line(text, most)
    assert len(line) <= most
    assert line.isprintable()


@given(st.text(max_size=60))
def test_an_address_never_shows_who_calls(text: str) -> None:
    told = plain_url(f"https://user:pass-word@host:1/{text}?key=hidden#x")
    assert told is None or ("pass-word" not in told and "hidden" not in told)


def _spots(value: object, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the places of a JSON value, the first of each long list standing for all."""
    yield place
    inner = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, one in inner:
        yield from _spots(one, (*place, key))


def _spoiled(value: Any, place: tuple[str | int, ...], leaf: object) -> Any:
    if not place:
        return leaf
    head, *rest = place
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[head] = _spoiled(copied[head], tuple(rest), leaf)  # type: ignore[index]
    return copied


_READERS = {
    "guidellm": (GUIDELLM, guidellm.recognises, guidellm.read),
    "aiperf": (AIPERF, aiperf.recognises, aiperf.read),
    "inference-perf": (SUMMARY, inference_perf.recognises, inference_perf.read),
    "requests": (
        INFERENCE_PERF / "per_request_lifecycle_metrics.json",
        inference_perf.recognises,
        inference_perf.read,
    ),
    "vllm": (DETAILED, vllm_bench.recognises, lambda data, path: vllm_bench.read([data], path)),
}
_VALUES = {name: loaded(path) for name, (path, _, _) in _READERS.items()}
_PLACES = {name: list(_spots(value)) for name, value in _VALUES.items()}


def _consumed(found: Foreign) -> None:
    for test in found.tests:
        for exchange in test.exchanges() if test.exchanges is not None else ():
            assert exchange.sent is None or isinstance(exchange.sent, float)
            assert isinstance(exchange.orderly, bool)


@pytest.mark.parametrize("name", _READERS)
@settings(max_examples=150)
@given(data=st.data())
def test_whatever_stands_in_a_file_it_is_read_or_refused_by_name(name: str, data: st.DataObject) -> None:
    path, recognises, read = _READERS[name]
    place, leaf = data.draw(st.sampled_from(_PLACES[name])), data.draw(_LEAVES)
    spoiled = _spoiled(_VALUES[name], place, leaf)
    if not recognises(spoiled):
        return
    try:
        _consumed(read(spoiled, path))
    except BenchError as error:
        assert "\n" not in error.message
