"""Stages on real worker processes against a scripted server: stopped in the drain, odd answers, journal whole."""

import asyncio
import gc
import os
import pickle
import signal
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from inference_bench.api.exchange import Timeouts
from inference_bench.api.protocols import Endpoint
from inference_bench.api.targets import Target, resolve
from inference_bench.errors import WorkerDiedError
from inference_bench.results.journal import read_journal
from inference_bench.testing import stages
from inference_bench.testing.frames import RequestMeta, Stage
from inference_bench.testing.pool import JobTuple, WorkerPool
from inference_bench.testing.stages import StageResult, run_stage

PATIENCE = 60.0
PAYLOAD = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
ANSWER = (
    b'data: {"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":3000000000,"completion_tokens":18446744073709551615}}\n\n'
    b"data: [DONE]\n\n"
)


def meta(index: int) -> bytes:
    fields = RequestMeta("svc", "openai", "openai", "load", "load", 0, None, index, False, f"id-{index}", 8)
    return pickle.dumps(tuple(fields), 5)


def jobs(count: int) -> Iterator[JobTuple]:
    for index in range(count):
        yield index, 0, 0, PAYLOAD, meta(index)


async def one_stage(
    target: Target, journal: Path, *, users: int, count: int, stop_when: threading.Event | None = None
) -> StageResult:
    """Run one closed stage of so many jobs; it is interrupted when `stop_when` is set."""
    stop = asyncio.Event()
    pool = WorkerPool([target], Timeouts(2, 20, 30), count=1, journal=journal, stamps=True, keep_text=False)
    async with pool:
        start = time.monotonic_ns() + 50_000_000

        def stage_of(_worker: int, number: int) -> Stage:
            return Stage(number, tuple((user, start) for user in range(users)), 0, 0, ((0, users),))

        async def interrupt() -> None:
            if stop_when is not None and await asyncio.to_thread(stop_when.wait, PATIENCE):
                stop.set()

        interrupting = asyncio.create_task(interrupt())
        result = await run_stage(pool, stage_of, lambda _worker, _start: jobs(count), start_ns=start, stop=stop)
        await interrupting
        return result


class Server:
    """Accepts connections; answers each request with `answer`, or never with None. `enough` is set when it was sent so
    many requests.
    """

    def __init__(self, answer: bytes | None, *, enough: int = 0) -> None:
        self._answer = answer
        self._missing = enough
        self.enough = threading.Event()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.target = resolve(Endpoint("svc", "openai", f"http://127.0.0.1:{self._listener.getsockname()[1]}"))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            while sock.recv(65536):
                with self._lock:
                    self._missing -= 1
                    if self._missing == 0:
                        self.enough.set()
                if self._answer is not None:
                    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(self._answer)
                    sock.sendall(head + self._answer)

    def close(self) -> None:
        """Stop accepting."""
        self._listener.close()


def test_an_interruption_while_the_last_answers_are_awaited_ends_the_stage_and_keeps_them(tmp_path: Path) -> None:
    server = Server(None, enough=3)
    journal = tmp_path / "journal"
    result = asyncio.run(one_stage(server.target, journal, users=3, count=3, stop_when=server.enough))
    server.close()
    assert result.interrupted
    rows = [row for batch in read_journal(journal) for row in batch.to_pylist()]
    assert [row["error_class"] for row in rows] == ["interrupted"] * 3


def test_absurd_counts_from_a_server_are_missing_and_end_nothing(tmp_path: Path) -> None:
    server = Server(ANSWER)
    result = asyncio.run(one_stage(server.target, tmp_path / "journal", users=2, count=20))
    server.close()
    assert not result.interrupted
    rows = [row for batch in read_journal(tmp_path / "journal") for row in batch.to_pylist()]
    assert sorted(row["index"] for row in rows) == list(range(20))
    assert all(row["ok"] for row in rows)
    assert {row["output_tokens"] for row in rows} == {None}


def test_what_was_measured_so_far_can_be_had_in_the_journal_while_the_run_goes_on(tmp_path: Path) -> None:
    """Several workers, each with answers that are still on their way to the decoder when it is asked."""
    server = Server(ANSWER)
    journal = tmp_path / "journal"
    seen: list[list[int]] = []

    async def story() -> None:
        pool = WorkerPool([server.target], Timeouts(2, 20, 30), count=3, journal=journal, stamps=True, keep_text=False)
        async with pool:
            for part in range(3):
                feed = partial(jobs_of, part)
                await run_stage(pool, stage_of, feed, start_ns=time.monotonic_ns(), stop=asyncio.Event())
                await pool.written_out()
                seen.append([row["index"] for batch in read_journal(journal) for row in batch.to_pylist()])

    def stage_of(_worker: int, number: int) -> Stage:
        return Stage(number, ((0, time.monotonic_ns()),), 0, 0, ((0, 1),))

    def jobs_of(part: int, worker: int, _start: int) -> Iterator[JobTuple]:
        first = (part * 3 + worker) * 40
        for index in range(first, first + 40):
            yield index, 0, 0, PAYLOAD, meta(index)

    asyncio.run(story())
    server.close()
    assert [sorted(indices) for indices in seen] == [list(range(120 * (part + 1))) for part in range(3)]


def test_who_stops_waiting_for_a_decoder_that_is_held_leaves_no_error_behind(tmp_path: Path) -> None:
    said: list[dict[str, object]] = []

    async def story() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
        target = Server(ANSWER).target
        pool = WorkerPool([target], Timeouts(2, 20, 30), count=1, journal=tmp_path, stamps=False, keep_text=False)
        async with pool:
            words = {child: " ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)}
            (decoder,) = (child for child, line in words.items() if "testing.decoder" in line and str(tmp_path) in line)
            decoder.suspend()
            ending = asyncio.create_task(pool.end())
            await asyncio.wait([ending], timeout=0.2)
            ending.cancel()
            await asyncio.wait([ending])
            assert ending.cancelled()
            del ending
            gc.collect()
            decoder.resume()

    asyncio.run(story())
    gc.collect()
    assert not said


def test_a_worker_that_is_stopped_is_not_waited_for_without_end_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "SILENCE_NS", 2_000_000_000)
    server = Server(None, enough=2)

    async def story() -> None:
        stop = asyncio.Event()
        pool = WorkerPool(
            [server.target], Timeouts(2, 60, 60), count=1, journal=tmp_path / "journal", stamps=True, keep_text=False
        )
        async with pool:
            start = time.monotonic_ns()

            def stage_of(_worker: int, number: int) -> Stage:
                return Stage(number, ((0, start), (1, start)), 0, 0, ((0, 2),))

            running = asyncio.create_task(
                run_stage(pool, stage_of, lambda _worker, _start: jobs(2), start_ns=start, stop=stop)
            )
            await asyncio.to_thread(server.enough.wait, PATIENCE)
            os.kill(pool.workers[0].pid, signal.SIGSTOP)
            try:
                stop.set()
                with pytest.raises(WorkerDiedError, match="has not been heard of for 2 s"):
                    await asyncio.wait_for(running, PATIENCE)
            finally:
                os.kill(pool.workers[0].pid, signal.SIGCONT)

    asyncio.run(story())
    server.close()
