"""A measuring worker: a process that sends on time, stamps what comes, and hands it on undecoded.

Run as `python -m inference_bench.testing.worker OUT_FD`: commands come on standard input, reports go to standard
output, finished exchanges to the descriptor OUT_FD (a pipe to the decoder, or to whoever looks on). It imports the
standard library only, draws nothing, parses HTTP framing only, and ends when its standard input ends, so that it
never outlives the run.
"""

import gc
import os
import signal
import sys
import time
from typing import Any

from inference_bench.api.exchange import Job, RawExchange
from inference_bench.api.transport import Transport
from inference_bench.testing.frames import FrameReader, Progress, Stage, pack_exchange
from inference_bench.testing.outlet import HOLD_SECONDS, Outlet
from inference_bench.testing.schedule import Schedule, schedule_for
from inference_bench.testing.self_check import SelfCheck
from inference_bench.testing.session_schedule import SessionSchedule

MAX_OPENING = 64  # connections set up at the same time: more would overflow a server's listen queue
PROGRESS_NS = 100_000_000
COALESCE_FROM = 32  # streams in flight; below, every chunk is read as it comes
LONGEST_PAUSE_NS = 4_000_000


class Worker:
    """The loop: commands in, requests out, exchanges on."""

    def __init__(self, out_fd: int) -> None:
        self._commands = FrameReader()
        self._reports = Outlet(sys.stdout.fileno())
        self._exchanges = Outlet(out_fd)
        self._number = 0
        self._transport: Transport | None = None
        self._stage: Stage | None = None
        self._schedule: Schedule | SessionSchedule | None = None
        self._first_sent = 0
        self._last_sent = 0
        self._check = SelfCheck()
        self._next_progress = 0
        self._stamps = False
        self._pause_ns = 0
        self._reads_before = 0
        self._ended = 0
        self._paced_ns = 0
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
        if self._exchanges.full:
            # Memory ends before the decoder catches up: stand still, listening to the coordinator alone. The next
            # tick comes late by all of it, so the verdict tells.
            self._exchanges.wait(HOLD_SECONDS)
            self._read_commands(sys.stdin.fileno())
            return
        self._send_due(transport)
        until = self._check.due_ns
        if self._schedule is not None:
            until = min(until, self._schedule.next_ns(time.monotonic_ns()))
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
        # Asked anew: a command that came in meanwhile may have ended the stage.
        schedule = self._schedule
        if schedule is not None and not transport.in_flight and schedule.exhausted(now):
            self._hand_on(transport)
            self._end_stage(schedule)

    def _send_due(self, transport: Transport) -> None:
        schedule = self._schedule
        if schedule is None:
            return
        job = schedule.due(time.monotonic_ns())
        while job is not None:
            transport.submit(job)
            job = schedule.due(time.monotonic_ns())

    def _hand_on(self, transport: Transport) -> None:
        finished, transport.finished = transport.finished, []
        self._ended += len(finished)
        if self._schedule is not None:
            for raw in finished:
                refused = raw.failure is not None or raw.status >= 400
                self._schedule.ended(raw.job, raw.end_ns, refused=refused)
            # Users first: their next request must not wait until the answers are packed.
            self._send_due(transport)
        for raw in finished:
            # The exchange's own mark: a request that waited for its connection was sent later than it was submitted.
            sent = raw.sent_ns or raw.connect_start_ns or raw.end_ns
            self._first_sent = min(self._first_sent or sent, sent)
            self._last_sent = max(self._last_sent, sent)
            self._exchanges.send(("exchange", self._number, pack_exchange(raw)))

    def _show(self, raw: RawExchange, piece: bytes, arrival_ns: int) -> None:
        """Pass a piece on while its answer goes on: somebody looks on. Stamped before, and never waited for."""
        self._exchanges.send(("piece", raw.job.seq, raw.sent_ns, piece, arrival_ns))

    def _tick(self, transport: Transport, now: int) -> None:
        self._check.tick(now)
        self._exchanges.flush()
        self._reports.flush()
        schedule = self._schedule
        if schedule is not None:
            self._check.starved(schedule.starvation(now))
            for target, wanted in schedule.wanted_soon(now).items():
                room = MAX_OPENING - transport.opening
                if room > 0:
                    transport.prepare(target, min(wanted, transport.at_hand(target) + room))
        if now >= self._check.next_sample_ns:
            self._sample(transport)
        if self._stage is not None and schedule is not None and now >= self._next_progress:
            self._next_progress = now + PROGRESS_NS
            self._reports.send(("progress", Progress(self._number, self._stage.number, schedule.taken)))

    def _sample(self, transport: Transport) -> None:
        self._pace(transport)
        offset = transport.anchor.resample()
        row = (
            *self._check.sample(self._number, offset, transport.in_flight, transport.open_sockets),
            transport.reads,
            transport.unstamped if self._stamps else None,
            self._exchanges.take_most_unsent(),
        )
        self._exchanges.send(("sample", row))

    def _pace(self, transport: Transport) -> None:
        """Choose how long chunks may gather: a small part of the mean gap between the chunks of one stream.

        A kernel stamp is exact while a chunk is read before the next one of its stream arrives. A user's next request
        waits for the end of the last to be seen, so the pause is at most a thousandth of an answer's mean length: a
        closed loop must not be slowed by its client. Without kernel stamps nothing is ever left waiting.
        """
        now = time.monotonic_ns()
        reads, ended = transport.reads - self._reads_before, self._ended
        since, self._paced_ns = self._paced_ns, now
        self._reads_before, self._ended = transport.reads, 0
        if not self._stamps or not reads:
            self._pause_ns = 0
            return
        # Requests that wait in a server's queue do not stream: only connections that brought something count.
        flow_ns = transport.active_since(since) * (now - since)
        self._pause_ns = min(LONGEST_PAUSE_NS, flow_ns // reads // 16, flow_ns // max(ended, 1) // 1000)

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
        if kind in {"jobs", "turns"}:
            if self._stage is not None and self._stage.number == message[1]:
                self._take_work(message[2])
        elif kind == "last":
            if self._schedule is not None:
                self._schedule.no_more()
        elif kind == "stage":
            self._begin_stage(message[1])
        elif kind == "mark":
            self._exchanges.send(("mark", self._number, message[1]))
        elif kind == "abort":
            assert self._transport is not None
            schedule, self._schedule = self._schedule, None  # nothing more is sent
            self._transport.abandon(message[1])
            self._hand_on(self._transport)
            if schedule is not None:
                self._end_stage(schedule)
        elif kind == "setup":
            _, self._number, targets, timeouts, stamps, tapped = message
            self._stamps = stamps
            self._transport = Transport(targets, timeouts, stamps=stamps, tap=self._show if tapped else None)
            self._reports.send(("ready", os.getpid()))
        elif kind == "quit":
            self._running = False

    def _take_work(self, work: list[Any]) -> None:
        """Give the stage's schedule what came for it."""
        schedule = self._schedule
        if isinstance(schedule, SessionSchedule):
            schedule.add((user, due, _job(*parts)) for user, due, parts in work)
        elif schedule is not None:
            schedule.add([_job(*parts) for parts in work])

    def _begin_stage(self, stage: Stage) -> None:
        assert self._transport is not None
        self._stage = stage
        self._schedule = SessionSchedule(stage) if stage.sessions else schedule_for(stage)
        if stage.sessions:
            self._exchanges.send(("sessions", self._number, True))
        self._first_sent = self._last_sent = 0
        in_use = {target for target, _ in stage.targets}
        self._transport.close_idle(except_targets=in_use)
        # Garbage of the stage before is collected between stages, never inside one.
        gc.collect()
        self._check.due_ns = time.monotonic_ns()
        self._check.longest_ns = 0  # a stop before the stage is none of its own

    def _end_stage(self, schedule: Schedule | SessionSchedule) -> None:
        assert self._stage is not None
        assert self._transport is not None
        # The window's last moments must be spoken for: the next regular sample may be a second away.
        self._check.tick(max(time.monotonic_ns(), self._check.due_ns))
        self._sample(self._transport)
        if self._stage.sessions:
            self._exchanges.send(("sessions", self._number, False))
        self._reports.send(("progress", Progress(self._number, self._stage.number, schedule.taken)))
        self._reports.send(("done", self._stage.number, self._first_sent, self._last_sent))
        self._stage = None
        self._schedule = None


def _job(seq: int, target: int, intended_ns: int, payload: bytes, meta: bytes) -> Job:
    return Job(seq, target, payload, intended_ns=intended_ns, meta=meta)


def main() -> None:
    """Entry point of the process."""
    # Ctrl-C reaches the coordinator, which tells the workers; a terminal may still send it to everyone.
    # So may a service manager with SIGTERM. The end of standard input ends this process in any case.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    gc.disable()
    worker = Worker(int(sys.argv[1]))
    gc.freeze()
    try:
        worker.run()
    except BrokenPipeError:
        sys.exit(1)  # the decoder or the coordinator is gone; there is nobody left to tell


if __name__ == "__main__":
    main()
