"""The server's own times beside ours, of the same requests: what was queue, prefill, decode, network, client.

Two sources. Counters of a metrics page are read when nothing is under way, before and after each turn, so that their
growth is that of the turn's requests; a mean is the growth of a sum by the growth of its count. Durations that stand in
the answers themselves belong to single requests; they are taken of the steady windows. Where both tell something, the
one that tells more parts is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from inference_bench.api.engine_metrics import TIMES
from inference_bench.metrics.columns import Bools, Floats, Records, RequestColumns
from inference_bench.metrics.windows import in_window
from inference_bench.results.server_facts import LevelFacts, MeanFacts, PartFacts, ServerFacts, Source
from inference_bench.results.server_series import ServerSeries, Turn

TOLERANCE = 0.02  # of the requests, by which the server's count may differ from ours
_OF_ANSWERS = ("queue_ms", "load_ms", "prefill_ms", "decode_ms", "total_ms")
_OF_FIRST = ("queue_ms", "load_ms", "prefill_ms")
_LONGEST_LOOK_NS = 5_000_000_000  # from asking a page for an opening sample until it is there, at most
_Windows = Sequence[tuple[int, int]]


@dataclass(slots=True)
class _Told:
    """The server's means in ms by the names of PartFacts' fields, its total, and of which requests of ours they are."""

    source: Source
    means: dict[str, float]
    total: float | None
    first_total: float | None
    rows: Bools
    notes: list[str] = field(default_factory=list)

    @property
    def weight(self) -> int:
        """How many parts it tells apart; the total tells the network apart."""
        return len(self.means) + (self.total is not None)


def server_facts_of(
    requests: Records, series: ServerSeries, *, test: str, windows: _Windows, kernel_stamps: bool
) -> ServerFacts | None:
    """Return what the server of these requests (one service in one test) told, beside ours; None where it told nothing.

    `kernel_stamps` says that arrivals are stamped by the kernel, so that the delay until they are read is known.
    """
    columns = RequestColumns(requests)
    turns = series.turns(test)
    counts = _Counts.of(columns, turns)
    answers = _from_answers(columns, windows)
    page = _from_page(counts) if counts.usable else None
    told = max((one for one in (answers, page) if one is not None), key=lambda one: one.weight, default=None)
    if told is None and not len(series):
        return None
    notes = list(counts.notes)
    parts = first = None
    if told is not None:
        parts = _parts(columns, told, "last_token_ns", kernel_stamps=kernel_stamps)
        first = _first_parts(columns, told, kernel_stamps=kernel_stamps)
        notes += told.notes
        if parts is not None and parts.network_ms is not None and parts.network_ms < 0:
            notes.append(
                f"the server's own total exceeds ours by {-parts.network_ms:.3g} ms: "
                "its clock includes work after the last token"
            )
    return ServerFacts(
        running=_level(series, "running", windows),
        waiting=_level(series, "waiting", windows),
        kv_use=_level(series, "kv_use", windows),
        prefix_hit_share=_hit_share(series, counts, windows),
        preemptions=counts.whole("preemptions_total"),
        requests=counts.sent if turns else None,
        counted=counts.counted,
        **{name: counts.mean(f"{name}_s") for name in ("ttft", "queue", "prefill", "decode", "e2e")},
        source=None if parts is None or told is None else told.source,
        parts=parts,
        first_token=first,
        others=counts.others,
        notes=tuple(notes),
    )


@dataclass(slots=True)
class _Counts:
    """What the server's counters grew by over a test's turns, beside how many requests we sent in them."""

    grown: dict[str, float]
    rows: Bools
    sent: int
    ok: int
    counted: int | None
    usable: bool = False
    others: bool = False
    late: bool = False  # a turn's first sample came when requests of it were under way
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, columns: RequestColumns, turns: Sequence[Turn]) -> "_Counts":
        sent = columns.whole("sent_ns")
        rows = np.zeros(len(columns), dtype=np.bool_)
        for turn in turns:
            rows |= sent.known & (sent.value >= turn.start_ns) & (sent.value < turn.end_ns)
        rows &= ~columns.flag("warmup")
        ok = rows & columns.flag("ok")
        grown: dict[str, float] = {}
        for turn in turns:
            for name in turn.after:
                if name.endswith(("_total", "_sum", "_count")):
                    grown[name] = grown.get(name, 0.0) + (turn.grown(name) or 0.0)
        back = any((turn.grown(name) or 0.0) < 0 for turn in turns for name in grown)
        found = cls({} if back else grown, rows, int(rows.sum()), int(ok.sum()), None)
        if back:
            found.notes.append("its counters went back: it was started again, or several servers share this address")
        else:
            found.late = _begun_before_told(columns, turns)
            found._compare(columns)
        return found

    def _compare(self, columns: RequestColumns) -> None:
        """Hold the server's count of requests against ours; where it has none, its count of tokens."""
        count = next((name for name in ("e2e_s", "ttft_s", "queue_s") if f"{name}_count" in self.grown), None)
        if count is None:
            self._compare_tokens(columns)
            return
        self.counted = round(self.grown[f"{count}_count"])
        self.usable = bool(self.ok)
        if self.counted > self.sent * (1 + TOLERANCE):
            self._say_others(f"the server counted {self.counted:,} requests, we sent {self.sent:,}")
        elif self.counted < self.ok * (1 - TOLERANCE):
            self.usable = False
            self.notes.append(
                f"the server counted {self.counted:,} requests, we had {self.ok:,} answered: "
                "several servers share this address, or it counts late; its figures are not put beside ours"
            )
        elif self.usable and self.ok < self.sent:
            failed = self.sent - self.ok
            self.notes.append(
                f"{failed:,} of our requests failed: the server's means may hold some of them, ours do not"
            )

    def _compare_tokens(self, columns: RequestColumns) -> None:
        told = columns.whole("output_tokens")
        counted = self.grown.get("output_tokens_total")
        if counted is None or not self.sent or not bool(told.known[self.rows].all()):
            return
        ours = int(told.value[self.rows].sum())
        # Engines differ by one in what they count as a token of an answer.
        if self.ok == self.sent and counted > ours * (1 + TOLERANCE) + self.sent:
            self._say_others(f"the server counted {counted:,.0f} output tokens, we received {ours:,}")

    def _say_others(self, text: str) -> None:
        self.usable, self.others = False, not self.late
        if self.late:
            self.notes.append(
                f"{text}, but its metrics page answered only after the first requests of a turn were sent: what it had "
                "counted before is not known; its figures are not put beside ours"
            )
            return
        self.notes.append(f"someone else used the server: {text}; its figures are not put beside ours")

    def mean(self, name: str) -> MeanFacts | None:
        """Return the server's mean of a time over the turns, in ms."""
        total, count = self.grown.get(f"{name}_sum"), round(self.grown.get(f"{name}_count", 0.0))
        return MeanFacts(mean_ms=1000 * total / count, n=count) if total is not None and count > 0 else None

    def whole(self, name: str) -> int | None:
        """Return by how much a counter grew."""
        value = self.grown.get(name)
        return None if value is None else round(value)


