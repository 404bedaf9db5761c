"""Plug-ins for credentials: what they are asked, what they may give, and that none outlives its question."""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from cluster_kubeconfig import TOKEN, Told, cluster_of, config, environ, failure, first_answer, plugin, written
from inference_bench.discovery.cluster import access
from inference_bench.discovery.cluster.access import ClusterUnavailableError
from inference_bench.discovery.cluster.reader import ClusterReader
from inference_bench.errors import ConfigError
from kubernetes_api import KubernetesApi


@pytest.fixture(autouse=True)
def nothing_left(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give the program a temporary folder of its own, which is empty again afterwards."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.rglob("*")) == []


def by_config(folder: Path, told: Told) -> dict[str, str]:
    return environ(written(folder / "config", told))


GIVE_TOKEN = f"give(token={TOKEN!r})"


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_plug_in_gives_a_token(version: str, tmp_path: Path) -> None:
    body = f"json.dump([asked, os.environ['EXTRA']], open({str(tmp_path / 'asked')!r}, 'w'))\n{GIVE_TOKEN}"
    user = plugin(tmp_path, body, version=version, env=[{"name": "EXTRA", "value": "7"}], interactiveMode="Never")
    with KubernetesApi(token=TOKEN) as api:
        first_answer(by_config(tmp_path, config(api.url, user=user)))
        assert api.requests == ["/apis"]
    asked, extra = json.loads((tmp_path / "asked").read_text())
    assert asked["apiVersion"] == f"client.authentication.k8s.io/{version}"
    assert asked["kind"] == "ExecCredential"
    assert asked["spec"]["interactive"] is False
    assert extra == "7"


def test_a_path_of_a_plug_in_starts_at_the_kubeconfig(tmp_path: Path) -> None:
    given = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": TOKEN}}
    script = written(tmp_path / "bin" / "log-in", f"#!/bin/sh\nprintf '%s' '{json.dumps(given)}'\n")
    script.chmod(0o755)
    user = {"exec": {"apiVersion": given["apiVersion"], "command": "bin/log-in"}}
    with KubernetesApi(token=TOKEN) as api:
        assert first_answer(by_config(tmp_path, config(api.url, user=user))).server == api.url


RUBBISH: dict[str, tuple[str, str]] = {
    "failing": (
        "print('sesame'); sys.exit('no session\\n\\x1b[31mlog in again')",
        "ended with 1: no session [31mlog in",
    ),
    "failing without a word": ("sys.exit(3)", "ended with 3"),
    "nothing": ("", "printed something that is not JSON"),
    "rubbish": ("print('token: sesame')", "printed something that is not JSON"),
    "a list": ("print('[\"sesame\"]')", "printed something that is no ExecCredential with a status"),
    "a number": ("print(7)", "printed something that is no ExecCredential with a status"),
    "status is text": (
        "print(json.dumps({'kind': 'ExecCredential', 'status': 'token sesame'}))",
        "printed something that is no ExecCredential with a status",
    ),
    "another version": (
        "asked['apiVersion'] = 'client.authentication.k8s.io/v1alpha1'; give(token='sesame')",
        "answers in client.authentication.k8s.io/v1alpha1, and the kubeconfig names",
    ),
    "neither": ("give(clientCertificateData='sesame')", "gave neither a token nor a certificate with its key"),
    "token with two lines": ("give(token='sesame\\nsesame')", "gave neither a token nor a certificate with its key"),
    "certificate that is none": (
        "give(clientCertificateData='sesame', clientKeyData='sesame')",
        "its credentials cannot be read",
    ),
    "endless": ("print('sesame' * 400_000)", "prints more than 1 MiB"),
}


@pytest.mark.parametrize("case", RUBBISH)
def test_what_is_wrong_with_a_plug_in_is_said(case: str, tmp_path: Path) -> None:
    body, problem = RUBBISH[case]
    around = by_config(tmp_path, config("https://127.0.0.1:9", user=plugin(tmp_path, body)))
    if case == "certificate that is none":
        assert problem in failure(ConfigError, around).message
        return
    error = failure(ClusterUnavailableError, around)
    assert error.message.startswith(f"the plug-in for credentials in {tmp_path / 'config'} failed: ")
    assert problem in error.message


def test_a_plug_in_that_is_not_there_tells_how_to_install_it(tmp_path: Path) -> None:
    told = {"command": "no-such-log-in", "apiVersion": "client.authentication.k8s.io/v1"}
    around = by_config(tmp_path, config("http://127.0.0.1:9", user={"exec": told}))
    error = failure(ClusterUnavailableError, around)
    assert error.message.endswith("failed: there is no command no-such-log-in")
    around = by_config(tmp_path, config("http://127.0.0.1:9", user={"exec": {**told, "installHint": "get\nit"}}))
    assert failure(ClusterUnavailableError, around).hint == "get it"
    written(tmp_path / "plain", "no program").chmod(0o644)
    around = by_config(tmp_path, config("http://127.0.0.1:9", user={"exec": {**told, "command": "./plain"}}))
    assert failure(ClusterUnavailableError, around).message.endswith("plain cannot be started: Permission denied")


def test_a_plug_in_that_hangs_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_CREDENTIALS_SECONDS", 1.5)
    pids = tmp_path / "pids"
    body = (
        "child = subprocess.Popen([sys.executable, '-Ic', 'import time; time.sleep(600)'])\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\ntime.sleep(600)"
    )
    around = by_config(tmp_path, config("http://127.0.0.1:9", user=plugin(tmp_path, body)))
    error = failure(ClusterUnavailableError, around)
    assert error.message.endswith(f"failed: {Path(sys.executable).name} gave nothing within 1.5 s")
    for pid in map(int, pids.read_text().split()):
        assert ends(pid)


def ends(pid: int) -> bool:
    """Whether a process is gone within a while; one that nobody has asked about yet counts as gone."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state in ("Z", "X"):
            return True
        time.sleep(0.02)
    return False


def test_a_plug_in_is_ended_when_nobody_waits_for_it_any_more(tmp_path: Path) -> None:
    started = tmp_path / "started"
    body = f"open({str(started)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    around = by_config(tmp_path, config("http://127.0.0.1:9", user=plugin(tmp_path, body)))

    def runs() -> bool:
        while not (started.exists() and started.read_text()):
            time.sleep(0.01)
        return True

    async def opening() -> None:
        async with cluster_of(around):
            pass

    async def story() -> None:
        task = asyncio.ensure_future(opening())
        assert await asyncio.to_thread(runs)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(story())
    assert ends(int(started.read_text()))


def test_an_expired_token_of_a_plug_in_is_refused_once(tmp_path: Path) -> None:
    user = plugin(tmp_path, "give(token='sesame-old', expirationTimestamp='2020-01-01T00:00:00Z')")
    with KubernetesApi(token="new") as api:
        error = failure(ClusterUnavailableError, by_config(tmp_path, config(api.url, user=user)))
        assert "(401)" in error.message
        assert api.requests == ["/apis"]


@pytest.mark.parametrize(
    ("expires", "asked"), [("2020-01-01T00:00:00Z", 3), ("2999-01-01T00:00:00Z", 1), ("some day", 1), (None, 1)]
)
def test_a_token_is_asked_for_again_before_its_end(
    expires: str | None, asked: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_ASK_AGAIN_SECONDS", 0.0)
    log = tmp_path / "log"
    body = f"open({str(log)!r}, 'a').write('x'); give(token={TOKEN!r}, expirationTimestamp={expires!r})"

    async def story(around: dict[str, str]) -> None:
        async with cluster_of(around) as cluster:
            for _ in range(2):
                await ClusterReader(cluster).api_groups()

    with KubernetesApi(token=TOKEN) as api:
        asyncio.run(story(by_config(tmp_path, config(api.url, user=plugin(tmp_path, body)))))
        assert api.requests == ["/apis"] * 2
    assert log.read_text() == "x" * asked
