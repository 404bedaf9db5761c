"""From the plan to bytes: the request of one index for one service, rendered when the feeder wants it.

Equal index means equal work: the same messages, the same length asked for, the same prefix, whatever the service.
"""

import hashlib
import pickle
from collections.abc import Sequence
from dataclasses import dataclass

from inference_bench.api.clients import get_client
from inference_bench.api.protocols import ChatRequest, Endpoint, EngineClient
from inference_bench.api.targets import Target
from inference_bench.testing.frames import RequestMeta
from inference_bench.testing.pool import JobTuple
from inference_bench.workloads.items import Workload
from inference_bench.workloads.prefix import unique_prefix, with_prefix

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

    def item_number(self, round_no: int, index: int) -> int:
        """Return which item of the workload a request of a round asks."""
        if self.starts:
            return self.starts[round_no % len(self.starts)] + index
        return round_no * ROUND_STRIDE + index


class Renderer:
    """Numbers the requests of a run and renders them."""

    def __init__(self, services: Sequence[ServiceUnderTest], *, nonce: str, seed: int) -> None:
        self._services = services
        self._nonce = nonce
        # 32 hexadecimal digits: some servers refuse a request id that is not shaped like a UUID.
        self._id_start = hashlib.blake2b(nonce.encode(), digest_size=10).hexdigest()
        self._seed = seed
        self._next_seq = 0

    @property
    def rendered(self) -> int:
        """How many requests were rendered so far."""
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
        seq = self._next_seq
        self._next_seq += 1
        request_id = f"{self._id_start}{seq:012x}"
        sut = self._services[service]
        item = shape.workload.item(shape.item_number(round_no, index))
        messages = item.messages
        if shape.unique:
            # Warm-ups draw from a name of their own, so that they never put a measured prompt into a cache.
            scope = f"{shape.name}/warm-up/{sut.name}" if warmup else shape.name
            prefix = unique_prefix(self._nonce, scope, round_no, index, words=shape.workload.prefix_words)
            messages = with_prefix(messages, prefix, after=item.shared_characters)
        request = ChatRequest(
            messages=messages,
            max_tokens=item.max_tokens or shape.max_tokens,
            temperature=shape.temperature,
            seed=(self._seed + index) & 0x7FFFFFFF,
            request_id=request_id,
        )
        wire = sut.client.render(request, sut.endpoint.model)
        meta = RequestMeta(
            service=sut.name,
            engine=sut.client.engine,
            dialect=wire.dialect,
            test=shape.name,
            kind=shape.kind,
            round_no=round_no,
            block=block,
            plan_index=index,
            warmup=warmup,
            request_id=request_id,
            max_tokens=request.max_tokens,
        )
        return seq, service, intended_ns, sut.target.wire_bytes(wire), pickle.dumps(tuple(meta), 5)
