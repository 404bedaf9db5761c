"""From records to judgement: a service's validity with every sign, its phases, and what a closed loop left out."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from inference_bench.metrics.calculator import MetricsCalculator
from inference_bench.metrics.chunks import ChunkSource
from inference_bench.metrics.columns import Records
from inference_bench.metrics.omission import find_omission, omission_words
from inference_bench.metrics.phases import phases_of
from inference_bench.results.manifest import Manifest, PlannedTest
from inference_bench.results.summary import Validity
from inference_bench.results.trust import CalibrationFacts, OmissionFacts, PhaseFacts, SignFacts, Silence, WatchFacts
from inference_bench.testing.outlet import MOST_UNSENT_BYTES
from inference_bench.testing.signs import Bounds, WorkersView, send_lags_ms, sent_over_asked, workers_view
from inference_bench.testing.turn_lags import TurnLags, turn_lags
from inference_bench.testing.validity import NEAR, Facts, Finding, Judgement, judge, worst

_STALL_PART = 0.5  # of a silence: a client that stood still for so much of it cannot blame the server


@dataclass(frozen=True, slots=True)
class Evidence:
    """The records of one service in one test, and what the manifest says of them. `samples` are all workers'."""

    manifest: Manifest
    test: PlannedTest
    service: str
    requests: Records
    samples: pa.Table

    @property
    def bounds(self) -> Bounds:
        """Its steady windows."""
        return self.manifest.window_bounds(self.test.name, self.service)

    @property
    def open_loop(self) -> bool:
        """Whether the plan said when each request is sent."""
        return self.test.load.arrivals not in (None, "closed")


def validity_of(evidence: Evidence, calculator: MetricsCalculator) -> Validity:
    """Judge one service in one test by its records, its workers' samples, and the calibration where there was one."""
    lag = send_lags_ms(evidence.requests, evidence.bounds)
    ttft = calculator.values("ttft_ms")
    asked = _asked_seconds(evidence)
    workers = workers_view(evidence.samples, evidence.bounds)
    turns = _turn_lags(evidence)
    facts = Facts(
        send_lag_p99_ms=float(np.percentile(lag, 99)) if lag.size else None,
        ttft_median_ms=float(np.median(ttft)) if ttft.size else None,
        rate_sent_over_asked=sent_over_asked(evidence.requests, evidence.bounds),
        merged_first_token_share=calculator.stamps().merged_share,
        worker_wait_share=workers.wait_share,
        clock_step_ms=workers.clock_step_ms,
        window_over_asked=calculator.window_seconds / asked if asked else None,
        longest_stall_ms=workers.longest_stall_ms,
        turn_wait_share=None if turns is None else turns.wait_share,
        longest_turn_lag_ms=None if turns is None else turns.longest_ms,
        unstamped_share=workers.unstamped_share,
    )
    judgement = with_calibration(judge(facts), evidence.manifest.trust.calibration.get(evidence.test.name))
    watch = evidence.manifest.trust.watch.get(evidence.test.name)
    return Validity(
        verdict=judgement.verdict,
        reasons=tuple(judgement.reasons),
        signs=tuple(SignFacts.model_validate(sign, from_attributes=True) for sign in judgement.signs),
        near=(*judgement.near, *(near_limits(watch) if watch is not None else ()), *_unsent(workers)),
        not_watched=tuple(_not_watched(facts, workers, open_loop=evidence.open_loop)),
    )


def _asked_seconds(evidence: Evidence) -> float | None:
    """Return how long the steady windows were to last together: a load that a search chose is tried once or more."""
    seconds = evidence.test.load.duration_seconds
    return None if seconds is None else seconds * (len(evidence.bounds) if evidence.test.probe else 1)


def _turn_lags(evidence: Evidence) -> TurnLags | None:
    load = evidence.test.load
    think_ns = round((load.think_time_seconds or 0.0) * 1e9)
    endless = load.concurrent_users is not None and load.requests is None
    return turn_lags(evidence.requests, evidence.bounds, think_ns=think_ns, endless=endless)


def with_calibration(judgement: Judgement, calibration: CalibrationFacts | None) -> Judgement:
    """Add what the calibration found: a machine that failed against a null server leaves no test at that load valid."""
    if calibration is None or calibration.verdict != "invalid":
        return judgement
    why = calibration.reasons[0] if calibration.reasons else "it was disturbed"
    text = f"calibrated at this load before the run, this machine was invalid itself: {why}"
    found = (*judgement.findings, Finding("calibration", "suspect", text))
    return Judgement(worst(finding.level for finding in found), found, judgement.signs)


