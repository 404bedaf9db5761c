"""Reads one of our own runs as a trace: when one service was sent its requests in one test, and how long they were."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from inference_bench.workloads.choices import shown
from inference_bench.workloads.opened import wrong
from inference_bench.workloads.trace_columns import Trace

PARQUET_MAGIC: Final = b"PAR1"
_FILE = "requests.parquet"
_COLUMNS = ("test", "service", "kind", "round", "warmup", "intended_ns", "sent_ns", "prompt_tokens", "output_tokens")
_NS = 1e-9


def run_parquet(folder: Path) -> Path:
    """Return the file of requests in a run folder; ConfigError when there is none."""
    file = folder / _FILE
    try:
        file.stat()
    except FileNotFoundError:
        problem = f"this folder is no run: it has no {_FILE}"
        raise wrong(folder, problem, hint="give a run folder, or a trace's file") from None
    except OSError as error:
        raise wrong(folder, f"cannot look into this folder: {error.strerror or error}") from error
    return file


def read_run_trace(path: Path, stream: BinaryIO, selection: str | None) -> Trace:
    """Read the requests of one test and one service, warm-ups left out.

    Times are the intended ones of an open loop, else when requests were sent. Rounds follow each other without the time
    in which other services had their turns. `selection` is TEST or TEST/SERVICE.
    Requests whose lengths the server did not tell are left out and counted.
    """
    table = _table(path, stream)
    test, service = _choice(path, table, selection)
    mine = (_texts(table, "test") == test) & (_texts(table, "service") == service) & ~table["warmup"].to_numpy()
    columns = table.select(["round", "intended_ns", "sent_ns", "prompt_tokens", "output_tokens"]).filter(pa.array(mine))
    at_ns = columns["intended_ns"] if columns["intended_ns"].null_count == 0 else columns["sent_ns"]
    # Missing numbers become 0: no time and no length that a request can have.
    times, prompts, outputs = (_whole(column) for column in (at_ns, columns["prompt_tokens"], columns["output_tokens"]))
    known = (times > 0) & (prompts > 0) & (outputs > 0)
    if not known.any():
        raise wrong(
            path,
            f"no request of {test} to {service} has a time and both lengths",
            hint=f"choose another test and service as {path.name}#TEST/SERVICE",
        )
    times, prompts, outputs = times[known], prompts[known], outputs[known]
    order = np.argsort(times, kind="stable")
    seconds, left_out_seconds = _end_to_end(times[order], _whole(columns["round"])[known][order])
    notes = [
        f"the requests of {test} to {service} in a run: {len(times):,}",
        "prompt lengths are what that server counted, its chat template included",
    ]
    if left_out_seconds >= 0.05:  # as it is shown
        notes.append(f"its rounds are put end to end: {left_out_seconds:,.1f} s between them left out")
    left_out = int((~known).sum())
    if left_out:
        notes.append(f"{left_out:,} of its requests left out: a length was not told")
    lengths = prompts[order].astype(np.int32), outputs[order].astype(np.int32)
    return Trace(f"{path.parent.name}#{test}/{service}", seconds, lengths[0], lengths[1], tuple(notes))


def _end_to_end(times: npt.NDArray[np.int64], rounds: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.float64], float]:
    """Return ascending times (ns) as seconds since the first, with rounds one mean gap apart, and the seconds left out.

    Between two rounds of a service others have their turns, connections are opened and warm-ups sent: silence that no
    user made. The mean gap is that within all rounds; where no round holds two requests, times stay as they are.
    """
    seconds = (times - times[0]).astype(np.float64) * _NS
    gaps = np.diff(seconds)
    between = np.diff(rounds) != 0
    if not between.any() or between.all():
        return seconds, 0.0
    mean = float(gaps[~between].mean())
    joined = np.where(between, np.minimum(gaps, mean), gaps)
    return np.concatenate(([0.0], np.cumsum(joined))), float((gaps - joined).sum())


def _table(path: Path, stream: BinaryIO) -> pa.Table:
    stream.seek(0)
    try:
        file = pq.ParquetFile(stream)
        missing = [name for name in _COLUMNS if name not in file.schema_arrow.names]
        if missing:
            raise wrong(path, f"these are no requests of a run: there is no column {', '.join(missing)}")
        table = file.read(columns=list(_COLUMNS))
        return pa.table({name: _plain(table[name]) for name in _COLUMNS})
    except (pa.ArrowException, OSError) as error:
        raise wrong(path, "this Parquet file cannot be read", hint="is it whole?") from error


def _plain(column: "pa.ChunkedArray[Any]") -> "pa.ChunkedArray[Any]":
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


def _choice(path: Path, table: pa.Table, selection: str | None) -> tuple[str, str]:
    """Return the test and the service that are meant. ConfigError lists those there are."""
    pairs: dict[tuple[str, str], str] = {}
    for row in (
        table.select(["test", "service", "kind"]).group_by(["test", "service", "kind"]).aggregate([]).to_pylist()
    ):
        pairs[(row["test"], row["service"])] = row["kind"]
    test, _, service = (selection or "").partition("/")
    fitting = [pair for pair in pairs if (not test or pair[0] == test) and (not service or pair[1] == service)]
    if not test:
        fitting = [pair for pair in fitting if pairs[pair] == "load"]
    if not fitting:
        what = f"is no {shown(selection)}" if selection else "is no load test"
        raise wrong(path, f"there {what} in this run", hint=f"there are: {_listed(list(pairs))}")
    return fitting[0]


def _listed(pairs: Sequence[tuple[str, str]]) -> str:
    return ", ".join("/".join(pair) for pair in pairs[:20]) or "none"


def _whole(column: "pa.ChunkedArray[Any]") -> npt.NDArray[np.int64]:
    return column.cast(pa.int64()).fill_null(pa.scalar(0, pa.int64())).to_numpy()


def _texts(table: pa.Table, name: str) -> npt.NDArray[np.object_]:
    return table[name].to_numpy(zero_copy_only=False)
