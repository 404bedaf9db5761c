"""Carries local connections to ports of pods through the API server: a process of its own, so that no screen delays it.

    python -m inference_bench.discovery.cluster.forwarding [--context NAME]

Reads one JSON object a line from standard input, `{"id", "namespace", "pod", "port"}`; answers on standard output with
`{"id", "local_port"}`, with `{"id", "error"}` where the API server opens no way to that port, or with
`{"error", "hint", "exit_code"}` where the cluster cannot be used, and ends. The listening sockets are on loopback;
everything ends with standard input, so with the program that started it.
"""

import asyncio
import json
import os
import socket
import struct
import sys
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from inference_bench.discovery.cluster.access import find_credentials, open_cluster
from inference_bench.discovery.cluster.reader import ClusterReader
from inference_bench.errors import BenchError

PROTOCOL = "v4.channel.k8s.io"
_DATA, _ERROR = 0, 1
_READ_BYTES = 1 << 16
_TRY_SECONDS = 5.0
_FORBIDDEN = 403
_ENDED_WELL = (0, 1000, 1005)  # codes of a WebSocket's end: none, normal, none again


async def _carry(reader: ClusterReader, path: str, local: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry one connection. Both channels begin with the port's number; what comes on the other one is an error."""
    from aiohttp import WSMsgType  # noqa: PLC0415 - with the library

    broken = True
    _cut_is_reset(writer, True)
    try:
        async with reader.websocket(path, PROTOCOL) as channels:

            async def there() -> None:
                try:
                    while data := await local.read(_READ_BYTES):
                        await channels.send_bytes(bytes((_DATA,)) + data)
                finally:  # also when the client is gone: what it asked for is to end
                    await channels.close()

            sending = asyncio.ensure_future(there())
            opened: set[int] = set()
            try:
                while (message := await channels.receive()).type in (WSMsgType.BINARY, WSMsgType.TEXT):
                    data = message.data
                    if not isinstance(data, bytes) or not data:
                        continue
                    channel = data[0]
                    if channel not in opened:
                        opened.add(channel)
                    elif channel == _ERROR:
                        _complain(data[1:300].decode("utf-8", "replace"))
                        return
                    elif channel == _DATA:
                        writer.write(data[1:])
                        await writer.drain()
                # Only a server that says so has ended well: one that has died has closed its connection, too.
                broken = message.type is not WSMsgType.CLOSE or message.data not in _ENDED_WELL
            finally:
                sending.cancel()
    except Exception as error:  # noqa: BLE001 - whatever ended it, the client sees a reset and this process goes on
        _complain(f"{type(error).__name__}: {error}")
    finally:
        if broken:
            writer.transport.abort()
        else:
            _cut_is_reset(writer, False)
        writer.close()


def _cut_is_reset(writer: asyncio.StreamWriter, wanted: bool) -> None:
    """Let the end of a connection be a reset, even where this process is killed: a cut must not look like an end."""
    with suppress(OSError):
        lingering = struct.pack("ii", int(wanted), 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingering)


async def _serve(context: str | None) -> int:
    lines = await _standard_input()
    credentials = find_credentials(os.environ, context)
    if credentials is None:
        raise BenchError("there are no credentials for a cluster")
    servers: list[asyncio.Server] = []
    async with open_cluster(credentials, os.environ) as cluster:
        reader = ClusterReader(cluster)
        async with asyncio.TaskGroup() as opening:
            while line := await lines.readline():
                opening.create_task(_open(reader, json.loads(line), servers))
        for server in servers:
            server.close()
    return 0


async def _open(reader: ClusterReader, wanted: dict[str, Any], servers: list[asyncio.Server]) -> None:
    """Listen for connections to one port of a pod, once the API server has shown that it lets them through."""
    namespace, pod = quote(wanted["namespace"], safe=""), quote(wanted["pod"], safe="")
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/portforward?ports={int(wanted['port'])}"
    problem = await _refusal(reader, path)
    if problem is not None:
        _say({"id": wanted["id"], "error": problem})
        return

    async def accept(local: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _carry(reader, path, local, writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    servers.append(server)
    _say({"id": wanted["id"], "local_port": server.sockets[0].getsockname()[1]})


async def _refusal(reader: ClusterReader, path: str) -> str | None:
    """Say why the API server opens no way, None when it does: a client would see a cut connection, and no reason."""
    answered = False
    try:
        async with asyncio.timeout(_TRY_SECONDS), reader.websocket(path, PROTOCOL):
            answered = True
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
        if not answered:
            status = getattr(error, "status", None)
            if status == _FORBIDDEN:
                return "no right to forward ports (verbs get and create on pods/portforward)"
            return f"the API server answers {status}" if status else f"no connection ({type(error).__name__})"
    return None


async def _standard_input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def _complain(problem: str) -> None:
    sys.stderr.write(f"port-forward: {problem[:300]}\n")
    sys.stderr.flush()


def _say(answer: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Run until standard input ends; returns the exit code."""
    context = arguments[arguments.index("--context") + 1] if "--context" in arguments else None
    try:
        return asyncio.run(_serve(context))
    except BenchError as error:
        _say({"error": error.message, "hint": error.hint, "exit_code": error.exit_code})
        return error.exit_code
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        sys.exit(main(sys.argv[1:]))
