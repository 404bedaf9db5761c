"""Starts the process that carries connections through the API server, when the first is asked for, and ends it."""

import asyncio
import json
import os
import sys
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from inference_bench.discovery.cluster.access import ClusterUnavailableError
from inference_bench.discovery.url_resolver import local_url

_START_SECONDS = 20.0
_STOP_SECONDS = 5.0


class Forwarder:
    """Ports of pods on this machine, for as long as the block lasts. `context` is the kubeconfig's."""

    def __init__(self, context: str | None, environ: Mapping[str, str]) -> None:
        self._context = context
        self._environ = environ
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._asked: dict[int, asyncio.Future[Mapping[str, Any]]] = {}
        self._opening: defaultdict[tuple[str, str, int], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._urls: dict[tuple[str, str, int], str] = {}
        self._ended: Mapping[str, Any] | None = None

    async def __aenter__(self) -> Self:
        """Start nothing yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection and end the process."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        finally:
            if self._reading is not None:
                self._reading.cancel()
                await asyncio.gather(self._reading, return_exceptions=True)

    async def open(self, namespace: str, pod: str, port: int) -> str:
        """Return the base URL, without a scheme's say: `http://127.0.0.1:PORT`, that leads to a port of a pod.

        The same for the same port, however often it is asked for. Raises ClusterUnavailableError when the process does
        not come up, or the API server opens no such way.
        """
        wanted = (namespace, pod, port)
        async with self._opening[wanted]:
            if wanted not in self._urls:
                self._urls[wanted] = local_url(await self._local_port(*wanted))
        return self._urls[wanted]

    async def _local_port(self, namespace: str, pod: str, port: int) -> int:
        async with self._turn:
            process = self._process or await self._start()
            number = len(self._asked) + 1
            answering = self._asked[number] = asyncio.get_running_loop().create_future()
        assert process.stdin is not None
        answer = self._ended
        if answer is None:
            wanted = {"id": number, "namespace": namespace, "pod": pod, "port": port}
            with suppress(ConnectionError):  # it has ended: then so says the answer
                process.stdin.write(json.dumps(wanted).encode() + b"\n")
                await process.stdin.drain()
            try:
                async with asyncio.timeout(_START_SECONDS):
                    answer = await answering
            except TimeoutError:
                answer = {"error": f"no answer within {_START_SECONDS:g} s"}
        if "local_port" not in answer:
            raise ClusterUnavailableError(
                f"the port-forward does not start: {answer.get('error')}", hint=answer.get("hint")
            )
        return int(answer["local_port"])

    async def _start(self) -> asyncio.subprocess.Process:
        context = ("--context", self._context) if self._context is not None else ()
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "inference_bench.discovery.cluster.forwarding",
            *context,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={**self._environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            process_group=0,  # Ctrl-C reaches it through its parent, once the measuring has ended
        )
        self._reading = asyncio.ensure_future(self._read(process))
        return process

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        """Hand each answer to who asked for it; what the process said last is the answer to all the rest."""
        assert process.stdout is not None
        last: Mapping[str, Any] = {"error": "its process has ended"}
        while line := await process.stdout.readline():
            answer = json.loads(line)
            if "id" not in answer:
                last = answer
            elif not self._asked[answer["id"]].done():
                self._asked[answer["id"]].set_result(answer)
        self._ended = last
        for answering in self._asked.values():
            if not answering.done():
                answering.set_result(last)
