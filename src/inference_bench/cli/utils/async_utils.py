"""Runs an asynchronous story so that Ctrl-C and SIGTERM end it well: the first asks it to stop, the second insists."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

from inference_bench.cli.utils.console_utils import warn
from inference_bench.errors import InterruptedRunError

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_story(story: Callable[[asyncio.Event], Awaitable[T]], *, stopping: str = "stopping") -> T:
    """Run `story(stop)` to its end and return its result.

    The first SIGINT or SIGTERM sets `stop`: the story is to end soon, keep what it has, and raise InterruptedRunError
    (exit code 130) or return. `stopping` is said then. A second signal cancels the story at once and raises
    KeyboardInterrupt; so does a first one that the story answers with cancellation. Must be called from the main
    thread, outside any event loop.
    """
    with asyncio.Runner() as runner:
        return runner.run(_watched(story, stopping))


async def _watched(story: Callable[[asyncio.Event], Awaitable[T]], stopping: str) -> T:
    stop = asyncio.Event()
    task = asyncio.ensure_future(story(stop))
    signalled = False

    def on_signal() -> None:
        nonlocal signalled
        if stop.is_set():
            task.cancel()
            return
        signalled = True
        stop.set()
        warn(f"{stopping} (once more: at once)")

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal)
    try:
        return await task
    except asyncio.CancelledError:
        if signalled:
            raise KeyboardInterrupt from None
        raise
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


async def unless_stopped(story: Awaitable[T], stop: asyncio.Event) -> T:
    """Await a story that has nothing worth keeping, and end it at the first Ctrl-C: raises InterruptedRunError."""
    telling = asyncio.ensure_future(story)
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({telling, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if telling.done():
            return telling.result()
        raise InterruptedRunError("interrupted; nothing was measured yet")
    finally:
        stopped.cancel()
        if not telling.done():
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
