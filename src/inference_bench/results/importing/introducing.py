"""What an imported run says of itself: its manifest, with a note for all that is not known or defined differently."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from inference_bench import __version__
from inference_bench.metrics.columns import NS_PER_S
from inference_bench.results.environment import Environment
from inference_bench.results.folder import RunFolder
from inference_bench.results.importing.definitions import TITLES, Basis, definitions_of, goodput_words
from inference_bench.results.importing.fields import one_line
from inference_bench.results.importing.files import digest, size_of
from inference_bench.results.importing.journaling import Span
from inference_bench.results.importing.model import Foreign, ForeignTest
from inference_bench.results.manifest import ClockAnchor, ImportedFrom, Manifest, PlannedTest, ServiceFacts, Window

UNKNOWN_ENGINE: Final = "unknown"
UNNAMED_SERVICE: Final = "imported"
NOT_TOLD: Final = "not told"
_Spans = Mapping[str, Span]


@dataclass(frozen=True, slots=True)
class ImportAs:
    """What the user says of a file: the run's name, the service's engine (and name), the name of its tests."""

    name: str | None = None
    engine: str | None = None
    test: str = "load"


@dataclass(frozen=True, slots=True)
class Imported:
    """A foreign file with its tests by their names here, what the user said of it, and the time of the run."""

    foreign: Foreign
    tests: Mapping[str, ForeignTest]
    said: ImportAs
    when: datetime

    @property
    def engine(self) -> str:
        """The engine that was measured, as far as anybody told."""
        return self.said.engine or UNKNOWN_ENGINE

    @property
    def service(self) -> str:
        """The service's name here."""
        return self.said.engine or UNNAMED_SERVICE


def manifest_of(
    folder: RunFolder, imported: Imported, windows: Mapping[str, dict[str, tuple[Window, ...]]], spans: _Spans
) -> Manifest:
    """Return the manifest of a run that is being made. Raises UsageError when the file cannot be read any more."""
    foreign, tests, said = imported.foreign, imported.tests, imported.said
    sha256 = digest(foreign.path)
    facts = ServiceFacts(
        name=imported.service,
        engine=imported.engine,
        model=foreign.model,
        url=foreign.url or NOT_TOLD,
        simulated=bool(foreign.simulated),
    )
    several = len(tests) > 1
    return Manifest(
        test_id=folder.test_id,
        name=said.name or f"{TITLES[foreign.tool]}: {one_line(foreign.path.name)}",
        created=imported.when,
        clock=ClockAnchor(wall_ns=round(imported.when.timestamp() * NS_PER_S), monotonic_ns=0),
        stamp_source="read",
        status="running",
        simulated=bool(foreign.simulated),
        seed=0,
        nonce=sha256[:16],
        config={},
        environment=_nobody_told(),
        services=(facts,),
        plan=tuple(
            PlannedTest(name=name, kind="load", rounds=1, load=test.load, sweep=said.test if several else None)
            for name, test in tests.items()
        ),
        windows=dict(windows),
        imported=ImportedFrom(
            tool=foreign.tool,
            version=foreign.version,
            file=one_line(foreign.path.name),
            bytes=size_of(foreign.path),
            sha256=sha256,
            with_requests=tuple(windows),
        ),
        notes=tuple(_notes(imported, windows, spans)),
    )


def _nobody_told() -> Environment:
    """Return an environment that says nothing: where a tool measured, its file does not tell."""
    return Environment(
        host=NOT_TOLD,
        os=NOT_TOLD,
        kernel=NOT_TOLD,
        architecture=NOT_TOLD,
        cpu=None,
        cores=None,
        usable_cores=None,
        memory_bytes=None,
        python=NOT_TOLD,
        tool_version=__version__,
        packages={},
        git=None,
    )


def _notes(imported: Imported, with_requests: Collection[str], spans: _Spans) -> list[str]:
    foreign, tests = imported.foreign, imported.tests
    title = TITLES[foreign.tool]
    notes = [f"{title}: {note}" for note in foreign.notes]
    if foreign.started is None:
        notes.append(f"{title} does not tell when it measured: the time of this run is that of its import")
    if foreign.simulated is None:
        notes.append(f"{title} does not tell whether the engine was simulated")
    without = [name for name in tests if name not in with_requests]
    if without:
        notes.append(f"{', '.join(without)}: figures without requests, by the tool's own formulas")
    for name, span in spans.items():
        if span.unordered:
            notes.append(f"{name}: the marks of {span.unordered} requests run backwards in time and were left out")
        if span.unplaced:
            notes.append(f"{name}: {span.unplaced} requests have no mark in this run's time and were left out")
    for name, test in tests.items():
        if test.goodput_per_s is not None:
            notes.append(f"{name}: {goodput_words(foreign.tool, test.goodput_per_s)}")
    bases: list[Basis] = []
    if with_requests:
        bases.append("marks")
    if without:
        bases.append("reported")
    return notes + [one.words for one in definitions_of(foreign.tool, bases)]
