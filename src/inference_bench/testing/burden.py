"""What a plan needs of memory, socket buffers, pipes and disk, held against what this machine has, before the run.

The estimates are upper ones where a figure is exact, and say "about" where it is a guess. What cannot be carried is
refused; what comes within 80 % of it is noted.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inference_bench.errors import ResourceLimitError
from inference_bench.testing.estimates import Estimate
from inference_bench.testing.limits import NEAR, Need
from inference_bench.testing.machine import (
    disk_free,
    memory_available,
    pipe_limits,
    receive_buffer,
    socket_memory,
)
from inference_bench.testing.plan import LoadPlan, TtftPlan
from inference_bench.testing.rendering import TestShape
from inference_bench.testing.stages import AHEAD_NS, RESERVE

MIB: Final = 1 << 20
BASE_BYTES: Final = 160 * MIB  # coordinator and decoder, as measured
WORKER_BYTES: Final = 25 * MIB
TOKEN_BYTES: Final = 300  # of an answer on its way: what an engine sends for a token, and its stamps
COPIES: Final = 2  # of a request's body: in the feeder's pipe, and in the worker
DISK_REQUEST_BYTES: Final = 900  # of a record, in the journal and in the tables written from it
DISK_TOKEN_BYTES: Final = 45  # of a chunk of text, in both
DISK_REST_BYTES: Final = 16 * MIB  # summary, charts, report
HEAD_BYTES: Final = 1024  # of a request, beside its messages
SAMPLE: Final = 8  # requests that are looked at
PIPE_BYTES: Final = 2 * MIB  # of a worker: its exchanges and its reports


@dataclass(frozen=True, slots=True)
class Burden:
    """What one test carries at most at once, and writes over all services. `body_bytes`: the longest request seen in a
    sample; `answer_tokens`: asked of one request; `guessed`: how many requests there will be depends on the services.
    """

    test: str
    connections: int
    rate: float
    body_bytes: int
    answer_tokens: int
    requests: int
    output_tokens: int
    guessed: bool

    @property
    def memory_bytes(self) -> int:
        """Bytes of requests and answers that are held at once."""
        ahead = self.rate * AHEAD_NS / 1e9 if self.rate else 2 * self.connections + RESERVE
        answers = self.connections * (self.body_bytes + self.answer_tokens * TOKEN_BYTES)
        return answers + int(COPIES * ahead * self.body_bytes)

    @property
    def disk_bytes(self) -> int:
        """Bytes that the run folder gets for this test."""
        return self.requests * DISK_REQUEST_BYTES + self.output_tokens * DISK_TOKEN_BYTES


def burden_of(plan: TtftPlan | LoadPlan, need: Need, estimate: Estimate, shape: TestShape) -> Burden:
    """Return the burden of a test from what it needs, what it is estimated to send, and a sample of its requests."""
    items = [shape.workload.item(index) for index in range(SAMPLE)]
    bodies = [sum(len(message.content.encode()) for message in item.messages) for item in items]
    return Burden(
        test=need.test,
        connections=need.connections,
        rate=need.rate,
        body_bytes=max(bodies) + HEAD_BYTES,
        answer_tokens=max(item.max_tokens or shape.max_tokens for item in items),
        requests=estimate.requests,
        output_tokens=estimate.output_tokens,
        guessed=isinstance(plan, LoadPlan) and not plan.open_loop and plan.settings.requests is None,
    )


def check_burden(burdens: Sequence[Burden], *, workers: int, directory: Path) -> list[str]:
    """Return notes on what is near: memory, socket buffers, pipes, and disk where the results go.

    Raises ResourceLimitError when the plan cannot be carried.
    """
    if not burdens:
        return []
    return [
        *_memory(max(burdens, key=lambda one: one.memory_bytes), workers),
        *_buffers(max(burdens, key=lambda one: one.connections * one.answer_tokens)),
        *_pipes(workers),
        *_disk(burdens, directory),
    ]


def _memory(heaviest: Burden, workers: int) -> list[str]:
    available = memory_available()
    needed = BASE_BYTES + workers * WORKER_BYTES + heaviest.memory_bytes
    if available is None or needed <= NEAR * available:
        return []
    said = f"test {heaviest.test} needs up to about {shown(needed)} of memory, this machine has {shown(available)} left"
    if needed > available:
        raise ResourceLimitError(said, hint="lower the load, use shorter prompts or answers, or free memory")
    return [f"{said}: near the limit"]


def _buffers(widest: Burden) -> list[str]:
    """Say when the kernel would begin to keep receive buffers small: answers then wait in the server's."""
    limits, most = socket_memory(), receive_buffer()
    if limits is None or most is None:
        return []
    unread = widest.connections * min(most, widest.answer_tokens * TOKEN_BYTES)
    if unread <= NEAR * limits[0]:
        return []
    return [
        f"{widest.test}: {widest.connections:,} answers may hold up to {shown(unread)} in socket buffers, and the "
        f"kernel keeps them small from {shown(limits[0])} on: raise net.ipv4.tcp_mem, or lower the load"
    ]


def _pipes(workers: int) -> list[str]:
    limits = pipe_limits()
    if limits is None or os.geteuid() == 0:
        return []
    largest, soft = limits
    if soft and workers * PIPE_BYTES > soft:
        return [
            f"{workers} workers want {shown(workers * PIPE_BYTES)} of pipes, and a user's get small from {shown(soft)} "
            "on: raise fs.pipe-user-pages-soft, or use fewer --workers"
        ]
    if largest < PIPE_BYTES // 2:
        return [f"pipes of this machine hold at most {shown(largest)}: raise fs.pipe-max-size to 1048576"]
    return []


def _disk(burdens: Sequence[Burden], directory: Path) -> list[str]:
    free = disk_free(directory)
    needed = DISK_REST_BYTES + sum(one.disk_bytes for one in burdens)
    if free is None or needed <= NEAR * free:
        return []
    said = f"the run writes about {shown(needed)}, and {shown(free)} are free where its results go"
    certain = DISK_REST_BYTES + sum(one.disk_bytes for one in burdens if not one.guessed)
    if certain > free:
        raise ResourceLimitError(said, hint="choose another --output-dir, free space, or ask for less")
    return [f"{said}: near the limit"]


def shown(size: float) -> str:
    """Return a size as people read it."""
    return f"{size / MIB:,.0f} MiB" if size < 10_000 * MIB else f"{size / (1 << 30):,.0f} GiB"
