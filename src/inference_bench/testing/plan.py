"""The plan: which requests each service gets, in which order, at which times; made before the run.

A plan is columns and small values, no request bodies: those are rendered a little ahead of their time by the feeder.
Every service gets the same plan.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from inference_bench.config.models import LoadTestSettings, Settings, TtftTestSettings
from inference_bench.testing.arrivals import PROCESSES, offsets_ns

ASSUMED_ANSWER_SECONDS = 1.0  # for the estimate of a closed loop only, and said so where it is shown


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
    turn's start (open loop; empty in a closed loop).
    """

    name: str
    settings: LoadTestSettings
    rounds: int
    asked_rounds: int
    turns: tuple[Turn, ...]
    offsets: tuple[npt.NDArray[np.int64], ...]
    first: int = 0

    def intended(self, round_no: int) -> npt.NDArray[np.int64]:
        """Return the intended times of a round, by its number in the run."""
        return self.offsets[round_no - self.first]

    @property
    def open_loop(self) -> bool:
        """Whether requests have intended times."""
        return self.settings.arrivals != "closed"


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


def plan_load(settings: LoadTestSettings, services: int, seed: int) -> LoadPlan:
    """Return the rounds of one load test.

    Rounds are raised to a multiple of the number of services, so that every service stands in every place equally
    often. The steady time and the requests asked for are a service's total, divided over the rounds.
    """
    rounds = -(-settings.rounds // services) * services
    counts: Sequence[int | None] = [None] * rounds
    if settings.requests is not None:
        rounds = min(rounds, max(services, settings.requests // services * services))
        counts = [settings.requests // rounds + (r < settings.requests % rounds) for r in range(rounds)]
    steady = settings.duration_seconds / rounds if settings.duration_seconds is not None else None
    lengths = [(steady, count) for count in counts]
    return _load_plan(settings, services, seed, lengths, first=0)


def further_load(plan: LoadPlan, services: int, seed: int, *, first: int, rounds: int) -> LoadPlan:
    """Return so many rounds more, from number `first` on, each as long as those of the plan; the rotation goes on."""
    planned = [turn for turn in plan.turns if turn.service == 0]
    lengths = [(turn.steady_seconds, turn.requests) for turn in (planned[r % len(planned)] for r in range(rounds))]
    return _load_plan(plan.settings, services, seed, lengths, first=first)


def _load_plan(
    settings: LoadTestSettings,
    services: int,
    seed: int,
    lengths: Sequence[tuple[float | None, int | None]],
    *,
    first: int,
) -> LoadPlan:
    """Return rounds of these lengths (steady seconds, requests), numbered from `first` on."""
    turns: list[Turn] = []
    offsets: list[npt.NDArray[np.int64]] = []
    for number, (steady, count) in enumerate(lengths, first):
        turns += [Turn(number, (place + number) % services, steady, count) for place in range(services)]
        if settings.arrivals == "closed" or settings.rate is None:
            offsets.append(np.empty(0, np.int64))
            continue
        offsets.append(_turn_offsets(settings, settings.rate, steady, count, seed=seed, round_no=number))
    return LoadPlan(settings.name, settings, len(lengths), settings.rounds, tuple(turns), tuple(offsets), first)


def _turn_offsets(
    settings: LoadTestSettings, rate: float, steady: float | None, count: int | None, *, seed: int, round_no: int
) -> npt.NDArray[np.int64]:
    """Return a turn's intended times: those of its time, or those of the ramp and then exactly `count`."""
    seconds = steady if steady is not None else (count or 0) / rate + 1.0
    while True:
        times = offsets_ns(
            PROCESSES[settings.arrivals],
            rate,
            ramp_seconds=settings.ramp_up_seconds,
            steady_seconds=seconds,
            rng=seeded(seed, settings.name, "arrivals", round_no),
        )
        if count is None:
            return times
        in_ramp = int(np.searchsorted(times, settings.ramp_up_seconds * 1e9))
        if len(times) >= in_ramp + count:
            return times[: in_ramp + count]
        seconds *= 1.5


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a test will take, over all services. `requests` of a closed loop is a guess (see ASSUMED_ANSWER_SECONDS)."""

    test: str
    seconds: float
    requests: int
    output_tokens: int
    guessed: bool


def estimate(plan: TtftPlan | LoadPlan, services: int) -> Estimate:
    """Estimate duration, requests and output tokens (at most) of one test."""
    settings = plan.settings
    if isinstance(plan, TtftPlan):
        requests = (plan.blocks + plan.settings.warmup_requests) * services
        return Estimate(plan.name, requests * ASSUMED_ANSWER_SECONDS, requests, requests * settings.max_tokens, True)
    load = plan.settings
    per_turn = ASSUMED_ANSWER_SECONDS + load.ramp_up_seconds + (ASSUMED_ANSWER_SECONDS if load.warmup_requests else 0)
    users = load.concurrent_users or 1
    requests = 0
    seconds = 0.0
    for turn in plan.turns:
        if plan.open_loop:
            sent = len(plan.intended(turn.round_no))
            steady = turn.steady_seconds if turn.steady_seconds is not None else sent / (load.rate or 1)
        elif turn.steady_seconds is not None:
            steady = turn.steady_seconds
            sent = round(
                users * (steady + load.ramp_up_seconds / 2) / (ASSUMED_ANSWER_SECONDS + load.think_time_seconds)
            )
        else:
            sent = turn.requests or 0
            steady = sent / users * (ASSUMED_ANSWER_SECONDS + load.think_time_seconds)
        requests += sent + load.warmup_requests
        seconds += steady + per_turn
    return Estimate(plan.name, seconds, requests, requests * load.max_tokens, not plan.open_loop)


def make_plans(
    settings: Settings, services: int, *, ttft: bool, load: bool, only: Sequence[str] = ()
) -> list[TtftPlan | LoadPlan]:
    """Return the plans of the selected tests in the order in which they run; the TTFT test is called `ttft`."""
    seed = settings.benchmark.seed
    plans: list[TtftPlan | LoadPlan] = []
    if ttft and settings.ttft_test.enabled and (not only or "ttft" in only):
        plans.append(plan_ttft(settings.ttft_test, services, seed))
    if load:
        plans.extend(plan_load(test, services, seed) for test in settings.load_tests if not only or test.name in only)
    return plans
