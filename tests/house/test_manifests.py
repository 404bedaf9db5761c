"""What deploy/ holds would be accepted by a cluster, under its strictest policies, and does what the program expects.

The schemas in tests/data/kubernetes-schemas are those of the Kubernetes API, made strict (a field that is not listed is
refused). No cluster is asked and no image is built: the Containerfile is read.
"""

import copy
import json
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from house_tree import ROOT, report, run_command, shown

from inference_bench.cli.commands.benchmark_cmd import benchmark

DEPLOY = ROOT / "deploy"
SCHEMAS = json.loads((ROOT / "tests/data/kubernetes-schemas/v1.30.0.json").read_text("utf-8"))
Object = dict[str, Any]
READING = {"get", "list", "watch"}
RIGHTS = {
    ("", "services"),
    ("", "pods"),
    ("apps", "deployments"),
    ("apps", "statefulsets"),
    ("networking.k8s.io", "ingresses"),
    ("route.openshift.io", "routes"),
    ("gateway.networking.k8s.io", "gateways"),
    ("gateway.networking.k8s.io", "httproutes"),
    ("serving.kserve.io", "inferenceservices"),
    ("serving.kserve.io", "llminferenceservices"),
    ("inference.networking.k8s.io", "inferencepools"),
    ("inference.networking.x-k8s.io", "inferencepools"),
}
# Pod Security Standard "restricted", volume types.
VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip


def manifests() -> list[tuple[Path, Object]]:
    """Return every object of deploy/ with its file."""
    found = []
    for path in sorted(DEPLOY.rglob("*.yaml")):
        found += [(path, one) for one in yaml.safe_load_all(path.read_text("utf-8"))]
    return found


def named(kind: str, file: str | None = None) -> Object:
    """Return the one object of this kind."""
    (found,) = [one for path, one in manifests() if one["kind"] == kind and file in {None, path.name}]
    return found


def complaints(manifest: Object) -> list[str]:
    """Return what the API's schema of its kind says against an object."""
    for name, schema in SCHEMAS["$defs"].items():
        known = schema.get("properties", {})
        kinds, versions = (known.get(key, {}).get("enum", ()) for key in ("kind", "apiVersion"))
        if manifest.get("kind") in kinds and manifest.get("apiVersion") in versions:
            checker = jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": SCHEMAS["$defs"]})
            return [f"{error.json_path}: {error.message}" for error in checker.iter_errors(manifest)]
    return [f"no schema for {manifest.get('apiVersion')} {manifest.get('kind')}"]


def pod_of(manifest: Object) -> Object:
    """Return the pod's specification."""
    spec: Object = manifest["spec"]["template"]["spec"] if manifest["kind"] == "Job" else manifest["spec"]
    return spec


def containers(pod: Object) -> list[Object]:
    return [*pod.get("initContainers", ()), *pod["containers"], *pod.get("ephemeralContainers", ())]


def plain_kubernetes_job() -> Object:
    """Return the Job with the patch for clusters that are not OpenShift."""
    job = copy.deepcopy(named("Job"))
    (patch,) = yaml.safe_load((DEPLOY / "plain-kubernetes/Kustomization").read_text("utf-8"))["patches"]
    assert patch["target"] == {"kind": "Job", "name": job["metadata"]["name"]}
    for step in yaml.safe_load(patch["patch"]):
        *way, last = step["path"].strip("/").split("/")
        place = job
        for key in way:
            place = place[key]
        assert step["op"] == "add"
        assert last not in place
        place[last] = step["value"]
    return job


PODS: dict[str, Callable[[], Object]] = {
    "job": lambda: named("Job"),
    "job on plain Kubernetes": plain_kubernetes_job,
    "reader": lambda: named("Pod"),
}


@pytest.mark.parametrize(("path", "manifest"), manifests(), ids=lambda one: shown(one) if isinstance(one, Path) else "")
def test_the_api_knows_every_field(path: Path, manifest: Object) -> None:
    assert not complaints(manifest)
    assert "namespace" not in manifest["metadata"], "the command that applies it says which"


def test_the_patch_for_plain_kubernetes_gives_a_job_that_the_api_knows() -> None:
    job = plain_kubernetes_job()
    assert not complaints(job)
    assert pod_of(job)["securityContext"]["fsGroup"] > 0


