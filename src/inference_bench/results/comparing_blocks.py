"""The blocks of a comparison: a service's values in one test, split into what is compared block by block.

In a TTFT test a block asks every service once; in a load test a round is a block. With fewer than three rounds each
round's window is cut into slices of at least three median answers, the same number for both services, and longer ones
where the window holds more than can be of use: long slices depend less on each other, and carry a percentile each.
Which requests count (good, in the window, no warm-up) is the calculator's business.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from inference_bench.metrics.block_values import BlockValues
from inference_bench.metrics.calculator import MetricsCalculator
from inference_bench.metrics.columns import NS_PER_MS, Floats, Ints, RequestColumns
from inference_bench.metrics.definitions import METRICS
from inference_bench.metrics.windows import origin
from inference_bench.results.folder import RunFolder
from inference_bench.results.manifest import Manifest, PlannedTest, TestKind, Window
from inference_bench.results.summary import ServiceSummary
from inference_bench.results.tables import load_chunks, load_requests
from inference_bench.results.values import RATES

FEWEST_BLOCKS: Final = 3
SLICE_ANSWERS: Final = 3  # a slice is at least as long as this many median answers
MOST_SLICES: Final = 24  # of a test
OWN_PRIMARY: Final[Mapping[TestKind, str]] = {"ttft": "ttft_ms.p50", "load": "ttft_ms.p95"}
_ALSO: Final[Mapping[TestKind, tuple[str, ...]]] = {
    "ttft": ("ttft_ms.p95", "tpot_ms.p50", "e2e_ms.p50", "e2e_ms.p95", "output_tok_per_s_user.p50"),
    "load": (
        "ttft_ms.p50",
        "ttft_intended_ms.p95",
        "tpot_ms.p50",
        "icl_ms.p99",
        "e2e_ms.p50",
        "e2e_ms.p95",
        "output_tok_per_s_user.p50",
        *RATES,
    ),
}


class Question(NamedTuple):
    """What is compared: a metric with its statistic, or a rate (no statistic). One is primary in each test."""

    metric: str
    statistic: str | None
    primary: bool

    @property
    def name(self) -> str:
        """The word for it: ttft_ms.p95, requests_per_s."""
        return self.metric if self.statistic is None else f"{self.metric}.{self.statistic}"


def questions(kind: TestKind, primary: str | None = None) -> tuple[Question, ...]:
    """Return what is compared in a test of this kind, the primary metric first; `primary` replaces the test's own."""
    deciding = primary or OWN_PRIMARY[kind]
    names = dict.fromkeys((deciding, OWN_PRIMARY[kind], *_ALSO[kind]))
    return tuple(_question(name, primary=name == deciding) for name in names)


def _question(name: str, *, primary: bool) -> Question:
    if name in RATES:
        return Question(name, None, primary)
    metric, _, statistic = name.partition(".")
    return Question(metric, statistic, primary)


@dataclass(frozen=True, slots=True)
class Measured:
    """One service in one test of one run: its records, ready to be split."""

    name: str
    kind: TestKind
    summary: ServiceSummary
    windows: tuple[Window, ...]
    calculator: MetricsCalculator
    begun_ns: Ints
    block: Ints

    @property
    def median_answer_ns(self) -> float | None:
        """The median e2e of its good answers; None without any."""
        found = self.summary.metrics.get("e2e_ms")
        return None if found is None or found.p50 is None else found.p50 * NS_PER_MS


def measured(
    folder: RunFolder, manifest: Manifest, test: PlannedTest, service: str, summary: ServiceSummary, *, sharing: int = 1
) -> Measured:
    """Read one service's records of one test; `sharing` is how many are compared at a time.

    Raises:
        RunFolderError: the run's tables are damaged.
    """
    requests = load_requests(folder, test=test.name, service=service)
    windows = manifest.windows.get(test.name, {}).get(service, ())
    columns = RequestColumns(requests)
    begun = origin(columns)
    block = columns.whole("block")
    return Measured(
        name=service,
        kind=test.kind,
        summary=summary,
        windows=windows,
        calculator=MetricsCalculator(
            requests,
            load_chunks(folder, requests),
            windows=manifest.window_bounds(test.name, service),
            sharing=sharing,
        ),
        begun_ns=np.where(begun.known, begun.value, -1),
        block=np.where(block.known, block.value, -1),
    )


@dataclass(frozen=True, slots=True)
class Blocks:
    """How a service's records are split: the group of each request (-1: none), how many groups, and what one is.

    `windows` are the groups' own stretches of time where they have some (rounds): rates are taken from them.
    """

    groups: Ints
    count: int
    unit: str
    windows: tuple[Window, ...] = ()


def values(service: Measured, blocks: Blocks, question: Question) -> list[Floats]:
    """Return the values of each block: those of the metric, or the one rate of the block's window."""
    if question.statistic is not None:
        return service.calculator.grouped(question.metric, blocks.groups, blocks.count) if blocks.count else []
    found: list[Floats] = []
    for window in blocks.windows:
        rate = getattr(service.calculator.throughput(((window.start_ns, window.end_ns),)), question.metric)
        found.append(np.empty(0) if rate is None else np.array([rate]))
    return found


