"""What a simulated engine counts, and the Prometheus text format. An engine's own names for it stand in its dialect."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from inference_bench.simulator.profile import NS_PER_S

Labels = Mapping[str, str]


class Histogram:
    """A Prometheus histogram: counts per upper bound, a sum and a count."""

    __slots__ = ("bounds", "count", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0
        self.count = 0

    def observe(self, value: float) -> None:
        """Take one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value
        self.count += 1

    def cumulative(self) -> list[tuple[str, int]]:
        """Return (le label, number of values up to it), the last one `+Inf`."""
        total = 0
        rows: list[tuple[str, int]] = []
        for bound, number in zip((*map(_bound_text, self.bounds), "+Inf"), self.counts, strict=True):
            total += number
            rows.append((bound, total))
        return rows


class ServingStats:
    """Counts and times of one engine's generation requests.

    `bounds` gives each histogram its buckets by name; the names are the keys a dialect asks for.
    """

    TIMES = ("ttft", "itl", "e2e", "queue", "prefill", "decode", "inference", "tpot")
    SIZES = ("prompt_tokens", "output_tokens", "max_tokens", "batch_size")

    def __init__(self, bounds: Mapping[str, Sequence[float]]) -> None:
        self.histograms = {name: Histogram(bounds[name]) for name in (*self.TIMES, *self.SIZES)}
        self.finished: dict[str, int] = {}
        self.failed: dict[str, int] = {}
        self.received = 0
        self.prompt_tokens = 0
        self.output_tokens = 0
        self._itl = self.histograms["itl"]

    def token(self, gap_ns: int | None) -> None:
        """Count one generated token; `gap_ns` is the time since the same request's token before it."""
        self.output_tokens += 1
        if gap_ns is not None:
            self._itl.observe(gap_ns / NS_PER_S)

    def observe_ns(self, name: str, value_ns: int) -> None:
        """Take one duration given in nanoseconds."""
        self.histograms[name].observe(value_ns / NS_PER_S)

    def fail(self, reason: str) -> None:
        """Count one request that was not answered properly."""
        self.failed[reason] = self.failed.get(reason, 0) + 1

    def finish(self, reason: str) -> None:
        """Count one request answered to its end."""
        self.finished[reason] = self.finished.get(reason, 0) + 1


class Exposition:
    """Builds a page in the Prometheus text format, version 0.0.4."""

    def __init__(self, *, help_lines: bool = True) -> None:
        self._lines: list[str] = []
        self._help = help_lines

    def metric(self, name: str, kind: str, help_text: str, samples: Iterable[tuple[Labels, float]]) -> None:
        """Add one counter or gauge. `name` is the sample's full name, with `_total` where the engine has it."""
        self._head(name, kind, help_text)
        self._lines += [f"{name}{_labels(labels)} {_value(value)}" for labels, value in samples]

    def histogram(self, name: str, help_text: str, labels: Labels, histogram: Histogram) -> None:
        """Add one histogram."""
        self._head(name, "histogram", help_text)
        for bound, number in histogram.cumulative():
            self._lines.append(f"{name}_bucket{_labels({**labels, 'le': bound})} {_value(number)}")
        self._lines.append(f"{name}_count{_labels(labels)} {_value(histogram.count)}")
        self._lines.append(f"{name}_sum{_labels(labels)} {_value(histogram.sum)}")

    def text(self) -> str:
        """Return the page."""
        return "\n".join(self._lines) + "\n"

    def _head(self, name: str, kind: str, help_text: str) -> None:
        if self._help:
            self._lines.append(f"# HELP {name} {help_text}")
        self._lines.append(f"# TYPE {name} {kind}")


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    pairs = ",".join(f'{name}="{_escape(value)}"' for name, value in sorted(labels.items()))
    return "{" + pairs + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _value(value: float) -> str:
    return repr(float(value))


def _bound_text(bound: float) -> str:
    return repr(float(bound))
