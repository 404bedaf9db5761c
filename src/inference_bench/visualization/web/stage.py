"""A page's stage: the board, who looks on, and the wish to start. It tells all viewers at most 20 times a second."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final

from inference_bench.live.board import Board
from inference_bench.live.events import LiveEvent
from inference_bench.visualization.web.shown import Shown
from inference_bench.visualization.web.state import Picture, picture_of

MOST_VIEWERS: Final = 16
TELLINGS_PER_SECOND: Final = 20


@dataclass(eq=False, slots=True)
class Seat:
    """One viewer: `news` is set when there is something to be told. Nothing is queued for a viewer who is slow."""

    news: asyncio.Event = field(default_factory=asyncio.Event)


class Stage:
    """The board, the viewers and the wish to start a race. Must be made inside a running event loop."""

    def __init__(self, board: Board, shown: Shown) -> None:
        self.board = board
        self.shown = shown
        self.busy: str | None = None  # what goes on, in a word for people; None when a race can be started
        self.closed = False
        self.picture: Picture = picture_of(board, shown, None)
        self._news = asyncio.Event()
        self._seats: set[Seat] = set()
        self._wanted: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # -- what happens --------------------------------------------------------------------------------------------

    def take(self, _event: LiveEvent) -> None:
        """Tell the viewers that the board has taken an event."""
        self.changed()

    def changed(self) -> None:
        """Say that there is something new, to be told with the next telling."""
        self._news.set()

    async def tell_on(self) -> None:
        """Tell the viewers what is new until the stage is closed."""
        while not self.closed:
            await self._news.wait()
            self._news.clear()
            if self._seats:
                self.picture = picture_of(self.board, self.shown, self.busy)
            self._wake()
            await asyncio.sleep(1 / TELLINGS_PER_SECOND)

    def _wake(self) -> None:
        for seat in self._seats:
            seat.news.set()

    def says(self, busy: str | None) -> None:
        """Say what goes on; None: a race can be started."""
        self.busy = busy
        self.changed()

    def close(self) -> None:
        """Say that this is the end. The viewers are told, and their streams end."""
        self.closed = True
        self.changed()
        self._wake()

    # -- the wish to start ---------------------------------------------------------------------------------------

    def want(self, prompt: str) -> bool:
        """Ask for a race with this prompt (empty for a recording). False while one is wanted or goes on already."""
        if self._wanted.done() or self.busy is not None or self.closed:
            return False
        self._wanted.set_result(prompt)
        self.says("starting")
        return True

    async def wanted(self, stop: asyncio.Event) -> str | None:
        """Wait for the wish to start a race and return its prompt; None when `stop` came first.

        Raises what went wrong with the serving meanwhile.
        """
        stopped = asyncio.ensure_future(stop.wait())
        try:
            waiting: set[asyncio.Future[Any]] = {self._wanted, self._failed, stopped}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        if self._failed.done():
            self._failed.result()
        if stop.is_set():
            return None
        prompt = self._wanted.result()
        self._wanted = asyncio.get_running_loop().create_future()
        return prompt

    def fail(self, error: BaseException) -> None:
        """Hand an error of the serving to whoever waits for the next race: it must not be lost in a log."""
        if not self._failed.done():
            self._failed.set_exception(error)
            self._failed.exception()  # seen: the program may end without another look

    # -- who looks on --------------------------------------------------------------------------------------------

    def sit(self) -> Seat | None:
        """Give a viewer a seat, to be told with the next telling; None when all are taken."""
        if len(self._seats) >= MOST_VIEWERS:
            return None
        seat = Seat()
        self._seats.add(seat)
        self.changed()
        return seat

    def leave(self, seat: Seat) -> None:
        """Take a seat back."""
        self._seats.discard(seat)
