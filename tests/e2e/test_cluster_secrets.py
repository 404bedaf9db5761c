"""What opens a cluster, and what its pods are started with, is shown nowhere and kept nowhere, also with --verbose."""

import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_of_engines import LLM, SECRETS, SHORT, TOKEN, Place, bytes_of, cluster, engines, looking_at
from front_door import only_folder, read_json, run

from engine_servers import self_signed

PLUGIN = """
import json, pathlib, sys
sys.stderr.write("said-by-the-plug-in\\n")
given = json.loads(pathlib.Path(sys.argv[1]).read_text())
print(json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": given}))
"""
OTHER_TOKEN = "sha256~refused-and-kept-all-the-same"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("secrets")


@pytest.fixture(scope="module")
def place(folder: Path) -> Iterator[Place]:
    """A cluster over HTTPS that wants a token, which a plug-in gives, and a client certificate with its key."""
    _, pem = self_signed(folder)
    key = folder / "key.pem"
    with (
        engines() as ports,
        cluster(ports, folder, certificate=(pem, key), client_ca=pem) as made,
    ):
        give(folder, TOKEN)
        (folder / "plugin.py").write_text(PLUGIN)
        told = json.loads(made.kubeconfig.read_text())
        coded, coded_key = (base64.b64encode(file.read_bytes()).decode() for file in (pem, key))
        told["clusters"][0]["cluster"]["certificate-authority-data"] = coded
        told["users"][0]["user"] = {
            "client-certificate-data": coded,
            "client-key-data": coded_key,
            "exec": {
                "apiVersion": "client.authentication.k8s.io/v1",
                "command": sys.executable,
                "args": [str(folder / "plugin.py"), str(folder / "credentials.json")],
                "interactiveMode": "Never",
            },
        }
        made.kubeconfig.write_text(json.dumps(told))
        yield made


def give(folder: Path, token: str) -> None:
    """Let the plug-in give this token."""
    (folder / "credentials.json").write_text(json.dumps({"token": token}))


def secrets_of(folder: Path) -> list[bytes]:
    """Return what must be nowhere: each secret, and as Base64; of the key its lines, and the whole as Base64."""
    key = folder / "key.pem"
    lines = [*key.read_text().splitlines()[1:-1], base64.b64encode(key.read_bytes()).decode()]
    plain = [*SECRETS, OTHER_TOKEN]
    coded = [base64.b64encode(one.encode()).decode() for one in plain]
    return [one.encode() for one in (*plain, *coded, *lines)]


def assert_none(text: bytes, folder: Path, where: str) -> None:
    found = [secret for secret in secrets_of(folder) if secret in text]
    assert not found, f"{where} holds {found}"


@pytest.fixture
def environ(place: Place, tmp_path: Path) -> dict[str, str]:
    own = tmp_path / "own-tmp"
    own.mkdir()
    return place.environ(TMPDIR=str(own), **SHORT, **looking_at(tmp_path))


def test_nothing_that_opens_a_cluster_is_shown_or_saved(
    place: Place, folder: Path, tmp_path: Path, environ: dict[str, str]
) -> None:
    for args in (
        ("discover", "-n", LLM),
        ("discover", "-n", LLM, "--json", "--save", "f.yaml"),
        ("test", "-n", LLM, "--port-forward", "--json"),
        ("init", "--from-discovery"),
    ):
        done = run("--verbose", *args, cwd=tmp_path, environ=environ)
        assert done.code == 0, done.said()
        assert "said-by-the-plug-in" not in done.out
        assert_none((done.out + done.err).encode(), folder, " ".join(args))
    assert list((tmp_path / "own-tmp").iterdir()) == [], "no key is left where it passed through"
    assert_none(bytes_of(tmp_path), folder, "a file that was written")


def test_nothing_of_it_is_in_a_run(place: Place, folder: Path, tmp_path: Path, environ: dict[str, str]) -> None:
    args = ("-n", LLM, "--port-forward", "--junit", "junit.xml")
    done = run("--verbose", "benchmark", *args, cwd=tmp_path, environ=environ)
    assert done.code == 0, done.said()
    assert_none((done.out + done.err).encode(), folder, "the screen")
    services = read_json(only_folder(tmp_path) / "test_manifest.json")["services"]
    (flags,) = [one["said"]["start_flags"] for one in services if one["name"] == "chat"]
    assert "--api-key" in flags, "the flag is told, and its value is not"
    assert_none(bytes_of(tmp_path), folder, "the run")
    shown = run("--verbose", "results", "show", "latest", "--json", cwd=tmp_path, environ=environ)
    assert_none((shown.out + shown.err).encode(), folder, "results show")


def test_nothing_of_it_is_in_an_error(place: Place, folder: Path, tmp_path: Path, environ: dict[str, str]) -> None:
    give(folder, OTHER_TOKEN)
    try:
        refused = run("--verbose", "discover", "-n", LLM, cwd=tmp_path, environ=environ)
    finally:
        give(folder, TOKEN)
    assert refused.code == 3, refused.said()
    assert "refuses the credentials (401)" in refused.errors[0]
    assert_none((refused.out + refused.err).encode(), folder, "the error")
    # What the plug-in says is not JSON: the words of the library would repeat it.
    broken = folder / "broken.py"
    broken.write_text(f"print('not JSON, but ' + {TOKEN!r})\n")
    told = json.loads(place.kubeconfig.read_text())
    told["users"][0]["user"]["exec"]["args"] = [str(broken)]
    other = tmp_path / "kubeconfig"
    other.write_text(json.dumps(told))
    for args in (("--verbose", "discover", "-n", LLM), ("--verbose", "discover")):
        done = run(*args, cwd=tmp_path, environ={**environ, "KUBECONFIG": str(other)})
        assert done.code == 3, done.said()
        assert "the plug-in for credentials" in done.errors[0]
        assert_none((done.out + done.err).encode(), folder, "the error")
    assert list((tmp_path / "own-tmp").iterdir()) == []
