"""The plan: which requests each service gets, in which order, at which times; made before the run.

A plan is columns and small values, no request bodies: those are rendered a little ahead of their time by the feeder.
Every service gets the same plan.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from inference_bench.config.models import LoadTestSettings, Settings, TtftTestSettings
from inference_bench.errors import ConfigError
from inference_bench.testing.arrivals import RateProfile, offsets_ns, process_of, ramp, steady, steps
from inference_bench.testing.sweeps import expand, selected_loads
from inference_bench.testing.traces import Slice, slices_of

Seconds = npt.NDArray[np.float64]
TraceTimes = Callable[[LoadTestSettings], Seconds]


def seeded(seed: int, *words: object) -> np.random.Generator:
    """Return a generator that depends on the seed and the words alone, the same on every machine."""
    digest = hashlib.blake2b(repr((seed, *words)).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


@dataclass(frozen=True, slots=True)
class TtftPlan:
    """Blocks of single requests: `order[b]` lists the services (by position) in the order block `first` + b asks them.

    `stretch` numbers what is measured without a pause: 0 is the planned test, later ones go on until it is decided.
    """

    name: str
    settings: TtftTestSettings
    order: npt.NDArray[np.int16]  # shape (blocks, services)
    first: int = 0
    stretch: int = 0

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return int(self.order.shape[0])


@dataclass(frozen=True, slots=True)
class Turn:
    """One service's turn in one round of a load test: the same work for every service of the round."""

    round_no: int
    service: int
    steady_seconds: float | None  # None: until `requests` are sent
    requests: int | None


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """Rounds of turns, the order of services rotated from round to round.

    Rounds are numbered from `first` on. `offsets[r]` holds the intended times of round `first` + r in ns from the
    turn's start (open loop; empty in a closed loop). Users and rate of `settings` are one number each: `sweep` names
    the load test of the configuration whose list this plan is a value of. `slices` are the parts of a trace that the
    rounds replay, empty without one. `probe`: the search for a service's capacity chose this load.
    """

    name: str
    settings: LoadTestSettings
    rounds: int
    asked_rounds: int
    turns: tuple[Turn, ...]
    offsets: tuple[npt.NDArray[np.int64], ...]
    first: int = 0
    sweep: str | None = None
    slices: tuple[Slice, ...] = ()
    probe: bool = False

    def intended(self, round_no: int) -> npt.NDArray[np.int64]:
        """Return the intended times of a round, by its number in the run."""
        return self.offsets[round_no - self.first]

    @property
    def open_loop(self) -> bool:
        """Whether requests have intended times."""
        return self.settings.arrivals != "closed"

    @property
    def users(self) -> int | None:
        """Users of a closed loop; None in an open one."""
        users = self.settings.concurrent_users
        assert not isinstance(users, tuple)
        return users

    @property
    def rate(self) -> float | None:
        """Requests per second of an open loop, the mean where it changes; None in a closed one."""
        rate = self.settings.rate
        if self.slices:
            seconds = sum(part.seconds for part in self.slices)
            return sum(part.count for part in self.slices) / seconds
        return _profile(self.settings, 1.0).expected if isinstance(rate, tuple) else rate

    @property
    def peak_rate(self) -> float:
        """The highest rate an open loop asks for in any second of a turn (a steady one: its rate)."""
        if not self.slices and not isinstance(self.settings.rate, tuple):
            return self.rate or 0.0
        busiest = 0
        for offsets in self.offsets:
            ends = np.searchsorted(offsets, offsets + 1_000_000_000)
            busiest = max(busiest, int((ends - np.arange(len(offsets))).max(initial=0)))
        return float(busiest)


def plan_ttft(settings: TtftTestSettings, services: int, seed: int) -> TtftPlan:
    """Return the blocks: every service once in each, in seeded random order."""
    return TtftPlan("ttft", settings, _block_order(services, seed, 0, settings.iterations))


def further_ttft(plan: TtftPlan, services: int, seed: int, *, first: int, blocks: int, stretch: int) -> TtftPlan:
    """Return so many blocks more, from number `first` on: in the orders that come next from the seed."""
    return replace(plan, order=_block_order(services, seed, first, blocks), first=first, stretch=stretch)


def _block_order(services: int, seed: int, first: int, blocks: int) -> npt.NDArray[np.int16]:
    """Return the order of services in blocks `first` to `first` + `blocks` - 1 of the one stream of the seed."""
    rng = seeded(seed, "ttft", "order")
    rows = [rng.permutation(services) for _ in range(first + blocks)]
    return np.stack(rows[first:]).astype(np.int16)


