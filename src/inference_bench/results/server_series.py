"""What the servers told of themselves during a run, as series over time: reading `server_metrics.parquet`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from inference_bench.errors import RunFolderError
from inference_bench.metrics.columns import Floats, Ints
from inference_bench.results.folder import RunFolder
from inference_bench.results.resumed import TABLES
from inference_bench.results.schema import parquet_schema

Words = npt.NDArray[np.object_]


def load_server_samples(folder: RunFolder) -> pa.Table:
    """Return what the servers told (columns of SERVER_SAMPLE_COLUMNS); empty in a run in which none told anything.

    Raises:
        RunFolderError: the file is damaged.
    """
    path = folder.file(TABLES["server"])
    try:
        return pq.read_table(path)
    except FileNotFoundError:
        return parquet_schema("server", simulated=False).empty_table()
    except (OSError, pa.ArrowInvalid) as error:
        raise RunFolderError(f"{path} is damaged") from error


@dataclass(frozen=True, slots=True)
class Turn:
    """What one service told when a turn began and when it had ended, and the moments of both, in ns."""

    start_ns: int
    end_ns: int
    before: dict[str, float]
    after: dict[str, float]

    def grown(self, name: str) -> float | None:
        """Return by how much a counter has grown; None where it is not told. A series that was not there was 0."""
        return self.after[name] - self.before.get(name, 0.0) if name in self.after else None


class ServerSeries:
    """The samples of one service."""

    def __init__(self, samples: pa.Table, service: str) -> None:
        mine = samples.filter(pc.equal(samples.column("service").cast(pa.string()), pa.scalar(service)))
        mine = mine.take(pc.sort_indices(mine, sort_keys=[("at_ns", "ascending")]))
        self._at: Ints = np.asarray(mine.column("at_ns").to_numpy(), dtype=np.int64)
        self._value: Floats = np.asarray(mine.column("value").to_numpy(), dtype=np.float64)
        self._name, self._test, self._edge = (_words(mine, name) for name in ("name", "test", "edge"))

    def __len__(self) -> int:
        return int(self._at.size)

    def level(self, name: str) -> tuple[Ints, Floats]:
        """Return when a value was told, in ns, and the values."""
        chosen = self._name == name
        return self._at[chosen], self._value[chosen]

    def inside(self, name: str, windows: Sequence[tuple[int, int]]) -> Floats:
        """Return the values of a name that were told in these windows."""
        at, value = self.level(name)
        chosen = np.zeros(at.shape, dtype=np.bool_)
        for start, end in windows:
            chosen |= (at >= start) & (at < end)
        return value[chosen]

    def turns(self, test: str) -> list[Turn]:
        """Return the turns of a test of which both ends are told, in their order."""
        found: list[Turn] = []
        opened: tuple[int, dict[str, float]] | None = None
        for at_ns, side, told in self._edges(test):
            if side == "start":
                opened = (at_ns, told)
            elif opened is not None:
                found.append(Turn(opened[0], at_ns, opened[1], told))
                opened = None
        return found

    def _edges(self, test: str) -> Iterator[tuple[int, str, dict[str, float]]]:
        rows = np.flatnonzero(self._test == test)
        if not rows.size:
            return
        moments, first = np.unique(self._at[rows], return_index=True)
        for at_ns, group in zip(moments.tolist(), np.split(rows, first[1:]), strict=True):
            yield (
                at_ns,
                str(self._edge[group[0]]),
                dict(zip(self._name[group], self._value[group].tolist(), strict=True)),
            )


def _words(table: pa.Table, name: str) -> Words:
    return np.asarray(table.column(name).cast(pa.string()).to_numpy(), dtype=np.object_)
