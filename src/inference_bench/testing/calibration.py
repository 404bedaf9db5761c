"""A load test's shape, short and of known answers: what a machine is calibrated with before it measures.

The load (users, or rate and arrivals), the prompts and the number of workers are those of the test. The answers are
shortened so that a calibration takes about ten seconds, and they come at a fixed pace, so that how late our marks are
can be told from the server's own write stamps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from inference_bench.metrics.columns import NS_PER_MS, Floats
from inference_bench.results.trust import ErrorFigures, Verdict
from inference_bench.testing.plan import LoadPlan, TtftPlan, plan_load
from inference_bench.testing.rendering import TestShape
from inference_bench.workloads.items import WorkItem, Workload
from inference_bench.workloads.sessions import SessionWorkload

TTFT_MS: Final = 100.0
GAP_MS: Final = 20.0
TOKENS: Final = 64  # an answer lasts 1.4 s
STEADY_SECONDS: Final = 5.0
START_SECONDS: Final = 1.5  # of the null server, the workers, and writing out
SUSPECT_MS: Final = 5.0  # the error of TTFT at p99
INVALID_MS: Final = 20.0
P99_FROM: Final = 100


class WriteStamps(NamedTuple):
    """When a null server wrote the tokens with text of one answer, and how late each was by its own plan, in ns."""

    written: Sequence[int]
    late: Sequence[int]


@dataclass(frozen=True, slots=True)
class _Shortened:
    """A workload whose answers have a most; of conversations, the first turns."""

    workload: Workload | SessionWorkload
    most: int

    @property
    def name(self) -> str:
        return self.workload.name

    @property
    def notes(self) -> tuple[str, ...]:
        return self.workload.notes

    @property
    def prefix_words(self) -> tuple[str, ...] | None:
        return self.workload.prefix_words

    def item(self, index: int) -> WorkItem:
        if isinstance(self.workload, SessionWorkload):
            session = self.workload.session(index)
            return WorkItem(session.opening(), self.most, session.category)
        item = self.workload.item(index)
        asked = self.most if item.max_tokens is None else min(self.most, item.max_tokens)
        return replace(item, max_tokens=asked)


def calibrated_tests(tests: Sequence[TtftPlan | LoadPlan]) -> list[LoadPlan]:
    """Return the load tests to calibrate: each, and of a sweep only the one with the largest load."""
    chosen: dict[str, LoadPlan] = {}
    for test in tests:
        if isinstance(test, LoadPlan):
            key = test.name if test.sweep is None else f"{test.sweep}@"
            before = chosen.get(key)
            if before is None or (test.users or test.peak_rate) > (before.users or before.peak_rate):
                chosen[key] = test
    return list(chosen.values())


def calibration_plan(test: LoadPlan, seed: int) -> LoadPlan:
    """Return the short plan for one service that asks like a test: its users, or its arrivals at its highest rate."""
    settings = test.settings
    tokens = min(TOKENS, settings.max_tokens)
    changes: dict[str, object] = {
        "duration_seconds": min(STEADY_SECONDS, settings.duration_seconds or STEADY_SECONDS),
        "requests": None,
        "rounds": 1,
        "warmup_requests": 0,
        "max_tokens": tokens,
        # Users who all begin at once would stay in step: a real server's answers differ, the null server's do not.
        "ramp_up_seconds": answer_seconds(tokens),
        "workload": None,
    }
    if test.open_loop:
        changes["rate"] = test.peak_rate
        if settings.arrivals not in ("constant", "poisson", "gamma"):
            changes |= {"arrivals": "poisson", "burstiness": None, "speed": None}
    # Not validated again: every value is one of a valid test, or one of ours.
    return plan_load(settings.model_copy(update=changes), 1, seed)


def calibration_shape(test: LoadPlan, shape: TestShape) -> TestShape:
    """Return what the requests of a calibration have in common."""
    tokens = min(TOKENS, test.settings.max_tokens)
    return replace(shape, max_tokens=tokens, workload=_Shortened(shape.workload, tokens), starts=())


def answer_seconds(tokens: int) -> float:
    """Return how long the null server takes for an answer."""
    return (TTFT_MS + GAP_MS * (tokens - 1)) / 1000


def calibration_seconds(tests: Sequence[TtftPlan | LoadPlan]) -> float:
    """Estimate how long calibrating for these tests takes."""
    found = 0.0
    for test in calibrated_tests(tests):
        answer = answer_seconds(min(TOKENS, test.settings.max_tokens))
        found += START_SECONDS + min(STEADY_SECONDS, test.settings.duration_seconds or STEADY_SECONDS) + 2 * answer
    return found


def load_words(test: LoadPlan) -> str:
    """Say the load of a test in a few words."""
    if test.users is not None:
        return f"{test.users:,} {'user' if test.users == 1 else 'users'}"
    return f"{test.peak_rate:g} requests/s"


def mark_errors(requests: pa.Table, stamps: Mapping[str, WriteStamps]) -> tuple[Floats, Floats, Floats]:
    """Return by how much (ms) our TTFT and TPOT differ from the null server's write stamps, and how late it was.

    Only good requests of the steady window count; a request without stamps is left out.
    """
    names = ("request_id", "first_token_ns", "last_token_ns", "ok", "in_window")
    ttft: list[float] = []
    tpot: list[float] = []
    late: list[Sequence[int]] = []
    for name, first, last, ok, inside in zip(*(requests.column(one).to_pylist() for one in names), strict=True):
        truth = stamps.get(name)
        if not ok or not inside or truth is None or not truth.written:
            continue
        written = truth.written
        ttft.append((first - written[0]) / NS_PER_MS)
        late.append(truth.late)
        if len(written) > 1:
            tpot.append(abs((last - first) - (written[-1] - written[0])) / (len(written) - 1) / NS_PER_MS)
    whole = np.concatenate([np.asarray(one, dtype=np.float64) for one in late]) / NS_PER_MS if late else np.empty(0)
    return np.asarray(ttft, dtype=np.float64), np.asarray(tpot, dtype=np.float64), whole


def error_figures(values: Floats) -> ErrorFigures | None:
    """Return the figures of a difference; None without a value, no p99 of fewer than 100."""
    if not values.size:
        return None
    p99 = float(np.percentile(values, 99)) if values.size >= P99_FROM else None
    return ErrorFigures(n=int(values.size), p50=float(np.median(values)), p99=p99, max=float(values.max()))


def judged(verdict: Verdict, reasons: Sequence[str], error: ErrorFigures | None) -> tuple[Verdict, tuple[str, ...]]:
    """Return the verdict on a calibration: that of its own signs, or worse by what our marks were wrong by."""
    if error is None:
        return "invalid", ("the null server gave no good answer in the window", *reasons)
    worst = error.max if error.p99 is None else error.p99
    if worst <= SUSPECT_MS:
        return verdict, tuple(reasons)
    name = "p99" if error.p99 is not None else "the most"
    said = f"TTFT was {worst:.1f} ms too late ({name})"
    if worst > INVALID_MS:
        return "invalid", (said, *reasons)
    return ("invalid" if verdict == "invalid" else "suspect"), (*reasons, said)
