"""What a document shows, as plain values: both writers (HTML and Markdown) read the same. Nothing is computed here.

Texts are plain: they may hold what a server sent, cleaned and bounded but not escaped. A missing figure is a cell that
says why.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Tone = Literal["plain", "good", "bad", "warn", "muted"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: its text, and a smaller line below it (an interval, an n, a reason)."""

    text: str
    below: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Head:
    """A column's head; `slot` is the number of the service it is about, which gives it its colour."""

    text: str
    slot: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A row: its label and its cells. A row without cells is the head of a group."""

    label: str
    cells: tuple[Cell, ...] = ()
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table; `caption` says what it shows to those who do not see it."""

    caption: str
    heads: tuple[Head, ...]
    rows: tuple[Row, ...]
    numeric: bool = True


@dataclass(frozen=True, slots=True)
class Banner:
    """Something a reader must know before any figure."""

    tone: Literal["simulated", "bad", "warn", "note"]
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Point:
    """A short statement with its name."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to take away: a headline, two sentences, and how sure they are."""

    headline: str
    tone: Literal["good", "plain", "bad"]
    sentences: tuple[str, ...]
    sure: tuple[Point, ...] = ()
    winner: int | None = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """An interval on a drawn axis, in per cent of its width; `cut` where it goes on beyond the axis."""

    low: float
    middle: float
    high: float
    cut_low: bool = False
    cut_high: bool = False


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis, in per cent of its width; a minor one gives way on a narrow screen."""

    at: float
    text: str
    minor: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """A logarithmic axis of advantages, a's to the left and b's to the right: which band is too small to name."""

    one: float
    band: tuple[float, float]
    ticks: tuple[Tick, ...]


@dataclass(frozen=True, slots=True)
class Contest:
    """Two services on the metric that decides a test. `slot` is the better one's."""

    test: str
    metric: str
    a: str
    b: str
    slots: tuple[int | None, int | None]
    verdict: str
    kind: str
    better: int | None
    sentence: str
    interval: Drawn | None
    figures: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One service's value as a bar from zero; `interval` is its confidence interval."""

    name: str
    slot: int | None
    text: str
    below: str
    width: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class BarGroup:
    """The services side by side on one value; `target` is where a target line stands."""

    title: str
    direction: str
    bars: tuple[Bar, ...]
    target: Tick | None = None


@dataclass(frozen=True, slots=True)
class ServiceView:
    """A service: how it was reached, and what it told of itself (name, value)."""

    name: str
    slot: int | None
    rows: tuple[Point, ...]
    told: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """A fairness note."""

    weight: Literal["note", "warning"]
    text: str
    test: str | None = None


@dataclass(frozen=True, slots=True)
class TestView:
    """A test: what was asked of it, whether it can be trusted, its figures."""

    name: str
    anchor: str
    kind: str
    load: str
    validity: str
    reasons: tuple[str, ...]
    silent: tuple[str, ...] = ()
    bars: tuple[BarGroup, ...] = ()
    figures: Table | None = None
    comparison: Table | None = None
    errors: Table | None = None
    sanity: Table | None = None
    promises: Table | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SweepView:
    """A sweep: a row for each load and service; `doubts` are the points that are not valid. `charts` go with it."""

    name: str
    anchor: str
    words: str
    table: Table
    note: str
    doubts: tuple[str, ...]
    charts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CapacityView:
    """A search for capacity: what was promised, the answers, what ended each search, and every load tried."""

    name: str
    anchor: str
    promise: str
    sentence: str
    table: Table
    limits: tuple[Point, ...]
    rule: str
    probes: Table
    note: str
    chart: str


@dataclass(frozen=True, slots=True)
class CostView:
    """What tokens cost and how many users a replica serves, with what each figure rests on."""

    table: Table
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Definition:
    """A metric's definition."""

    id: str
    unit: str
    better: str
    words: str
    formula: str
    source: str
    missing: str


@dataclass(frozen=True, slots=True)
class Report:
    """A whole document. `numbers` maps a service's name to its number, by which it is coloured everywhere."""

    title: str
    subtitle: str
    test_id: str
    simulated: bool
    banners: tuple[Banner, ...]
    verdict: Verdict
    numbers: Mapping[str, int]
    contests: tuple[Contest, ...] = ()
    axis: Axis | None = None
    bars: tuple[BarGroup, ...] = ()
    fairness: tuple[Note, ...] = ()
    capacities: tuple[CapacityView, ...] = ()
    sweeps: tuple[SweepView, ...] = ()
    validity: Table | None = None
    gates_said: str = ""
    gates: Table | None = None
    cost: CostView | None = None
    scores: Table | None = None
    score_notes: tuple[str, ...] = ()
    services: tuple[ServiceView, ...] = ()
    tests: tuple[TestView, ...] = ()
    method: tuple[Point, ...] = ()
    environment: tuple[Point, ...] = ()
    limits: tuple[str, ...] = ()
    definitions: tuple[Definition, ...] = ()
