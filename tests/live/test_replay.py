"""A replay: the recorded order, nothing before its time, no long pauses, and others get their turn meanwhile."""

import asyncio
from pathlib import Path

import pytest

from inference_bench.errors import InterruptedRunError, UsageError
from inference_bench.live.events import Chunk, Finished, Heat, HeatEnded, LiveEvent, Outcome
from inference_bench.live.recording import Recorder, Recording
from inference_bench.live.replay import READY_NS, Replay, surveyed
from live_events import MS, START, answer, heat

HOUR = 3_600_000_000_000


def recording(path: Path, events: list[LiveEvent], *, simulated: bool = False) -> Recording:
    with Recorder(path, simulated=simulated, kernel_stamps=True) as recorder:
        for event in events:
            recorder.take(event)
    return Recording(path)


def at(event: LiveEvent) -> int:
    return event.start_ns if isinstance(event, Heat) else event.at_ns


@pytest.mark.parametrize("speed", [0.5, 1.0, 20.0])
def test_each_event_comes_in_its_order_and_not_before_its_time(tmp_path: Path, speed: float) -> None:
    events = [heat("a", "b"), *answer(0, [20, 40, 60]), *answer(1, [30, 31, 90]), HeatEnded(START + 95 * MS)]
    made = recording(tmp_path / "r", events)
    replay = Replay(made, speed=speed)
    played: list[tuple[LiveEvent, int]] = []
    asyncio.run(replay.play(lambda event: played.append((event, replay.clock()))))
    assert [event for event, _ in played] == list(made.events())
    for event, when in played:
        assert when >= at(event) - MS  # a timer of the loop may be early by its own grain


def test_the_clock_stands_before_it_begins(tmp_path: Path) -> None:
    replay = Replay(recording(tmp_path / "r", [heat("a")]))
    assert replay.clock() == replay.clock() == 0


def test_long_pauses_between_heats_are_left_out(tmp_path: Path) -> None:
    later = START + HOUR
    first = [heat("a"), *answer(0, [1, 2]), HeatEnded(START + 3 * MS)]
    second = [heat("a", start_ns=later), *answer(0, [1, 2], start_ns=later), HeatEnded(later + 3 * MS)]
    made = recording(tmp_path / "r", [*first, *second])
    replay = Replay(made, speed=50)
    ready: list[int] = []

    def take(event: LiveEvent) -> None:
        if isinstance(event, Heat):
            ready.append(event.start_ns - replay.clock())

    asyncio.run(asyncio.wait_for(replay.play(take), 60))
    assert len(ready) == 2
    assert ready[1] <= READY_NS + MS  # until then the last heat's places are seen
    assert replay.clock() >= HOUR


def test_others_get_their_turn_when_everything_is_due_at_once(tmp_path: Path) -> None:
    chunks = [Chunk(0, START, START, "x", "", 1) for _ in range(20_000)]
    made = recording(tmp_path / "r", [heat("a"), *chunks, Finished(0, START, Outcome(ok=True)), HeatEnded(START)])

    async def story() -> list[int]:
        taken: list[LiveEvent] = []
        seen: list[int] = []

        async def look() -> None:
            while True:
                seen.append(len(taken))
                await asyncio.sleep(0)

        looking = asyncio.create_task(look())
        await Replay(made).play(taken.append)
        looking.cancel()
        return seen

    seen = asyncio.run(story())
    assert len({count for count in seen if 0 < count < 20_000}) >= 10


def survey(made: Recording) -> tuple[int, bool, bool]:
    found = asyncio.run(surveyed(made, asyncio.Event()))
    return found.heats, found.simulated, found.whole


def test_the_survey_says_what_a_recording_holds(tmp_path: Path) -> None:
    events = [heat("a"), *answer(0, [1, 2]), HeatEnded(START + 3 * MS)]
    assert survey(recording(tmp_path / "1", events)) == (1, False, True)
    assert survey(recording(tmp_path / "2", [*events, heat("a")], simulated=True)) == (2, True, False)
    simulated = Heat(tuple(heat("a").lanes), "", 1, START)
    lanes = (type(simulated.lanes[0])("a", "vllm", simulated=True),)
    assert survey(recording(tmp_path / "3", [Heat(lanes, "", 1, START)])) == (1, True, False)  # its lanes say it


def test_a_recording_without_a_heat_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no heat"):
        survey(recording(tmp_path / "r", []))


def test_damage_is_found_before_anything_is_played(tmp_path: Path) -> None:
    made = recording(tmp_path / "r", [heat("a"), *answer(0, [1, 2])])
    made.path.write_text(made.path.read_text() + "boom\n")
    with pytest.raises(UsageError, match="line 6: damaged"):
        survey(made)


def test_the_survey_can_be_interrupted(tmp_path: Path) -> None:
    made = recording(tmp_path / "r", [heat("a"), *answer(0, [1, 2])])

    async def story() -> None:
        stop = asyncio.Event()
        stop.set()
        await surveyed(made, stop)

    with pytest.raises(InterruptedRunError):
        asyncio.run(story())


def test_an_answer_that_says_it_is_simulated_marks_a_recording_whose_beginning_did_not_know(tmp_path: Path) -> None:
    told = Finished(0, START + 2 * MS, Outcome(ok=True, sent_ns=START, simulated=True))
    made = recording(tmp_path / "r", [heat("a"), told, HeatEnded(START + 3 * MS)])
    assert asyncio.run(surveyed(made, asyncio.Event())).simulated
