"""`demo --replay` as a user runs it without a terminal: the recorded figures, marked, offline, nothing else."""

import asyncio
import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from inference_bench.cli.utils import demo_replay
from inference_bench.cli.utils.demo_options import DemoOptions
from inference_bench.cli.utils.demo_replay import opened_recording, replay_flow
from inference_bench.errors import UsageError
from inference_bench.live.events import Heat, HeatEnded, LiveEvent
from inference_bench.live.recording import Recorder
from live_events import MS, START, answer, facts, failure, heat

LAUNCHER = Path(__file__).parents[2] / "vllm_benchmark.py"
SECOND = START + 3_000 * MS
RACE: list[LiveEvent] = [
    heat("blue", "green", number=1, of=2),
    *answer(0, [100.1, 200.2], words=["First", " answer."]),
    *answer(1, [150.3, 300.4, 400.5]),
    HeatEnded(START + 500 * MS, 0.1),
    heat("blue", "green", number=2, of=2, start_ns=SECOND),
    *answer(1, [111.1, 222.2], start_ns=SECOND, words=["Second", " \x1b[2J\u202eanswer [bold]."]),
    failure(0, start_ns=SECOND),
    HeatEnded(SECOND + 500 * MS, 0.1),
]


def record(path: Path, events: Sequence[LiveEvent], *, simulated: bool = False) -> Path:
    """Write a recording."""
    with Recorder(path, simulated=simulated, kernel_stamps=True) as recorder:
        for event in events:
            recorder.take(event)
    return path


def environment() -> dict[str, str]:
    unwanted = ("VLLM_BENCHMARK", "NO_COLOR", "FORCE_COLOR", "COLUMNS")
    return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}


def replay(path: Path | str, *more: str, cwd: Path, speed: str = "100") -> subprocess.CompletedProcess[str]:
    """Play it to its end and return what was said."""
    return subprocess.run(
        [sys.executable, str(LAUNCHER), *more, "demo", "--replay", str(path), "--speed", speed],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )


