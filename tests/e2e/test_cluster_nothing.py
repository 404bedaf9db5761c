"""A cluster that cannot be searched, or has nothing in it: one clear line, what to do, the right exit code, an end."""

import json
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cluster_of_engines import LLM, TOKEN, cluster, engines, kubeconfig, looking_at, nobody, strangers
from front_door import Done, run, start

from engine_servers import closed_port, raw_server
from inference_bench.discovery import checking
from inference_bench.discovery.cluster import access, reader
from kubernetes_api import PLURALS, Faults

NO_CREDENTIALS = "no kubeconfig (KUBECONFIG, ~/.kube/config) and no account of a pod: there is no cluster to search"
LOG_IN = "log in to the cluster first, or name another kubeconfig (KUBECONFIG; ~/.kube/config is the usual one)"
EVERYTHING = dict.fromkeys([*PLURALS.values()], 403)


def assert_one_line(done: Done, code: int, error: str, hint: str = "") -> None:
    """Check the exit code, the one line that says what is wrong, and the one that says what to do (how it begins)."""
    assert done.code == code, done.said()
    assert len(done.errors) == 1, done.said()
    assert done.errors[0].startswith(f"Error: {error}"), done.said()
    (what_to_do,) = [line for line in done.err.splitlines() if line.startswith("Hint: ")]
    assert what_to_do.startswith(f"Hint: {hint}"), done.said()
    assert "Traceback" not in done.out + done.err
    assert TOKEN not in done.out + done.err
    assert done.out == "", "a table of nothing is no table"


def discover(cwd: Path, *args: str, environ: dict[str, str]) -> Done:
    """Run it; it is given up after PATIENCE, which is far beyond every bound."""
    return run("discover", *args, cwd=cwd, environ=environ)


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """Somebody without a cluster, on a machine where nothing listens."""
    return {**nobody(tmp_path), **looking_at(tmp_path, closed_port())}


def test_every_wait_of_a_search_that_fails_is_bounded() -> None:
    """Nobody waits ten seconds for credentials, for a server that is not there, or for a service without a pod."""
    assert access._CREDENTIALS_SECONDS < 10
    assert reader._CONNECT_SECONDS < reader._FIRST_SECONDS
    assert reader._FIRST_SECONDS < 10
    assert checking._ALL_WAYS_SECONDS < 10
    assert float("inf") > reader._LIST_SECONDS


def test_without_any_cluster_only_this_machine_is_searched(tmp_path: Path, home: dict[str, str]) -> None:
    with engines("vllm") as ports:
        done = discover(tmp_path, "--json", environ={**home, **looking_at(tmp_path, ports["chat"])})
    assert done.code == 0, done.said()
    assert [one["name"] for one in json.loads(done.out)["services"]] == ["vllm"]
    assert json.loads(done.out)["notes"] == []
    nothing = discover(tmp_path, environ={**home, **looking_at(tmp_path, closed_port())})
    hint = "start an engine, give its address with --url http://HOST:PORT, or try --simulate"
    hint += "; a cluster is searched with -n NAMESPACE"
    assert_one_line(nothing, 3, "no inference engine answers on this machine's usual ports", hint)
    assert "cluster" not in nothing.errors[0]


@pytest.mark.parametrize("command", ["discover", "benchmark"])
def test_a_namespace_of_no_cluster(tmp_path: Path, home: dict[str, str], command: str) -> None:
    done = run(command, "-n", LLM, cwd=tmp_path, environ=home)
    assert_one_line(done, 3, NO_CREDENTIALS, "log in to the cluster first, or name a kubeconfig")


def test_a_kubeconfig_that_is_not_there(tmp_path: Path, home: dict[str, str]) -> None:
    done = discover(tmp_path, "-n", LLM, environ={**home, "KUBECONFIG": "/nowhere/config"})
    assert_one_line(done, 3, "KUBECONFIG names /nowhere/config, and there is no such file", LOG_IN)


