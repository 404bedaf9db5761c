"""What a run's requests show beyond its summary: lengths against those asked for, and prompt tokens out of a cache."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from inference_bench.errors import RunFolderError
from inference_bench.metrics.columns import Bools, RequestColumns
from inference_bench.results.finalise import REQUESTS
from inference_bench.results.folder import RunFolder

_NEEDED = ("test", "service", "warmup", "in_window", "ok")
_OPTIONAL = ("max_tokens", "output_tokens", "prompt_tokens", "cached_tokens")  # older runs may lack some


@dataclass(frozen=True, slots=True)
class Observed:
    """The good requests of one service in one test's window.

    Of `answers`, `counted` had their output tokens told and `exact` of those have the length asked for.
    `cached_tokens` is None when no request told its cached tokens; `prompt_tokens` are those of the requests that did.
    """

    answers: int = 0
    counted: int = 0
    exact: int = 0
    prompt_tokens: int = 0
    cached_tokens: int | None = None

    @property
    def cached_share(self) -> float | None:
        """The share of prompt tokens that came from a cache; None where none was told."""
        return (
            self.cached_tokens / self.prompt_tokens if self.cached_tokens is not None and self.prompt_tokens else None
        )


Observations = Mapping[tuple[str, str], Observed]


def observe(folder: RunFolder) -> dict[tuple[str, str], Observed]:
    """Return what each (test, service) of a run shows; empty for a run without requests.parquet.

    Raises:
        RunFolderError: the table is damaged.
    """
    path = folder.file(REQUESTS)
    if not path.is_file():
        return {}
    found: dict[tuple[str, str], Observed] = {}
    try:
        with pq.ParquetFile(path) as file:
            names = [name for name in (*_NEEDED, *_OPTIONAL) if name in file.schema_arrow.names]
            for group in range(file.num_row_groups):
                for key, part in _counted(file.read_row_group(group, columns=names, use_threads=False)).items():
                    found[key] = _added(found.get(key, Observed()), part)
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise RunFolderError(f"{path} is missing or damaged") from error
    return found


def _counted(table: pa.Table) -> dict[tuple[str, str], Observed]:
    """Return the counts of one row group."""
    for name in _OPTIONAL:
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(table.num_rows, pa.int32()))
    columns = RequestColumns(table)
    good = columns.flag("ok") & columns.flag("in_window") & ~columns.flag("warmup")
    found = {}
    for test in columns.distinct("test"):
        of_test = good & _equal(table, "test", test)
        for service in columns.distinct("service"):
            mine = of_test & _equal(table, "service", service)
            if mine.any():
                found[test, service] = _observed(columns, mine)
    return found


def _observed(columns: RequestColumns, mine: Bools) -> Observed:
    asked, output, prompt, cached = (columns.whole(name) for name in _OPTIONAL)
    counted = mine & asked.known & output.known
    told = mine & prompt.known & cached.known
    return Observed(
        answers=int(np.count_nonzero(mine)),
        counted=int(np.count_nonzero(counted)),
        exact=int(np.count_nonzero(counted & (asked.value == output.value))),
        prompt_tokens=int(prompt.value[told].sum()),
        cached_tokens=int(cached.value[told].sum()) if told.any() else None,
    )


def _equal(table: pa.Table, name: str, value: str) -> Bools:
    same = pc.equal(table.column(name).cast(pa.string()), pa.scalar(value))
    return np.asarray(same.to_numpy(), dtype=np.bool_)


def _added(one: Observed, other: Observed) -> Observed:
    cached = [part.cached_tokens for part in (one, other) if part.cached_tokens is not None]
    return Observed(
        answers=one.answers + other.answers,
        counted=one.counted + other.counted,
        exact=one.exact + other.exact,
        prompt_tokens=one.prompt_tokens + other.prompt_tokens,
        cached_tokens=sum(cached) if cached else None,
    )
