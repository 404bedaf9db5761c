"""A live session over real sockets: what is told while answers come in is what is stored at their end."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import psutil
import pytest

from engine_servers import Page, closed_port, serving
from inference_bench.api.exchange import Timeouts
from inference_bench.api.protocols import ChatRequest, Endpoint, Message
from inference_bench.api.targets import resolve
from inference_bench.errors import WorkerDiedError
from inference_bench.live.events import Chunk, Finished, LaneFacts
from inference_bench.live.lane import Lane
from inference_bench.simulator.launcher import SimulatorProcess
from inference_bench.testing import live_session
from inference_bench.testing.live_session import Heard, LiveSession
from inference_bench.testing.rendering import ServiceUnderTest

REQUEST = ChatRequest((Message("user", "Say something."),), 12, exact_length=True)
FAR_NS = 15_000_000_000
FLOOD = 6_000  # chunks, more than a pipe holds
TIMEOUTS = Timeouts(connect_seconds=2, idle_seconds=5, total_seconds=20)
SERVE = (
    "vllm,ttft-ms=30,itl-ms=4",
    "tgi,ttft-ms=50,itl-ms=4",
    "ollama,ttft-ms=60,itl-ms=4",
    "vllm,name=cut,ttft-ms=20,itl-ms=4,fault=cut:3",
    "vllm,name=slow,ttft-ms=4000,itl-ms=4",
)


@pytest.fixture(scope="module")
def urls() -> Iterator[dict[str, str]]:
    with SimulatorProcess(SERVE) as simulator:
        yield {**simulator.urls, "dead": f"http://127.0.0.1:{closed_port()}"}


@dataclass
class Watched:
    """Everything that was told, in order."""

    events: list[Chunk | Finished] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)

    def of(self, lane: int) -> list[Chunk | Finished]:
        return [event for event in self.events if event.lane == lane]


def services_of(urls: dict[str, str], names: Sequence[str]) -> list[ServiceUnderTest]:
    endpoints = [
        Endpoint(
            name,
            name if name in ("tgi", "ollama") else "vllm",
            urls[name],
            None if name == "tgi" else "simulated-model",
        )
        for name in names
    ]
    return [ServiceUnderTest.of(endpoint, resolve(endpoint)) for endpoint in endpoints]


def ask(
    urls: dict[str, str],
    names: Sequence[str],
    *,
    order: Sequence[int] | None = None,
    stop_at: Callable[[Chunk | Finished], bool] = lambda _: False,
) -> tuple[Heard, Watched]:
    async def story() -> tuple[Heard, Watched]:
        watched, stop = Watched(), asyncio.Event()

        def listen(event: Chunk | Finished) -> None:
            watched.events.append(event)
            if stop_at(event):
                stop.set()

        async with LiveSession(services_of(urls, names), TIMEOUTS) as session:
            requests = dict.fromkeys(range(len(names)), REQUEST)
            heard = await session.ask(requests, listen, stop=stop, order=order, on_start=watched.starts.append)
        return heard, watched

    return asyncio.run(story())


def test_a_lane_shows_exactly_what_is_stored(urls: dict[str, str]) -> None:
    heard, watched = ask(urls, ["vllm", "tgi", "ollama"])
    for place, exchanged in heard.exchanged.items():
        *chunks, last = watched.of(place)
        lane = Lane(LaneFacts("x", "vllm"), heard.start_ns)
        for chunk in chunks:
            assert isinstance(chunk, Chunk)
            lane.take(chunk)
        live = lane.ttft_ms
        assert isinstance(last, Finished)
        lane.take(last)
        assert exchanged.outcome.ok
        assert live == lane.ttft_ms == exchanged.outcome.ttft_ms
        assert [chunk.at_ns for chunk in chunks] == list(exchanged.reading.chunks.arrivals)
        assert list(lane.counts) == list(exchanged.reading.chunks.tokens)
        assert "".join(chunk.text for chunk in chunks if isinstance(chunk, Chunk)) == exchanged.reading.text
        assert exchanged.outcome.output_tokens == 12


def test_all_start_at_the_same_instant_and_in_the_order_asked_for(urls: dict[str, str]) -> None:
    heard, watched = ask(urls, ["vllm", "tgi", "ollama"], order=[2, 0, 1])
    sent = {place: one.raw.sent_ns for place, one in heard.exchanged.items()}
    assert sorted(sent, key=sent.__getitem__) == [2, 0, 1]
    assert watched.starts == [heard.start_ns]
    assert all(at >= heard.start_ns for at in sent.values())
    assert {one.raw.job.intended_ns for one in heard.exchanged.values()} == {heard.start_ns}


def test_one_lane_that_fails_ends_no_other(urls: dict[str, str]) -> None:
    heard, watched = ask(urls, ["cut", "dead", "vllm"])
    cut, dead, good = (heard.exchanged[place].outcome for place in range(3))
    assert (cut.ok, cut.error_class) == (False, "truncated")
    assert cut.ttft_ms is not None
    assert len(watched.of(0)) == 4  # three tokens and the end
    assert (dead.ok, dead.error_class, dead.ttft_ms) == (False, "connect", None)
    assert good.ok


def test_what_is_in_flight_is_given_up_when_asked_to(urls: dict[str, str]) -> None:
    heard, _ = ask(urls, ["vllm", "slow"], stop_at=lambda event: isinstance(event, Finished) and event.lane == 0)
    assert heard.exchanged[0].outcome.ok
    assert heard.exchanged[1].outcome.error_class == "interrupted"


def test_what_was_not_sent_yet_is_given_up_too(urls: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_session, "LEAD_NS", FAR_NS)

    async def story() -> Heard:
        stop = asyncio.Event()
        async with LiveSession(services_of(urls, ["vllm", "tgi"]), TIMEOUTS) as session:
            # The common start is known, and farther ahead than a busy machine holds anybody up.
            return await session.ask({0: REQUEST, 1: REQUEST}, lambda _: None, stop=stop, on_start=lambda _: stop.set())

    heard = asyncio.run(story())
    assert [one.outcome.error_class for one in heard.exchanged.values()] == ["interrupted", "interrupted"]
    assert [one.outcome.sent_ns for one in heard.exchanged.values()] == [None, None]


def test_connections_are_kept_and_requests_have_names_of_their_own(urls: dict[str, str]) -> None:
    async def story() -> list[Heard]:
        async with LiveSession(services_of(urls, ["vllm", "ollama"]), TIMEOUTS) as session:
            return [await session.ask({0: REQUEST, 1: REQUEST}, lambda _: None, stop=asyncio.Event()) for _ in range(2)]

    first, second = asyncio.run(story())
    assert [one.raw.reused for one in first.exchanged.values()] == [False, False]
    assert [one.raw.reused for one in second.exchanged.values()] == [True, True]
    names = {one.outcome.request_id for heard in (first, second) for one in heard.exchanged.values()}
    assert len(names) == 4
    assert None not in names


def test_a_measuring_process_that_dies_is_said_and_leaves_nothing(urls: dict[str, str]) -> None:
    async def story() -> None:
        before = {child.pid for child in psutil.Process().children()}
        async with LiveSession(services_of(urls, ["slow"]), TIMEOUTS) as session:
            (worker,) = {child.pid for child in psutil.Process().children()} - before
            os.kill(worker, signal.SIGKILL)
            with pytest.raises(WorkerDiedError):
                await session.ask({0: REQUEST}, lambda _: None, stop=asyncio.Event())
            with pytest.raises(WorkerDiedError):
                await session.ask({0: REQUEST}, lambda _: None, stop=asyncio.Event())

    asyncio.run(story())


def test_a_listener_that_fails_is_heard_at_once(urls: dict[str, str]) -> None:
    def broken(_event: Chunk | Finished) -> None:
        raise LookupError("this screen has no such lane")

    async def story() -> None:
        async with LiveSession(services_of(urls, ["vllm"]), TIMEOUTS) as session:
            asking = session.ask({0: REQUEST}, broken, stop=asyncio.Event())
            with pytest.raises(LookupError, match="no such lane"):
                await asyncio.wait_for(asking, TIMEOUTS.total_seconds)

    asyncio.run(story())


def test_a_listener_that_is_far_behind_is_no_death_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_session, "END_SECONDS", 0.2)
    seen: list[Chunk | Finished] = []

    async def story(url: str) -> Heard:
        stop = asyncio.Event()

        def slow(event: Chunk | Finished) -> None:
            seen.append(event)
            stop.set()
            time.sleep(0.0005)

        async with LiveSession(services_of({"vllm": url}, ["vllm"]), TIMEOUTS) as session:
            return await session.ask({0: REQUEST}, slow, stop=stop)

    body = b'data: {"choices": [{"delta": {"content": "%s"}}]}\n\n' % (b"word " * 40) * FLOOD + b"data: [DONE]\n\n"
    with serving({"/v1/chat/completions": Page(body, content_type="text/event-stream")}) as server:
        heard = asyncio.run(story(server.url))
    *chunks, last = seen
    assert isinstance(last, Finished)
    assert len(chunks) == heard.exchanged[0].outcome.text_chunks > FLOOD // 4  # nothing that came is left out


def test_no_process_is_left_when_the_session_is_over(urls: dict[str, str]) -> None:
    before = {child.pid for child in psutil.Process().children()}
    ask(urls, ["vllm"])
    assert {child.pid for child in psutil.Process().children()} <= before
