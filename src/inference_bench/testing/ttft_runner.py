"""The TTFT test: one request at a time, services interleaved inside every block in seeded random order."""

import time
from collections.abc import Iterator

from inference_bench.testing.context import RunContext, Window
from inference_bench.testing.frames import Stage
from inference_bench.testing.plan import TtftPlan
from inference_bench.testing.pool import JobTuple
from inference_bench.testing.rendering import TestShape
from inference_bench.testing.stages import LEAD_NS, StageResult, run_stage


async def run_ttft(context: RunContext, plan: TtftPlan, shape: TestShape) -> bool:
    """Warm every service up, then ask block by block; return whether it was interrupted. Raises WorkerDiedError."""
    services = range(len(context.services))
    context.watcher.test_began(plan.name, "ttft", 1)

    def warm_up() -> Iterator[JobTuple]:
        for index in range(plan.settings.warmup_requests):
            for service in services:
                yield context.renderer.job(shape, service, index, warmup=True)

    def blocks() -> Iterator[JobTuple]:
        for block in range(plan.blocks):
            for service in plan.order[block]:
                yield context.renderer.job(shape, int(service), block, block=block)

    if plan.settings.warmup_requests and (await _one_by_one(context, warm_up())).interrupted:
        return True
    context.watcher.turn_began(plan.name, None, 0, None, plan.blocks * len(context.services))
    result = await _one_by_one(context, blocks())
    if result.first_sent_ns:
        for service in context.services:
            context.record_window(plan.name, service.name, Window(0, result.first_sent_ns, result.ended_ns))
    context.watcher.turn_ended(plan.name)
    return result.interrupted


async def _one_by_one(context: RunContext, jobs: Iterator[JobTuple]) -> StageResult:
    """Send these jobs from a single worker, each when the one before has ended."""
    start = time.monotonic_ns() + LEAD_NS
    targets = tuple((target, 1) for target in range(len(context.services)))

    def stage_of(worker: int, number: int) -> Stage | None:
        return Stage(number, ((0, start),), 0, 0, targets) if worker == 0 else None

    return await run_stage(context.pool, stage_of, lambda _worker, _start: jobs, start_ns=start, stop=context.stop)
