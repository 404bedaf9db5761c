"""Which cluster is meant, and what is wrong with a kubeconfig: in one sentence, with a hint and without a secret."""

import asyncio
import os
import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster_kubeconfig import (
    TOKEN,
    Told,
    cluster_of,
    config,
    environ,
    failure,
    first_answer,
    unprivileged,
    written,
)
from inference_bench.discovery.cluster.access import ClusterUnavailableError, find_credentials
from inference_bench.errors import ConfigError
from kubernetes_api import KubernetesApi


def joined(*parts: Told, current: str | None = None) -> Told:
    """Return one kubeconfig with the entries of several."""
    whole: Told = {"apiVersion": "v1", "kind": "Config"}
    for kind in ("contexts", "clusters", "users"):
        whole[kind] = [entry for part in parts for entry in part[kind]]
    return whole | ({"current-context": current} if current is not None else {})


@pytest.fixture
def two() -> Any:
    """Two clusters, told apart by who was asked."""
    with KubernetesApi(token=TOKEN) as one, KubernetesApi(token=TOKEN) as other:
        yield one, other


def test_the_current_context_is_meant_unless_another_is_named(two: Any, tmp_path: Path) -> None:
    one, other = two
    both = joined(
        config(one.url, name="one", context={"namespace": "team-a"}), config(other.url, name="other"), current="one"
    )
    around = environ(written(tmp_path / "config", both))
    current = first_answer(around)
    assert (current.server, current.namespace) == (one.url, "team-a")
    assert (one.requests, other.requests) == (["/apis"], [])
    named = first_answer(around, "other")
    assert (named.server, named.namespace) == (other.url, "default")
    assert (one.requests, other.requests) == (["/apis"], ["/apis"])


def test_of_several_files_the_first_that_says_something_counts(two: Any, tmp_path: Path) -> None:
    one, other = two
    first = written(tmp_path / "first", config(one.url, name="one"))
    second = written(tmp_path / "second", joined(config(other.url, name="one"), config(other.url), current="here"))
    around = environ(tmp_path / "missing", first, second)
    assert first_answer(around).server == one.url
    assert first_answer(around, "here").server == other.url
    assert first_answer(environ(second, first)).server == other.url


def test_a_context_of_one_file_may_name_a_cluster_and_a_user_of_others(two: Any, tmp_path: Path) -> None:
    whole = config(two[0].url)
    files = [
        written(tmp_path / kind / "config", {kind: whole[kind]} | ({"current-context": "here"} if not number else {}))
        for number, kind in enumerate(("users", "contexts", "clusters"))
    ]
    assert first_answer(environ(*files)).server == two[0].url


@pytest.mark.parametrize("nothing", ["", "# only a comment\n", "---\n", "null\n"])
def test_a_file_that_says_nothing_hides_no_other(nothing: str, two: Any, tmp_path: Path) -> None:
    files = [written(tmp_path / "nothing", nothing), written(tmp_path / "config", config(two[0].url))]
    assert first_answer(environ(*files)).server == two[0].url
    assert first_answer(environ(*reversed(files))).server == two[0].url


def test_the_usual_place_is_used_when_no_other_is_named(two: Any, tmp_path: Path) -> None:
    written(tmp_path / ".kube" / "config", config(two[0].url))
    assert first_answer({"HOME": str(tmp_path)}).server == two[0].url
    other = written(tmp_path / "other", config(two[1].url))
    assert first_answer({"HOME": str(tmp_path), "KUBECONFIG": str(other)}).server == two[1].url


