"""Questions to whoever sits at the keyboard: a menu and a line of text, by keys on a terminal and by plain lines else.

In all of them `q` and the end of the input leave (None is returned), Ctrl-C interrupts, and an answer that is not among
the possible ones is told what is possible and asked for again.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from typing import Final

from inference_bench.cli.utils.console_utils import err, note
from inference_bench.cli.utils.typed_lines import typed_line
from inference_bench.errors import InterruptedRunError
from inference_bench.workloads.choices import did_you_mean, normalised, shown

Option = tuple[str, str]
MOST_OPTIONS: Final = 9  # one digit each
LEAVING: Final = ("q", "quit", "/q", "/quit", "exit", "/exit")


async def choose(title: str, options: Sequence[Option], stop: asyncio.Event) -> str | None:
    """Ask for one of up to nine options, each a value and the line that stands for it ("word: more"); return the value.

    Arrows and Enter or a digit choose; where lines are typed, a number or a value's own name. None: the user left.
    Raises InterruptedRunError on Ctrl-C, and once `stop` is set.
    """
    if not 1 <= len(options) <= MOST_OPTIONS:
        raise ValueError(f"a menu has 1 to {MOST_OPTIONS} options, not {len(options)}")
    if keys_work():
        from inference_bench.cli.utils.question_keys import choose_by_keys  # noqa: PLC0415 - prompt_toolkit is slow

        chosen = await choose_by_keys(title, options, stop)
        note(f"{title} {'left' if chosen is None else dict(options)[chosen].partition(': ')[0]}")
        return chosen
    return await _choose_by_lines(title, options, stop)


async def ask_text(prompt: str, stop: asyncio.Event, *, empty: str | None = None) -> str | None:
    """Ask for a line of text, again until it is not empty, unless that means something: `empty` is returned then.

    None: the user left. Raises InterruptedRunError, UsageError.
    """
    while True:
        said = await _text_by_keys(prompt, stop) if keys_work() else await _line(prompt, stop)
        if said is None or said.strip().lower() in LEAVING:
            return None
        if said.strip():
            # Bytes that are no UTF-8 cannot be sent: a question mark stands for each.
            return said.strip().encode(errors="replace").decode()
        if empty is not None:
            return empty
        note("Nothing was typed. Type a line and Enter; q leaves.")


async def confirmed(question: str, stop: asyncio.Event) -> bool:
    """Ask for a yes or a no, which is what anything else and leaving mean. Raises InterruptedRunError."""
    said = await ask_text(f"{question} [y/N] ", stop, empty="n")
    return said is not None and said.lower() in ("y", "yes")


def keys_work() -> bool:
    """Whether there is a terminal on both ends that can move its cursor; else everything is plain lines."""
    return _is_terminal(sys.stdin) and _is_terminal(sys.stdout) and os.environ.get("TERM") not in (None, "", "dumb")


def _is_terminal(stream: object) -> bool:
    isatty = getattr(stream, "isatty", None)
    return isatty is not None and not getattr(stream, "closed", False) and bool(isatty())


async def _text_by_keys(prompt: str, stop: asyncio.Event) -> str | None:
    from inference_bench.cli.utils.question_keys import text_by_keys  # noqa: PLC0415 - prompt_toolkit is slow

    return await text_by_keys(prompt, stop)


async def _line(prompt: str, stop: asyncio.Event) -> str | None:
    """Ask on stderr, with --quiet too: a question that nobody sees cannot be answered."""
    # What comes from a pipe is not echoed, so nothing else would end the question's line.
    err().print(prompt, end="" if _is_terminal(sys.stdin) else "\n", markup=False, soft_wrap=True)
    line = await typed_line(stop)
    if stop.is_set():
        raise InterruptedRunError("interrupted")
    if line is None and _is_terminal(sys.stdin):
        err().print()
    return line


async def _choose_by_lines(title: str, options: Sequence[Option], stop: asyncio.Event) -> str | None:
    for line in (title, *(f"  {number}  {label}" for number, (_, label) in enumerate(options, start=1))):
        err().print(line, markup=False, soft_wrap=True)
    values = [value for value, _ in options]
    while (typed := await _line(f"1 to {len(options)}, or q to leave: ", stop)) is not None:
        wanted = normalised(typed)
        if wanted in LEAVING:
            return None
        by_name = {normalised(value): value for value in values}
        by_number = {str(number): value for number, value in enumerate(values, start=1)}
        if wanted in by_name or wanted in by_number:
            return by_name.get(wanted) or by_number[wanted]
        names = [value for value in values if not value.isdigit()]
        possible = f"Possible are {', '.join([f'1 to {len(options)}', *names])}, and q."
        guess = did_you_mean(typed, by_name) or "."
        note(
            f"There is no {shown(typed.strip())} here{guess} {possible}" if wanted else f"Nothing was typed. {possible}"
        )
    note("The input ended before anything was chosen.")
    return None
