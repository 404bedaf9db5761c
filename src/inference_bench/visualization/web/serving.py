"""The server beside whatever else the program does: it listens on loopback alone and leaves signals to the program."""

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from uvicorn import Config, Server

from inference_bench.visualization.web.server import make_app
from inference_bench.visualization.web.stage import Stage

HOST: Final = "127.0.0.1"
_END_SECONDS = 2
_SEND_BUFFER = 1 << 17  # bytes: what a viewer who does not read may keep the kernel holding


@asynccontextmanager
async def served(stage: Stage) -> AsyncIterator[str]:
    """Serve the stage's page while the block runs; yields its address, with the token to start races behind the `#`.

    An unexpected error of the server is handed to the stage, where whoever waits for the next race meets it.
    """
    token = secrets.token_urlsafe(24)
    with contextlib.closing(_listening()) as listener:
        port = int(listener.getsockname()[1])
        server = _QuietServer(_config(stage, port, token))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        telling = asyncio.create_task(stage.tell_on())
        for task in (serving, telling):
            task.add_done_callback(lambda done: _hand_on(stage, done))
        try:
            yield f"http://{HOST}:{port}/#{token}"
        finally:
            stage.close()
            server.should_exit = True
            await asyncio.gather(serving, telling, return_exceptions=True)


def _hand_on(stage: Stage, done: "asyncio.Task[None]") -> None:
    error = None if done.cancelled() else done.exception()
    if error is not None:
        stage.fail(error)


def _listening() -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        listener.bind((HOST, 0))
        listener.listen()  # from here on nobody is turned away, though the first may wait until the server runs
    except BaseException:
        listener.close()
        raise
    return listener


def _config(stage: Stage, port: int, token: str) -> Config:
    return Config(
        make_app(stage, port=port, token=token),
        http="h11",  # which bounds the headers
        ws="none",
        lifespan="off",
        loop="none",  # the program's own
        log_config=None,
        log_level="critical",  # errors go through the stage; a viewer who had to be cut off at the end is none
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=128,
        timeout_graceful_shutdown=_END_SECONDS,
    )


class _QuietServer(Server):
    """A server that installs no signal handlers: the program has its own, which end more than this server."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture nothing."""
        yield