def plan_load(
    settings: LoadTestSettings, services: int, seed: int, *, sweep: str | None = None, times: Seconds | None = None
) -> LoadPlan:
    """Return the rounds of one load test at one load; `times` are those of its trace, in s from its start, ascending.

    Rounds are raised to a multiple of the number of services, so that every service stands in every place equally
    often. The steady time and the requests asked for are a service's total, divided over the rounds; so is a trace.
    """
    rounds = -(-settings.rounds // services) * services
    if times is not None:
        slices = slices_of(times, settings, rounds)
        lengths: list[tuple[float | None, int | None]] = [(part.seconds, None) for part in slices]
        return _load_plan(settings, services, seed, lengths, first=0, sweep=sweep, slices=slices)
    counts: Sequence[int | None] = [None] * rounds
    if settings.requests is not None:
        rounds = min(rounds, max(services, settings.requests // services * services))
        counts = [settings.requests // rounds + (r < settings.requests % rounds) for r in range(rounds)]
    lasting = settings.duration_seconds / rounds if settings.duration_seconds is not None else None
    return _load_plan(settings, services, seed, [(lasting, count) for count in counts], first=0, sweep=sweep)


def further_load(plan: LoadPlan, services: int, seed: int, *, first: int, rounds: int) -> LoadPlan:
    """Return so many rounds more, from number `first` on, each as long as those of the plan; the rotation goes on.

    A trace begins again after its end.
    """
    planned = [turn for turn in plan.turns if turn.service == 0]
    lengths = [
        (turn.steady_seconds, turn.requests) for turn in (planned[(first + r) % len(planned)] for r in range(rounds))
    ]
    return _load_plan(plan.settings, services, seed, lengths, first=first, sweep=plan.sweep, slices=plan.slices)


def plan_probe(settings: LoadTestSettings, service: int, seed: int, *, round_no: int, sweep: str) -> LoadPlan:
    """Return one turn of one service at one load, as long as a round of the test. Equal rounds of a load are the same
    work at the same times, whichever service is asked.
    """
    lasting, requests = settings.duration_seconds, settings.requests
    seconds = None if lasting is None else lasting / settings.rounds
    count = None if requests is None else -(-requests // settings.rounds)
    # What is asked of a probe is a test of its own: its window is held against this length, not the whole test's.
    settings = settings.model_copy(update={"duration_seconds": seconds, "requests": count, "rounds": 1})
    turn = Turn(round_no, service, seconds, count)
    offsets = _turn_offsets(settings, seconds, count, seed=seed, round_no=round_no)
    return LoadPlan(settings.name, settings, 1, 1, (turn,), (offsets,), round_no, sweep=sweep, probe=True)


def _load_plan(
    settings: LoadTestSettings,
    services: int,
    seed: int,
    lengths: Sequence[tuple[float | None, int | None]],
    *,
    first: int,
    sweep: str | None,
    slices: tuple[Slice, ...] = (),
) -> LoadPlan:
    """Return rounds of these lengths (steady seconds, requests), numbered from `first` on."""
    turns: list[Turn] = []
    offsets: list[npt.NDArray[np.int64]] = []
    for number, (lasting, count) in enumerate(lengths, first):
        turns += [Turn(number, (place + number) % services, lasting, count) for place in range(services)]
        if slices:
            offsets.append(slices[number % len(slices)].offsets)
        else:
            offsets.append(_turn_offsets(settings, lasting, count, seed=seed, round_no=number))
    return LoadPlan(
        settings.name,
        settings,
        len(lengths),
        settings.rounds,
        tuple(turns),
        tuple(offsets),
        first,
        sweep=sweep,
        slices=slices,
    )


def _turn_offsets(
    settings: LoadTestSettings, lasting: float | None, count: int | None, *, seed: int, round_no: int
) -> npt.NDArray[np.int64]:
    """Return a turn's intended times: those of its time, or those of the ramp and then exactly `count`; none in a
    closed loop.
    """
    if settings.arrivals == "closed" or settings.rate is None:
        return np.empty(0, np.int64)
    process = process_of(settings.arrivals, settings.burstiness)
    if lasting is not None:
        profile = _profile(settings, lasting)
        return offsets_ns(process, profile, seeded(seed, settings.name, "arrivals", round_no))
    assert not isinstance(settings.rate, tuple)  # a course needs a duration
    assert count is not None
    seconds = count / settings.rate + 1.0
    while True:
        profile = _profile(settings, seconds)
        times = offsets_ns(process, profile, seeded(seed, settings.name, "arrivals", round_no))
        in_ramp = int(np.searchsorted(times, settings.ramp_up_seconds * 1e9))
        if len(times) >= in_ramp + count:
            return times[: in_ramp + count]
        seconds *= 1.5


def _profile(settings: LoadTestSettings, lasting: float) -> RateProfile:
    """Return how the rate goes in a turn whose steady part lasts so many seconds."""
    rate = settings.rate
    if isinstance(rate, tuple):
        return steps(rate, lasting) if settings.arrivals == "steps" else ramp(rate[0], rate[1], lasting)
    return steady(rate or 0.0, lasting, ramp_seconds=settings.ramp_up_seconds)


def make_plans(
    settings: Settings,
    services: int,
    *,
    ttft: bool,
    load: bool,
    only: Sequence[str] = (),
    times_of: TraceTimes,
) -> list[TtftPlan | LoadPlan]:
    """Return the plans of the selected tests in the order in which they run; the TTFT test is called `ttft`.

    `times_of` gives the times of the trace that a test replays. Raises ConfigError for a test that sends nothing.
    """
    seed = settings.benchmark.seed
    plans: list[TtftPlan | LoadPlan] = []
    if ttft and settings.ttft_test.enabled and (not only or "ttft" in only):
        plans.append(plan_ttft(settings.ttft_test, services, seed))
    for test in selected_loads(settings, only) if load else ():
        swept = expand(test)
        sweep = test.name if swept[0] is not test else None
        times = times_of(test) if test.arrivals == "trace" else None
        planned = [plan_load(point, services, seed, sweep=sweep, times=times) for point in swept]
        _require_requests(planned)
        plans.extend(planned)
    return plans


def _require_requests(planned: Sequence[LoadPlan]) -> None:
    """Refuse an open loop in which nothing is ever due: it would look like a service without faults."""
    for plan in planned:
        if plan.open_loop and not any(len(offsets) for offsets in plan.offsets):
            raise ConfigError(
                f"load test {plan.name} sends no request: at its rate none is due in a turn",
                key="load_tests",
                hint="raise rate or duration_seconds, or take fewer rounds, which divide it",
            )
