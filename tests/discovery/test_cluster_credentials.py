"""Every kind of credentials opens a real API server; what is wrong with them is said once; no key is left behind."""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster_kubeconfig import (
    TOKEN,
    Authority,
    Pair,
    Told,
    cluster_of,
    config,
    environ,
    failure,
    first_answer,
    in_base64,
    plugin,
    written,
)
from inference_bench.discovery.cluster import access
from inference_bench.discovery.cluster.access import ClusterUnavailableError
from inference_bench.discovery.cluster.reader import ClusterReader
from inference_bench.errors import ConfigError
from kubernetes_api import KubernetesApi


@pytest.fixture(autouse=True)
def nothing_left(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the program a temporary folder of its own, which is empty again afterwards."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.rglob("*")) == []


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server_pair(authority: Authority) -> Pair:
    return authority.sign("server", "IP:127.0.0.1")


@pytest.fixture(scope="module")
def client_pair(authority: Authority) -> Pair:
    return authority.sign("client")


@pytest.fixture
def guarded(authority: Authority, server_pair: Pair) -> Iterator[KubernetesApi]:
    """An API server that takes client certificates and nothing else."""
    pair = (server_pair.certificate, server_pair.key)
    with KubernetesApi(certificate=pair, client_ca=authority.file) as api:
        yield api


def by_config(folder: Path, told: Told) -> dict[str, str]:
    return environ(written(folder / "config", told))


@pytest.mark.parametrize("token", [TOKEN, f"{TOKEN}\n", f"  {TOKEN}  "])
def test_a_token_and_a_token_file_are_sent_without_space_around_them(token: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(token)
    with KubernetesApi(token=TOKEN) as api:
        for user in ({"token": token}, {"tokenFile": "token"}, {"tokenFile": "token", "token": "old"}):
            first_answer(by_config(tmp_path, config(api.url, user=user)))
        assert api.requests == ["/apis"] * 3


def test_a_name_and_a_password_are_sent(tmp_path: Path) -> None:
    user = {"username": "me", "password": 1234}
    with KubernetesApi(token=TOKEN) as api:
        around = by_config(tmp_path, config(api.url, user=user))
        sent: list[str] = []

        async def story() -> None:
            async with cluster_of(around) as cluster:
                headers: dict[str, str] = {}
                await cluster.client.update_params_for_auth(headers, [], ["BearerToken"])
                sent.append(headers["authorization"])

        asyncio.run(story())
    assert sent == ["Basic bWU6MTIzNA=="]


def test_a_refused_token_is_said_after_one_request(tmp_path: Path) -> None:
    with KubernetesApi(token="another") as api:
        error = failure(ClusterUnavailableError, by_config(tmp_path, config(api.url)))
        assert error.message == f"the cluster at {api.url} refuses the credentials (401): has the token expired?"
        assert error.exit_code == 3
        assert api.requests == ["/apis"]


@pytest.mark.parametrize("form", ["data", "files", "data before files"])
def test_a_client_certificate_opens_a_server_that_demands_one(
    form: str, guarded: KubernetesApi, authority: Authority, client_pair: Pair, tmp_path: Path
) -> None:
    folder = tmp_path / "pki"
    folder.mkdir()
    files = {"ca.crt": authority.file, "me.crt": client_pair.certificate, "me.key": client_pair.key}
    for name, file in files.items():
        (folder / name).write_bytes(file.read_bytes())
    cluster: Told = {"certificate-authority": "pki/ca.crt"}
    user: Told = {"client-certificate": "pki/me.crt", "client-key": str(folder / "me.key")}
    if form != "files":
        cluster = {"certificate-authority-data": authority.data}
        data = {
            "client-certificate-data": in_base64(client_pair.certificate),
            "client-key-data": in_base64(client_pair.key),
        }
        user = data if form == "data" else {**data, "client-certificate": "gone", "client-key": "gone"}
    around = by_config(tmp_path, config(guarded.url, cluster=cluster, user=user))
    for _ in range(2):  # nothing remembers the files of the first time
        assert first_answer(around).server == guarded.url
    assert guarded.requests == ["/apis"] * 2


def test_files_are_looked_for_beside_the_kubeconfig_that_names_them(
    guarded: KubernetesApi, authority: Authority, client_pair: Pair, tmp_path: Path
) -> None:
    whole = config(
        guarded.url,
        cluster={"certificate-authority": "ca.crt"},
        user={"client-certificate": "me.crt", "client-key": "me.key"},
    )
    place, person = tmp_path / "place", tmp_path / "person"
    files = [
        written(place / "config", {**whole, "users": []}),
        written(person / "config", {"users": whole["users"]}),
    ]
    (place / "ca.crt").write_bytes(authority.file.read_bytes())
    (person / "me.crt").write_bytes(client_pair.certificate.read_bytes())
    (person / "me.key").write_bytes(client_pair.key.read_bytes())
    assert first_answer(environ(*files)).server == guarded.url


def test_no_key_lies_in_a_file_while_the_cluster_is_used(
    guarded: KubernetesApi, authority: Authority, client_pair: Pair, tmp_path: Path, nothing_left: Path
) -> None:
    user = {
        "client-certificate-data": in_base64(client_pair.certificate),
        "client-key-data": in_base64(client_pair.key),
    }
    around = by_config(tmp_path, config(guarded.url, cluster={"certificate-authority-data": authority.data}, user=user))

    def left() -> list[Path]:
        return list(nothing_left.rglob("*"))

    async def story() -> None:
        async with cluster_of(around) as first, cluster_of(around) as second:
            assert left() == []
            for cluster in (first, second):
                assert await ClusterReader(cluster).api_groups() is not None

    asyncio.run(story())


def test_without_a_client_certificate_such_a_server_is_out_of_reach(
    guarded: KubernetesApi, authority: Authority, tmp_path: Path
) -> None:
    told = config(guarded.url, cluster={"certificate-authority-data": authority.data})
    error = failure(ClusterUnavailableError, by_config(tmp_path, told))
    said = error.message.removeprefix(f"the cluster at {guarded.url} cannot be reached: ")
    # Which of them it is depends on whether the server's alert or its closing is read first.
    alert = "no TLS connection: tlsv13 alert certificate required"
    assert said in ("the connection was closed before an answer", alert, "Connection reset by peer")
    assert guarded.requests == []


def test_a_key_of_another_certificate_and_one_with_a_passphrase_are_refused(
    guarded: KubernetesApi, authority: Authority, client_pair: Pair, server_pair: Pair, tmp_path: Path
) -> None:
    cluster = {"certificate-authority": str(authority.file)}
    user = {"client-certificate": str(client_pair.certificate), "client-key": str(server_pair.key)}
    error = failure(ConfigError, by_config(tmp_path, config(guarded.url, cluster=cluster, user=user)))
    assert "its credentials cannot be read" in error.message
    locked = tmp_path / "locked.key"
    locked.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    user["client-key"] = str(locked)
    error = failure(ConfigError, by_config(tmp_path, config(guarded.url, cluster=cluster, user=user)))
    assert error.message.endswith("the client-key of its user has a passphrase")


def test_a_server_is_trusted_by_its_authority_by_another_name_or_not_at_all(
    authority: Authority, tmp_path: Path, server_pair: Pair
) -> None:
    named = authority.sign("named", "DNS:api.example.test")
    stranger = Authority(tmp_path / "stranger", "stranger")
    ours = {"certificate-authority": str(authority.file)}
    with KubernetesApi(certificate=(named.certificate, named.key)) as api:
        for cluster in ({**ours, "tls-server-name": "api.example.test"}, {"insecure-skip-tls-verify": True}):
            first_answer(by_config(tmp_path, config(api.url, cluster=cluster)))
        assert len(api.requests) == 2
        wrong = failure(ClusterUnavailableError, by_config(tmp_path, config(api.url, cluster=ours)))
        assert "its certificate is not trusted: IP address mismatch" in wrong.message
    with KubernetesApi(certificate=(server_pair.certificate, server_pair.key)) as api:
        theirs = {"certificate-authority-data": stranger.data}
        for cluster in (theirs, {}, {"insecure-skip-tls-verify": False}):
            error = failure(ClusterUnavailableError, by_config(tmp_path, config(api.url, cluster=cluster)))
            assert f"the cluster at {api.url} cannot be reached: its certificate is not trusted: " in error.message
        assert api.requests == []


def test_a_plug_in_gives_a_certificate(
    guarded: KubernetesApi, authority: Authority, client_pair: Pair, tmp_path: Path
) -> None:
    body = (
        f"give(clientCertificateData=open({str(client_pair.certificate)!r}).read(),"
        f" clientKeyData=open({str(client_pair.key)!r}).read())"
    )
    told = config(guarded.url, cluster={"certificate-authority-data": authority.data}, user=plugin(tmp_path, body))
    assert first_answer(by_config(tmp_path, told)).server == guarded.url


@pytest.fixture
def account(tmp_path: Path, authority: Authority) -> Path:
    """The files of a pod's account."""
    folder = tmp_path / "account"
    written(folder / "token", f"{TOKEN}\n")
    written(folder / "namespace", "team-pod\n")
    written(folder / "ca.crt", authority.file.read_bytes())
    return folder


def pod(account: Path, host: str, port: int, **more: str) -> dict[str, str]:
    given = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": str(port)}
    return {"KUBERNETES_SERVICE_ACCOUNT_DIR": str(account), **given, **more}


def test_the_account_of_a_pod_opens_its_cluster(account: Path, server_pair: Pair, tmp_path: Path) -> None:
    with KubernetesApi(token=TOKEN, certificate=(server_pair.certificate, server_pair.key)) as api:
        around = pod(account, "127.0.0.1", api.port, HOME=str(tmp_path), KUBECONFIG=os.devnull)
        seen = first_answer(around)
        assert (seen.server, seen.namespace, seen.inside) == (api.url, "team-pod", True)
        (account / "namespace").unlink()
        assert first_answer(around).namespace == "default"
        (account / "namespace").write_bytes(b"\xff\xfe")
        assert first_answer(around).namespace == "default"
        assert api.requests == ["/apis"] * 3


def test_a_token_of_an_account_is_read_again(account: Path, server_pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import timedelta  # noqa: PLC0415

    from kubernetes_asyncio.config import incluster_config  # noqa: PLC0415

    monkeypatch.setattr(incluster_config, "TOKEN_REFRESH_PERIOD", timedelta(0))

    async def story(api: KubernetesApi) -> None:
        async with cluster_of(pod(account, "127.0.0.1", api.port)) as cluster:
            reader = ClusterReader(cluster)
            await reader.api_groups()
            api.token = "next"
            (account / "token").write_text("next\n")
            await reader.api_groups()
            (account / "token").write_text("")
            await reader.api_groups()
            (account / "token").unlink()
            await reader.api_groups()

    with KubernetesApi(token=TOKEN, certificate=(server_pair.certificate, server_pair.key)) as api:
        asyncio.run(story(api))


def test_an_ipv6_address_of_the_api_server_stands_in_brackets(account: Path) -> None:
    async def story() -> tuple[str, bool]:
        async with cluster_of(pod(account, "fd00::1", 6443)) as cluster:
            return cluster.server, cluster.inside

    assert asyncio.run(story()) == ("https://[fd00::1]:6443", True)


def test_a_kubeconfig_comes_before_the_account(account: Path, tmp_path: Path) -> None:
    with KubernetesApi(token=TOKEN) as api:
        around = pod(account, "192.0.2.1", 443) | by_config(tmp_path, config(api.url, context={"namespace": "mine"}))
        seen = first_answer(around)
        assert (seen.server, seen.namespace, seen.inside) == (api.url, "mine", False)


@pytest.mark.parametrize(
    ("breaking", "problem"),
    [
        ({"ca.crt": None}, "does not exist"),
        ({"ca.crt": b""}, "empty"),
        ({"ca.crt": b"sesame"}, ""),
        ({"ca.crt": b"\xff\xfe"}, ""),
        ({"token": b""}, "empty"),
        ({"token": b"\xff\xfe"}, ""),
        ({"port": None}, "port is not set"),
    ],
)
def test_what_an_account_lacks_is_said(breaking: dict[str, Any], problem: str, account: Path) -> None:
    around = pod(account, "127.0.0.1", 9)
    for name, content in breaking.items():
        if name == "port":
            del around["KUBERNETES_SERVICE_PORT"]
        elif content is None:
            (account / name).unlink()
        else:
            (account / name).write_bytes(content)
    error = failure(ClusterUnavailableError, around)
    assert error.message.startswith("the account of this pod cannot be used: ")
    assert problem in error.message
    assert error.hint == "the pod needs automountServiceAccountToken: true"


def test_without_a_token_or_an_address_there_is_no_account(account: Path) -> None:
    around = pod(account, "127.0.0.1", 9)
    (account / "token").unlink()
    assert access.find_credentials(around) is None
    (account / "token").write_text(TOKEN)
    del around["KUBERNETES_SERVICE_HOST"]
    assert access.find_credentials(around) is None