def known_of(service: Measured, blocks: Blocks, question: Question) -> BlockValues:
    """Return what a comparison needs of `values`: one side's values are gone before the other's are made."""
    return BlockValues.of(lambda: values(service, blocks, question), question.statistic)


def split_alike(a: Measured, b: Measured) -> tuple[Blocks, Blocks]:
    """Split both services into the same blocks, to be paired by position."""
    if a.kind == "ttft":
        count = max(_by_block(service).count for service in (a, b))
        return Blocks(a.block, count, "block"), Blocks(b.block, count, "block")
    common = common_rounds(a, b)
    of_a, of_b = (_in_rounds(service, common) for service in (a, b))
    if len(common) >= FEWEST_BLOCKS:
        return in_rounds(a, common), in_rounds(b, common)
    width = max((service.median_answer_ns or 0.0) for service in (a, b)) * SLICE_ANSWERS
    shorter = [min(_length(first), _length(second)) for first, second in zip(of_a, of_b, strict=True)]
    counts = _slices(shorter, width)
    return _by_window(a, _cut(of_a, counts), "slice"), _by_window(b, _cut(of_b, counts), "slice")


def split_apart(a: Measured, b: Measured) -> tuple[Blocks, Blocks]:
    """Split services of two runs, in which nothing pairs: by the same rule, and slices of about the same length."""
    if a.kind == "ttft":
        return _by_block(a), _by_block(b)
    if min(len(a.windows), len(b.windows)) >= FEWEST_BLOCKS:
        return in_rounds(a), in_rounds(b)
    width = max((service.median_answer_ns or 0.0) for service in (a, b)) * SLICE_ANSWERS
    cut = [_cut(one.windows, _slices([_length(window) for window in one.windows], width)) for one in (a, b)]
    return _by_window(a, cut[0], "slice"), _by_window(b, cut[1], "slice")


def coarse(blocks: Blocks, question: Question) -> Blocks:
    """Return the blocks for a question; gaps, which are many, are compared in a few blocks put together of the many.

    A block of neighbouring blocks is a block. Resampling millions of gaps a thousand times would take minutes.
    """
    if blocks.count <= MOST_SLICES or not METRICS[question.metric].pooled:
        return blocks
    groups = np.where(blocks.groups >= 0, blocks.groups * MOST_SLICES // blocks.count, -1)
    return Blocks(groups, MOST_SLICES, blocks.unit, blocks.windows)


def whole_run(service: Measured, question: Question) -> Floats:
    """Return everything that was measured as one block: the run's values, or its one rate."""
    if question.statistic is not None:
        return service.calculator.values(question.metric)
    rate = getattr(service.calculator.throughput(), question.metric)
    return np.empty(0) if rate is None else np.array([rate])


def in_rounds(service: Measured, rounds: Sequence[int] | None = None) -> Blocks:
    """Split a load test by its rounds, or some of them, whatever their number."""
    asked = [window.round for window in service.windows] if rounds is None else rounds
    return _by_window(service, _in_rounds(service, asked), "round")


def common_rounds(a: Measured, b: Measured) -> list[int]:
    """Return the rounds that both services completed."""
    return sorted({window.round for window in a.windows} & {window.round for window in b.windows})


def _by_block(service: Measured) -> Blocks:
    return Blocks(service.block, 1 + int(service.block.max(initial=-1)), "block")


def _length(window: Window) -> int:
    return window.end_ns - window.start_ns


def _in_rounds(service: Measured, rounds: Sequence[int]) -> list[Window]:
    by_round = {window.round: window for window in service.windows}
    return [by_round[number] for number in rounds]


def _slices(lengths_ns: Sequence[int], width_ns: float) -> list[int]:
    """Return into how many slices of at least `width_ns` each window is cut."""
    if width_ns <= 0:
        return [0] * len(lengths_ns)
    most = max(1, MOST_SLICES // max(1, len(lengths_ns)))
    return [min(most, int(length // width_ns)) for length in lengths_ns]


def _cut(windows: Sequence[Window], counts: Sequence[int]) -> list[Window]:
    """Cut each window into so many equal slices; in whole nanoseconds, none lost between them."""
    found: list[Window] = []
    for window, count in zip(windows, counts, strict=True):
        length = _length(window)
        edges = [window.start_ns + length * position // count for position in range(count + 1)] if count else []
        found += [Window(round=window.round, start_ns=start, end_ns=end) for start, end in pairwise(edges)]
    return found


def _by_window(service: Measured, windows: Sequence[Window], unit: str) -> Blocks:
    groups = np.full(service.begun_ns.size, -1, dtype=np.int64)
    # Windows of one service do not overlap and are few; slices of one may be some hundred: one search places them all.
    order = sorted(range(len(windows)), key=lambda position: windows[position].start_ns)
    starts = np.array([windows[position].start_ns for position in order], dtype=np.int64)
    ends = np.array([windows[position].end_ns for position in order], dtype=np.int64)
    if starts.size:
        place = np.searchsorted(starts, service.begun_ns, side="right") - 1
        inside = (place >= 0) & (service.begun_ns < ends[np.maximum(place, 0)])
        groups[inside] = np.array(order, dtype=np.int64)[place[inside]]
    return Blocks(groups, len(windows), unit, tuple(windows))
