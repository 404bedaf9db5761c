"""Recordings: what is written is what is read, to the ns; damage is told with its line; no file is trusted."""

import json
import os
import re
import subprocess
import sys
from dataclasses import fields
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from inference_bench.errors import BenchError, UsageError
from inference_bench.live.board import Board
from inference_bench.live.events import Chunk, Finished, Heat, HeatEnded, LaneFacts, LiveEvent, Outcome
from inference_bench.live.recording import LARGEST_FILE, LONGEST_LINE, Recorder, Recording, RecordingHead
from inference_bench.visualization.components.podium_view import race_result
from inference_bench.visualization.components.race_screen import RaceMarks, race_screen
from live_events import MS, START, answer, board_of, failure, heat, shows

RACE: list[LiveEvent] = [
    heat("a", "b"),
    *answer(0, [100, 110, 120]),
    *answer(1, [150, 170]),
    HeatEnded(START + 999 * MS, 0.25),
]
laws = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def record(path: Path, events: list[LiveEvent], *, simulated: bool = False, kernel_stamps: bool = True) -> Path:
    """Write a recording anew."""
    path.unlink(missing_ok=True)
    with Recorder(path, simulated=simulated, kernel_stamps=kernel_stamps) as recorder:
        for event in events:
            recorder.take(event)
    return path


def figures(board: Board) -> list[Any]:
    """Everything that a lane shows or that is stored of it, and the podium."""
    lanes = [
        (
            lane.facts, lane.phase, lane.text, lane.ttft_ms, lane.answer_ms, lane.tokens, lane.tokens_told,
            lane.tokens_per_second(), lane.elapsed_ms(START + 10**11), list(lane.counts), lane.thought_tokens,
            None if lane.outcome is None else (lane.outcome.e2e_ms, lane.outcome.tpot_ms),
        )
        for lane in board.lanes
    ]  # fmt: skip
    return [lanes, board.podium, board.late_ms, board.heat]


@laws
@given(events=shows())
def test_a_recording_gives_the_same_events_and_figures(tmp_path: Path, events: list[LiveEvent]) -> None:
    path = record(tmp_path / "r", events)
    again = list(Recording(path).events(START))
    assert again == events
    assert figures(board_of(again)) == figures(board_of(events))


@laws
@given(events=shows())
def test_a_replay_from_nought_shows_the_same_figures(tmp_path: Path, events: list[LiveEvent]) -> None:
    """In a recording the first start is 0, which is a time like any other."""
    path = record(tmp_path / "r", events)
    live, replayed = board_of(events), board_of(list(Recording(path).events()))
    assert replayed.podium == live.podium
    for then, now in zip(live.lanes, replayed.lanes, strict=True):
        assert now.ttft_ms == then.ttft_ms
        assert now.tokens_per_second() == then.tokens_per_second()
        assert now.elapsed_ms(5 * 10**10) == then.elapsed_ms(START + 5 * 10**10)


def test_the_head_says_what_it_is(tmp_path: Path) -> None:
    head = Recording(record(tmp_path / "r", RACE, simulated=True, kernel_stamps=False)).head
    assert (head.simulated, head.stamp_source) == (True, "read")
    assert head.program.startswith("vllm-benchmark ")


def test_what_comes_before_the_first_heat_is_left_out(tmp_path: Path) -> None:
    path = record(tmp_path / "r", [Chunk(0, START, START, "x", "", 1), *RACE])
    assert list(Recording(path).events(START)) == RACE


def test_half_a_surrogate_pair_survives(tmp_path: Path) -> None:
    events = [heat("a"), *answer(0, [1, 2], words=["\ud83d", "\udc4d"]), HeatEnded(START + 9 * MS)]
    path = record(tmp_path / "r", events)
    path.read_text("utf-8")
    assert list(Recording(path).events(START)) == events