def test_the_recorded_figures_are_shown_and_the_last_heat_as_a_table(tmp_path: Path) -> None:
    done = replay(record(tmp_path / "r", RACE), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first, *table = done.stdout.splitlines()
    assert first == "1st blue 200.2 ms; 2nd green 300.4 ms (to 2 tokens)"
    assert table[0] == "Race 2 of 2  RECORDING"
    assert "real engines" in table[1]
    rows = {line.split()[1]: line.split() for line in table if line.split()[1:2] in (["blue"], ["green"])}
    assert rows["green"] == ["-", "green", "-", "111.1", "9.0", "2", "222.2"]
    assert "blue failed: reset: Connection reset by peer." in table
    said = done.stderr.splitlines()
    assert [line for line in said if "first token" in line] == [
        f"{name}: first token, TTFT {ttft} ms" for name, ttft in (("blue", 100.1), ("green", 150.3), ("green", 111.1))
    ]
    assert "First answer." in said
    assert "Second [2Janswer [bold]." in said
    assert said.count("--- green") == 2


def test_a_recording_is_marked_and_so_are_simulated_engines(tmp_path: Path) -> None:
    lanes = (facts("a", simulated=True), facts("b", simulated=True))
    events = [Heat(lanes, "?", 8, START), *answer(0, [1, 2]), *answer(1, [2, 3]), HeatEnded(START + 9 * MS)]
    done = replay(record(tmp_path / "r", events, simulated=True), cwd=tmp_path)
    assert "SIMULATED ENGINES  RECORDING" in done.stdout
    for said in (done.stdout, done.stderr):
        assert "by vllm-benchmark " in said
        assert "SIMULATED engines" in said
        assert "real engines" not in said
    quiet = replay(tmp_path / "r", "--quiet", cwd=tmp_path)
    (said,) = [line for line in quiet.stderr.splitlines() if line]  # this much is never left out
    assert said.startswith("Warning: RECORDING: ")
    assert said.endswith("SIMULATED engines")


def test_real_lanes_do_not_hide_one_that_is_simulated(tmp_path: Path) -> None:
    lanes = (facts("a"), facts("b", simulated=True))
    events = [Heat(lanes, "?", 8, START), *answer(0, [1, 2]), *answer(1, [2, 3]), HeatEnded(START + 9 * MS)]
    done = replay(record(tmp_path / "r", events, simulated=False), cwd=tmp_path)
    assert "real engines" not in done.stdout + done.stderr
    assert "SIMULATED" in done.stdout


def test_a_recording_cut_short_is_played_to_there_and_says_so(tmp_path: Path) -> None:
    path = record(tmp_path / "r", RACE[:-1])
    path.write_text(path.read_text() + '[99,"ch')
    done = replay(path, cwd=tmp_path)
    assert done.returncode == 0
    assert "cut short" in done.stderr
    assert done.stdout.startswith("Race 1 of 2  RECORDING")  # the heat that did end
    assert replay(record(tmp_path / "w", RACE), cwd=tmp_path).stderr.count("cut short") == 0


def damaged(path: Path) -> Path:
    lines = record(path, RACE).read_text().splitlines()
    path.write_text("\n".join([*lines[:4], '[1,"chunk",7,0,"x","",1]', *lines[4:]]) + "\n")
    return path


def test_damage_is_told_before_anything_is_shown(tmp_path: Path) -> None:
    done = replay(damaged(tmp_path / "r"), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"Error: {tmp_path / 'r'}, line 5: damaged: there is no lane 7\n"


def test_what_is_no_recording_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "bytes").write_bytes(bytes(range(256)) * 100)
    os.mkfifo(tmp_path / "pipe")
    later = record(tmp_path / "later", RACE).read_text().replace('"version":1', '"version":2')
    (tmp_path / "later").write_text(later)
    record(tmp_path / "nothing", [])
    said = {}
    for name in ("empty", "folder", "bytes", "pipe", "later", "nothing", "missing", "\x1b[31mred"):
        done = replay(name, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, ""), name
        errors = [line for line in done.stderr.splitlines() if not line.startswith("Hint: ")]
        assert len(errors) == 1, done.stderr
        assert errors[0].startswith("Error: ")
        assert "\x1b" not in done.stderr
        said[name] = errors[0]
    assert "is empty" in said["empty"]
    assert "is a directory" in said["folder"]
    assert "is no file" in said["pipe"]
    assert "has version 2; this program reads version 1" in said["later"]
    assert "holds no heat" in said["nothing"]
    assert "No such file" in said["missing"]


def test_ctrl_c_leaves_with_130_and_what_had_ended(tmp_path: Path) -> None:
    hours = START + 10**13
    long = [*RACE[:9], heat("blue", "green", start_ns=hours), *answer(0, [100, 9_000_000], start_ns=hours)]
    path = record(tmp_path / "r", long)
    words = [sys.executable, str(LAUNCHER), "demo", "--replay", str(path), "--speed", "20"]
    with subprocess.Popen(
        words, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        first_tokens = 0
        while first_tokens < 3:
            line = process.stderr.readline()
            assert line, "it ended by itself"
            first_tokens += "first token" in line
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Error: interrupted while the recording was played" in err
    assert "Traceback" not in err
    assert out.startswith("Race 1 of 2  RECORDING")


@pytest.mark.parametrize("forced", ["FORCE_COLOR", "TTY_COMPATIBLE"])
def test_forced_colours_do_not_draw_screens_into_a_file(tmp_path: Path, forced: str) -> None:
    path = record(tmp_path / "r", RACE)
    words = [sys.executable, str(LAUNCHER), "demo", "--replay", str(path), "--speed", "100"]
    env = {**environment(), forced: "1"}
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert not re.search(r"\x1b\[(\?|\d*[GHJK])", done.stdout + done.stderr)
    assert "blue: first token, TTFT 100.1 ms" in done.stderr


def test_a_terminal_that_cannot_be_drawn_on_gets_lines(tmp_path: Path) -> None:
    path = record(tmp_path / "r", RACE)
    leader, follower = pty.openpty()
    words = [sys.executable, str(LAUNCHER), "demo", "--replay", str(path), "--speed", "100"]
    env = {**environment(), "TERM": "dumb"}
    with subprocess.Popen(words, cwd=tmp_path, env=env, stdin=follower, stdout=follower, stderr=follower) as process:
        os.close(follower)
        written = b""
        with contextlib.suppress(OSError):  # the last writer has gone
            while piece := os.read(leader, 65536):
                written += piece
        os.close(leader)
    assert process.returncode == 0
    assert b"\x1b" not in written
    assert b"first token, TTFT 100.1 ms" in written
    assert b"Race 2 of 2  RECORDING" in written


OFFLINE = """
import sys
def refuse(event, args):
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen"):
        raise SystemExit(f"{event} {args}")
sys.addaudithook(refuse)
from inference_bench.cli.main import main
main(["demo", "--replay", sys.argv[1], "--speed", "100"])
"""


@pytest.mark.parametrize("what", ["file", "shipped"])
def test_it_needs_no_network_and_no_other_process(tmp_path: Path, what: str) -> None:
    path = str(record(tmp_path / "r", RACE)) if what == "file" else what
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, path],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "RECORDING" in done.stdout


def test_an_installation_without_its_recording_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_replay, "files", lambda _room: tmp_path)
    with pytest.raises(UsageError, match="no recording of its own"), opened_recording(Path("shipped")):
        pass


def test_a_long_recording_is_read_through_with_others_getting_their_turn(tmp_path: Path) -> None:
    """Ctrl-C comes while it is read: the event loop is not held up until the end of a large file."""
    count = 40_000
    events = [heat("a"), *answer(0, range(count), words=["word "] * count)]
    path = record(tmp_path / "r", events)
    options = DemoOptions(replay=path, speed=100)

    async def story() -> float:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_soon(stop.set)
        began = time.process_time()
        with pytest.raises(Exception, match="interrupted while the recording was read"):
            await replay_flow(options, stop)
        return time.process_time() - began

    asyncio.run(story())
