"""Kubeconfigs as files, the certificates that they name, and plug-ins for credentials, for tests of clusters.

Certificates are real ones of an authority of the tests' own (openssl, elliptic curves: they are quick to make).
"""

import asyncio
import base64
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from inference_bench.discovery.cluster.access import Cluster, find_credentials, open_cluster
from inference_bench.discovery.cluster.reader import ClusterReader
from inference_bench.errors import BenchError
from kubernetes_api import Object

Told = dict[str, Any]
T = TypeVar("T")
TOKEN = "sesame-7f3a"
NOBODY = 65534


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, PEM."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority in a folder."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._own = Pair(folder / f"{name}.crt", folder / f"{name}.key")
        _openssl("req", "-x509", *_new_key(self._own.key), "-days", "2", "-subj", f"/CN={name}", "-out", self.file)

    @property
    def file(self) -> Path:
        """Return its certificate's file."""
        return self._own.certificate

    @property
    def data(self) -> str:
        """Return its certificate as a kubeconfig holds it."""
        return in_base64(self.file)

    def sign(self, name: str, *names: str) -> Pair:
        """Make a certificate for these names, such as IP:127.0.0.1; without any it is a client's."""
        pair = Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        request = self._folder / f"{name}.csr"
        added = ("-addext", f"subjectAltName={','.join(names)}") if names else ()
        _openssl("req", "-new", *_new_key(pair.key), "-subj", f"/CN={name}", *added, "-out", request)
        signing = ("-CA", self.file, "-CAkey", self._own.key, "-days", "2", "-copy_extensions", "copy")
        _openssl("x509", "-req", "-in", request, *signing, "-out", pair.certificate)
        return pair


def _new_key(file: Path) -> tuple[object, ...]:
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", file)


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def in_base64(file: Path) -> str:
    """Return a file's content as a kubeconfig holds it."""
    return base64.b64encode(file.read_bytes()).decode()


def config(
    server: object = None,
    *,
    user: object = None,
    cluster: Mapping[str, Any] | None = None,
    context: Mapping[str, Any] | None = None,
    name: str = "here",
) -> Told:
    """Return a kubeconfig of one context, whose entries are all called `name`."""
    given = {"server": server} if server is not None else {}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, **(context or {})}}],
        "clusters": [{"name": name, "cluster": {**given, **(cluster or {})}}],
        "users": [{"name": name, "user": {"token": TOKEN} if user is None else user}],
    }


def written(file: Path, told: object) -> Path:
    """Write a kubeconfig; text and bytes as they are."""
    file.parent.mkdir(parents=True, exist_ok=True)
    raw = told if isinstance(told, bytes) else (told if isinstance(told, str) else yaml.safe_dump(told)).encode()
    file.write_bytes(raw)
    return file


def environ(*files: Path, **more: str) -> dict[str, str]:
    """Return an environment that names these kubeconfigs and has no home."""
    named = {"KUBECONFIG": ":".join(map(str, files))} if files else {}
    return {"PATH": os.environ["PATH"], **named, **more}


@asynccontextmanager
async def cluster_of(around: Mapping[str, str], context: str | None = None) -> AsyncIterator[Cluster]:
    """Open the cluster that an environment leads to."""
    credentials = find_credentials(around, context)
    assert credentials is not None
    async with open_cluster(credentials, around) as cluster:
        yield cluster


def with_reader(url: str, folder: Path, story: Callable[[ClusterReader], Awaitable[T]], **more: Any) -> T:
    """Return what a story makes of the cluster behind a URL; `more` is of its kubeconfig."""
    around = environ(written(folder / "config", config(url, **more)))

    async def opened() -> T:
        async with cluster_of(around) as cluster:
            return await story(ClusterReader(cluster))

    return asyncio.run(opened())


@dataclass(frozen=True)
class Seen:
    """What an opened cluster said of itself, after the first answer of its server."""

    server: str
    namespace: str
    inside: bool


def first_answer(around: Mapping[str, str], context: str | None = None) -> Seen:
    """Open a cluster and ask its first question; raises what that raises."""

    async def story() -> Seen:
        async with cluster_of(around, context) as cluster:
            await ClusterReader(cluster).api_groups()
            return Seen(cluster.server, cluster.namespace, cluster.inside)

    return asyncio.run(story())


def failure(kind: type[BenchError], around: Mapping[str, str], context: str | None = None) -> BenchError:
    """Return the error that opening a cluster ends with: of exactly this class, one line, a hint, no secret."""
    with pytest.raises(BenchError) as caught:
        first_answer(around, context)
    error = caught.value
    assert type(error) is kind, f"{type(error).__name__}: {error.message}"
    assert error.hint
    for text in (error.message, error.hint):
        assert text.strip() == text
        assert text.isprintable(), text
        assert len(text) < 600
        assert not any(word in text for word in ("Traceback", "NoneType", "object is", "sesame", "PRIVATE"))
    return error


def plugin(folder: Path, body: str, *, version: str = "v1", **more: Any) -> Told:
    """Return a user with a plug-in that runs `body`; it may call `give(status)`, and `asked` is what it was told."""
    api = f"client.authentication.k8s.io/{version}"
    head = "import json, os, subprocess, sys, time\nasked = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
    give = "def give(**status):\n    print(json.dumps({'apiVersion': asked['apiVersion'], 'kind': 'ExecCredential', "
    script = folder / "plugin.py"
    script.write_text(f"{head}{give}'status': status}}))\n{body}\n")
    return {"exec": {"apiVersion": api, "command": sys.executable, "args": ["-I", str(script)], **more}}


@contextmanager
def unprivileged() -> Iterator[None]:
    """Be a user whom the permissions of files hold back."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def pods(number: int, namespace: str = "team") -> list[Object]:
    """Return so many bare pods."""
    return [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"pod-{one:04}", "namespace": namespace}}
        for one in range(number)
    ]
