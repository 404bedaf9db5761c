"""From the plan to bytes: the request of one index for one service, rendered when the feeder wants it.

Equal index means equal work: the same messages, the same length asked for, the same prefix, whatever the service.
"""

import hashlib
import pickle
from collections.abc import Sequence
from dataclasses import dataclass

from inference_bench.api.clients import get_client
from inference_bench.api.protocols import ChatRequest, Endpoint, EngineClient, Message
from inference_bench.api.targets import Target
from inference_bench.testing.frames import RequestMeta
from inference_bench.testing.pool import JobTuple
from inference_bench.workloads.items import Workload
from inference_bench.workloads.prefix import unique_prefix, with_prefix
from inference_bench.workloads.sessions import SessionWorkload

ROUND_STRIDE = 10_007  # rounds go on elsewhere in the prompts instead of asking the first few again and again


@dataclass(frozen=True, slots=True)
class ServiceUnderTest:
    """A resolved service: its endpoint, its dialect, and its address. Position in the run's list is its target."""

    endpoint: Endpoint
    client: EngineClient
    target: Target

    @property
    def name(self) -> str:
        """The service's name."""
        return self.endpoint.name

    @classmethod
    def of(cls, endpoint: Endpoint, target: Target) -> "ServiceUnderTest":
        """Look up the endpoint's dialect."""
        return cls(endpoint, get_client(endpoint.dialect), target)


@dataclass(frozen=True, slots=True)
class TestShape:
    """What all requests of one test have in common."""

    name: str
    kind: str  # ttft or load
    max_tokens: int
    temperature: float
    unique: bool  # whether every prompt gets a prefix of its own
    workload: Workload
    starts: tuple[int, ...] = ()  # the first item of each round, where rounds have their own (a trace's rows)
    again: int = 0  # how often a round that was cut short was begun anew

    @property
    def scope(self) -> str:
        """The test's name in the prefixes: a round that is begun anew must not be answered out of a prefix cache."""
        return f"{self.name}/again-{self.again}" if self.again else self.name

    @property
    def conversation(self) -> bool:
        """Whether the workload is sessions of several turns."""
        return isinstance(self.workload, SessionWorkload)

    def item_number(self, round_no: int, index: int) -> int:
        """Return which item of the workload a request of a round asks."""
        if self.starts:
            return self.starts[round_no % len(self.starts)] + index
        return round_no * ROUND_STRIDE + index


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request stands in the plan of its test; `session` and `turn` are None outside sessions."""

    round_no: int
    block: int | None
    index: int
    warmup: bool
    session: int | None = None
    turn: int | None = None


class Renderer:
    """Numbers the requests of a run, from `first_seq` on, and renders them."""

    def __init__(self, services: Sequence[ServiceUnderTest], *, nonce: str, seed: int, first_seq: int = 0) -> None:
        self._services = services
        self._nonce = nonce
        # 32 hexadecimal digits: some servers refuse a request id that is not shaped like a UUID.
        self._id_start = hashlib.blake2b(nonce.encode(), digest_size=10).hexdigest()
        self._seed = seed
        self._next_seq = first_seq

    @property
    def rendered(self) -> int:
        """How many requests were rendered so far, those before `first_seq` included."""
        return self._next_seq

    def job(
        self,
        shape: TestShape,
        service: int,
        index: int,
        *,
        round_no: int = 0,
        block: int | None = None,
        warmup: bool = False,
        intended_ns: int = 0,
    ) -> JobTuple:
        """Render request `index` of a test for one service."""
        item = shape.workload.item(shape.item_number(round_no, index))
        messages = item.messages
        if shape.unique:
            # Warm-ups draw from a name of their own, so that they never put a measured prompt into a cache.
            scope = f"{shape.scope}/warm-up/{self._services[service].name}" if warmup else shape.scope
            prefix = unique_prefix(self._nonce, scope, round_no, index, words=shape.workload.prefix_words)
            messages = with_prefix(messages, prefix, after=item.shared_characters)
        place = Place(round_no, block, index, warmup)
        return self._rendered(shape, service, place, messages, item.max_tokens, intended_ns=intended_ns)

    def turn(
        self,
        shape: TestShape,
        service: int,
        place: Place,
        messages: tuple[Message, ...],
        max_tokens: int | None,
        *,
        intended_ns: int = 0,
    ) -> JobTuple:
        """Render a turn of a session: all that was said until now, and what its user says last.

        The prefix is the session's, the same for all its turns: the server's own cache may answer for what it has
        seen of this conversation, and for nothing else.
        """
        if shape.unique:
            assert place.session is not None
            words = shape.workload.prefix_words
            prefix = unique_prefix(self._nonce, shape.scope, place.round_no, place.session, words=words)
            messages = with_prefix(messages, prefix)
        return self._rendered(shape, service, place, messages, max_tokens, intended_ns=intended_ns)

    def _rendered(
        self,
        shape: TestShape,
        service: int,
        place: Place,
        messages: tuple[Message, ...],
        max_tokens: int | None,
        *,
        intended_ns: int,
    ) -> JobTuple:
        seq = self._next_seq
        self._next_seq += 1
        request_id = f"{self._id_start}{seq:012x}"
        sut = self._services[service]
        request = ChatRequest(
            messages=messages,
            max_tokens=max_tokens or shape.max_tokens,
            temperature=shape.temperature,
            seed=(self._seed + place.index) & 0x7FFFFFFF,
            request_id=request_id,
            conversation=shape.conversation,
        )
        wire = sut.client.render(request, sut.endpoint.model)
        meta = RequestMeta(
            service=sut.name,
            engine=sut.client.engine,
            dialect=wire.dialect,
            test=shape.name,
            kind=shape.kind,
            round_no=place.round_no,
            block=place.block,
            plan_index=place.index,
            warmup=place.warmup,
            request_id=request_id,
            max_tokens=request.max_tokens,
            session=place.session,
            turn=place.turn,
        )
        return seq, service, intended_ns, sut.target.wire_bytes(wire), pickle.dumps(tuple(meta), 5)
