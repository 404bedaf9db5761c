"""The menu of `demo` without a mode."""

import asyncio
from typing import Final

from inference_bench.cli.utils.questions import choose

_MODES: Final = (
    ("race", "race: the same prompt to all at the same instant, one lane each"),
    ("conversation", "conversation: a scripted talk of four turns, side by side"),
    ("interactive", "interactive: choose a prompt or type your own, race it, again"),
    ("chat", "chat: talk freely with all services at once"),
)


async def choose_mode(stop: asyncio.Event) -> str | None:
    """Ask which mode to show. None: the user left. Raises InterruptedRunError."""
    return await choose("What shall be shown?", _MODES, stop)