@pytest.mark.parametrize("path", [os.devnull, "empty"])
def test_without_a_kubeconfig_or_with_an_empty_one_there_are_no_credentials(path: str, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert find_credentials({"KUBECONFIG": str(tmp_path / path)}) is None
    assert find_credentials({"HOME": str(tmp_path)}) is None
    assert find_credentials({}) is None


def test_a_kubeconfig_that_is_named_and_not_there_is_said(tmp_path: Path) -> None:
    missing = str(tmp_path / "no" / "config")
    error = failure(ClusterUnavailableError, {"KUBECONFIG": missing})
    assert error.message == f"KUBECONFIG names {missing}, and there is no such file"
    assert error.exit_code == 3
    assert "no context other" in failure(ClusterUnavailableError, {"HOME": str(tmp_path)}, "other").message


def test_half_broken_entries_that_the_context_does_not_need_do_no_harm(two: Any, tmp_path: Path) -> None:
    told = config(two[0].url)
    for kind in ("contexts", "clusters", "users"):
        told[kind] += [None, "text", 7, [], {}, {"name": None}, {"name": 3}, {"name": "bare"}, {"user": {"token": 1}}]
    assert first_answer(environ(written(tmp_path / "config", told))).server == two[0].url


def test_a_context_without_a_user_asks_as_nobody(tmp_path: Path) -> None:
    with KubernetesApi() as api:
        for context in ({"user": None}, {"user": ""}):
            around = environ(written(tmp_path / "config", config(api.url, context=context)))
            assert first_answer(around).server == api.url


WRONG: dict[str, tuple[object, str]] = {
    "a list": (["clusters"], "it is not a mapping of keys to values"),
    "a string": ("sesame", "it is not a mapping of keys to values"),
    "a number": ("7", "it is not a mapping of keys to values"),
    "not YAML": ("apiVersion: v1\nclusters: [\n  token: sesame\n}\n", "it is not YAML"),
    "no text": (b"users: \xff\xfesesame\x80", "it is not YAML"),
    "a date that is none": ("day: 2026-13-45\n", "it holds values that cannot be read"),
    "deep": ("a: " + "[" * 1200 + "]" * 1200, "it is nested too deeply"),
    "no contexts": ({"kind": "Config"}, "it names no current context"),
    "null contexts": ({"contexts": None, "current-context": "here"}, "it has no context here"),
    "contexts are a mapping": ({"contexts": {"here": 1}}, "its contexts are not a list"),
    "users are text": ({**config("http://127.0.0.1:9"), "users": "sesame"}, "its users are not a list"),
    "current context is gone": ({**config(), "current-context": "gone"}, "it has no context gone"),
    "current context is a number": ({**config(), "current-context": 7}, "it names no current context"),
    "null context": ({**config(), "contexts": [{"name": "here", "context": None}]}, "its context names no cluster"),
    "no cluster of that name": (
        config(context={"cluster": "gone"}),
        "its context names the cluster gone, which it does not have",
    ),
    "no user of that name": (
        config("https://127.0.0.1:9", context={"user": "gone"}),
        "its context names the user gone, which it does not have",
    ),
    "null cluster": ({**config(), "clusters": [{"name": "here", "cluster": None}]}, "server of its cluster is not"),
    "no server": (config(), "the server of its cluster is not given"),
    "empty server": (config(""), "the server of its cluster is not given"),
    "server is a number": (config(8080), "the server of its cluster is not text"),
    "server is no URL": (config("sesame"), "the server of its cluster must start with http:// or https://"),
    "ftp": (config("ftp://127.0.0.1/"), "the server of its cluster must start with http:// or https://"),
    "no host": (config("https://"), "the server of its cluster is not a URL with a host"),
    "half an IPv6 address": (config("https://[::1"), "the server of its cluster is not a URL"),
    "port": (config("https://127.0.0.1:port"), "the server of its cluster"),
    "password": (config("https://me:sesame@127.0.0.1:9"), "the server of its cluster must not carry a user name"),
    "proxy is a number": (config("http://a:1", cluster={"proxy-url": 7}), "the proxy-url of its cluster is not text"),
    "socks": (
        config("http://a:1", cluster={"proxy-url": "socks5://me:sesame@127.0.0.1:9"}),
        "the proxy-url of its cluster is not that of an HTTP proxy",
    ),
    "server name": (config("https://a:1", cluster={"tls-server-name": ["a"]}), "the tls-server-name of its cluster"),
    "authority is not base64": (
        config("https://a:1", cluster={"certificate-authority-data": "sesame!"}),
        "the certificate-authority-data of its cluster is not base64",
    ),
    "authority is no certificate": (
        config("https://a:1", cluster={"certificate-authority-data": "c2VzYW1l"}),
        "its credentials cannot be read",
    ),
    "authority is missing": (
        config("https://a:1", cluster={"certificate-authority": "gone/ca.crt"}),
        "gone/ca.crt, and there is no such file",
    ),
    "token is a number": (config("http://a:1", user={"token": 7}), "the token of its user is not text"),
    "token is a list": (config("http://a:1", user={"token": ["sesame"]}), "the token of its user is not text"),
    "token has two lines": (config("http://a:1", user={"token": "sesame\nsesame"}), "is more than one line"),
    "token file is missing": (config("http://a:1", user={"tokenFile": "gone"}), "gone, and there is no such file"),
    "key without certificate": (
        config("https://a:1", user={"client-certificate-data": "c2VzYW1l", "client-key-data": "c2VzYW1l"}),
        "its credentials cannot be read",
    ),
    "auth-provider": (
        config("https://a:1", user={"auth-provider": {"name": "azure", "config": {"access-token": "sesame"}}}),
        "its user logs in by an auth-provider that is not known",
    ),
    "on behalf of another": (config("http://a:1", user={"token": "sesame", "as": "admin"}), "on behalf of another"),
    "exec is text": (config("http://a:1", user={"exec": "sesame"}), "needs command, apiVersion, args and env"),
    "exec without command": (config("http://a:1", user={"exec": {"apiVersion": "v1"}}), "needs command"),
    "exec with numbers": (
        config("http://a:1", user={"exec": {"command": "a", "apiVersion": "v1", "args": [1]}}),
        "needs command",
    ),
    "exec with null variables": (
        config("http://a:1", user={"exec": {"command": "a", "apiVersion": "v1", "env": [None, {"name": "sesame"}]}}),
        "needs command",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_with_the_file(case: str, tmp_path: Path) -> None:
    told, problem = WRONG[case]
    file = written(tmp_path / "config", told)
    before = file.read_bytes()
    error = failure(ConfigError, environ(file))
    assert isinstance(error, ConfigError)
    assert error.message.startswith(f"{file}")
    assert "the kubeconfig cannot be used: " in error.message
    assert problem in error.message
    assert error.file == file
    assert error.exit_code == 2
    assert file.read_bytes() == before


def test_the_line_is_told_where_it_is_not_yaml(tmp_path: Path) -> None:
    file = written(tmp_path / "config", "apiVersion: v1\nkind: Config\nusers:\n  - name: 'me\n")
    error = failure(ConfigError, environ(file))
    assert isinstance(error, ConfigError)
    assert error.line is not None
    assert error.line >= 4
    assert f"{file}:{error.line}: " in error.message


def test_an_unknown_context_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    many = joined(*(config("http://127.0.0.1:9", name=f"place-{number:02}") for number in range(12)))
    file = written(tmp_path / "config", many)
    error = failure(ConfigError, environ(file), "nowhere")
    assert error.message.endswith("it has no context nowhere")
    assert error.hint == f"contexts: {', '.join(f'place-{number:02}' for number in range(10))}, …"
    unnamed = failure(ConfigError, environ(file))
    assert unnamed.message.endswith("it names no current context")
    assert unnamed.hint is not None
    assert unnamed.hint.endswith("; --context chooses one")


def test_of_several_files_the_broken_one_is_named(tmp_path: Path) -> None:
    files = [written(tmp_path / "good", config("http://127.0.0.1:9")), written(tmp_path / "bad", "a: [")]
    error = failure(ConfigError, environ(*files))
    assert isinstance(error, ConfigError)
    assert error.file == files[1]
    assert str(files[0]) not in error.message


def test_what_is_no_file_or_may_not_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    assert "Is a directory" in failure(ConfigError, environ(folder)).message
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(tmp_path)  # names of sockets are short
        listening.bind("socket")
        assert "No such device" in failure(ConfigError, environ(tmp_path / "socket")).message


def test_files_of_another_user_are_no_kubeconfig_of_ours(two: Any) -> None:
    with tempfile.TemporaryDirectory() as place:  # of a folder that everybody may enter
        home = Path(place)
        home.chmod(0o755)
        file = written(home / ".kube" / "config", config(two[0].url))
        file.chmod(0)
        with unprivileged():
            error = failure(ConfigError, environ(file))
            assert "Permission denied" in error.message
        file.chmod(0o644)
        file.parent.chmod(0)
        try:
            with unprivileged():
                assert find_credentials({"HOME": place}) is None
                assert "no such file" in failure(ClusterUnavailableError, environ(file)).message
        finally:
            file.parent.chmod(0o755)
    assert two[0].requests == []


@pytest.mark.parametrize(
    ("server", "given", "inside"),
    [
        ("https://10.0.0.1:443", "10.0.0.1", True),
        ("https://[fd00::1]:443", "fd00::1", True),
        ("https://kubernetes.default.svc", "10.0.0.1", True),
        ("https://kubernetes", "10.0.0.1", True),
        ("https://10.0.0.2:443", "10.0.0.1", False),
        ("https://api.example.com:6443", "10.0.0.1", False),
        ("https://10.0.0.1:443", None, False),
    ],
)
def test_a_kubeconfig_leads_inside_only_to_the_cluster_of_this_pod(
    server: str, given: str | None, inside: bool, tmp_path: Path
) -> None:
    file = written(tmp_path / "config", config(server))
    around = environ(file) | ({"KUBERNETES_SERVICE_HOST": given} if given is not None else {})

    async def story() -> bool:
        async with cluster_of(around) as cluster:
            return cluster.inside

    assert asyncio.run(story()) is inside


def test_a_path_after_the_server_is_kept(tmp_path: Path) -> None:
    with KubernetesApi() as api:
        around = environ(written(tmp_path / "config", config(f"{api.url}/k8s/clusters/c-1/")))
        first_answer(around)
        assert api.requests == ["/k8s/clusters/c-1/apis"]


def test_a_kubeconfig_is_json_as_well(two: Any, tmp_path: Path) -> None:
    import json  # noqa: PLC0415

    file = written(tmp_path / "config", json.dumps(config(two[0].url)))
    assert first_answer(environ(file)).server == two[0].url
    assert yaml.safe_load(file.read_text()) == config(two[0].url)
