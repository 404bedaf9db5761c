"""Watching servers: who is asked, how often, with which key, and what is kept when things go wrong."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from engine_servers import Answers, EngineServer, Page, serving
from inference_bench.api.protocols import Endpoint
from inference_bench.orchestration.server_watch import ServerWatch
from inference_bench.results.journal import read_journal

VLLM = Page(b"vllm:num_requests_running 2\nvllm:e2e_request_latency_seconds_sum 3\n", content_type="text/plain")
FAST = 0.02
Row = dict[str, object]


class Nobody:
    """Wants to know nothing."""

    def test_began(self, test: str, kind: str, turns: int) -> None: ...

    def turn_began(
        self, test: str, service: str | None, round_no: int, seconds: float | None, requests: int
    ) -> None: ...

    def turn_ended(self, test: str) -> None: ...


def watched(
    tmp_path: Path,
    pages: Answers,
    story: Callable[[ServerWatch, EngineServer], Awaitable[None]],
    *,
    key: str | None = None,
) -> tuple[list[Row], EngineServer, ServerWatch]:
    """Watch one server while a story goes on; return what the journal holds."""
    with serving(pages, key=key, guarded=("/metrics",)) as server:
        endpoint = Endpoint(name="one", dialect="openai", url=server.url, model=None, api_key=key)

        async def run() -> ServerWatch:
            watch = ServerWatch([endpoint], tmp_path, every_seconds=FAST)
            async with watch:
                await story(watch, server)
            return watch

        watch = asyncio.run(run())
    return [row for batch in read_journal(tmp_path, "server") for row in batch.to_pylist()], server, watch


async def asked(server: EngineServer, times: int) -> None:
    """Wait until the page was asked for so often."""
    while sum(path == "/metrics" for path, _ in server.seen) < times:  # noqa: ASYNC110 - the server is in a thread
        await asyncio.sleep(0.01)


async def a_turn(watch: ServerWatch, server: EngineServer) -> None:
    watcher = watch.watching(Nobody())
    watcher.test_began("load", "load", 1)
    watcher.turn_began("load", "one", 0, 1.0, 0)
    await asked(server, 4)
    watcher.turn_ended("load")


def test_a_page_is_asked_again_and_again_and_at_both_ends_of_a_turn(tmp_path: Path) -> None:
    began = time.monotonic_ns()
    rows, server, watch = watched(tmp_path, {"/metrics": VLLM}, a_turn, key="secret-key")
    assert {key for _, key in server.seen} == {"Bearer secret-key"}
    assert [row["edge"] for row in rows if row["name"] == "running" and row["edge"]] == ["start", "end"]
    assert sum(row["edge"] is None for row in rows) >= 2
    assert {row["test"] for row in rows if row["edge"]} == {"load"}
    assert {(row["service"], row["value"]) for row in rows} == {("one", 2.0)}  # half a histogram is no histogram
    assert all(began < int(str(row["at_ns"])) < time.monotonic_ns() for row in rows)
    assert watch.notes == ()


def test_a_turn_of_another_service_marks_nothing(tmp_path: Path) -> None:
    async def other(watch: ServerWatch, server: EngineServer) -> None:
        watch.mark("load", "two", "start")
        await asked(server, 3)

    rows, _, _ = watched(tmp_path, {"/metrics": VLLM}, other)
    assert rows
    assert not [row for row in rows if row["edge"]]


def test_a_service_without_a_page_is_asked_once(tmp_path: Path) -> None:
    async def wait(watch: ServerWatch, _server: EngineServer) -> None:
        watch.mark("load", None, "start")
        await asyncio.sleep(10 * FAST)

    rows, server, watch = watched(tmp_path, {}, wait)
    assert rows == []
    assert [path for path, _ in server.seen] == ["/metrics"]
    assert watch.notes == ()


def test_a_page_that_wants_another_key_is_said(tmp_path: Path) -> None:
    with serving({"/metrics": Page(b"", status=401)}) as server:
        endpoint = Endpoint(name="one", dialect="openai", url=server.url, model=None)

        async def run() -> ServerWatch:
            watch = ServerWatch([endpoint], tmp_path)
            async with watch:
                pass
            return watch

        assert "one: its metrics page could not be read: /metrics: HTTP 401" in asyncio.run(run()).notes[0]


def test_pages_that_tell_nothing_we_know_are_given_up_after_a_few(tmp_path: Path) -> None:
    async def wait(watch: ServerWatch, server: EngineServer) -> None:
        await asked(server, 3)
        watch.mark("load", None, "start")
        await asyncio.sleep(20 * FAST)

    rows, server, _ = watched(tmp_path, {"/metrics": Page(b"go_threads 7\n", content_type="text/plain")}, wait)
    assert rows == []
    assert len(server.seen) == 3


def test_a_server_that_dies_costs_the_samples_and_nothing_else(tmp_path: Path) -> None:
    async def die(watch: ServerWatch, server: EngineServer) -> None:
        await asked(server, 2)
        server.pages["/metrics"] = Page(b"", status=500)
        watch.mark("load", None, "start")
        watch.mark("load", None, "end")

    rows, _, watch = watched(tmp_path, {"/metrics": VLLM}, die)
    assert rows
    assert not [row for row in rows if row["edge"]]
    assert watch.notes == ()


def test_a_lagging_loop_is_not_burdened_further(tmp_path: Path) -> None:
    seen: list[int] = []

    async def lag(_watch: ServerWatch, server: EngineServer) -> None:
        await asked(server, 2)
        for _ in range(4):
            before = len(server.seen)
            time.sleep(0.2)  # noqa: ASYNC251 - the loop is held up on purpose
            await asyncio.sleep(0)
            seen.append(len(server.seen) - before)

    watched(tmp_path, {"/metrics": VLLM}, lag)
    assert sum(seen) <= 1  # one may have been under way


def test_what_was_told_survives_without_an_end(tmp_path: Path) -> None:
    held: list[int] = []

    async def look(watch: ServerWatch, server: EngineServer) -> None:
        watch.mark("load", None, "start")
        await asked(server, 3)
        while not held or not held[-1]:
            held.append(sum(batch.num_rows for batch in read_journal(tmp_path, "server")))
            await asyncio.sleep(0.01)

    watched(tmp_path, {"/metrics": VLLM}, look)
    assert held[-1] >= 1