def test_a_server_where_nothing_listens(tmp_path: Path, home: dict[str, str]) -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    environ = {**home, "KUBECONFIG": str(kubeconfig(tmp_path, url))}
    error = f"the cluster at {url} cannot be reached: nothing listens there (connection refused)"
    hint = "is it up, and is the network (VPN, proxy) that leads to it? --context chooses another"
    assert_one_line(discover(tmp_path, "-n", LLM, environ=environ), 3, error, hint)
    # Nobody had insisted on the cluster: where was looked comes first, and why not there behind it.
    done = discover(tmp_path, environ=environ)
    assert_one_line(done, 3, "no inference engine answers on this machine's usual ports", hint)
    assert done.errors[0].endswith(error)


@contextmanager
def silent() -> Iterator[str]:
    """Serve nothing at all: connections are taken, and no word comes."""
    over = threading.Event()

    def hold(connection: socket.socket) -> None:
        over.wait(60)
        connection.close()

    with raw_server(hold) as url:
        yield url
        over.set()


def test_a_server_that_never_answers_is_given_up(tmp_path: Path, home: dict[str, str]) -> None:
    with silent() as url:
        environ = {**home, "KUBECONFIG": str(kubeconfig(tmp_path, url))}
        with start("discover", "-n", LLM, cwd=tmp_path, environ=environ) as running:
            running.process.wait(30)
            done = running.finish()
    error = f"the cluster at {url} cannot be reached: no answer within {reader._FIRST_SECONDS:g} s"
    hint = "is it up, and is the network (VPN, proxy) that leads to it? --context chooses another"
    assert_one_line(done, 3, error, hint)


def test_a_token_that_has_expired(tmp_path: Path, home: dict[str, str]) -> None:
    with cluster({}, tmp_path, *strangers()) as place:
        environ = {**home, "KUBECONFIG": str(kubeconfig(tmp_path, place.api.url, token="expired-long-ago"))}
        for args in ((), ("--verbose",)):
            done = run(*args, "discover", "-n", LLM, cwd=tmp_path, environ=environ)
            assert done.code == 3
            (error,) = done.errors
            assert error.startswith(f"Error: the cluster at {place.api.url} refuses the credentials (401)")
            assert "Hint: log in again (oc login, or whatever made the kubeconfig), and try again" in done.err
            assert "expired-long-ago" not in done.out + done.err
        assert place.api.requests == ["/apis"] * 2, "asked once, not again and again"


def test_credentials_without_any_right(tmp_path: Path, home: dict[str, str]) -> None:
    hint = "ask for the rights that deploy/rbac.yaml names, or name another namespace with -n"
    with cluster({}, tmp_path, *strangers(), faults=Faults(status=EVERYTHING, groups=403)) as place:
        environ = {**home, **place.environ()}
        may_not = "these credentials may list neither services nor pods nor deployments"
        assert_one_line(discover(tmp_path, "-n", LLM, environ=environ), 3, f"{may_not} in namespace {LLM}", hint)
        everywhere = discover(tmp_path, "--all-namespaces", environ=environ)
        assert_one_line(everywhere, 3, f"{may_not} in all namespaces", hint)
        at_hand = discover(tmp_path, environ=environ)
        assert at_hand.errors[0].endswith(f"{may_not} in namespace {LLM}")
        assert at_hand.code == 3


@pytest.mark.parametrize(
    ("text", "args", "problem"),
    [
        ("{current-context: [", ("-n", LLM), ":1: the kubeconfig cannot be used: it is not YAML"),
        ("{current-context: [", (), ":1: the kubeconfig cannot be used: it is not YAML"),
        ("- a\n- list\n", ("-n", LLM), ": the kubeconfig cannot be used: "),
        ("current-context: here\ncontexts: []\nclusters: []\nusers: []\n", (), ": the kubeconfig cannot be used: "),
    ],
    ids=["not-yaml", "not-yaml-at-hand", "list", "no-context-at-hand"],
)
def test_a_broken_kubeconfig(
    tmp_path: Path, home: dict[str, str], text: str, args: tuple[str, ...], problem: str
) -> None:
    file = tmp_path / "broken"
    file.write_text(text)
    done = discover(tmp_path, *args, environ={**home, "KUBECONFIG": str(file)})
    assert_one_line(done, 2, f"{file}{problem}")


