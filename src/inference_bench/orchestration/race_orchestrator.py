"""The story of a race: heats with the same question to all, planned, run one by one, alone and in a crowd.

Each heat begins its prompt with a short prefix of its own, the same for all lanes, so that no prefix cache answers for
an engine, and sends in a seeded random order, so that nobody is always the first of the few microseconds between them.
"""

import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from inference_bench.api.protocols import ChatRequest, Message
from inference_bench.config.models import Settings
from inference_bench.live.events import Heat, LaneFacts, Outcome
from inference_bench.live.podium import Podium
from inference_bench.orchestration.demo_orchestrator import HeatOutcome, Show
from inference_bench.orchestration.service_orchestrator import timeouts_of
from inference_bench.testing.crowd import CROWD, Crowd
from inference_bench.testing.rendering import Renderer, TestShape
from inference_bench.workloads.build import build_workload
from inference_bench.workloads.prefix import unique_prefix, with_prefix

RACE: Final = "race"
RACE_TOKENS: Final = 256
RAPID_TOKENS: Final = 48
CROWD_TOKENS: Final = 128
RAPID_FIRE: Final = (
    ("greeting", "Say hello to a new colleague in one sentence."),
    ("fact", "What is the capital of Portugal, and what is it known for? One sentence."),
    ("code", "Write a Python one-liner that reverses the words of a sentence."),
    ("advice", "Name one thing to check first when a web page is slow."),
)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and a word for it where there are several."""

    prompt: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class RaceInput:
    """A race before it begins. With `crowd`, each heat is run alone and then among so many users on each service."""

    questions: tuple[Question, ...]
    max_tokens: int
    runs: int
    nonce: str
    crowd: int = 0


@dataclass(frozen=True, slots=True)
class Coming:
    """The heat that comes next: which run (from 1) asks which question, `number` of `of` heats, in which crowd."""

    number: int
    of: int
    run: int
    question: Question
    crowd: int = 0


@dataclass(frozen=True, slots=True)
class RaceHeat:
    """A heat that was run: who was there, how each exchange ended by name, the places. No bytes are kept.

    `settled` is whether its crowd, where it had one, had as many answers as users before the heat began.
    """

    coming: Coming
    lanes: tuple[LaneFacts, ...]
    outcomes: Mapping[str, Outcome]
    podium: Podium
    late_ms: float
    interrupted: bool
    first_merged: Mapping[str, bool]
    send_lag_ms: Mapping[str, float]
    crowd_counts: Mapping[str, tuple[int, int]]
    settled: bool = True

    def finish_ms(self, service: str) -> float | None:
        """Return a service's time to the heat's common number of tokens; None for one without a place."""
        names = [lane.name for lane in self.lanes]
        return self.podium.of(names.index(service)).to_tokens_ms


def planned_heats(given: RaceInput) -> tuple[Coming, ...]:
    """Return all heats in their order: run by run, question by question, alone before the crowd."""
    crowds = (0, given.crowd) if given.crowd else (0,)
    wanted = [
        (run, question, crowd) for run in range(1, given.runs + 1) for question in given.questions for crowd in crowds
    ]
    return tuple(
        Coming(number, len(wanted), run, question, crowd) for number, (run, question, crowd) in enumerate(wanted, 1)
    )


async def run_heat(
    show: Show,
    settings: Settings,
    given: RaceInput,
    coming: Coming,
    *,
    on_crowd: Callable[[Mapping[str, tuple[int, int]]], None] = lambda _: None,
) -> RaceHeat:
    """Run one heat. `on_crowd` is told how many (good, failed) answers the crowd has had, while it gathers.

    Raises WorkerDiedError, ResourceLimitError.
    """
    if not coming.crowd:
        return _kept(show, coming, await _heat(show, settings, given, coming), {})
    with tempfile.TemporaryDirectory(prefix="vllm-benchmark-crowd-") as folder:
        async with _crowd(show, settings, given, coming, Path(folder)) as crowd:

            def counts() -> dict[str, tuple[int, int]]:
                return {name: (count.ok, count.failed) for name, count in crowd.counts.items()}

            settled = await crowd.settled(show.stop, lambda: on_crowd(counts()))
            outcome = await _heat(show, settings, given, coming)
            return replace(_kept(show, coming, outcome, counts()), settled=settled)


async def _heat(show: Show, settings: Settings, given: RaceInput, coming: Coming) -> HeatOutcome:
    prefix = unique_prefix(given.nonce, RACE, coming.run, coming.number)
    seed = settings.benchmark.seed
    request = ChatRequest(
        messages=with_prefix((Message("user", coming.question.prompt),), prefix),
        max_tokens=given.max_tokens,
        temperature=settings.ttft_test.temperature,
        seed=(seed + coming.number) & 0x7FFFFFFF,
    )
    order = list(show.names)
    random.Random(f"{seed}:{given.nonce}:{coming.number}").shuffle(order)
    heat = Heat(
        lanes=(),
        prompt=coming.question.prompt,
        max_tokens=given.max_tokens,
        start_ns=0,
        number=coming.number,
        of=coming.of,
        title=coming.question.title,
        crowd=coming.crowd,
    )
    return await show.heat(dict.fromkeys(show.names, request), heat, order=order)


def _kept(show: Show, coming: Coming, outcome: HeatOutcome, crowd_counts: Mapping[str, tuple[int, int]]) -> RaceHeat:
    """Return what is kept of a heat, without the bytes of its answers."""
    assert show.board.podium is not None
    exchanged = outcome.exchanged
    start = outcome.heat.start_ns
    sent = {name: one.outcome.sent_ns for name, one in exchanged.items()}
    return RaceHeat(
        coming=coming,
        lanes=outcome.heat.lanes,
        outcomes={name: one.outcome for name, one in exchanged.items()},
        podium=show.board.podium,
        late_ms=outcome.late_ms,
        interrupted=outcome.interrupted,
        first_merged={name: bool(one.reading.first_token_merged) for name, one in exchanged.items()},
        send_lag_ms={name: (at - start) / 1e6 for name, at in sent.items() if at is not None},
        crowd_counts=dict(crowd_counts),
    )


def _crowd(show: Show, settings: Settings, given: RaceInput, coming: Coming, journal: Path) -> Crowd:
    workload = build_workload(settings.workload, seed=settings.benchmark.seed)
    shape = TestShape(CROWD, "load", CROWD_TOKENS, settings.ttft_test.temperature, unique=True, workload=workload)
    services = show.session.services
    return Crowd(
        services,
        timeouts_of(settings.services),
        shape,
        Renderer(services, nonce=f"{given.nonce}/{CROWD}/{coming.number}", seed=settings.benchmark.seed),
        users=coming.crowd,
        number=coming.number,
        journal=journal,
    )


def answered_nothing(heats: Sequence[RaceHeat]) -> tuple[str, ...]:
    """Return the services that gave not a single good answer in heats that were not cut short."""
    whole = [heat for heat in heats if not heat.interrupted]
    names = {name: None for heat in whole for name in heat.outcomes}
    return tuple(name for name in names if not any(heat.outcomes[name].ok for heat in whole if name in heat.outcomes))