def test_an_error_message_with_half_a_pair_can_be_read_again(tmp_path: Path) -> None:
    events: list[LiveEvent] = [heat("a"), failure(0, error_message="\ud800 broke"), HeatEnded(START + 9 * MS)]
    finished = list(Recording(record(tmp_path / "r", events)).events())[1]
    assert isinstance(finished, Finished)
    assert finished.outcome.error_message == "? broke"


@laws
@given(data=st.data())
def test_a_file_cut_anywhere_gives_the_beginning(tmp_path: Path, data: st.DataObject) -> None:
    whole = record(tmp_path / "r", RACE).read_bytes()
    first = whole.index(b"\n") + 1
    cut = tmp_path / "cut"
    cut.write_bytes(whole[: data.draw(st.integers(first, len(whole)))])
    events = list(Recording(cut).events(START))
    assert events == RACE[: cut.read_bytes().count(b"\n") - 1]


@laws
@given(data=st.data())
def test_damage_anywhere_is_one_clear_error(tmp_path: Path, data: st.DataObject) -> None:
    whole = bytearray(record(tmp_path / "r", RACE).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    damaged = tmp_path / "damaged"
    damaged.write_bytes(bytes(whole))
    try:
        board = board_of(list(Recording(damaged).events()))
    except UsageError as error:
        assert str(damaged) in error.message
        assert "\n" not in error.message
    else:
        console = Console(file=StringIO(), width=80, height=24)
        console.print(race_screen(board, START, 80, 24, marks=RaceMarks()))
        console.print(race_result(board, 80, recording=None))


HEAT_LINE = '[0,"heat",{"lanes":[{"name":"a","engine":"vllm"}],"prompt":"p","max_tokens":8,"start_ns":0}]'
LANE = '{"name":"x","engine":"y"},'
CHUNK = '[5,"chunk",0,1,"hi","",1]'
FINISHED = '[9,"finished",0,{"ok":true}]'
ENDED = '[9,"ended",{"late_ms":0}]'
DAMAGE = {
    "no JSON": (["{"], 2, "not JSON"),
    "an object": (["{}"], 2, "no such event"),
    "deep": (["[" * 100_000], 2, "not JSON"),
    "an unknown event": (['[0,"boom",{}]'], 2, "no such event"),
    "a heat without lanes": ([HEAT_LINE.replace('[{"name":"a","engine":"vllm"}]', "[]")], 2, "1 to 16 lanes"),
    "too many lanes": ([HEAT_LINE.replace("[{", "[" + LANE * 16 + "{")], 2, "1 to 16 lanes, not 17"),
    "a number for a name": ([HEAT_LINE.replace('"a"', "7")], 2, "lanes.0.name"),
    "a text for a number": ([HEAT_LINE.replace("8", '"8"')], 2, "max_tokens"),
    "no prompt": ([HEAT_LINE.replace('"prompt":"p",', "")], 2, "prompt"),
    "a start elsewhere": ([HEAT_LINE.replace('"start_ns":0', '"start_ns":1')], 2, "start_ns"),
    "a chunk before a heat": ([CHUNK], 2, "no heat"),
    "no such lane": ([HEAT_LINE, CHUNK.replace(',0,1,"hi"', ',1,1,"hi"')], 3, "no lane 1"),
    "a lane below 0": ([HEAT_LINE, CHUNK.replace(',0,1,"hi"', ',-1,1,"hi"')], 3, "a lane"),
    "true as a lane": ([HEAT_LINE, CHUNK.replace(',0,1,"hi"', ',false,1,"hi"')], 3, "a lane"),
    "a time as a fraction": ([HEAT_LINE, CHUNK.replace("[5,", "[5.5,")], 3, "a time"),
    "a time out of this world": ([HEAT_LINE, CHUNK.replace("[5,", f"[{10**30},")], 3, "a time"),
    "sent out of this world": ([HEAT_LINE, CHUNK.replace(',1,"hi"', f',{-(10**30)},"hi"')], 3, "a time"),
    "tokens below 0": ([HEAT_LINE, CHUNK.replace(",1]", ",-1]")], 3, "tokens"),
    "tokens without end": ([HEAT_LINE, CHUNK.replace(",1]", f",{2**40}]")], 3, "tokens"),
    "text that is none": ([HEAT_LINE, CHUNK.replace('"hi"', "null")], 3, "no such event"),
    "an end without ok": ([HEAT_LINE, FINISHED.replace('"ok":true', "")], 3, "ok"),
    "NaN": ([HEAT_LINE, FINISHED.replace("true", 'true,"connect_ms":NaN')], 3, "not JSON"),
    "infinity": ([HEAT_LINE, FINISHED.replace("true", 'true,"connect_ms":1e999')], 3, "JSON"),
    "a mark out of this world": ([HEAT_LINE, FINISHED.replace("true", f'true,"sent_ns":{10**25}')], 3, "sent_ns"),
    "output below 0": ([HEAT_LINE, FINISHED.replace("true", 'true,"output_tokens":-4')], 3, "output_tokens"),
    "doubt below 0": ([HEAT_LINE, FINISHED.replace("true", 'true,"doubt_ns":-4')], 3, "doubt_ns"),
    "a chunk after the end": ([HEAT_LINE, FINISHED, CHUNK], 4, "lane 0 is over"),
    "two ends": ([HEAT_LINE, FINISHED, FINISHED], 4, "lane 0 is over"),
    "an end too early": ([HEAT_LINE, ENDED], 3, "before all its lanes"),
    "late by true": ([HEAT_LINE, FINISHED, ENDED.replace("0}", "true}")], 4, "late_ms"),
    "late below 0": ([HEAT_LINE, FINISHED, ENDED.replace("0}", "-1}")], 4, "late_ms"),
    "a heat within a heat": ([HEAT_LINE, HEAT_LINE], 3, "before the last one ended"),
    "a blank line": ([HEAT_LINE, ""], 3, "not JSON"),
}


@pytest.mark.parametrize(("lines", "number", "why"), DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_told_with_its_line(tmp_path: Path, lines: list[str], number: int, why: str) -> None:
    path = tmp_path / "r"
    head = record(path, []).read_text()
    path.write_text(head + "\n".join(lines) + "\n")
    with pytest.raises(UsageError) as raised:
        list(Recording(path).events())
    assert raised.value.message.startswith(f"{path}, line {number}: damaged: ")
    assert why in raised.value.message
    assert raised.value.exit_code == 2


def test_the_lines_that_damage_is_made_of_are_good(tmp_path: Path) -> None:
    path = tmp_path / "r"
    path.write_text(record(path, []).read_text() + "\n".join([HEAT_LINE, CHUNK, FINISHED, ENDED]) + "\n")
    chunk, finished = Chunk(0, 5, 1, "hi", "", 1), Finished(0, 9, Outcome(ok=True))
    assert list(Recording(path).events())[1:] == [chunk, finished, HeatEnded(9, 0.0)]


def test_keys_of_a_later_program_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "r"
    head = record(path, []).read_text().replace('"version":1', '"version":1,"mood":"good"')
    path.write_text(head + HEAT_LINE.replace('"prompt"', '"mood":"good","prompt"') + "\n")
    assert len(list(Recording(path).events())) == 1


HEADS = {
    "empty": ("", "is empty"),
    "text": ("hello\n", "no recording"),
    "an array": ("[]\n", "no recording"),
    "another format": ('{"format":"asciicast","version":2}\n', "no recording"),
    "a later version": (
        '{"format":"vllm-benchmark-recording","version":2}\n',
        "version 2; this program reads version 1",
    ),
    "a version of words": ('{"format":"vllm-benchmark-recording","version":"1"}\n', "version unknown"),
    "true as a version": ('{"format":"vllm-benchmark-recording","version":true}\n', "version unknown"),
    "nothing more": ('{"format":"vllm-benchmark-recording","version":1}\n', "line 1: damaged: created"),
}


@pytest.mark.parametrize(("text", "why"), HEADS.values(), ids=HEADS.keys())
def test_what_is_no_recording_says_so(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "r"
    path.write_text(text)
    with pytest.raises(UsageError, match=why):
        Recording(path)


@pytest.mark.parametrize(
    ("key", "value"), [("created", "yesterday"), ("simulated", 1), ("stamp_source", "guess"), ("program", None)]
)
def test_a_head_with_a_wrong_value_is_damaged(tmp_path: Path, key: str, value: object) -> None:
    path = record(tmp_path / "r", [])
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}) + "\n")
    with pytest.raises(UsageError, match=f"line 1: damaged: .*{key}"):
        Recording(path)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    for path, why in ((tmp_path, "is no file"), (tmp_path / "none", "No such file"), (Path("/dev/zero"), "is no file")):
        with pytest.raises(UsageError, match=why):
            Recording(path)


