"""Load tests: every service the same plan, in rounds, the order rotated; closed loops of users, or intended times.
Conversations are run by `sessions`.

A turn is: a few uncounted warm-up requests, the ramp, the steady window, the drain. All times are absolute on the one
monotonic clock, set before the turn begins; users and arrivals are divided over the workers.
"""

import time
from collections.abc import Iterator

from inference_bench.testing.context import Ran, RunContext, Window
from inference_bench.testing.frames import Stage
from inference_bench.testing.plan import LoadPlan, Turn
from inference_bench.testing.pool import JobTuple
from inference_bench.testing.rendering import TestShape
from inference_bench.testing.sessions import session_turn
from inference_bench.testing.stages import LEAD_NS, RENDERING_NS, idle_until, run_stage

_NANOSECONDS = 1_000_000_000


async def run_load(context: RunContext, plan: LoadPlan, shape: TestShape) -> Ran:
    """Run all rounds of one load test; return how many were completed. Raises WorkerDiedError."""
    services = len(context.services)
    context.watcher.test_began(plan.name, "load", len(plan.turns))
    for done, turn in enumerate(plan.turns):
        name = context.services[turn.service].name
        if plan.settings.warmup_requests and await _warm_up(context, plan, shape, turn):
            return Ran(done // services, interrupted=True)
        planned = turn.requests or len(plan.intended(turn.round_no))
        context.watcher.turn_began(plan.name, name, turn.round_no, turn.steady_seconds, planned)
        run_turn = _open_turn if plan.open_loop else _closed_turn
        if shape.conversation:
            run_turn = session_turn
        window, interrupted = await run_turn(context, plan, shape, turn)
        context.record_window(plan.name, name, window)
        context.watcher.turn_ended(plan.name)
        if interrupted:
            return Ran(done // services, interrupted=True)
    return Ran(plan.rounds, interrupted=False)


async def _warm_up(context: RunContext, plan: LoadPlan, shape: TestShape, turn: Turn) -> bool:
    """Send the uncounted requests, at most as many at once as the test has users; True when interrupted."""
    start = time.monotonic_ns() + LEAD_NS // 4
    count = plan.settings.warmup_requests
    users = min(count, plan.users or count)

    def stage_of(worker: int, number: int) -> Stage | None:
        starts = tuple((user, start) for user in range(users))
        return Stage(number, starts, 0, 0, ((turn.service, users),)) if worker == 0 else None

    def jobs_of(_worker: int, _start: int) -> Iterator[JobTuple]:
        for index in range(count):
            yield context.renderer.job(shape, turn.service, index, round_no=turn.round_no, warmup=True)

    return (await run_stage(context.pool, stage_of, jobs_of, start_ns=start, stop=context.stop)).interrupted


async def _closed_turn(context: RunContext, plan: LoadPlan, shape: TestShape, turn: Turn) -> tuple[Window, bool]:
    """Users start spread over the ramp and go on until the window closes or the requests are used up."""
    settings = plan.settings
    users = plan.users or 1
    workers = min(context.pool.count, users)
    start = time.monotonic_ns() + LEAD_NS + users * RENDERING_NS
    ramp = int(settings.ramp_up_seconds * _NANOSECONDS)
    opens = start + ramp
    closes = opens + int(turn.steady_seconds * _NANOSECONDS) if turn.steady_seconds is not None else 0

    def stage_of(worker: int, number: int) -> Stage | None:
        if worker >= workers:
            return None
        starts = tuple((user, start + ramp * user // users) for user in range(worker, users, workers))
        think = int(settings.think_time_seconds * _NANOSECONDS)
        return Stage(number, starts, think, closes, ((turn.service, len(starts)),))

    def jobs_of(worker: int, _start: int) -> Iterator[JobTuple]:
        index = worker
        while turn.requests is None or index < turn.requests:
            yield context.renderer.job(shape, turn.service, index, round_no=turn.round_no)
            index += workers

    result = await run_stage(context.pool, stage_of, jobs_of, start_ns=start, stop=context.stop)
    # A turn that ends by its requests is steady from the end of the ramp until the last was sent.
    ended = closes or max(result.last_sent_ns + 1, opens)
    if result.interrupted:
        ended = min(ended, result.ended_ns)
    cut = result.interrupted
    return Window(turn.round_no, opens, max(opens, ended), cut, result.taken), cut


async def _open_turn(context: RunContext, plan: LoadPlan, shape: TestShape, turn: Turn) -> tuple[Window, bool]:
    """Every request at its intended time, whatever became of those before it."""
    offsets = plan.intended(turn.round_no)
    start = time.monotonic_ns() + LEAD_NS
    ramp = int(plan.settings.ramp_up_seconds * _NANOSECONDS)
    opens = start + ramp
    most = plan.settings.max_in_flight
    workers = max(1, min(context.pool.count, len(offsets), most or len(offsets)))

    def stage_of(worker: int, number: int) -> Stage | None:
        if worker >= workers:
            return None
        # Each worker holds back its own part: together they have no more under way than was asked for.
        share = 0 if most is None else most // workers + (worker < most % workers)
        return Stage(number, (), 0, 0, ((turn.service, 0),), max_in_flight=share)

    def jobs_of(worker: int, _start: int) -> Iterator[JobTuple]:
        for index in range(worker, len(offsets), workers):
            at = start + int(offsets[index])
            yield context.renderer.job(shape, turn.service, index, round_no=turn.round_no, intended_ns=at)

    result = await run_stage(context.pool, stage_of, jobs_of, start_ns=start, stop=context.stop)
    if turn.steady_seconds is not None:
        closes = opens + int(turn.steady_seconds * _NANOSECONDS)
    elif len(offsets):
        # A turn that ends by its requests: half a mean gap after the last one, as the first stands half a gap inside.
        closes = start + int(offsets[-1]) + round(_NANOSECONDS / (2 * (plan.rate or 1))) + 1
    else:
        closes = opens
    cut = result.interrupted or await idle_until(context.pool, closes, context.stop)
    if cut:
        closes = min(closes, time.monotonic_ns())
    return Window(turn.round_no, opens, max(opens, closes), cut, result.taken), cut
