"""Fresh interpreters that belong to one command: started, heard to be ready, and never left behind.

They are spawned, never forked, in a process group of their own so that Ctrl-C reaches the coordinator alone, but in
the same session: Linux schedules by session (autogroup), and a client split over sessions can starve itself.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import IO, Any

import inference_bench
from inference_bench.errors import WorkerDiedError
from inference_bench.testing.frames import FrameReader, encode

START_SECONDS = 30.0
Process = asyncio.subprocess.Process


class Processes:
    """The processes of one pool or session, with one file that takes what they say on standard error."""

    def __init__(self) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `kill`, after its writers ended
        self._all: list[Process] = []

    async def spawn(self, module: str, arguments: Sequence[str], fds: Sequence[int]) -> Process:
        """Start `python -m module` with these descriptors open in it; commands go in by its standard input."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._errors,
            pass_fds=tuple(fds),
            env={**os.environ, "PYTHONPATH": _python_path()},
            process_group=0,
            limit=1 << 20,
        )
        self._all.append(process)
        return process

    async def expect_ready(self, process: Process, who: str) -> None:
        """Wait for a process's first report. Raises WorkerDiedError when it ends instead."""
        assert process.stdout is not None
        reader = FrameReader()
        while True:
            data = await process.stdout.read(1 << 16)
            if not data:
                raise WorkerDiedError(f"{who} ended before it was ready{self.last_words()}")
            if reader.feed(data):
                return

    def last_words(self) -> str:
        """Return ": " and the last line that any of them wrote to standard error; empty when there is none."""
        if self._errors.closed:
            return ""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f": {lines[-1][:300]}" if lines else ""

    async def kill(self) -> None:
        """End what still lives, at once."""
        for process in self._all:
            if process.returncode is None:
                process.kill()
                await process.wait()
        self._errors.close()


async def started(starting: Awaitable[None]) -> None:
    """Wait for the start of some processes for a bounded time. Raises WorkerDiedError."""
    try:
        await asyncio.wait_for(starting, START_SECONDS)
    except TimeoutError as error:
        raise WorkerDiedError(f"the measuring processes did not start within {START_SECONDS:g} s") from error


def tell(process: Process, message: tuple[Any, ...]) -> None:
    """Send a process one command, without waiting. Raises BrokenPipeError, ConnectionResetError."""
    assert process.stdin is not None
    process.stdin.write(encode(message))


def dismiss(process: Process) -> None:
    """Ask a process to close and end, if it still lives."""
    if process.returncode is not None or process.stdin is None:
        return
    try:
        tell(process, ("quit",))
        process.stdin.close()
    except (BrokenPipeError, ConnectionResetError):
        return


def _python_path() -> str:
    """The search path for our children: they import this very package, installed or not."""
    source = str(Path(inference_bench.__file__).resolve().parent.parent)
    return os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")]))