def test_a_file_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = record(tmp_path / "r", RACE)
    with path.open("r+b") as file:
        file.truncate(LARGEST_FILE + 1)
    with pytest.raises(UsageError, match="256 MB"):
        Recording(path)


def test_a_line_without_end_is_damage_and_no_end_of_the_file(tmp_path: Path) -> None:
    path = record(tmp_path / "r", RACE)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:3], "[" + " " * LONGEST_LINE, "]\n", *lines[3:]]))
    with pytest.raises(UsageError, match="line 4: damaged: it is longer than"):
        list(Recording(path).events())


def test_bytes_that_are_no_text_are_told_with_their_line(tmp_path: Path) -> None:
    path = record(tmp_path / "r", RACE)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"\xff\xfe\n", *lines[2:]]))
    with pytest.raises(UsageError, match="line 3: damaged: it is not UTF-8"):
        list(Recording(path).events())


def test_an_existing_file_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_text("mine")
    with pytest.raises(UsageError, match="already exists"):
        Recorder(path, simulated=False, kernel_stamps=True)
    assert path.read_text() == "mine"
    with pytest.raises(UsageError, match="cannot write"):
        Recorder(tmp_path / "no" / "folder", simulated=False, kernel_stamps=True)


FULL_DISK = """
import resource, sys
from pathlib import Path
from inference_bench.live.recording import Recorder
from test_recording import RACE
resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))
seen = []
try:
    with Recorder(Path(sys.argv[1]), simulated=False, kernel_stamps=True) as recorder:
        for event in RACE:
            recorder.take(event)
            seen.append(event)
finally:
    print(len(seen))
"""