WRONG: dict[str, tuple[str, Callable[[Object], Any]]] = {
    "a misspelt field": ("Job", lambda job: pod_of(job).update(restartPolicies="Never")),
    "a misspelt field of a container": ("Job", lambda job: containers(pod_of(job))[0].update(arg=["benchmark"])),
    "a field in the wrong place": ("Job", lambda job: pod_of(job)["securityContext"].update(readOnlyRootFilesystem=1)),
    "a text for a number": ("Job", lambda job: job["spec"].update(backoffLimit="none")),
    "no name for a container": ("Job", lambda job: containers(pod_of(job))[0].pop("name")),
    "another version": ("Job", lambda job: job.update(apiVersion="batch/v2")),
    "a number in a ConfigMap": ("ConfigMap", lambda one: one["data"].update(port=80)),
    "a binding of nothing": ("RoleBinding", lambda one: one.pop("roleRef")),
    "a rule without verbs": ("Role", lambda one: one["rules"][0].pop("verbs")),
}


@pytest.mark.parametrize("what", WRONG)
def test_the_schemas_refuse(what: str) -> None:
    kind, spoil = WRONG[what]
    manifest = copy.deepcopy(named(kind))
    spoil(manifest)
    assert complaints(manifest)


def restricted_problems(pod: Object) -> Iterator[str]:
    """Yield what the Pod Security Standard "restricted" (with "baseline", which it includes) has against a pod."""
    context = pod.get("securityContext", {})
    if any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")):
        yield "host namespaces"
    if context.get("sysctls"):
        yield "sysctls"
    for volume in pod.get("volumes", ()):
        if not volume.keys() - {"name"} <= VOLUMES:
            yield "volume types"
    for container in containers(pod):
        own = container.get("securityContext", {})
        both = {**context, **own}
        if own.get("privileged"):
            yield "privileged"
        if own.get("allowPrivilegeEscalation") is not False:
            yield "privilege escalation"
        if both.get("runAsNonRoot") is not True:
            yield "running as non-root"
        if both.get("runAsUser") == 0:
            yield "running as a non-root user"
        if both.get("seccompProfile", {}).get("type") not in {"RuntimeDefault", "Localhost"}:
            yield "seccomp"
        capabilities = own.get("capabilities", {})
        if "ALL" not in capabilities.get("drop", ()) or set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}:
            yield "capabilities"
        if any("hostPort" in port for port in container.get("ports", ())):
            yield "host ports"
        if both.get("procMount", "Default") != "Default":
            yield "/proc mount type"
        if both.get("seLinuxOptions") or both.get("appArmorProfile") or both.get("windowsOptions"):
            yield "options of the host's security modules"  # some are allowed; none is needed


@pytest.mark.parametrize("pod", PODS)
def test_the_restricted_policy_admits_the_pod(pod: str) -> None:
    assert list(restricted_problems(pod_of(PODS[pod]()))) == []


LOOSE: dict[str, tuple[str, Callable[[Object], Any]]] = {
    "host namespaces": ("pod", lambda one: one.update(hostNetwork=True)),
    "sysctls": ("pod", lambda one: one["securityContext"].update(sysctls=[{"name": "a", "value": "1"}])),
    "volume types": ("pod", lambda one: one["volumes"].append({"name": "host", "hostPath": {"path": "/"}})),
    "privileged": ("its context", lambda one: one.update(privileged=True)),
    "privilege escalation": ("its context", lambda one: one.pop("allowPrivilegeEscalation")),
    "running as non-root": ("pod", lambda one: one["securityContext"].pop("runAsNonRoot")),
    "running as a non-root user": ("its context", lambda one: one.update(runAsUser=0)),
    "seccomp": ("its context", lambda one: one.update(seccompProfile={"type": "Unconfined"})),
    "capabilities": ("its context", lambda one: one["capabilities"].update(add=["SYS_PTRACE"])),
    "host ports": ("container", lambda one: one.update(ports=[{"containerPort": 1, "hostPort": 1}])),
    "/proc mount type": ("its context", lambda one: one.update(procMount="Unmasked")),
    "options of the host's security modules": ("its context", lambda one: one.update(seLinuxOptions={"user": "root"})),
}


@pytest.mark.parametrize("rule", LOOSE)
def test_each_rule_of_the_restricted_policy_can_be_broken(rule: str) -> None:
    pod = copy.deepcopy(pod_of(named("Job")))
    (container,) = containers(pod)
    place, spoil = LOOSE[rule]
    spoil({"pod": pod, "container": container, "its context": container["securityContext"]}[place])
    assert list(restricted_problems(pod)) == [rule]


