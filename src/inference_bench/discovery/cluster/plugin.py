"""Plug-ins for credentials: the command that a kubeconfig's user names (exec), and what it prints.

The command is asked without a terminal, has a bounded time, and is ended with all that it started when that is over:
one that waits for somebody to log in would be there for ever. Nothing here repeats what a plug-in printed on standard
output; that may hold a token. What it says on standard error is said on.
"""

import asyncio
import base64
import json
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from inference_bench.api.probe_http import clean_text
from inference_bench.api.telling import Json, mapping, objects

_MOST_BYTES = 1 << 20
_LONGEST_TEXT = 300
_GONE_SECONDS = 2.0


class PluginError(Exception):
    """The plug-in gave no credentials; the message says why."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a plug-in gave, as the keys of a kubeconfig's user, and when it ends."""

    user: Mapping[str, str]
    expires: datetime | None

    def ends_within(self, seconds: float) -> bool:
        """Whether it is of no use so many seconds from now."""
        return self.expires is not None and (self.expires - datetime.now(UTC)).total_seconds() <= seconds


async def ask_plugin(plugin: Json, environ: Mapping[str, str], seconds: float) -> Given:
    """Run the plug-in (the `exec` of a user) and return what it gave. Raises PluginError."""
    name = Path(str(plugin["command"])).name
    asked = {"apiVersion": plugin["apiVersion"], "kind": "ExecCredential", "spec": {"interactive": False}}
    added = {str(one["name"]): str(one["value"]) for one in objects(plugin, "env")}
    arguments = plugin.get("args")
    try:
        process = await asyncio.create_subprocess_exec(
            str(plugin["command"]),
            *(arguments if isinstance(arguments, list) else ()),
            env={**environ, **added, "KUBERNETES_EXEC_INFO": json.dumps(asked)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            process_group=0,
        )
    except FileNotFoundError:
        raise PluginError(f"there is no command {plugin['command']}") from None
    except (OSError, ValueError) as error:
        raise PluginError(f"{name} cannot be started: {getattr(error, 'strerror', None) or error}") from None
    printed, said = await _outcome(process, name, seconds)
    if process.returncode:
        told = clean_text(said.decode("utf-8", "replace"), _LONGEST_TEXT)
        raise PluginError(f"{name} ended with {process.returncode}" + (f": {told}" if told else ""))
    return _read(printed, str(plugin["apiVersion"]), name)


async def _outcome(process: asyncio.subprocess.Process, name: str, seconds: float) -> tuple[bytes, bytes]:
    """Return all output once the process has ended; else end it, and its children with it."""
    assert process.stdout is not None
    assert process.stderr is not None
    ended = False
    try:
        async with asyncio.timeout(seconds):
            out, said, _ = await asyncio.gather(_bounded(process.stdout), _bounded(process.stderr), process.wait())
        ended = True
    except TimeoutError:
        raise PluginError(f"{name} gave nothing within {seconds:g} s") from None
    finally:
        if not ended:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with suppress(TimeoutError):
                async with asyncio.timeout(_GONE_SECONDS):
                    await process.wait()
    if out is None or said is None:
        raise PluginError(f"{name} prints more than {_MOST_BYTES >> 20} MiB")
    return out, said


async def _bounded(stream: asyncio.StreamReader) -> bytes | None:
    """Read to the end; None where that is more than anybody needs, which is read and not kept."""
    parts, size = [], 0
    while part := await stream.read(1 << 16):
        size += len(part)
        if size <= _MOST_BYTES:
            parts.append(part)
    return b"".join(parts) if size <= _MOST_BYTES else None


def _read(printed: bytes, version: str, name: str) -> Given:
    try:
        told = json.loads(printed)
    except (ValueError, RecursionError):
        raise PluginError(f"{name} printed something that is not JSON") from None
    status = mapping(told, "status") if isinstance(told, dict) else {}
    if not status or told.get("kind") != "ExecCredential":
        raise PluginError(f"{name} printed something that is no ExecCredential with a status")
    if told.get("apiVersion") != version:
        answered = clean_text(str(told.get("apiVersion")), 80)
        raise PluginError(f"{name} answers in {answered}, and the kubeconfig names {version}")
    user: dict[str, str] = {}
    token, certificate, key = (status.get(key) for key in ("token", "clientCertificateData", "clientKeyData"))
    if isinstance(token, str) and token.strip() and token.strip().isprintable():
        user["token"] = token.strip()
    if isinstance(certificate, str) and isinstance(key, str) and certificate and key:
        user["client-certificate-data"] = base64.b64encode(certificate.encode()).decode()
        user["client-key-data"] = base64.b64encode(key.encode()).decode()
    if not user:
        raise PluginError(f"{name} gave neither a token nor a certificate with its key")
    return Given(user, _moment(status.get("expirationTimestamp")))


def _moment(told: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(told) if isinstance(told, str) else None
    except ValueError:
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC) if moment is not None else None
