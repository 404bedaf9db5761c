"""The options that lead into a cluster, wrong ones and right ones: a wrong one is said before anybody is asked."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster_objects import TEAM, chat, kubeconfig
from engine_servers import serving, vllm_pages
from inference_bench.cli.main import run
from kubernetes_api import KubernetesApi

NAME_RULE = "services.namespace: must be a namespace's name (lower-case letters, digits and hyphens), or * for all"
SIMULATED = "--simulate searches no cluster: leave out --namespace, --context and --port-forward"
PASSING = "--save is for addresses that stay: those of a port-forward end with the command"


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesApi]:
    """A cluster with one vLLM, which the kubeconfig of the environment leads to."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    with serving(vllm_pages()) as engine:
        balanced = chat({"port": engine.port, "targetPort": 8000}, type="LoadBalancer")
        balanced[-1]["status"] = {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}}
        with KubernetesApi(balanced) as served:
            monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, served.url)))
            yield served


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        (("discover", "-n", ""), "--namespace is empty"),
        (("discover", "-n", "  "), "--namespace is empty"),
        (("discover", "--context", ""), "--context is empty"),
        (("discover", "-n", "a/b"), f"command line: {NAME_RULE}"),
        (("discover", "-n", "../../nodes"), f"command line: {NAME_RULE}"),
        (("discover", "-n", "Models"), f"command line: {NAME_RULE}"),
        (("discover", "-n", "a,b"), f"command line: {NAME_RULE}"),
        (("test", "-n", "a/b"), f"command line: {NAME_RULE}"),
        (("benchmark", "-n", "a/b"), f"command line: {NAME_RULE}"),
        (("discover", "-n", TEAM, "--simulate"), SIMULATED),
        (("benchmark", "-n", TEAM, "--simulate"), SIMULATED),
        (("discover", "--context", "here", "--simulate"), SIMULATED),
        (("discover", "--port-forward", "--simulate"), SIMULATED),
        (("discover", "--all-namespaces", "--simulate"), "--simulate searches no cluster: leave out --all-namespaces"),
        (("discover", "--all-namespaces", "-n", TEAM), "--all-namespaces and --namespace exclude each other"),
        (("discover", "-n", TEAM, "--port-forward", "--save", "f.yaml"), PASSING),
        (("discover", "--port-forward", "--save", "f.yaml"), PASSING),
        (("test", "--all-namespaces"), "no such option '--all-namespaces'; did you mean --namespace?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_option_is_one_clear_line_and_nobody_is_asked(
    api: KubernetesApi, tmp_path: Path, capsys: pytest.CaptureFixture[str], args: tuple[str, ...], wanted: str
) -> None:
    assert run(args) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert [line for line in said.err.splitlines() if line.startswith("Error: ")] == [f"Error: {wanted}"]
    assert "Traceback" not in said.err
    assert api.requests == []
    assert not (tmp_path / "f.yaml").exists()


def test_a_wrong_namespace_in_the_environment_names_its_variable(
    api: KubernetesApi, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_BENCHMARK__SERVICES__NAMESPACE", "a/b")
    assert run(["discover"]) == 2
    assert f"Error: VLLM_BENCHMARK__SERVICES__NAMESPACE: {NAME_RULE}" in capsys.readouterr().err
    assert api.requests == []


@pytest.mark.parametrize("args", [("--all-namespaces", "-n", "*"), ("-n", "*"), ("-n", f" {TEAM} "), ("-n", TEAM)])
def test_what_is_meant_is_understood(
    api: KubernetesApi, capsys: pytest.CaptureFixture[str], args: tuple[str, ...]
) -> None:
    """The same option twice over, and spaces around a name, are no mistakes."""
    assert run(["discover", "--json", *args]) == 0
    services = json.loads(capsys.readouterr().out)["services"]
    assert [one["name"] for one in services] == ["chat"]
    everywhere = "*" in args
    assert any(path.startswith("/api/v1/pods?") for path in api.requests) == everywhere
    assert any(path.startswith(f"/api/v1/namespaces/{TEAM}/pods?") for path in api.requests) != everywhere


def test_a_namespace_of_the_configuration_means_the_cluster_alone(
    api: KubernetesApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text(json.dumps({"services": {"namespace": TEAM}}))
    for command in (["discover", "--json"], ["test", "--json"]):
        run([*command, "-c", "c.yaml"])
        assert [one["name"] for one in json.loads(capsys.readouterr().out)["services"]] == ["chat"]
    # Search switched off in the file, and switched on again in words.
    (tmp_path / "off.yaml").write_text(json.dumps({"services": {"discovery": False}}))
    assert run(["discover", "-c", "off.yaml", "-n", TEAM]) == 0
    (tmp_path / "both.yaml").write_text(json.dumps({"services": {"discovery": False, "namespace": TEAM}}))
    assert run(["discover", "-c", "both.yaml"]) == 2
    assert "services.discovery: must be on for a cluster to be searched" in capsys.readouterr().err


def test_simulated_engines_need_not_be_watched_for_and_end_with_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["discover", "--watch", "--simulate", "--json"]) == 0
    said = capsys.readouterr()
    assert [one["name"] for one in json.loads(said.out)["services"]] == ["vllm", "tgi", "ollama"]
    assert all(f"{name}: healthy at http://127.0.0.1:" in said.err for name in ("vllm", "tgi", "ollama"))


def test_the_help_says_where_it_looks_and_that_nothing_is_changed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["discover", "--help"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    options = ("--namespace", "--context", "--all-namespaces", "--port-forward", "--watch")
    assert all(option in words for option in options)
    assert "Nothing is changed there." in words


@pytest.fixture
def searched(api: KubernetesApi, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    def search(*args: str) -> list[str]:
        begun = len(api.requests)
        run(["discover", *args])
        capsys.readouterr()
        return api.requests[begun:]

    return search


def test_a_search_only_reads_and_asks_each_list_once(searched: Callable[..., list[str]]) -> None:
    asked = [path.partition("?")[0] for path in searched("-n", TEAM)]
    assert asked[0] == "/apis", "whether anybody is there, before anything else"
    assert len(asked) == len(set(asked))
    assert not [path for path in asked if path.endswith(("/secrets", "/configmaps", "/exec", "/log", "/events"))]
    assert f"/api/v1/namespaces/{TEAM}/services" in asked
