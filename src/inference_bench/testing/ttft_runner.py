"""The TTFT test: one request at a time, services interleaved inside every block in seeded random order."""

import time
from collections.abc import Iterator

from inference_bench.testing.context import Ran, RunContext, Window
from inference_bench.testing.frames import Stage
from inference_bench.testing.plan import TtftPlan
from inference_bench.testing.pool import JobTuple
from inference_bench.testing.rendering import TestShape
from inference_bench.testing.stages import LEAD_NS, StageResult, run_stage


async def run_ttft(context: RunContext, plan: TtftPlan, shape: TestShape, *, until_ns: int = 0) -> Ran:
    """Warm every service up, then ask block by block; return how many blocks were completed.

    Nothing is sent from `until_ns` on (0: until the blocks are done). Raises WorkerDiedError.
    """
    services = len(context.services)
    context.watcher.test_began(plan.name, "ttft", 1)

    def warm_up() -> Iterator[JobTuple]:
        for index in range(plan.settings.warmup_requests):
            for service in range(services):
                yield context.renderer.job(shape, service, index, round_no=plan.stretch, warmup=True)

    def blocks() -> Iterator[JobTuple]:
        for number, order in enumerate(plan.order, plan.first):
            for service in order:
                yield context.renderer.job(shape, int(service), number, round_no=plan.stretch, block=number)

    if plan.settings.warmup_requests and (await _one_by_one(context, warm_up(), until_ns)).interrupted:
        return Ran(0, interrupted=True)
    context.watcher.turn_began(plan.name, None, plan.stretch, None, plan.blocks * services)
    result = await _one_by_one(context, blocks(), until_ns)
    if result.first_sent_ns:
        for service in context.services:
            window = Window(plan.stretch, result.first_sent_ns, result.ended_ns, result.interrupted)
            context.record_window(plan.name, service.name, window)
    context.watcher.turn_ended(plan.name)
    # An interrupted request was taken and not answered.
    taken = context.pool.workers[0].taken - result.interrupted
    return Ran(max(0, taken) // services, result.interrupted)


async def _one_by_one(context: RunContext, jobs: Iterator[JobTuple], until_ns: int) -> StageResult:
    """Send these jobs from a single worker, each when the one before has ended."""
    start = time.monotonic_ns() + LEAD_NS
    targets = tuple((target, 1) for target in range(len(context.services)))

    def stage_of(worker: int, number: int) -> Stage | None:
        return Stage(number, ((0, start),), 0, until_ns, targets) if worker == 0 else None

    return await run_stage(context.pool, stage_of, lambda _worker, _start: jobs, start_ns=start, stop=context.stop)