def test_a_context_that_is_not_there(tmp_path: Path, home: dict[str, str]) -> None:
    file = kubeconfig(tmp_path, f"http://127.0.0.1:{closed_port()}")
    done = discover(tmp_path, "--context", "prod", environ={**home, "KUBECONFIG": str(file)})
    assert_one_line(done, 2, f"{file}: the kubeconfig cannot be used: it has no context prod", "contexts: here")


def test_a_namespace_without_engines_and_one_that_is_not_there(tmp_path: Path, home: dict[str, str]) -> None:
    hint = "name another namespace with -n, or look at all of them: discover --all-namespaces"
    with cluster({}, tmp_path, *strangers()) as place:
        environ = {**home, **place.environ()}
        for namespace in (LLM, "no-such-namespace"):
            where = f"namespace {namespace} of the cluster at {place.api.url}"
            done = discover(tmp_path, "-n", namespace, environ=environ)
            assert_one_line(done, 3, f"no inference engine in {where}", hint)
        # Of nothing, JSON has an empty list, and there is neither a file nor a run folder.
        saved = discover(tmp_path, "-n", LLM, "--json", "--save", "f.yaml", environ=environ)
        assert saved.code == 3
        assert json.loads(saved.out)["services"] == []
        measured = run("benchmark", "-n", LLM, cwd=tmp_path, environ=environ)
        assert_one_line(measured, 3, f"no inference engine in namespace {LLM}", hint)
    assert not (tmp_path / "f.yaml").exists()
    assert not (tmp_path / "results").exists()


def test_without_the_extra(tmp_path: Path, home: dict[str, str]) -> None:
    stub = tmp_path / "stub" / "kubernetes_asyncio"
    stub.mkdir(parents=True)
    (stub / "__init__.py").write_text("raise ImportError('No module named kubernetes_asyncio')\n")
    file = kubeconfig(tmp_path, f"http://127.0.0.1:{closed_port()}")
    environ = {**home, "KUBECONFIG": str(file), "PYTHONPATH": str(stub.parent)}
    hint = "install it with: pip install 'vllm-benchmark[kubernetes]'"
    for command in ("discover", "test"):
        done = run(command, "-n", LLM, cwd=tmp_path, environ=environ)
        assert_one_line(done, 3, "searching a cluster needs the extra `kubernetes`", hint)
    # Without a word of a cluster, the machine's own services are found all the same.
    with engines("vllm") as ports:
        local = looking_at(tmp_path, ports["chat"])["PYTHONPATH"]
        both = {**environ, "PYTHONPATH": f"{stub.parent}:{local}"}
        here = discover(tmp_path, "--json", environ=both)
    assert here.code == 0, here.said()
    assert [one["name"] for one in json.loads(here.out)["services"]] == ["vllm"]
    assert "Note: the cluster was not searched: searching a cluster needs the extra `kubernetes`" in here.err


def test_an_interruption_while_a_server_is_silent(tmp_path: Path, home: dict[str, str]) -> None:
    with silent() as url:
        environ = {**home, "KUBECONFIG": str(kubeconfig(tmp_path, url))}
        with start("discover", "-n", LLM, cwd=tmp_path, environ=environ) as running:
            running.until(lambda: running.connected_to(url), "a connection")
            running.signal(signal.SIGINT)
            done = running.finish()
    assert done.code == 130, done.said()
    assert "Traceback" not in done.err
