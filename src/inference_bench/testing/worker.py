"""A measuring worker: a process that sends on time, stamps what comes, and hands it on undecoded.

Run as `python -m inference_bench.testing.worker OUT_FD`: commands come on standard input, reports go to standard
output, finished exchanges to the descriptor OUT_FD (a pipe to the decoder). It imports the standard library only,
draws nothing, parses HTTP framing only, and ends when its standard input ends, so that it never outlives the run.
"""

import contextlib
import fcntl
import gc
import os
import signal
import sys
import time
from collections import deque
from typing import Any

from inference_bench.api.exchange import Job
from inference_bench.api.transport import Transport
from inference_bench.testing.frames import FrameReader, Progress, Stage, encode, pack_exchange
from inference_bench.testing.schedule import Schedule, schedule_for
from inference_bench.testing.self_check import SelfCheck

PIPE_BYTES = 1 << 20
MAX_OPENING = 64  # connections set up at the same time: more would overflow a server's listen queue
PROGRESS_NS = 100_000_000
COALESCE_FROM = 32  # streams in flight; below, every chunk is read as it comes
LONGEST_PAUSE_NS = 2_000_000


class Outlet:
    """A pipe that is never waited for: what it does not take now is kept and sent when it can be written."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        os.set_blocking(fd, False)
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with contextlib.suppress(OSError):  # only a larger buffer: the default works too
                fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._left: deque[memoryview] = deque()

    def send(self, message: tuple[Any, ...]) -> None:
        """Queue a message and write what the pipe takes."""
        self._left.append(memoryview(encode(message)))
        self.flush()

    def flush(self) -> None:
        """Write as much as the pipe takes."""
        while self._left:
            try:
                written = os.write(self.fd, self._left[0])
            except BlockingIOError:
                return
            if written == len(self._left[0]):
                self._left.popleft()
            else:
                self._left[0] = self._left[0][written:]

    def drain(self) -> None:
        """Write all that is left, waiting for the reader."""
        os.set_blocking(self.fd, True)
        self.flush()

    @property
    def waiting(self) -> bool:
        """Whether something could not be written yet."""
        return bool(self._left)


class Worker:
    """The loop: commands in, requests out, exchanges on."""

    def __init__(self, out_fd: int) -> None:
        self._commands = FrameReader()
        self._reports = Outlet(sys.stdout.fileno())
        self._exchanges = Outlet(out_fd)
        self._number = 0
        self._transport: Transport | None = None
        self._stage: Stage | None = None
        self._schedule: Schedule | None = None
        self._first_sent = 0
        self._last_sent = 0
        self._check = SelfCheck()
        self._next_progress = 0
        self._stamps = False
        self._pause_ns = 0
        self._reads_before = 0
        self._running = True

    def run(self) -> None:
        """Serve until told to quit or the coordinator is gone."""
        stdin = sys.stdin.fileno()
        while self._transport is None and self._running:
            self._read_commands(stdin)
        if self._transport is None:
            return
        os.set_blocking(stdin, False)
        self._transport.watch(stdin, lambda: self._read_commands(stdin))
        self._check = SelfCheck()
        while self._running:
            self._turn(self._transport)
        self._transport.abandon("the run was ended")
        self._hand_on(self._transport)
        self._exchanges.drain()

    def _turn(self, transport: Transport) -> None:
        """One round of the loop: send what is due, wait for events, hand on what ended, look after itself."""
        now = time.monotonic_ns()
        schedule = self._schedule
        until = self._check.due_ns
        if schedule is not None:
            job = schedule.due(now)
            while job is not None:
                self._send(transport, job, now)
                now = time.monotonic_ns()
                job = schedule.due(now)
            until = min(until, schedule.next_ns(now))
        if self._pause_ns and transport.in_flight >= COALESCE_FROM:
            # Many streams: let a few chunks gather, so that one wake-up reads them all. Their kernel stamps say when
            # each came; see `_pace` for how long this may be.
            left = until - time.monotonic_ns()
            if left > 0:
                time.sleep(min(self._pause_ns, left) / 1e9)
        transport.poll(until)
        if transport.finished:
            self._hand_on(transport)
        now = time.monotonic_ns()
        if now >= self._check.due_ns:
            self._tick(transport, now)
        if schedule is not None and not transport.in_flight and schedule.exhausted(now):
            self._end_stage(schedule)

    def _send(self, transport: Transport, job: Job, now: int) -> None:
        self._first_sent = self._first_sent or now
        self._last_sent = now
        transport.submit(job)

    def _hand_on(self, transport: Transport) -> None:
        finished, transport.finished = transport.finished, []
        schedule = self._schedule
        now = time.monotonic_ns()
        if schedule is not None:
            # Users first: their next request must not wait for the pipe.
            for raw in finished:
                schedule.ended(raw.job, now)
        for raw in finished:
            self._exchanges.send(("exchange", self._number, pack_exchange(raw)))

    def _tick(self, transport: Transport, now: int) -> None:
        self._check.tick(now)
        self._exchanges.flush()
        self._reports.flush()
        schedule = self._schedule
        if schedule is not None:
            if schedule.starved_ns:
                self._check.starved(schedule.starved_ns)
                schedule.starved_ns = 0
            for target, wanted in schedule.wanted_soon(now).items():
                room = MAX_OPENING - transport.opening
                if room > 0:
                    transport.prepare(target, min(wanted, transport.at_hand(target) + room))
        if now >= self._check.next_sample_ns:
            self._pace(transport)
            offset = transport.anchor.resample()
            row = self._check.sample(self._number, offset, transport.in_flight, transport.open_sockets)
            self._exchanges.send(("sample", row))
        if self._stage is not None and schedule is not None and now >= self._next_progress:
            self._next_progress = now + PROGRESS_NS
            self._reports.send(
                ("progress", Progress(self._number, self._stage.number, schedule.taken, transport.in_flight))
            )

    def _pace(self, transport: Transport) -> None:
        """Choose how long chunks may gather: a small part of the mean gap between the chunks of one stream.

        A kernel stamp is exact while a chunk is read before the next one of its stream arrives. Without kernel stamps
        the clock at the read is all there is, and nothing is ever left waiting.
        """
        reads = transport.reads - self._reads_before
        self._reads_before = transport.reads
        if not self._stamps or not reads:
            self._pause_ns = 0
            return
        mean_gap_ns = transport.in_flight * 1_000_000_000 // reads
        self._pause_ns = min(LONGEST_PAUSE_NS, mean_gap_ns // 20)

    # -- commands ------------------------------------------------------------------------------------------------

    def _read_commands(self, stdin: int) -> None:
        try:
            data = os.read(stdin, 1 << 18)
        except BlockingIOError:
            return
        if not data:
            self._running = False
            return
        for message in self._commands.feed(data):
            self._obey(message)

    def _obey(self, message: tuple[Any, ...]) -> None:
        kind = message[0]
        if kind == "jobs":
            if self._schedule is not None and self._stage is not None and self._stage.number == message[1]:
                self._schedule.add(
                    [
                        Job(seq, target, payload, intended_ns=at, meta=meta)
                        for seq, target, at, payload, meta in message[2]
                    ]
                )
        elif kind == "last":
            if self._schedule is not None:
                self._schedule.no_more()
        elif kind == "stage":
            self._begin_stage(message[1])
        elif kind == "abort":
            assert self._transport is not None
            self._transport.abandon(message[1])
            self._hand_on(self._transport)
            if self._schedule is not None:
                self._end_stage(self._schedule)
        elif kind == "setup":
            _, self._number, targets, timeouts, stamps = message
            self._stamps = stamps
            self._transport = Transport(targets, timeouts, stamps=stamps)
            self._reports.send(("ready", os.getpid()))
        elif kind == "quit":
            self._running = False

    def _begin_stage(self, stage: Stage) -> None:
        assert self._transport is not None
        self._stage = stage
        self._schedule = schedule_for(stage)
        self._first_sent = self._last_sent = 0
        in_use = {target for target, _ in stage.targets}
        self._transport.close_idle(except_targets=in_use)
        # Garbage of the stage before is collected between stages, never inside one.
        gc.collect()
        self._check.due_ns = time.monotonic_ns()

    def _end_stage(self, schedule: Schedule) -> None:
        assert self._stage is not None
        assert self._transport is not None
        progress = Progress(self._number, self._stage.number, schedule.taken, 0)
        self._reports.send(("progress", progress))
        self._reports.send(("done", self._stage.number, self._first_sent, self._last_sent))
        self._stage = None
        self._schedule = None


def main() -> None:
    """Entry point of the process."""
    # Ctrl-C reaches the coordinator, which tells the workers; a terminal may still send it to everyone.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()
    worker = Worker(int(sys.argv[1]))
    gc.freeze()
    try:
        worker.run()
    except BrokenPipeError:
        sys.exit(1)  # the decoder or the coordinator is gone; there is nobody left to tell


if __name__ == "__main__":
    main()