@pytest.mark.parametrize("pod", PODS)
def test_a_pod_writes_nothing_but_its_volumes_and_mounts_what_there_is(pod: str) -> None:
    spec = pod_of(PODS[pod]())
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounted = {mount["name"] for container in containers(spec) for mount in container["volumeMounts"]}
    assert mounted == volumes.keys()
    assert all(one["securityContext"]["readOnlyRootFilesystem"] is True for one in containers(spec))
    claims = {one["persistentVolumeClaim"]["claimName"] for one in volumes.values() if "persistentVolumeClaim" in one}
    assert claims == {named("PersistentVolumeClaim")["metadata"]["name"]}
    maps = {one["configMap"]["name"] for one in volumes.values() if "configMap" in one}
    assert maps <= {named("ConfigMap")["metadata"]["name"]}
    assert spec.get("serviceAccountName") in {None, named("ServiceAccount")["metadata"]["name"]}
    # A Service called vllm-benchmark would put a variable into the environment that looks like a setting.
    assert spec["enableServiceLinks"] is False


@pytest.mark.parametrize("pod", ["job", "reader"])
def test_openshift_chooses_user_and_groups(pod: str) -> None:
    spec = pod_of(PODS[pod]())
    chosen = {"runAsUser", "runAsGroup", "fsGroup", "supplementalGroups"}
    assert not [one for one in (spec, *containers(spec)) if chosen & one["securityContext"].keys()]


def test_the_job_runs_once_on_whole_cpus() -> None:
    job = named("Job")
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["activeDeadlineSeconds"] >= 3600
    assert job["spec"].get("ttlSecondsAfterFinished", 10**9) >= 7 * 86400
    assert pod_of(job)["restartPolicy"] == "Never"
    (container,) = containers(pod_of(job))
    assert container["resources"]["requests"] == container["resources"]["limits"]
    assert int(container["resources"]["limits"]["cpu"]) >= 2
    mounts = {mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
    assert mounts == {"/config": True, "/results": False, "/tmp": False}


def test_keys_come_from_secrets_and_none_is_here() -> None:
    (container,) = containers(pod_of(named("Job")))
    given = {variable["name"]: variable for variable in container["env"]}
    assert given["NAMESPACE"]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}
    del given["NAMESPACE"]
    assert given
    for variable in given.values():
        assert variable["valueFrom"]["secretKeyRef"]["optional"] is True
    assert "Secret" not in {one["kind"] for _, one in manifests()}


def rights(role: Object) -> set[tuple[str, str]]:
    return {(group, name) for rule in role["rules"] for group in rule["apiGroups"] for name in rule["resources"]}


@pytest.mark.parametrize("kind", ["Role", "ClusterRole"])
def test_roles_read_what_the_search_needs_and_nothing_else(kind: str) -> None:
    role = named(kind)
    more = {("", "namespaces"), ("", "nodes")} if kind == "ClusterRole" else set()
    assert rights(role) == RIGHTS | more
    for rule in role["rules"]:
        assert rule.keys() == {"apiGroups", "resources", "verbs"}
        assert {"get", "list"} <= set(rule["verbs"]) <= READING
    watched = [rule for rule in role["rules"] if "watch" in rule["verbs"]]
    assert rights({"rules": watched}) == {("", "services"), ("", "pods")}, "what `discover --watch` watches"


def test_the_binding_joins_the_account_and_the_role() -> None:
    binding = named("RoleBinding")
    assert binding["roleRef"]["name"] == named("Role")["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": named("ServiceAccount")["metadata"]["name"]}]


def test_the_kustomization_applies_one_namespaces_files() -> None:
    listed = yaml.safe_load((DEPLOY / "Kustomization").read_text("utf-8"))["resources"]
    assert {*listed, "rbac-all-namespaces.yaml"} == {path.name for path in DEPLOY.glob("*.yaml")}
    commented = re.findall(r"^# components: \[(.+)\]$", (DEPLOY / "Kustomization").read_text("utf-8"), re.MULTILINE)
    assert commented == ["plain-kubernetes"]
    assert yaml.safe_load((DEPLOY / commented[0] / "Kustomization").read_text("utf-8"))["kind"] == "Component"
    assert yaml.safe_load((DEPLOY / "reader/Kustomization").read_text("utf-8"))["resources"] == ["pod.yaml"]