def test_a_full_disk_stops_the_recording_and_not_the_show(tmp_path: Path) -> None:
    path = tmp_path / "r"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)],
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == str(len(RACE)), done.stderr  # every event was taken
    assert f"{BenchError.__name__}: {path} holds the beginning only" in done.stderr
    assert list(Recording(path).events(START)) == RACE[: path.read_bytes().count(b"\n") - 1]


def test_the_documented_example_is_a_recording_and_every_key_is_explained(tmp_path: Path) -> None:
    document = (Path(__file__).parents[2] / "docs" / "recordings.md").read_text()
    example = document.split("```json\n")[1].split("```")[0]
    (tmp_path / "r").write_text(example)
    made = Recording(tmp_path / "r")
    board = board_of(list(made.events()))
    assert [lane.ttft_ms for lane in board.lanes] == [60.01, 80.11]
    assert board.podium is not None
    explained = set(re.findall(r"`(\w+)`", document.split("## The format")[1].split("## An example")[0]))
    for kind in (RecordingHead, Heat, LaneFacts, Outcome):
        written = {field.name for field in fields(kind)}
        assert written <= explained, f"{kind.__name__}: {written - explained} is not explained"
    head, *lines = map(json.loads, example.splitlines())
    again = record(tmp_path / "again", list(made.events()), simulated=head["simulated"])
    assert [json.loads(line) for line in again.read_text().splitlines()][1:] == lines