def near_limits(watch: WatchFacts) -> list[str]:
    """Say which of this machine's limits the run came near to while the test ran."""
    said: list[str] = []
    if watch.files is not None and watch.files_limit and watch.files >= NEAR * watch.files_limit:
        said.append(f"{watch.files:,} open files in one process, the limit is {watch.files_limit:,}")
    if watch.memory is not None and watch.memory_left is not None:
        whole = watch.memory + watch.memory_left
        if watch.memory >= NEAR * whole:
            said.append(f"{_mib(watch.memory)} of memory used, {_mib(watch.memory_left)} were left")
    if watch.sockets is not None and watch.ports:
        held = watch.sockets + (watch.time_wait or 0)
        if watch.sockets >= NEAR * watch.ports:
            said.append(f"{watch.sockets:,} connections open, this machine has {watch.ports:,} local ports")
        elif held >= NEAR * watch.ports:
            said.append(
                f"{watch.sockets:,} connections open and {watch.time_wait:,} ports held by closed ones (TIME_WAIT), "
                f"this machine has {watch.ports:,} local ports"
            )
    return said


def _unsent(workers: WorkersView) -> list[str]:
    """Say when a worker came near to what it may keep of answers that could not be handed on for decoding."""
    if workers.unsent_bytes is None or workers.unsent_bytes < NEAR * MOST_UNSENT_BYTES:
        return []
    return [
        f"{_mib(workers.unsent_bytes)} of answers waited in a worker to be decoded: from {_mib(MOST_UNSENT_BYTES)} on "
        "it stands still until there is room"
    ]


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"


def _not_watched(facts: Facts, workers: WorkersView, *, open_loop: bool) -> list[str]:
    """Say which signs could not be looked at, and why; what does not apply is not among them."""
    said: list[str] = []
    if open_loop and facts.rate_sent_over_asked is None:
        said.append("not watched: send lag and rate, for nothing was due in the window")
    elif open_loop and facts.send_lag_p99_ms is None:
        said.append("not watched: send lag, for of what was due in the window nothing could be sent")
    if facts.merged_first_token_share is None:
        said.append("not watched: first tokens in merged reads, for there was no good answer")
    if workers.schedstat is None:
        said.append("not watched: the workers and the clock, for no samples of a worker reach over a whole window")
    elif not workers.schedstat:
        said.append(
            "not watched: how long the workers waited for a CPU, for this system does not tell (no schedstat); their "
            "own late wake-ups stand for it"
        )
    return said


def phases_facts(evidence: Evidence) -> PhaseFacts:
    """Return the phases of one service's requests in one test."""
    windows = evidence.manifest.windows.get(evidence.test.name, {}).get(evidence.service, ())
    found = phases_of(evidence.requests, {window.round: (window.start_ns, window.end_ns) for window in windows})
    return PhaseFacts.model_validate(found, from_attributes=True)


def omission_of(evidence: Evidence, calculator: MetricsCalculator, chunks: ChunkSource | None) -> OmissionFacts | None:
    """Return what a closed loop left out while its service was silent; None where there is nothing to say.

    A silence in which a worker of ours stood still is the client's, and validity says so.
    """
    users = evidence.test.load.concurrent_users
    if evidence.open_loop or users is None:
        return None
    found = find_omission(
        evidence.requests,
        chunks,
        calculator.windows,
        users=users,
        ttft_ms=calculator.values("ttft_ms"),
        gap_p90_ms=lambda: calculator.gap_percentile("icl_ms", 90),
    )
    if found is None:
        return None
    stall = workers_view(evidence.samples, evidence.bounds).longest_stall_ms or 0.0
    if stall >= 1000 * _STALL_PART * max(stretch.seconds for stretch in found.silences):
        return None
    rounds = sorted(evidence.manifest.windows[evidence.test.name][evidence.service], key=lambda one: one.start_ns)
    return OmissionFacts(
        silences=tuple(
            Silence(round=rounds[one.window].round, start_s=one.start_s, seconds=one.seconds, users=one.users)
            for one in found.silences
        ),
        count=found.count,
        seconds=found.seconds,
        unsent=found.unsent,
        ttft_p99_ms=found.ttft_p99_ms,
        ttft_p99_estimate_ms=found.ttft_p99_estimate_ms,
        text=omission_words(found),
    )
