"""A run folder as charts want it: its summary and comparison, and bounded samples of its records.

Everything is read from the folder; nothing else is needed. Records are read for one test and service at a time, and
what is kept of them is bounded, whatever the length of the run:

- distributions: `QUANTILES` evenly spaced quantiles of a metric's values;
- timelines: the first `TIMELINE_REQUESTS` requests of a service in a test's window, as they came;
- cadence: counts of token gaps in a grid of position and size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from inference_bench.errors import RunFolderError
from inference_bench.metrics.calculator import MetricsCalculator
from inference_bench.metrics.chunks import ChunkTable
from inference_bench.metrics.columns import NS_PER_MS, NS_PER_S, Floats, Ints, RequestColumns
from inference_bench.metrics.windows import origin
from inference_bench.results.comparing import compare_run
from inference_bench.results.comparison import Comparison, read_comparison
from inference_bench.results.finalise import REQUESTS
from inference_bench.results.folder import Run
from inference_bench.results.importing.definitions import imported_words
from inference_bench.results.summary import ServiceSummary, Summary, TestSummary, read_summary
from inference_bench.results.sweep_rows import measured_tests, sweeps_of
from inference_bench.results.tables import load_chunks, load_requests

QUANTILES: Final = 201
TIMELINE_REQUESTS: Final = 60
CADENCE_POSITIONS: Final = 32
CADENCE_SIZES: Final = 36


@dataclass(frozen=True, slots=True)
class Spread:
    """Evenly spaced quantiles of n values: `values[i]` is the quantile `shares[i]`."""

    n: int
    shares: Floats
    values: Floats


@dataclass(frozen=True, slots=True)
class Lane:
    """One request on a timeline; seconds since the window opened, None where a mark is missing."""

    index: int
    sent_s: float
    first_token_s: float | None
    end_s: float
    ok: bool
    error: str | None


@dataclass(frozen=True, slots=True)
class Cadence:
    """Gaps between chunks by their position in the answer: `shares[size, position]`, each column summing to 1.

    `edges_ms` are the edges of the sizes (geometric), `positions` the first chunk of each column (1 is the first gap).
    """

    gaps: int
    positions: Ints
    edges_ms: Floats
    shares: Floats


class RunData:
    """What charts are drawn from. Raises RunFolderError when the run has no summary or its files are damaged."""

    def __init__(self, run: Run, comparison: Comparison | None = None) -> None:
        self.run = run
        self._given = comparison
        self.manifest = run.manifest
        found = read_summary(run.folder)
        if found is None:
            raise RunFolderError(
                f"{run.folder.test_id} has no summary: it did not run to its end",
                hint=f"results recover {run.folder.test_id} saves what it measured",
            )
        self.summary: Summary = found
        self.services: tuple[str, ...] = tuple(service.name for service in run.manifest.services)

    @property
    def title(self) -> str:
        """The run's id, and where it comes from when another tool measured it."""
        imported = self.manifest.imported
        test_id = self.run.folder.test_id
        if imported is None:
            return test_id
        return f"{test_id} · IMPORTED: measured by another client; {imported_words(imported)}"

    @property
    def simulated(self) -> bool:
        """Whether anything in the run came from a simulator."""
        return self.summary.simulated or self.manifest.simulated

    @cached_property
    def tests(self) -> tuple[TestSummary, ...]:
        """The tests in the order in which they ran; the loads that a search for capacity tried are none of them."""
        return tuple(measured_tests(self.summary))

    @property
    def no_test(self) -> str:
        """Why there is no test to draw."""
        return "the run searched for capacities only" if self.summary.capacity else "the run has no test"

    @cached_property
    def sweeps(self) -> Mapping[str, Sequence[TestSummary]]:
        """The points of each sweep, in order of load."""
        return sweeps_of(self.summary)

    def services_of(self, test: TestSummary) -> tuple[str, ...]:
        """Return the services that take part in a test, in the order of the run."""
        return tuple(name for name in self.services if name in test.services)

    @cached_property
    def comparison(self) -> Comparison:
        """The run's comparison: the given one, its file's, or made now for a run that has none."""
        return self._given or read_comparison(self.run.folder) or compare_run(self.run.folder)

    @property
    def has_records(self) -> bool:
        """Whether the requests themselves are there."""
        return self.run.folder.file(REQUESTS).is_file()

    def service(self, test: TestSummary, name: str) -> ServiceSummary | None:
        """Return one service's figures in a test."""
        return test.services.get(name)

    def spread(self, test: str, service: str, metric: str) -> Spread | None:
        """Return the quantiles of a per-request metric; None without values or records."""
        calculator = self._calculator(test, service)
        values = calculator.values(metric) if calculator is not None else np.empty(0)
        if not values.size:
            return None
        shares = np.linspace(0, 1, min(QUANTILES, max(2, values.size)))
        return Spread(int(values.size), shares, np.quantile(values, shares))

    def lanes(self, test: str, service: str) -> list[Lane]:
        """Return the first requests of a service in the test's first window, in the order in which they were sent."""
        windows = self.manifest.window_bounds(test, service)
        if not windows or not self.has_records:
            return []
        opens, closes = min(windows)
        columns = RequestColumns(load_requests(self.run.folder, test=test, service=service))
        begun, first, end = origin(columns), columns.whole("first_token_ns"), columns.whole("end_ns")
        counted = begun.known & end.known & ~columns.flag("warmup")
        inside = counted & (begun.value >= opens) & (begun.value < closes)
        chosen = np.flatnonzero(inside)[np.argsort(begun.value[inside], kind="stable")][:TIMELINE_REQUESTS]
        good, classes = columns.flag("ok"), columns.coded("error_class")
        return [
            Lane(
                index=number,
                sent_s=(int(begun.value[row]) - opens) / NS_PER_S,
                first_token_s=(int(first.value[row]) - opens) / NS_PER_S if first.known[row] else None,
                end_s=(int(end.value[row]) - opens) / NS_PER_S,
                ok=bool(good[row]),
                error=classes.word(row),
            )
            for number, row in enumerate(chosen.tolist())
        ]

    def cadence(self, test: str, service: str, edges_ms: Floats, most: int) -> Cadence | None:
        """Return the gaps of good requests by position (of `most` at most) and size; None without stored chunks."""
        if not self.has_records:
            return None
        requests = load_requests(self.run.folder, test=test, service=service)
        chunks = load_chunks(self.run.folder, requests)
        if chunks is None:
            return None
        columns = RequestColumns(requests)
        counted = columns.flag("ok") & columns.flag("in_window") & ~columns.flag("warmup")
        good = np.sort(columns.whole("seq").value[counted])
        starts = np.unique(np.linspace(1, most + 1, min(CADENCE_POSITIONS, most) + 1).astype(np.int64))
        counts = np.zeros((edges_ms.size - 1, starts.size - 1))
        for piece in ChunkTable(chunks).pieces(good):
            gaps = np.diff(piece.arrival_ns) / NS_PER_MS
            place = np.arange(piece.arrival_ns.size) - np.repeat(piece.starts, piece.lengths)
            inside = place[1:] > 0
            sizes = np.clip(gaps[inside], edges_ms[0], edges_ms[-1])
            counts += np.histogram2d(sizes, place[1:][inside], bins=(edges_ms, starts))[0]
        if not counts.sum():
            return None
        of_column = counts.sum(axis=0)
        shares = np.divide(counts, of_column, out=np.zeros_like(counts), where=of_column > 0)
        return Cadence(int(counts.sum()), starts[:-1], edges_ms, shares)

    def load_tests(self) -> Sequence[TestSummary]:
        """Return the load tests."""
        return [test for test in self.tests if test.kind == "load"]

    def heaviest_first(self) -> Sequence[TestSummary]:
        """Return the load tests, the last as configured first, then the TTFT test: what was cut off at the end leaves
        an earlier test to draw.
        """
        return [*reversed(self.load_tests()), *(test for test in self.tests if test.kind != "load")]

    def _calculator(self, test: str, service: str) -> MetricsCalculator | None:
        windows = self.manifest.window_bounds(test, service)
        if not windows or not self.has_records:
            return None
        requests = load_requests(self.run.folder, test=test, service=service)
        return MetricsCalculator(requests, None, windows=windows)
