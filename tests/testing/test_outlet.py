"""What a worker hands on is kept while nobody reads, never lost, and never endless."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.api.exchange import Timeouts
from inference_bench.api.protocols import Endpoint
from inference_bench.api.targets import resolve
from inference_bench.metrics.records import WORKER_SAMPLE_COLUMNS
from inference_bench.testing.frames import FrameReader, Stage, encode, unpack_exchange
from inference_bench.testing.outlet import Outlet
from servers import serving

SMALL_OUTLET = """
import functools
from inference_bench.testing import outlet, worker
worker.Outlet = functools.partial(outlet.Outlet, most_unsent_bytes=4_000_000)
worker.main()
"""
USERS = 4
REQUEST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for fd in (reading, writing):
        os.close(fd)


def test_what_the_pipe_does_not_take_is_counted_and_comes_later(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    outlet = Outlet(writing, most_unsent_bytes=3_000_000)
    reader = FrameReader()
    assert (outlet.unsent_bytes, outlet.full) == (0, False)
    sent = 0
    while not outlet.full:
        outlet.send(("exchange", sent, b"x" * 100_000))
        sent += 1
    most = outlet.unsent_bytes
    assert 3_000_000 <= most < 3_200_000
    got: list[tuple[object, ...]] = []
    while outlet.unsent_bytes:
        got += reader.feed(os.read(reading, 1 << 20))
        outlet.wait(1.0)
        assert not outlet.full or outlet.unsent_bytes >= 3_000_000
    while len(got) < sent:
        got += reader.feed(os.read(reading, 1 << 20))
    assert [message[1] for message in got] == list(range(sent))
    assert outlet.take_most_unsent() == most
    assert outlet.take_most_unsent() == 0


def test_waiting_for_a_reader_that_never_reads_comes_back(pipe: tuple[int, int]) -> None:
    outlet = Outlet(pipe[1], most_unsent_bytes=1)
    while not outlet.full:
        outlet.send(("x", b"y" * 500_000))
    before = outlet.unsent_bytes
    outlet.wait(0.01)
    assert outlet.unsent_bytes == before


@given(sizes=st.lists(st.integers(0, 200_000), max_size=20))
def test_every_message_arrives_whole_and_in_order(sizes: list[int]) -> None:
    reading, writing = os.pipe()
    try:
        outlet, reader, got = Outlet(writing), FrameReader(), []
        for number, size in enumerate(sizes):
            outlet.send((number, b"z" * size))
            if number % 3 == 0:
                got += reader.feed(os.read(reading, 1 << 16))
        while len(got) < len(sizes):
            outlet.flush()
            got += reader.feed(os.read(reading, 1 << 16))
        assert [(number, len(body)) for number, body in got] == list(enumerate(sizes))
        assert outlet.unsent_bytes == 0
    finally:
        os.close(reading)
        os.close(writing)


def test_a_worker_whose_answers_nobody_takes_stands_still_and_loses_none() -> None:
    """It asks no more once it is full, obeys all the same, and its samples say how long and how much."""
    answer = b"x" * 200_000
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(answer)
    asked = 0

    def serve(sock: socket.socket, _number: int) -> None:
        nonlocal asked
        while sock.recv(65536):
            asked += 1
            sock.sendall(head + answer)

    reading, writing = os.pipe()
    with serving(serve) as server:
        process = subprocess.Popen(
            [sys.executable, "-c", SMALL_OUTLET, str(writing)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[writing],
        )
        os.close(writing)
        assert process.stdin is not None
        target = resolve(Endpoint("svc", "openai", f"http://127.0.0.1:{server.port}"))
        stage = Stage(1, tuple((user, time.monotonic_ns()) for user in range(USERS)), 0, 0, ((0, USERS),))
        jobs = [(seq, 0, 0, REQUEST, b"") for seq in range(200)]
        for message in (
            ("setup", 7, [target], Timeouts(5, 60, 60), True, False), ("stage", stage), ("jobs", 1, jobs), ("last", 1),
        ):  # fmt: skip
            process.stdin.write(encode(message))
        process.stdin.flush()
        before = -1
        while before != asked or asked < 25:  # 4 MB are 20 answers, the pipe itself holds 5
            before = asked
            time.sleep(1.0)
        assert asked < 25 + 2 * USERS + 5
        process.stdin.write(encode(("mark", 5)))
        process.stdin.flush()
        reader = FrameReader()
        got: list[tuple[Any, ...]] = []
        while sum(message[0] == "exchange" for message in got) < len(jobs):
            got += reader.feed(os.read(reading, 1 << 20))
        process.stdin.write(encode(("quit",)))
        process.stdin.close()
        while data := os.read(reading, 1 << 20):
            got += reader.feed(data)
        assert process.wait(30) == 0
        process.stdout.close()  # type: ignore[union-attr]
    os.close(reading)
    exchanges = [unpack_exchange(message[2]) for message in got if message[0] == "exchange"]
    assert sorted(raw.job.seq for raw in exchanges) == list(range(200))
    assert all(raw.failure is None and sum(map(len, raw.pieces)) == len(answer) for raw in exchanges)
    names = [column.name for column in WORKER_SAMPLE_COLUMNS]
    samples = [dict(zip(names, message[1], strict=True)) for message in got if message[0] == "sample"]
    assert 4_000_000 <= max(sample["unsent_bytes"] for sample in samples) < 8_000_000
    assert max(sample["longest_stall_ns"] for sample in samples) > 500_000_000
    place = [message[0] for message in got].index("mark")
    assert 20 <= sum(message[0] == "exchange" for message in got[:place]) < 40