def _begun_before_told(columns: RequestColumns, turns: Sequence[Turn]) -> bool:
    """Return whether a turn had requests on their way before the sample that opens it had come."""
    sent, rounds = columns.whole("sent_ns"), columns.whole("round").value
    counted = sent.known & ~columns.flag("warmup")
    for turn in turns:
        inside = counted & (sent.value >= turn.start_ns) & (sent.value < turn.end_ns)
        shortly = counted & (sent.value < turn.start_ns) & (sent.value >= turn.start_ns - _LONGEST_LOOK_NS)
        if np.isin(rounds[shortly], rounds[inside]).any():
            return True
    return False


def _from_page(counts: _Counts) -> _Told | None:
    """Return the means of the page, those alone that were counted of all requests."""
    means: dict[str, float] = {}
    for name in TIMES:
        found = counts.mean(name)
        if found is not None and counts.counted and abs(found.n - counts.counted) <= TOLERANCE * counts.counted:
            means[name] = found.mean_ms
    apart = {f"{name}_ms": means[f"{name}_s"] for name in ("queue", "prefill", "decode") if f"{name}_s" in means}
    if "inference_s" in means and not {"prefill_ms", "decode_ms"} <= apart.keys():
        apart = {name: value for name, value in apart.items() if name == "queue_ms"}
        apart["inference_ms"] = means["inference_s"]
    total = means.get("e2e_s")
    if not apart and total is None:
        return None
    return _Told("metrics page", apart, total, means.get("ttft_s"), counts.rows)


