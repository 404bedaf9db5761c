"""Whose result file it is, by what stands in it; a folder is looked through for the one file that counts."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from inference_bench.errors import ConfigError, UsageError
from inference_bench.results.importing import aiperf, guidellm, inference_perf, vllm_bench
from inference_bench.results.importing.fields import malformed
from inference_bench.results.importing.files import json_lines, parse, read_whole, size_of
from inference_bench.results.importing.model import Foreign, ForeignTest

KNOWN: Final = (
    "GuideLLM (benchmarks.json), AIPerf (profile_export_aiperf.json, profile_export.jsonl), "
    "inference-perf (summary_lifecycle_metrics.json and those beside it), vllm bench serve (--save-result)"
)
# The files that each tool writes under fixed names, the one that leads to its others first.
_NAMES: Final = (
    ("benchmarks.json",),
    (aiperf.SUMMARY, aiperf.RECORDS),
    (inference_perf.SUMMARY, inference_perf.RECORDS),
)
_READERS: Final[tuple[tuple[Callable[[object], bool], Callable[[object, Path], Foreign]], ...]] = (
    (guidellm.recognises, guidellm.read),
    (aiperf.recognises, aiperf.read),
    (inference_perf.recognises, inference_perf.read),
)
_MOST_FILES: Final = 200


def read_foreign(path: Path) -> Foreign:
    """Return what a result file of another tool holds, or the folder it was written into.

    Raises:
        UsageError: there is no such file, it is too large, or no tool that is known wrote it.
        ConfigError: its JSON is broken (with line and column), or a value is not of the kind it should be.
    """
    # os.path: a name that is too long is no exception there; reading it says what is wrong.
    try:
        file = _in_folder(path) if os.path.isdir(path) else path  # noqa: PTH112
    except OSError as error:
        raise UsageError(
            f"cannot look into {path}: {error.strerror}", hint="Give a result file, or its folder."
        ) from error
    size_of(file)
    found = _read_records(file) if file.suffix == ".jsonl" else None
    found = found or _read_whole(file)
    if not found.tests or not any(_holds(found)):
        raise UsageError(f"{file} holds no requests and no figures", hint="Was that run stopped before it measured?")
    for test in found.tests:
        _check_signs(test, file)
    return found


def _check_signs(test: ForeignTest, file: Path) -> None:
    """Refuse figures below 0, which no clock and no count gives. Raises ConfigError."""
    figures: dict[str, float | None] = {
        "seconds": test.seconds,
        "ok": test.ok,
        "failed": test.failed,
        "requests_per_s": test.requests_per_s,
        "output_tokens_per_s": test.output_tokens_per_s,
        "total_tokens_per_s": test.total_tokens_per_s,
        "concurrency_mean": test.concurrency_mean,
        "goodput_per_s": test.goodput_per_s,
    }
    for name, told in test.reported.items():
        figures |= {f"{name}.mean": told.mean, f"{name}.min": told.least, f"{name}.max": told.most}
        figures |= {f"{name}.p{percent}": value for percent, value in told.percentiles.items()}
    for name, value in figures.items():
        if value is not None and value < 0:
            raise malformed(f"{file.name}: {name}", value, "a figure from 0 on")


def _holds(found: Foreign) -> list[bool]:
    return [test.exchanges is not None or bool(test.reported) or test.ok + test.failed > 0 for test in found.tests]


def _read_records(file: Path) -> Foreign | None:
    """Read a file of records, of which only the first line is looked at now; None when it is another tool's."""
    first = next(json_lines(file), None)
    return aiperf.read_records(file) if first is not None and aiperf.recognises_record(first[1]) else None


def _read_whole(file: Path) -> Foreign:
    values = _values(file)
    if len(values) == 1:
        for recognises, read in _READERS:
            if recognises(values[0]):
                return read(values[0], file)
    if values and all(map(vllm_bench.recognises, values)):
        return vllm_bench.read(values, file)
    raise UsageError(f"no tool that is known wrote {file}", hint=f"Known are {KNOWN}.")


def _values(file: Path) -> list[object]:
    """Return the JSON value of a file, or its values when there is one on each line.

    A file that is broken is told of by the place where the whole of it breaks, unless its first line is a value.
    """
    text = read_whole(file)
    head = text.lstrip().partition("\n")
    if head[2].strip() and _is_value(head[0]):
        return [value for _, value in json_lines(file)]
    return [parse(text, file)]


def _is_value(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _in_folder(folder: Path) -> Path:
    """Return the file of a folder that leads to the rest.

    Raises:
        UsageError: there is none, or there are several of which none leads.
    """
    leading = [next((folder / name for name in names if (folder / name).is_file()), None) for names in _NAMES]
    known = [path for path in leading if path is not None] or _known_by_content(folder)
    if len(known) == 1:
        return known[0]
    if known:
        some = ", ".join(path.name for path in known[:3]) + (", …" if len(known) > 3 else "")
        raise UsageError(f"{folder} holds {len(known)} result files: {some}", hint="Import them one by one.")
    raise UsageError(f"{folder} holds no result file of a tool that is known", hint=f"Known are {KNOWN}.")


def _known_by_content(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.glob("*.json") if path.is_file())[:_MOST_FILES]
    return [path for path in files if _is_known(path)]


def _is_known(path: Path) -> bool:
    try:
        values = _values(path)
    except (ConfigError, UsageError):
        return False  # other files may lie in that folder; the user did not name this one
    return bool(values) and (
        all(map(vllm_bench.recognises, values)) or any(recognises(values[0]) for recognises, _ in _READERS)
    )
