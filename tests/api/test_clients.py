"""The registry: built-in names, plug-ins of other distributions, and plain words for everything that is wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import inference_bench
from inference_bench.api.clients import client_names, get_client
from inference_bench.api.protocols import EngineClient
from inference_bench.errors import UsageError

BUILT_IN = (
    "vllm",
    "vllm-completions",
    "tgi",
    "tgi-chat",
    "ollama",
    "ollama-generate",
    "openai",
    "openai-completions",
)
GOOD = """
    from inference_bench.api.dialects.openai import OpenAiChat

    class Client(OpenAiChat):
        name = "{name}"
        engine = "mine"
"""


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_engines(name: str) -> None:
    client: EngineClient = get_client(name)
    assert client.name == name
    assert client.engine == name.partition("-")[0]
    assert get_client(name) is client
    assert name in client_names()


@pytest.mark.parametrize(
    ("name", "guess"), [("vlm", "vllm"), ("VLLM", "vllm"), ("olama", "ollama"), ("tgi_chat", "tgi-chat")]
)
def test_an_unknown_name_is_answered_with_a_guess(name: str, guess: str) -> None:
    with pytest.raises(UsageError, match=f"no engine is called '{name}'; did you mean '{guess}'") as caught:
        get_client(name)
    assert caught.value.hint is not None
    assert "ollama-generate" in caught.value.hint


def test_an_unknown_name_unlike_any_other() -> None:
    with pytest.raises(UsageError, match=r"^no engine is called 'qqqq'$"):
        get_client("qqqq")


def install(folder: Path, distribution: str, entries: dict[str, str], code: str) -> None:
    """Put a distribution that registers engines onto sys.path, as an installer would leave it."""
    module = distribution.replace("-", "_")
    (folder / f"{module}.py").write_text(dedent(code), encoding="utf-8")
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n", encoding="utf-8")
    lines = [f"{name} = {module}:{attribute}" for name, attribute in entries.items()]
    (info / "entry_points.txt").write_text("\n".join(["[inference_bench.engines]", *lines, ""]), encoding="utf-8")


def ask(folder: Path, name: str) -> dict[str, object]:
    """Ask a fresh interpreter, as a user would who has just installed a plug-in."""
    code = """
        import json, sys
        from inference_bench.api.clients import client_names, get_client
        from inference_bench.errors import UsageError
        answer = {"names": client_names()}
        try:
            answer["engine"] = get_client(sys.argv[1]).engine
        except UsageError as error:
            answer |= {"error": error.message, "hint": error.hint}
        print(json.dumps(answer))
    """
    source = str(Path(inference_bench.__file__).parent.parent)
    path = os.pathsep.join([str(folder), source])
    command = [sys.executable, "-c", dedent(code), name]
    result = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True, timeout=60
    )
    answer: dict[str, object] = json.loads(result.stdout)
    return answer


def test_a_plug_in_is_found_by_its_entry_point(tmp_path: Path) -> None:
    install(tmp_path, "bench-mine", {"mine": "Client"}, GOOD.format(name="mine"))
    answer = ask(tmp_path, "mine")
    assert answer == {"names": [*BUILT_IN, "mine"], "engine": "mine"}


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        (
            "import nothing_of_that_name\n",
            "cannot be loaded: ModuleNotFoundError: No module named 'nothing_of_that_name'",
        ),
        ("class Other: ...\n", "cannot be loaded: AttributeError: "),
        ("class Client(:\n", "cannot be loaded: SyntaxError: "),
        ("def Client(): raise RuntimeError('no licence')\n", "cannot be loaded: RuntimeError: no licence"),
        ("class Client: name = 'mine'\n", "is no EngineClient: it lacks engine, exact_length, render, decoder,"),
        (GOOD.format(name="other"), "calls itself 'other'"),
    ],
)
def test_a_broken_plug_in_is_named_and_disturbs_nobody_else(tmp_path: Path, code: str, complaint: str) -> None:
    install(tmp_path, "bench-mine", {"mine": "Client"}, code)
    answer = ask(tmp_path, "mine")
    assert str(answer["error"]).startswith("the engine 'mine' of plug-in bench-mine (bench_mine:Client) ")
    assert complaint in str(answer["error"])
    assert ask(tmp_path, "vllm") == {"names": [*BUILT_IN, "mine"], "engine": "vllm"}


def test_a_plug_in_cannot_take_a_built_in_name(tmp_path: Path) -> None:
    install(tmp_path, "bench-thief", {"vllm": "Client"}, GOOD.format(name="vllm"))
    answer = ask(tmp_path, "vllm")
    assert answer["names"] == list(BUILT_IN)
    assert answer["error"] == (
        "the engine name 'vllm' is built in, and plug-in bench-thief (bench_thief:Client) registers it too"
    )


def test_two_plug_ins_of_one_name_are_both_named(tmp_path: Path) -> None:
    install(tmp_path, "bench-one", {"mine": "Client"}, GOOD.format(name="mine"))
    install(tmp_path, "bench-two", {"mine": "Client"}, GOOD.format(name="mine"))
    error = str(ask(tmp_path, "mine")["error"])
    assert "plug-in bench-one (bench_one:Client)" in error
    assert "plug-in bench-two (bench_two:Client)" in error


def test_every_part_of_an_engine_client_is_asked_of_a_plug_in(tmp_path: Path) -> None:
    install(tmp_path, "bench-mine", {"mine": "Client"}, "class Client: ...\n")
    error = str(ask(tmp_path, "mine")["error"])
    members = [name for name in vars(EngineClient) if not name.startswith("_")]
    assert error.endswith("it lacks " + ", ".join(members))
