"""The command and its launcher: ready lines, several engines, clean ends, errors in one line."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from inference_bench.errors import BenchError, UsageError
from inference_bench.simulator.launcher import SimulatorProcess
from inference_bench.simulator.options import build_options, parse_serve

SOURCE = Path(__file__).resolve().parents[2] / "src"
COMMAND = [sys.executable, "-m", "inference_bench.simulator"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SOURCE)}
ENDS_WITHIN_S = 20


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments], env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False
    )


def started(*arguments: str) -> subprocess.Popen[str]:
    """Start the command with a pipe at each end."""
    return subprocess.Popen(
        [*COMMAND, *arguments], env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_the_ready_line_says_where_it_listens() -> None:
    with started("--engine", "vllm", "--exit-with-parent") as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert (ready["name"], ready["engine"], ready["pid"]) == ("vllm", "vllm", process.pid)
        assert ready["url"] == f"http://127.0.0.1:{ready['port']}"
        assert httpx.get(ready["url"] + "/health", trust_env=False).status_code == 200
        process.stdin.close()  # type: ignore[union-attr]
        assert process.wait(ENDS_WITHIN_S) == 0, "it ends with its parent's end of the pipe"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once_with_streams_open(number: signal.Signals) -> None:
    with started("--engine", "tgi", "--ttft-ms", "1", "--itl-ms", "1000") as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        with httpx.stream("POST", url + "/generate_stream", json={"inputs": "x"}, trust_env=False) as answer:
            assert answer.status_code == 200
            process.send_signal(number)
            assert process.wait(ENDS_WITHIN_S) == 0
            with pytest.raises(httpx.TransportError):
                answer.read()


def test_several_engines_share_a_process_and_have_their_own_settings() -> None:
    serve = ["vllm,name=blue,model=a", "vllm,name=green,model=b", "ollama"]
    with SimulatorProcess(serve, options=["--model", "c"]) as simulator:
        assert set(simulator.urls) == {"blue", "green", "ollama"}
        assert simulator.engines == {"blue": "vllm", "green": "vllm", "ollama": "ollama"}
        models = [
            httpx.get(f"{simulator.urls[name]}/v1/models", trust_env=False).json()["data"][0]["id"]
            for name in ("blue", "green", "ollama")
        ]
        assert models == ["a", "b", "c"]
        assert len(psutil.Process(simulator.pid).children()) == 0


def test_the_launched_process_has_its_own_group_in_the_same_session() -> None:
    with SimulatorProcess(["vllm"]) as simulator:
        assert os.getpgid(simulator.pid) == simulator.pid
        assert os.getsid(simulator.pid) == os.getsid(0)
        pid = simulator.pid
        assert simulator.running
    assert not psutil.pid_exists(pid)
    assert not simulator.running
    simulator.stop()


def test_it_does_not_outlive_a_parent_that_is_killed() -> None:
    script = (
        "import time\nfrom inference_bench.simulator.launcher import SimulatorProcess\n"
        "simulator = SimulatorProcess(['vllm'])\nsimulator.start()\nprint(simulator.pid, flush=True)\ntime.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        child.wait(ENDS_WITHIN_S)


def test_a_taken_port_is_one_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("--engine", "vllm", "--port", str(port))
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: simulator: cannot listen on 127.0.0.1:{port}: ")
        assert done.stderr.count("\n") == 1
        with pytest.raises(BenchError, match="ended at its start") as failed, SimulatorProcess([f"vllm:{port}"]):
            pass
        assert failed.value.hint is not None
        assert "cannot listen" in failed.value.hint


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "no engine"),
        (("--serve", "llamafile"), "unknown engine 'llamafile'"),
        (("--serve", "vllm,speed=9"), "cannot read 'speed=9'"),
        (("--engine", "vllm", "--ttft-ms", "5"), "needs both"),
        (("--engine", "vllm", "--ttft-ms", "soon", "--itl-ms", "1"), "ttft-ms: 'soon' is no number"),
        (("--engine", "vllm", "--port", "99999"), "'99999' is no port"),
        (("--engine", "vllm", "--kv-tokens", "10"), "cannot hold one sequence"),
        (("--engine", "vllm", "--max-batch", "0"), "max_batch must be greater than 0"),
        (("--engine", "vllm", "--fault", "boom"), "unknown fault 'boom'"),
        (("--engine", "vllm", "--api-key-env", "NO_SUCH_VARIABLE_HERE"), "NO_SUCH_VARIABLE_HERE is not set"),
        (("--serve", "vllm", "--serve", "vllm"), "same name"),
        (("--serve", "vllm", "--serve", "tgi", "--port", "1"), "for one engine"),
        (("--engine", "vllm", "--truth-log", "/no/such/folder/truth"), "cannot write the truth log"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments: tuple[str, ...], words: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not done.stdout


def test_help_shows_examples_faults_and_that_speeds_are_invented() -> None:
    done = run("--help")
    assert done.returncode == 0
    for words in ("examples:", "--serve vllm:8000", "slow-first-byte", "invented", "--exit-with-parent"):
        assert words in done.stdout
    assert max(map(len, run("--version").stdout.splitlines())) < 80


def test_start_is_given_up_after_its_time() -> None:
    with pytest.raises(BenchError, match="did not start within"):
        SimulatorProcess(["vllm"], start_timeout_s=0.001).start()


def test_settings_are_read_and_later_ones_win() -> None:
    engine, pairs = parse_serve("ollama:11434,slots=2,step_ms=9,fault=cut@0.1,fault=stall:2/5")
    options = build_options(engine, [("model", "m"), ("step-ms", "7"), *pairs], environ={})
    assert (options.port, options.model, options.name) == (11434, "m", "ollama")
    assert (options.profile.max_batch, options.profile.step_ms) == (2, 9.0)
    assert [rule.fault.name for rule in options.faults] == ["cut", "stall"]


def test_more_slots_or_context_bring_their_own_memory() -> None:
    profile = build_options("ollama", [("slots", "16"), ("context", "8192")], environ={}).profile
    assert profile.kv_tokens >= 16 * 8192
    with pytest.raises(UsageError, match="kv_tokens"):
        build_options("vllm", [("context", "500000"), ("kv-tokens", "100")], environ={})


def test_exact_timing_has_no_jitter_and_no_loading_unless_asked() -> None:
    options = build_options("ollama", [("ttft-ms", "50"), ("itl-ms", "10")], environ={})
    assert options.exact_ms == (50.0, 10.0)
    assert (options.profile.jitter, options.profile.load_ms) == (0.0, 0.0)
    jittered = build_options("ollama", [("ttft-ms", "50"), ("itl-ms", "10"), ("jitter", "0.5")], environ={})
    assert jittered.profile.jitter == 0.5


def test_a_key_is_read_from_the_environment_and_shown_nowhere() -> None:
    options = build_options("vllm", [("api-key-env", "KEY")], environ={"KEY": "hush-hush"})
    assert options.api_key == "hush-hush"
    assert "hush" not in repr(options)


def test_the_command_loads_nothing_heavy_and_nothing_of_the_measuring_side() -> None:
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import inference_bench.simulator.command"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stderr
    heavy = ("numpy", "pyarrow", "pydantic", "rich", "inference_bench.api", "inference_bench.metrics")
    assert not [name for name in heavy if f" {name}\n" in loaded]
