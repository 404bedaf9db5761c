"""The processes of a run: set up, fed, listened to, ended. It knows pipes and frames, no schedule."""

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from inference_bench.api.exchange import Timeouts
from inference_bench.api.targets import Target
from inference_bench.errors import WorkerDiedError
from inference_bench.testing.frames import Answer, FrameReader, Progress, Stage, Tally
from inference_bench.testing.processes import Processes, dismiss, started, tell

END_SECONDS = 30.0
JobTuple = tuple[int, int, int, bytes, bytes]  # seq, target, intended ns, payload, meta


@dataclass(slots=True)
class WorkerState:
    """What the coordinator knows of one worker."""

    pid: int
    taken: int = 0
    heard_ns: int = 0
    first_sent_ns: int = 0
    last_sent_ns: int = 0
    done: asyncio.Event = field(default_factory=asyncio.Event)


class WorkerPool:
    """`count` workers and one decoder that writes to `journal`. Use as an asynchronous context manager."""

    def __init__(
        self,
        targets: Sequence[Target],
        timeouts: Timeouts,
        *,
        count: int,
        journal: Path,
        stamps: bool,
        keep_text: bool,
        on_counts: Callable[[Mapping[tuple[str, str], Tally]], None] | None = None,
    ) -> None:
        self._targets = list(targets)
        self._timeouts = timeouts
        self._count = count
        self._journal = journal
        self._stamps = stamps
        self._keep_text = keep_text
        self._on_counts = on_counts
        self._processes: list[asyncio.subprocess.Process] = []
        self._decoder: asyncio.subprocess.Process | None = None
        self._listeners: list[asyncio.Task[None]] = []
        self._family = Processes()
        self._died: WorkerDiedError | None = None
        self._ending = False
        self._heard_ns = 0
        self._marked = self._written = 0
        self._woken = asyncio.Event()
        self.workers: list[WorkerState] = []
        self.answers: deque[Answer] = deque()  # of turns of sessions, for whoever runs them to take
        self.decoder_pid = 0

    async def __aenter__(self) -> Self:
        try:
            await started(self._start())
        except BaseException:
            await self._kill()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.end()

    @property
    def count(self) -> int:
        """Number of workers."""
        return self._count

    async def _start(self) -> None:
        pipes = [os.pipe() for _ in range(self._count)]
        try:
            for number, (_, write_end) in enumerate(pipes):
                os.set_inheritable(write_end, True)
                process = await self._family.spawn("inference_bench.testing.worker", [str(write_end)], [write_end])
                self._processes.append(process)
                self.workers.append(WorkerState(process.pid))
                self._tell(number, ("setup", number, self._targets, self._timeouts, self._stamps, False))
            read_ends = [read_end for read_end, _ in pipes]
            arguments = [str(self._journal), "1" if self._keep_text else "0", *map(str, read_ends)]
            self._decoder = await self._family.spawn("inference_bench.testing.decoder", arguments, read_ends)
            self.decoder_pid = self._decoder.pid
        finally:
            for read_end, write_end in pipes:
                os.close(read_end)
                os.close(write_end)
        for number, process in enumerate(self._processes):
            await self._family.expect_ready(process, f"worker {number}")
            self._listeners.append(asyncio.create_task(self._listen(process, f"worker {number}")))
        await self._family.expect_ready(self._decoder, "the decoder")
        self._listeners.append(asyncio.create_task(self._listen(self._decoder, "the decoder")))

    # -- while it runs -------------------------------------------------------------------------------------------

    def _tell(self, worker: int, message: tuple[Any, ...]) -> None:
        tell(self._processes[worker], message)

    async def send(self, worker: int, message: tuple[Any, ...]) -> None:
        """Send one command and wait until the pipe has taken enough of it. Raises WorkerDiedError."""
        self.check()
        self._tell(worker, message)
        stdin = self._processes[worker].stdin
        assert stdin is not None
        try:
            await stdin.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._death(f"worker {worker}") from error

    async def begin(self, worker: int, stage: Stage) -> None:
        """Begin a stage on one worker."""
        state = self.workers[worker]
        state.taken = state.first_sent_ns = state.last_sent_ns = 0
        state.heard_ns = time.monotonic_ns()
        state.done.clear()
        await self.send(worker, ("stage", stage))

    async def abort(self, message: str) -> None:
        """Give up everything in flight on all workers; their stages end."""
        for worker in range(self._count):
            await self.send(worker, ("abort", message))

    async def written_out(self) -> None:
        """Wait until all that the workers have measured so far is in the journal. Only between stages: the marks that
        ask for it go behind the exchanges, and nothing is timed meanwhile. Raises WorkerDiedError.
        """
        self._marked += 1
        for worker in range(self._count):
            await self.send(worker, ("mark", self._marked))
        self._heard_ns = time.monotonic_ns()
        while self._written < self._marked:
            await self.pulse(1.0)
            if time.monotonic_ns() - self._heard_ns > END_SECONDS * 1e9:
                raise WorkerDiedError(
                    f"the decoder has not been heard of for {END_SECONDS:g} s", hint="what the journal holds is kept"
                )

    async def pulse(self, timeout_seconds: float) -> None:
        """Wait, at most for this long, until a stage ended, a turn was answered or a process died: WorkerDiedError."""
        self._woken.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), timeout_seconds)
        self.check()

    def check(self) -> None:
        """Raise WorkerDiedError when a process of ours has ended out of turn."""
        if self._died is not None:
            raise self._died

    async def _listen(self, process: asyncio.subprocess.Process, who: str) -> None:
        assert process.stdout is not None
        reader = FrameReader()
        while data := await process.stdout.read(1 << 16):
            for message in reader.feed(data):
                self._hear(message, process)
        if not self._ending:
            await process.wait()
            self._died = self._died or self._death(who)
            self._woken.set()

    def _hear(self, message: tuple[Any, ...], process: asyncio.subprocess.Process) -> None:
        self._heard_ns = time.monotonic_ns()
        if message[0] == "progress":
            progress: Progress = message[1]
            state = self.workers[progress.worker]
            state.taken = progress.taken
            state.heard_ns = time.monotonic_ns()
        elif message[0] == "done":
            state = self.workers[self._processes.index(process)]
            _, _, state.first_sent_ns, state.last_sent_ns = message
            state.done.set()
            self._woken.set()
        elif message[0] == "written":
            self._written = message[1]
            self._woken.set()
        elif message[0] == "answer":
            self.answers.append(message[1])
            self._woken.set()
        elif message[0] == "counts" and self._on_counts is not None:
            self._on_counts(message[1])

    def _death(self, who: str) -> WorkerDiedError:
        return WorkerDiedError(
            f"{who} ended in the middle of the run{self._family.last_words()}",
            hint="what was measured until then is kept; look at it with: results",
        )

    # -- the end -------------------------------------------------------------------------------------------------

    async def end(self) -> None:
        """Let the workers close and the decoder write out the rest; kill what does not end. Raises WorkerDiedError
        when the decoder did not end well.
        """
        self._ending = True
        for process in self._processes:
            dismiss(process)
        await self._all_ended()
        failed = self._decoder is not None and self._decoder.returncode not in (0, None)
        tail = self._family.last_words() if failed else ""
        await self._kill()
        if failed and self._died is None:
            self._died = WorkerDiedError(f"the decoder failed{tail}", hint="the journal is kept: results recover")
        if self._died is not None:
            raise self._died

    async def _all_ended(self) -> None:
        """Wait for every process: as long as the decoder reports that it goes on with what is left, else no longer."""
        processes = [*self._processes, *([self._decoder] if self._decoder else [])]
        waiting = [asyncio.create_task(process.wait()) for process in processes]
        self._heard_ns = time.monotonic_ns()
        try:
            while waiting and (await asyncio.wait(waiting, timeout=1.0))[1]:
                if time.monotonic_ns() - self._heard_ns > END_SECONDS * 1e9:
                    problem = f"the measuring processes neither ended nor went on for {END_SECONDS:g} s"
                    self._died = self._died or WorkerDiedError(problem, hint="what the journal holds is kept")
                    return
        finally:
            for one in waiting:
                one.cancel()  # nothing when it has ended; else nobody may be left waiting for it

    async def _kill(self) -> None:
        self._ending = True
        await self._family.kill()
        for listener in self._listeners:
            listener.cancel()
        await asyncio.gather(*self._listeners, return_exceptions=True)