def job_arguments(tmp_path: Path) -> list[str]:
    """Return the arguments as the container gets them, with the ConfigMap's files below `tmp_path`."""
    for name, text in named("ConfigMap")["data"].items():
        (tmp_path / name).write_text(text, "utf-8")
    (container,) = containers(pod_of(named("Job")))
    filled = [one.replace("$(NAMESPACE)", "models") for one in container["args"]]
    assert not [one for one in filled if "$(" in one]
    return [re.sub(r"^/config(?=/)", str(tmp_path), one) for one in filled]


def test_the_configuration_is_accepted(tmp_path: Path) -> None:
    job_arguments(tmp_path)
    for name in named("ConfigMap")["data"]:
        done = run_command("config", "--check", str(tmp_path / name), cwd=tmp_path)
        assert done.returncode == 0, report(done)


def test_the_command_accepts_the_job_s_arguments(tmp_path: Path) -> None:
    command, *arguments = job_arguments(tmp_path)
    assert command == benchmark.name
    given = benchmark.make_context(command, list(arguments)).params
    assert given["namespace"] == "models"
    assert (str(given["output_dir"]), given["name"], given["yes"]) == ("/results", "in-cluster", True)
    # A namespace is not there to be searched: everything else is gone through for good, against simulated engines.
    place = arguments.index("-n")
    del arguments[place : place + 2]
    done = run_command(command, *arguments, "--simulate", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, report(done)
    assert "standard-load" in done.stdout + done.stderr


def instructions() -> list[tuple[str, str]]:
    """Return the Containerfile's instructions: continued lines joined, comments left out."""
    lines = (DEPLOY / "Containerfile").read_text("utf-8").splitlines()
    text = "\n".join(line for line in lines if line.strip() and not line.lstrip().startswith("#"))
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.replace("\\\n", " ").splitlines()]


def last_stage() -> dict[str, str]:
    """Return the last stage's instructions; of several of a kind the last."""
    found = instructions()
    start = max(place for place, (word, _) in enumerate(found) if word == "FROM")
    return dict(found[start:])


def test_the_image_runs_as_any_user_and_writes_nowhere() -> None:
    stage = last_stage()
    user, group = stage["USER"].split(":")
    assert int(user) > 0
    assert group == "0"
    assert json.loads(stage["ENTRYPOINT"]) == ["vllm-benchmark"]
    variables = dict(one.split("=", 1) for one in shlex.split(stage["ENV"]))
    assert (variables["HOME"], variables["PYTHONDONTWRITEBYTECODE"]) == ("/tmp", "1")
    assert stage["RUN"].split() == ["mkdir", "-m", "0775", "/results"], "group 0 may write there, without a volume too"
    assert stage["COPY"].startswith("--from=build "), "what built it stays behind"


def test_the_image_is_built_from_known_things() -> None:
    words = [word for word, _ in instructions()]
    assert words.count("FROM") == 2
    assert "ADD" not in words, "it can fetch from anywhere"
    commands = " ".join(rest for word, rest in instructions() if word == "RUN")
    assert "-c constraints.txt" in commands
    assert not re.search(r"curl|wget|https?://|git\+|--index-url|--trusted-host", commands)
    settings = [rest for word, rest in instructions() if word in {"ARG", "ENV", "LABEL"}]
    assert not [one for one in settings if re.search(r"(?i)(token|secret|password|api_?key|credential)", one)]


def test_the_build_sees_only_what_the_image_needs() -> None:
    allowed = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    rules = [line for line in allowed if line and not line.startswith("#")]
    assert rules[0] == "*"
    copied = {
        name for word, rest in instructions() if word == "COPY" and "--from" not in rest for name in rest.split()[:-1]
    }
    assert {line.removeprefix("!") for line in rules if line.startswith("!")} == copied
    assert all((ROOT / name).exists() for name in copied)


def test_the_version_is_the_projects() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    labels = dict(one.split("=", 1) for one in shlex.split(last_stage()["LABEL"]))
    assert labels["org.opencontainers.image.version"] == version
    images = {container["image"] for pod in PODS.values() for container in containers(pod_of(pod()))}
    assert images == {f"vllm-benchmark:{version}"}
