"""Arrow schemas of the run's files, derived from the record columns. The columns' meaning stands in metrics/records."""

from collections.abc import Collection, Sequence
from typing import Any, Final, Literal

import pyarrow as pa

from inference_bench import __version__
from inference_bench.metrics.records import (
    CHUNK_COLUMNS,
    REQUEST_COLUMNS,
    SERVER_SAMPLE_COLUMNS,
    WORKER_SAMPLE_COLUMNS,
    Column,
    ColumnKind,
)

SCHEMA_VERSION: Final = 1
TOOL: Final = f"vllm-benchmark {__version__}"

Part = Literal["requests", "chunks", "workers", "server"]
PART_COLUMNS: Final[dict[Part, tuple[Column, ...]]] = {
    "requests": REQUEST_COLUMNS,
    "chunks": CHUNK_COLUMNS,
    "workers": WORKER_SAMPLE_COLUMNS,
    "server": SERVER_SAMPLE_COLUMNS,
}

_PLAIN: Final[dict[ColumnKind, "pa.DataType"]] = {
    "int64": pa.int64(),
    "int32": pa.int32(),
    "int16": pa.int16(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "string": pa.string(),
}


def journal_schema(part: Part) -> pa.Schema:
    """Return the schema of a journal stream: categories are plain strings, so that any batch stands by itself."""
    return _schema(PART_COLUMNS[part], pa.string())


def parquet_schema(part: Part, *, simulated: bool) -> pa.Schema:
    """Return the schema of a Parquet file: categories are dictionaries; the file says what wrote it and of what."""
    category: pa.DictionaryType[Any, Any, Any] = pa.dictionary(pa.int32(), pa.string())
    return _schema(PART_COLUMNS[part], category).with_metadata(file_metadata(simulated=simulated))


def not_written(found: Collection[str], part: Part) -> frozenset[str] | None:
    """Return the columns of a part that are not among those found: an older version did not know them, and they may be
    null. None when other columns are missing, or there are some that this version does not know.
    """
    ours = journal_schema(part)
    missing = frozenset(ours.names).difference(found)
    known = missing.union(found) == set(ours.names)
    return missing if known and all(ours.field(name).nullable for name in missing) else None


def with_nulls(batch: "pa.RecordBatch", schema: pa.Schema) -> "pa.RecordBatch":
    """Return the batch with the columns of this schema, all null where it lacks them."""
    columns = [
        batch.column(field.name) if field.name in batch.schema.names else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def file_metadata(*, simulated: bool) -> dict[bytes | str, bytes | str]:
    """Return the metadata of every Parquet file of ours."""
    return {
        "schema_version": str(SCHEMA_VERSION),
        "simulated": "true" if simulated else "false",
        "tool": TOOL,
        "clock": "marks are integer nanoseconds of the host's monotonic clock",
    }


def _schema(columns: Sequence[Column], category: "pa.DataType") -> pa.Schema:
    return pa.schema(
        [
            pa.field(column.name, category if column.kind == "category" else _PLAIN[column.kind], column.nullable)
            for column in columns
        ]
    )
