"""A search made again and again: the cluster is listed anew when it has changed, not whenever somebody looks."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from inference_bench.discovery.searching import Search
from inference_bench.discovery.sources import Candidate, ServiceSource

if TYPE_CHECKING:
    from inference_bench.discovery.cluster.source import ClusterSource

ASK_AGAIN_SECONDS = 2.0
LIST_AGAIN_SECONDS = 30.0
# In a large cluster something changes all the time; a listing is many requests.
_LIST_AT_MOST_EVERY_SECONDS = 2.0
# Changes come in swarms: a pod that starts changes its status several times.
_SETTLE_SECONDS = 0.3


class _Remembered:
    """A source whose candidates are kept until they are forgotten."""

    def __init__(self, source: ServiceSource) -> None:
        self._source = source
        self._kept: Sequence[Candidate] | None = None

    async def candidates(self) -> Sequence[Candidate]:
        if self._kept is None:
            self._kept = await self._source.candidates()
        return self._kept

    def forget(self) -> None:
        self._kept = None


class Watch:
    """Makes a search repeatable: its sources remember, and `pause` waits until it is worth asking them again."""

    def __init__(self, search: Search) -> None:
        self._remembered = [_Remembered(source) for source in search.sources]
        search.sources[:] = self._remembered
        self._cluster: ClusterSource | None = search.cluster
        self._listed = asyncio.get_running_loop().time()
        self._changing: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        """Watch nothing yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop watching."""
        if self._changing is not None:
            self._changing.cancel()
            await asyncio.gather(self._changing, return_exceptions=True)

    async def pause(self) -> None:
        """Wait until the cluster has changed, or a moment has gone by."""
        if self._cluster is None:
            await asyncio.sleep(ASK_AGAIN_SECONDS)
            return
        if self._changing is None:
            self._changing = asyncio.ensure_future(self._cluster.changed())
        await asyncio.wait({self._changing}, timeout=ASK_AGAIN_SECONDS)
        now = asyncio.get_running_loop().time()
        if self._changing.done() or now - self._listed > LIST_AGAIN_SECONDS:
            await asyncio.sleep(max(_SETTLE_SECONDS, _LIST_AT_MOST_EVERY_SECONDS - (now - self._listed)))
            self._changing.cancel()
            self._changing, self._listed = None, asyncio.get_running_loop().time()
            for source in self._remembered:
                source.forget()
