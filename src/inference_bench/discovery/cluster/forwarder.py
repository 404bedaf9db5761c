"""Starts the process that carries connections through the API server, when the first is asked for, and ends it."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

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
        self._turn = asyncio.Lock()
        self._asked = 0

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

    async def open(self, namespace: str, pod: str, port: int) -> str:
        """Return the base URL, without a scheme's say: `http://127.0.0.1:PORT`, that leads to a port of a pod.

        Raises ClusterUnavailableError when the process does not come up.
        """
        async with self._turn:
            process = self._process or await self._start()
            self._asked += 1
            wanted = {"id": self._asked, "namespace": namespace, "pod": pod, "port": port}
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(wanted).encode() + b"\n")
            line = b""
            with suppress(TimeoutError, ConnectionError):
                await process.stdin.drain()
                async with asyncio.timeout(_START_SECONDS):
                    line = await process.stdout.readline()
        answer = json.loads(line) if line.strip() else {}
        if "local_port" not in answer:
            problem = answer.get("error") or f"no answer within {_START_SECONDS:g} s"
            raise ClusterUnavailableError(f"the port-forward does not start: {problem}", hint=answer.get("hint"))
        return local_url(answer["local_port"])

    async def _start(self) -> asyncio.subprocess.Process:
        context = ("--context", self._context) if self._context is not None else ()
        self._process = await asyncio.create_subprocess_exec(
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
        return self._process
