"""`init --from-discovery`: configuration files that name what is there now, and keep every comment."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from cluster_objects import TEAM, VLLM, chat, container, kubeconfig, made, service
from engine_servers import closed_port, serving, tgi_pages, vllm_pages
from inference_bench.cli.main import run
from inference_bench.config.shipped import SHIPPED_FILES, shipped_text
from inference_bench.discovery.sources import LocalSource
from kubernetes_api import KubernetesApi

TGI = "ghcr.io/huggingface/text-generation-inference:3.3.5"


@dataclass
class Cluster:
    """A cluster with a vLLM, a TGI, and a vLLM that nothing leads to."""

    api: KubernetesApi
    urls: Mapping[str, str]


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens at this machine's usual ports, and there is no cluster unless a test makes one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(LocalSource.__init__, "__defaults__", ((closed_port(),),))
    monkeypatch.setenv("KUBECONFIG", "/dev/null")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "")


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    with serving(vllm_pages()) as vllm, serving(tgi_pages()) as tgi:
        here = [{"ip": "127.0.0.1"}]
        objects = chat({"port": vllm.port, "targetPort": 8000}, type="LoadBalancer")
        objects[-1]["status"] = {"loadBalancer": {"ingress": here}}
        objects += made("tgi", container(TGI, port=80))
        objects.append(service("tgi", {"port": tgi.port, "targetPort": 80}, selector={"app": "tgi"}, balancers=here))
        objects[-1]["spec"]["type"] = "LoadBalancer"
        objects += made("hidden", container(VLLM))
        objects.append(service("hidden", selector={"app": "hidden"}))
        forwards = {(TEAM, "hidden-7d9-0", 8000): vllm.port}
        with KubernetesApi(objects, forwards=forwards) as api:
            monkeypatch.setenv("KUBECONFIG", str(kubeconfig(folder, api.url)))
            yield Cluster(api, {"chat": vllm.url, "tgi": tgi.url})


def say(capsys: pytest.CaptureFixture[str], *args: str) -> Done:
    """Run a command to its end."""
    code = run(args)
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return Done(code, said.out, said.err)


def comments(text: str) -> list[str]:
    """Return the comments of a file, wherever they stand."""
    return [line.partition("#")[2].strip() for line in text.splitlines() if "#" in line]


def endpoints(file: Path) -> dict[str, dict[str, str]]:
    """Return the services that a file names, by name."""
    return {one["name"]: one for one in yaml.safe_load(file.read_text())["services"]["endpoints"]}


def test_the_files_name_what_was_found_and_keep_their_comments(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = say(capsys, "init", "--from-discovery")
    assert done.code == 0, done.err
    assert done.out.splitlines() == [f"config/{name}" for name in SHIPPED_FILES]
    for name, url in cluster.urls.items():
        assert f"Found {name} at {url}" in done.err
    assert "Warning: hidden is left out: it is unreachable" in done.err
    for name in SHIPPED_FILES:
        file = tmp_path / "config" / name
        text, shipped = file.read_text(), shipped_text(name)
        named = endpoints(file)
        assert {one: given["url"] for one, given in named.items()} == cluster.urls
        assert (named["chat"]["engine"], named["tgi"]["engine"]) == ("vllm", "tgi")
        assert set(comments(shipped)) <= set(comments(text)), "every comment is there"
        # Everything else is as it was shipped.
        kept = yaml.safe_load(text)
        del kept["services"]["endpoints"]
        before = yaml.safe_load(shipped)
        before.setdefault("services", {}).pop("endpoints", None)
        assert kept == before
        checked = say(capsys, "config", "--check", str(file))
        assert checked.code == 0, checked.err
        assert "Note: " not in checked.err, "it loads without a remark"


def test_a_benchmark_finds_them_without_the_cluster(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert say(capsys, "init", "--from-discovery").code == 0
    begun = len(cluster.api.requests)
    monkeypatch.setenv("KUBECONFIG", "/dev/null")
    for args in ((), ("--quick",)):
        planned = say(capsys, "benchmark", "--dry-run", "--json", *args)
        assert planned.code == 0, planned.err
        assert "Configuration: config/" in planned.err
        document = json.dumps(json.loads(planned.out))
        assert all(f'"{name}"' in document for name in cluster.urls)
    assert len(cluster.api.requests) == begun


def test_what_is_reached_by_a_port_forward_does_not_stay(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_BENCHMARK__SERVICES__PORT_FORWARD", "true")
    done = say(capsys, "init", "--from-discovery", "with")
    assert done.code == 0, done.err
    assert set(endpoints(tmp_path / "with" / "config" / "default.yaml")) == {"chat", "tgi"}
    assert any("portforward" in path for path in cluster.api.requests), "it was found and healthy"
    assert "hidden" not in done.out
    # Where nothing else is there, nothing is written.
    cluster.api.objects[:] = [one for one in cluster.api.objects if "hidden" in one["metadata"]["name"]]
    alone = say(capsys, "init", "--from-discovery", "without")
    assert alone.code == 3
    assert "Error: all that was found is reached by a port-forward, and that ends with this command" in alone.err
    assert not (tmp_path / "without").exists()


def test_of_nothing_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = say(capsys, "init", "--from-discovery")
    assert done.code == 3
    (error,) = [line for line in done.err.splitlines() if line.startswith("Error: ")]
    assert error.startswith("Error: no inference engine answers on this machine's usual ports")
    assert done.out == ""
    assert not (tmp_path / "config").exists()


def test_files_that_exist_are_kept_unless_force_is_said(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "there" / "config" / "quick-test.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("# mine\n")
    refused = say(capsys, "init", "--from-discovery", "there")
    assert refused.code == 2
    assert "there/config/quick-test.yaml already exists; nothing was written" in refused.err
    assert "Hint: --force overwrites them" in refused.err
    assert [path.name for path in file.parent.iterdir()] == ["quick-test.yaml"]
    assert file.read_text() == "# mine\n"
    forced = say(capsys, "init", "--from-discovery", "--force", "there")
    assert forced.code == 0, forced.err
    assert set(endpoints(file)) == {"chat", "tgi"}


def test_a_cluster_that_fails_and_a_broken_kubeconfig_write_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = ((f"http://127.0.0.1:{closed_port()}", 3, "nothing listens there"), ("not a URL", 2, "cannot be used"))
    for server, code, words in cases:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, server)))
        done = say(capsys, "init", "--from-discovery")
        assert (done.code, done.err.count(words)) == (code, 1), f"said once: {done.err}"
        assert not (tmp_path / "config" / "default.yaml").exists()


def test_the_namespace_of_the_configuration_is_where_it_looks(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_BENCHMARK__SERVICES__NAMESPACE", "empty")
    done = say(capsys, "init", "--from-discovery")
    assert done.code == 3
    assert "no inference engine in namespace empty of the cluster" in done.err
    assert any(path.startswith("/api/v1/namespaces/empty/pods") for path in cluster.api.requests)
