"""A run's per-request records for other programs (CSV, JSON Lines, Parquet), and its summary as Markdown.

Every exported row carries the test id, whether it and its run were simulated, and the per-request metrics
beside the raw marks. Failed requests keep their marks and have no metrics. Rows stream; no format holds the run in
memory.
"""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from inference_bench.errors import RunFolderError
from inference_bench.metrics.columns import RequestColumns
from inference_bench.metrics.definitions import METRICS
from inference_bench.metrics.records import REQUEST_COLUMNS
from inference_bench.results.atomic import replacing
from inference_bench.results.comparison import read_comparison
from inference_bench.results.comparison_markdown import comparison_markdown
from inference_bench.results.finalise import REQUESTS
from inference_bench.results.folder import Run
from inference_bench.results.markdown import run_markdown
from inference_bench.results.schema import file_metadata, parquet_schema
from inference_bench.results.summary import read_summary

SUFFIXES: Final = {
    "csv": ".requests.csv",
    "json": ".requests.jsonl",
    "parquet": ".requests.parquet",
    "markdown": ".md",
}
_BATCH_ROWS: Final = 4096
_CONTROL_PATTERN: Final = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x{9f}]"
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_FURTHER_CONTROLS: Final = re.compile(rb"\x7f|\xc2[\x80-\x9f]")
_RAW: Final = frozenset(column.name for column in REQUEST_COLUMNS)
_COMPUTED: Final = tuple(
    (metric.id, metric.compute) for metric in METRICS.values() if metric.compute and metric.id not in _RAW
)


def export_text(run: Run, form: str) -> Iterator[bytes]:
    """Yield the run in a text form (csv, json: one object a line, markdown), piece by piece, in UTF-8.

    Raises:
        RunFolderError: the run has no records (or no summary, for markdown) to export.
    """
    return {"csv": _csv, "json": _json_lines, "markdown": _markdown}[form](run)


def export_file(run: Run, form: str, path: Path) -> None:
    """Write the run to `path` in any form, whole or not at all.

    Raises:
        RunFolderError: as `export_text`, or the file cannot be written, or it would lie in the run's own folder.
    """
    if path.resolve().parent == run.folder.path.resolve():
        raise RunFolderError(
            f"{path} lies inside the run's own folder, which is evidence and stays as it is",
            hint="Choose another file or folder with -o.",
        )
    try:
        with replacing(path) as temporary:
            if form == "parquet":
                _parquet(run, temporary)
            else:
                with temporary.open("wb") as file:
                    file.writelines(export_text(run, form))
    except OSError as error:
        raise RunFolderError(f"cannot write {path}: {error.strerror or error}") from error


def _csv(run: Run) -> Iterator[bytes]:
    header = True
    for batch in _rows(run):
        text = io.BytesIO()
        pa_csv.write_csv(_without_controls(batch), text, pa_csv.WriteOptions(include_header=header))
        header = False
        yield text.getvalue()


def _json_lines(run: Run) -> Iterator[bytes]:
    for batch in _rows(run):
        rows = b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in batch.to_pylist())
        # JSON escapes only the first 32 controls by itself; the others stand only inside its strings.
        yield _FURTHER_CONTROLS.sub(lambda found: b"\\u%04x" % ord(found[0].decode()), rows)


def _without_controls(batch: "pa.RecordBatch") -> "pa.RecordBatch":
    """Return the rows with control characters in texts written as \\x1b: CSV has no escape, and terminals obey them.

    Tabs and line ends stay. JSON and Parquet keep every character as it came.
    """
    for position, field in enumerate(batch.schema):
        if pa.types.is_string(field.type):
            column = batch.column(position)
            if pc.any(pc.match_substring_regex(column, _CONTROL_PATTERN)).as_py():
                texts = [None if text is None else _CONTROL.sub(_written, text) for text in column.to_pylist()]
                batch = batch.set_column(position, field, pa.array(texts, type=field.type))
    return batch


def _written(found: "re.Match[str]") -> str:
    return f"\\x{ord(found[0]):02x}"


def _parquet(run: Run, path: Path) -> None:
    schema = _schema().with_metadata(file_metadata(simulated=run.manifest.simulated))
    categories = parquet_schema("requests", simulated=run.manifest.simulated)
    for field in categories:
        if pa.types.is_dictionary(field.type):
            schema = schema.set(schema.get_field_index(field.name), field)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in _rows(run):
            writer.write_table(pa.Table.from_batches([batch]).cast(schema))


def _markdown(run: Run) -> Iterator[bytes]:
    summary = read_summary(run.folder)
    if summary is None:
        raise RunFolderError(
            f"{run.folder.test_id} has no summary: it did not run to its end",
            hint="Its requests can be exported as csv, json or parquet.",
        )
    comparison = read_comparison(run.folder)
    yield run_markdown(run.manifest, summary).encode()
    if comparison is not None:
        yield "\n".join(["", *comparison_markdown(comparison), ""]).encode()


def _schema() -> pa.Schema:
    """Return the exported columns: the run, the records (categories as plain strings), the metrics."""
    raw: list[pa.Field[Any]] = [
        pa.field(column.name, pa.string() if pa.types.is_dictionary(column.type) else column.type, column.nullable)
        for column in parquet_schema("requests", simulated=False)
    ]
    computed: list[pa.Field[Any]] = [pa.field(name, pa.float64()) for name, _ in _COMPUTED]
    run: list[pa.Field[Any]] = [
        pa.field("test_id", pa.string(), nullable=False),
        pa.field("run_simulated", pa.bool_(), nullable=False),
    ]
    return pa.schema([*run, *raw, *computed])


def _rows(run: Run) -> Iterator["pa.RecordBatch"]:
    """Yield the exported rows in batches; at least one, possibly empty, so that every file has its header."""
    path = run.folder.file(REQUESTS)
    if not path.is_file():
        hint = "Recover it first: results recover." if run.folder.journal.is_dir() else None
        raise RunFolderError(f"{run.folder.test_id} has no {REQUESTS}: it did not run to its end", hint=hint)
    schema = _schema()
    try:
        with pq.ParquetFile(path) as file:
            if not file.metadata.num_rows:
                yield pa.RecordBatch.from_arrays([pa.array([], type=field.type) for field in schema], schema=schema)
            for batch in file.iter_batches(_BATCH_ROWS):
                yield _exported(run, batch, schema)
    except pa.ArrowInvalid as error:
        raise RunFolderError(f"{path} is damaged") from error


def _exported(run: Run, batch: "pa.RecordBatch", schema: pa.Schema) -> "pa.RecordBatch":
    columns = RequestColumns(pa.Table.from_batches([batch]))
    good = columns.flag("ok")
    arrays: list[pa.Array[Any]] = [
        pa.array([run.folder.test_id] * batch.num_rows, type=pa.string()),
        pa.array([run.manifest.simulated] * batch.num_rows, type=pa.bool_()),
        *(_stored(batch, schema.field(column.name)) for column in REQUEST_COLUMNS),
    ]
    for _, compute in _COMPUTED:
        values = compute(columns)
        arrays.append(pa.array(values, mask=~(good & np.isfinite(values))))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _stored(batch: "pa.RecordBatch", field: "pa.Field[Any]") -> "pa.Array[Any]":
    """Return a column as it is exported; null throughout where an older version wrote the file without it."""
    stored: pa.Array[Any]
    if field.name in batch.schema.names:
        stored = batch.column(field.name).cast(field.type)
    else:
        stored = pa.nulls(batch.num_rows, field.type)
    return stored
