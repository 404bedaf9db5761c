"""What race, conversation and chat have in common: services in lanes, and one question to all of them at a time."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from inference_bench.api.protocols import ChatRequest, Message
from inference_bench.config.models import Settings
from inference_bench.discovery.services import FoundService
from inference_bench.live.board import Board
from inference_bench.live.events import Finished, Heat, HeatEnded, LaneFacts, LiveEvent, Outcome
from inference_bench.orchestration.repeated_secrets import Secrets
from inference_bench.orchestration.service_facts import told
from inference_bench.orchestration.service_orchestrator import OpenServices, services_under_test, timeouts_of
from inference_bench.testing.live_session import Heard, LiveSession
from inference_bench.testing.watched import Exchanged

MOST_LANES = 4
WARM_UP_TOKENS = 4
_WARM_UP = "Say hello."
_TOLD = (
    ("context_length", "context", "{:,} tokens"),
    ("quantisation", "quantisation", "{}"),
    ("dtype", "dtype", "{}"),
    ("parameter_size", "size", "{}"),
    ("slots", "slots", "{:,}"),
    ("max_concurrent_requests", "requests at once", "{:,}"),
)
Listener = Callable[[LiveEvent], None]


@dataclass(frozen=True, slots=True)
class HeatOutcome:
    """One heat, over: its events' head, and each service's exchange by name. `interrupted`: it was given up."""

    heat: Heat
    exchanged: Mapping[str, Exchanged]
    late_ms: float
    interrupted: bool

    def outcome(self, service: str) -> Outcome:
        """Return how a service's exchange ended."""
        return self.exchanged[service].outcome


@dataclass(slots=True)
class Show:
    """Services in lanes. Everything that happens is told to `board` and then to `listeners`, in order.

    `stop` ends what is under way; `left` says that it was somebody's wish to leave, and no interruption.
    """

    opened: OpenServices
    session: LiveSession
    lanes: tuple[LaneFacts, ...]
    stop: asyncio.Event
    board: Board = field(default_factory=Board)
    listeners: list[Listener] = field(default_factory=list)
    left: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the services that take part; lanes of services that are down come after theirs."""
        return tuple(service.name for service in self.opened.services)

    @property
    def simulated(self) -> bool:
        """Whether any lane is a simulated engine."""
        return any(lane.simulated for lane in self.lanes)

    def tell(self, event: LiveEvent) -> None:
        """Tell everybody, the board first."""
        self.board.take(event)
        for listener in self.listeners:
            listener(event)

    async def heat(
        self, requests: Mapping[str, ChatRequest], heat: Heat, *, order: Sequence[str] | None = None
    ) -> HeatOutcome:
        """Ask each named service its request, all at the same instant; `order` says who is sent first.

        `heat` is told with its lanes and its start filled in. Raises WorkerDiedError.
        """
        places = {name: place for place, name in enumerate(self.names)}
        begun: list[Heat] = []

        def on_start(start_ns: int) -> None:
            begun.append(replace(heat, lanes=self.lanes, start_ns=start_ns))
            self.tell(begun[0])

        heard = await self.session.ask(
            {places[name]: request for name, request in requests.items()},
            self.tell,
            stop=self.stop,
            order=None if order is None else [places[name] for name in order if name in requests],
            on_start=on_start,
        )
        for name, place in places.items():
            if name not in requests:
                self.tell(Finished(place, heard.start_ns, Outcome(ok=False, error_message="not asked")))
        self.tell(HeatEnded(time.monotonic_ns(), heard.late_ms))
        self._mark(heard)
        exchanged = {self.names[place]: one for place, one in heard.exchanged.items()}
        given_up = any(one.outcome.error_class == "interrupted" for one in exchanged.values())
        return HeatOutcome(begun[0], exchanged, heard.late_ms, given_up)

    async def warm_up(self) -> None:
        """Ask each service for a few tokens, unseen and uncounted: no cold start is to decide a race."""
        request = ChatRequest((Message("user", _WARM_UP),), WARM_UP_TOKENS, exact_length=False)
        requests = {place: request for place, _ in enumerate(self.names)}
        self._mark(await self.session.ask(requests, lambda _event: None, stop=self.stop))

    def _mark(self, heard: Heard) -> None:
        """Call the lanes simulated whose answers said so, whatever their services had told when they were found."""
        said = {place for place, one in heard.exchanged.items() if one.outcome.simulated}
        self.lanes = tuple(
            replace(lane, simulated=lane.simulated or place in said) for place, lane in enumerate(self.lanes)
        )


@asynccontextmanager
async def open_show(opened: OpenServices, settings: Settings, stop: asyncio.Event) -> AsyncIterator[Show]:
    """Start the measuring process for these services. Raises NoServiceError, WorkerDiedError."""
    services = services_under_test(opened, settings)
    lanes = (*map(lane_facts, opened.services), *map(_down, opened.left_out))
    found = zip(opened.services, services, strict=True)
    secrets = [Secrets.of(one.endpoint, service.endpoint).values for one, service in found]
    async with LiveSession(services, timeouts_of(settings.services), secrets=secrets) as session:
        yield Show(opened, session, lanes[: max(MOST_LANES, len(services))], stop)


def lane_facts(service: FoundService) -> LaneFacts:
    """Return what a lane says of its service: only what it told."""
    identity = service.identity
    said = told(identity, service.model)
    shown: list[tuple[str, str]] = []
    if identity is not None:
        shown.append(("engine", " ".join(filter(None, [identity.product, identity.version]))))
    if service.model is not None:
        shown.append(("model", service.model))
    for key, label, form in _TOLD:
        value = said.get(key)
        if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
            shown.append((label, form.format(value)))
    shown += _placed(service)
    shown.append(("at", service.url))
    return LaneFacts(service.name, service.engine or "", tuple(shown), service.simulated)


def _placed(service: FoundService) -> list[tuple[str, str]]:
    """Return what a cluster told of a service, as far as a lane has room for it."""
    facts = service.cluster.facts if service.cluster is not None else {}
    shown = []
    if "gpu" in facts:
        shown.append(("GPU", f"{facts.get('gpus_per_replica', 1)} × {facts['gpu']}"))
    if "replicas_ready" in facts:
        shown.append(("replicas", str(facts["replicas_ready"])))
    if service.way is not None and service.cluster is not None:
        shown.append(("by", service.way.rule.value))
    return shown


def _down(service: FoundService) -> LaneFacts:
    facts = lane_facts(service)
    return replace(facts, down=f"{service.health.status.value}: {service.health.detail}")
