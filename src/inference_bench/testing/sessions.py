"""Load tests of conversations: each turn carries the service's own earlier answers and waits for the last of them.

Closed loop: each user has one session after the other; user u of N has the sessions u, u + N, u + 2 N, …, so that every
service gets the same work, however quick it is. Open loop: sessions start at their intended times; a later turn has no
intended time, it follows its answer and the think time. Think time counts from the end of the last answer.
"""

import asyncio
import time
from collections.abc import Callable, Iterator

import numpy as np

from inference_bench.testing.context import RunContext, Window
from inference_bench.testing.conversations import Conversations, DueTurn, SessionBook, Start, Talk
from inference_bench.testing.frames import Stage
from inference_bench.testing.plan import LoadPlan, Turn
from inference_bench.testing.pool import JobTuple, WorkerPool
from inference_bench.testing.rendering import Place, TestShape
from inference_bench.testing.stages import (
    AHEAD_NS,
    BATCH,
    LEAD_NS,
    POLL_SECONDS,
    StageResult,
    check_pulse,
    idle_until,
    result_of,
    stage_numbers,
)
from inference_bench.workloads.sessions import SessionWorkload

_NANOSECONDS = 1_000_000_000


async def session_turn(context: RunContext, plan: LoadPlan, shape: TestShape, turn: Turn) -> tuple[Window, bool]:
    """Run one service's turn of a test whose workload is sessions; return its window and whether it was interrupted.

    A closed loop ends when the window closes, or when the sessions have had `turn.requests` turns together. An open
    loop starts sessions for as long; those under way at the end of a window send nothing more. Raises WorkerDiedError.
    """
    settings = plan.settings
    users = 0 if plan.open_loop else plan.users or 1
    start = time.monotonic_ns() + LEAD_NS
    opens = start + int(settings.ramp_up_seconds * _NANOSECONDS)
    closes = opens + int(turn.steady_seconds * _NANOSECONDS) if turn.steady_seconds is not None else 0
    starts = _starts(plan, turn, start, users)
    workers = max(1, min(context.pool.count, len(starts)))
    think_ns = int(settings.think_time_seconds * _NANOSECONDS)

    def stage_of(worker: int, number: int) -> Stage:
        held = tuple((user, due_ns) for user, due_ns, _ in starts[worker::workers]) if users else ()
        return Stage(number, held, think_ns, closes, ((turn.service, len(held)),), sessions=True)

    conversations = Conversations(
        _book(plan, shape, turn), iter(starts), _renderer(context, shape, turn), think_ns=think_ns, users=users
    )
    result = await _run(context.pool, conversations, stage_of, workers=workers, stop_ns=closes, stop=context.stop)
    # A turn that ends by its requests is steady from the end of the ramp until the last was sent.
    ended = closes or max(result.last_sent_ns + 1, opens)
    cut = result.interrupted or await idle_until(context.pool, ended, context.stop)
    if cut:
        ended = min(ended, time.monotonic_ns())
    return Window(turn.round_no, opens, max(opens, ended), cut, result.taken), cut


def _starts(plan: LoadPlan, turn: Turn, start_ns: int, users: int) -> list[Start]:
    """Return who begins when: users spread over the ramp, or sessions at their intended times."""
    if users:
        ramp = int(plan.settings.ramp_up_seconds * _NANOSECONDS)
        return [Start(user, start_ns + ramp * user // users, 0) for user in range(users)]
    times = [start_ns + int(offset) for offset in plan.intended(turn.round_no)]
    return [Start(number, at, at) for number, at in enumerate(times)]


def _book(plan: LoadPlan, shape: TestShape, turn: Turn) -> SessionBook:
    """Return the sessions of this turn's round: the same for every service."""
    workload = shape.workload
    assert isinstance(workload, SessionWorkload)
    ramp_ns = plan.settings.ramp_up_seconds * _NANOSECONDS
    in_ramp = int(np.searchsorted(plan.intended(turn.round_no), ramp_ns)) if plan.open_loop else 0
    first = shape.item_number(turn.round_no, 0)
    return SessionBook(lambda number: workload.session(first + number), turn.requests, uncounted=in_ramp)


def _renderer(context: RunContext, shape: TestShape, turn: Turn) -> Callable[[Talk, int], JobTuple]:
    def render(talk: Talk, intended_ns: int) -> JobTuple:
        place = Place(turn.round_no, None, talk.plan_index, False, talk.number, talk.turn)
        messages, max_tokens = talk.messages, talk.max_tokens
        return context.renderer.turn(shape, turn.service, place, messages, max_tokens, intended_ns=intended_ns)

    return render


async def _run(
    pool: WorkerPool,
    conversations: Conversations,
    stage_of: Callable[[int, int], Stage],
    *,
    workers: int,
    stop_ns: int,
    stop: asyncio.Event,
) -> StageResult:
    """Run one stage on the first `workers` workers; user u is held by worker u modulo their number."""
    number = next(stage_numbers)
    pool.answers.clear()
    for worker in range(workers):
        await pool.begin(worker, stage_of(worker, number))
    interrupted = told = False
    while not all(pool.workers[worker].done.is_set() for worker in range(workers)):
        started = 0
        if stop.is_set() and not interrupted:
            interrupted = True
            await pool.abort("interrupted")
        if not interrupted:
            closed = bool(stop_ns) and time.monotonic_ns() >= stop_ns
            turns, started = _following(pool, conversations, closed=closed)
            for message in _messages(turns, number, workers):
                await pool.send(*message)
            if not told and (conversations.over or (closed and conversations.all_started)):
                told = True
                for worker in range(workers):
                    await pool.send(worker, ("last", number))
        check_pulse(pool, range(workers))
        if interrupted or not (pool.answers or started):
            await pool.pulse(POLL_SECONDS)
        else:
            await asyncio.sleep(0)  # answers are heard between the batches
    return result_of(pool, range(workers), interrupted=interrupted)


def _following(pool: WorkerPool, conversations: Conversations, *, closed: bool) -> tuple[list[DueTurn], int]:
    """Return the turns that follow the answers at hand and those of users who begin, and how many began.

    Once the window has `closed` nothing follows; late beginners are still let in.
    """
    turns: list[DueTurn] = []
    while pool.answers:
        answer = pool.answers.popleft()
        if not closed:
            follows = conversations.answered(answer)
            turns.extend([] if follows is None else [follows])
    beginning, begun = conversations.starting(time.monotonic_ns() + AHEAD_NS, BATCH)
    return turns + beginning, begun


def _messages(turns: list[DueTurn], number: int, workers: int) -> Iterator[tuple[int, tuple[object, ...]]]:
    for worker in range(workers):
        due = [tuple(turn) for turn in turns if turn.user % workers == worker]
        if due:
            yield worker, ("turns", number, due)