def _from_answers(columns: RequestColumns, windows: _Windows) -> _Told | None:
    """Return the means of what stood in the answers, of the good requests of the windows that were told all of it."""
    good = columns.flag("ok") & in_window(columns, windows)
    if not good.any():
        return None
    values = {name: columns.number(f"server_{name}") for name in _OF_ANSWERS}
    known = {name: value for name, value in values.items() if np.isfinite(value[good]).mean() >= 1 - TOLERANCE}
    if not known:
        return None
    rows = good & np.logical_and.reduce([np.isfinite(value) for value in known.values()])
    means = {name: float(value[rows].mean()) for name, value in known.items()}
    total = means.pop("total_ms", None)
    return _Told("each answer", means, total, None, rows)


def _first_parts(columns: RequestColumns, told: _Told, *, kernel_stamps: bool) -> PartFacts | None:
    """Return where the time until the first token goes."""
    means = {name: value for name, value in told.means.items() if name in _OF_FIRST}
    if not means and told.first_total is None:
        return None
    first = _Told(told.source, means, told.first_total, None, told.rows)
    return _parts(columns, first, "first_token_ns", kernel_stamps=kernel_stamps)


def _parts(columns: RequestColumns, told: _Told, mark: str, *, kernel_stamps: bool) -> PartFacts | None:
    """Return the parts that add up to the mean time until `mark`, the client's own part included."""
    ours = columns.elapsed_ms(mark, "sent_ns")
    rows = told.rows & columns.flag("ok") & np.isfinite(ours)
    if not rows.any():
        return None
    mean = float(ours[rows].mean())
    client = _client_ms(columns, rows, mark, kernel_stamps=kernel_stamps)
    apart = sum(told.means.values())
    tail: dict[str, float] = {}
    if told.total is not None:
        tail = {"rest_ms": told.total - apart, "network_ms": mean - told.total}
    else:
        tail = {"untold_ms": mean - apart}
    return PartFacts(n=int(rows.sum()), whole_ms=mean + (client or 0.0), client_ms=client, **told.means, **tail)


def _client_ms(columns: RequestColumns, rows: Bools, mark: str, *, kernel_stamps: bool) -> float | None:
    """Return what this machine added: lateness of the send in an open loop, delay of the read where it is known."""
    found: list[Floats] = []
    late = columns.elapsed_ms("sent_ns", "intended_ns")[rows]
    if np.isfinite(late).all():
        found.append(late)
    read = columns.elapsed_ms(mark.replace("_ns", "_read_ns"), mark)[rows]
    if kernel_stamps and np.isfinite(read).all():
        found.append(read)
    return float(sum(value.mean() for value in found)) if found else None


def _level(series: ServerSeries, name: str, windows: _Windows) -> LevelFacts | None:
    values = series.inside(name, windows)
    return LevelFacts(mean=values.mean(), max=values.max(), samples=values.size) if values.size else None


def _hit_share(series: ServerSeries, counts: _Counts, windows: _Windows) -> float | None:
    """Return the share of prompt tokens that the prefix cache held: as counted over the turns, else as told."""
    hits, queries = counts.grown.get("prefix_hits_total"), counts.grown.get("prefix_queries_total")
    if hits is not None and queries:
        return hits / queries
    told = series.inside("prefix_hit_share", windows)
    return float(told.mean()) if told.size else None
