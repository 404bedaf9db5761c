"""What stays after a race: the result on the normal screen, and the plain lines where there is no terminal."""

import re
from io import StringIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from inference_bench.live.events import Chunk, Heat, HeatEnded, LiveEvent
from inference_bench.visualization.components.plain_race import LONGEST_ANSWER, PlainRace
from inference_bench.visualization.components.podium_view import race_result, result_line
from inference_bench.visualization.web.shown import Shown
from inference_bench.visualization.web.state import picture_of
from live_events import MS, START, answer, board_of, facts, failure, heat, heats

END = HeatEnded(START + 999 * MS)


def result(events: list[LiveEvent], width: int = 80, recording: str | None = None) -> str:
    """Return the result as it is printed, and check that it keeps to its width."""
    file = StringIO()
    Console(file=file, width=width, color_system=None).print(race_result(board_of(events), width, recording=recording))
    lines = file.getvalue().splitlines()
    assert max(map(cell_len, lines)) <= width
    return file.getvalue()


def row(shown: str, name: str) -> list[str]:
    """Return the cells of a service's row."""
    return next(line.split() for line in shown.splitlines() if name in line.split()[:3])


def lines_of(events: list[LiveEvent]) -> list[str]:
    """Return what the plain race prints."""
    lines: list[str] = []
    race = PlainRace(lines.append)
    for event in events:
        race.take(event)
    return lines


def test_a_row_says_place_times_and_tokens() -> None:
    events = [heat("slow", "fast"), *answer(0, [100, 1_200, 1_300]), *answer(1, [50.25, 100, 150, 250.25]), END]
    shown = result(events)
    assert row(shown, "fast") == ["1st", "fast", "150.0", "50.2", "15.0", "4", "250.2"]
    assert row(shown, "slow") == ["2nd", "slow", "1,300.0", "100.0", "1.7", "3", "1,300.0"]
    assert shown.index("fast") < shown.index("slow")
    assert "Placed by the time from sending to 3 tokens" in shown
    assert "to 3" in shown


def test_ties_estimates_failures_and_thinking_are_said() -> None:
    thinking = [Chunk(2, START + at * MS, START, "", "hm", 1) for at in (10, 20)]
    told = answer(2, [30, 100.2], output_tokens=4, first_token_ns=START + 10 * MS)
    events = [
        heat("a", "b", "c"),
        *answer(0, [50, 100], tokens=[None, None], told=4),
        failure(1, error_class="http_5xx", http_status=503, error_message="[red]overloaded[/red] \x1b[2J"),
        *thinking,
        *told,
        END,
    ]
    shown = result(events, width=100)
    assert row(shown, "a")[:4] == ["1st", "(tie)", "a", "~100.0"]
    assert row(shown, "c")[:4] == ["1st", "(tie)", "c", "100.2"]
    assert row(shown, "b")[:3] == ["-", "b", "-"]
    shown = " ".join(shown.split())
    assert "~ estimated" in shown
    assert "b failed: http_5xx (HTTP 503): [red]overloaded[/red] [2J" in shown
    assert "c: 2 tokens of thinking count as tokens" in shown
    assert "its answer began after 30.0 ms" in shown
    assert "ties are" in shown


def test_nothing_is_said_that_is_not_so() -> None:
    shown = result([heat("a", "b"), *answer(0, [50, 100]), *answer(1, [50, 200]), HeatEnded(START, 1.9)])
    for words in ("estimated", "thinking", "failed", "(tie)", "RECORDING", "SIMULATED", "could not run"):
        assert words not in shown
    assert "may share a host" in shown


def test_one_lane_alone_has_no_place_and_its_figures() -> None:
    shown = result([heat("alone"), *answer(0, [50, 100]), END])
    assert row(shown, "alone") == ["-", "alone", "-", "50.0", "20.0", "2", "100.0"]
    assert "No places" in shown
    assert "there is nobody to compare it with" in shown


def test_late_recorded_simulated_and_numbered_are_said() -> None:
    lanes = (facts("a", simulated=True), facts("b", down="refused: nobody listens"))
    begun = Heat(lanes, "?", 8, START, number=3, of=4, title="rapid", crowd=16)
    shown = result([begun, *answer(0, [1, 2]), HeatEnded(START, 3.25)], width=100, recording="recorded on a Monday")
    assert shown.startswith("Race 3 of 4: rapid, in a crowd of 16  SIMULATED ENGINES  RECORDING\nrecorded on a Monday")
    assert "could not run for 3.2 ms: do not trust small differences" in shown
    assert "b down: refused: nobody listens" in shown


def test_a_heat_that_did_not_end_says_so() -> None:
    assert "it did not end" in result([heat("a", "b"), *answer(0, [1, 2])])
    assert "it did not end" in result([])


def test_names_are_whole_in_80_columns() -> None:
    names = ("vllm-production-blue-with-a-long-name-1", "vllm-production-blue-with-a-long-name-2")
    shown = result([heat(*names), *answer(0, [50, 123_456.7]), *answer(1, [50, 123_999.9]), END])
    heading = next(line for line in shown.splitlines() if "service" in line)
    column = slice(heading.index("service"), heading.index("tokens, ms"))
    letters = "".join("".join(line[column].split()[:1]) for line in shown.splitlines())
    assert all(name in letters for name in names)
    assert "…" not in shown


def test_a_narrow_screen_keeps_what_decided_in_whole_words() -> None:
    events = [heat("vllm", "ollama"), *answer(0, [50, 1_200]), *answer(1, [60, 1_300]), END]
    shown = result(events, 40)
    assert row(shown, "vllm") == ["1st", "vllm", "1,200.0", "50.0"]
    assert row(shown, "ollama") == ["2nd", "ollama", "1,300.0", "60.0"]


def test_the_line_of_a_result() -> None:
    events = [heat("a", "b", "c"), *answer(0, [50, 200]), *answer(1, [50, 100]), failure(2), END]
    said = "1st b 100.0 ms; 2nd a 200.0 ms; c: its answer did not end well (to 2 tokens)"
    assert result_line(board_of(events)) == said
    assert result_line(board_of(events[:3])) == "it did not end"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(events=heats(), width=st.sampled_from([80, 120, 200]))
def test_any_result_keeps_to_its_width_and_obeys_nobody(events: list[LiveEvent], width: int) -> None:
    shown = result(events, width, "recorded")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(events=heats())
def test_any_plain_line_is_one_line_that_obeys_nobody(events: list[LiveEvent]) -> None:
    for line in lines_of(events):
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", line)


def test_plain_lines_follow_what_happens() -> None:
    events = [
        heat("a", "b", prompt="Why?"),
        *answer(0, [100, 200], words=["Be", "cause"]),
        failure(1, error_class="timeout", error_message="nothing came"),
        END,
    ]
    lines = lines_of(events)
    assert re.match(r"Race: a, b; all start at the same instant", lines[0])
    assert lines[1] == "Prompt: Why?"
    assert lines[2:4] == [f"{name}: vLLM 0.9.1, some/model, context 8,192 tokens" for name in "ab"]
    assert lines[4:] == [
        "a: first token, TTFT 100.0 ms",
        "a: done (length), 2 tokens in 0.20 s, 10.0 tokens/s",
        "b: failed: timeout: nothing came (after 0.05 s, 0 tokens)",
        "--- a",
        "Because",
    ]


def test_the_services_are_told_once() -> None:
    again = [event for _ in range(3) for event in (heat("a"), *answer(0, [1, 2]), END)]
    assert sum("some/model" in line for line in lines_of(again)) == 1
    assert sum(line.startswith("Prompt:") for line in lines_of(again)) == 3


@pytest.mark.parametrize("count", [10, 100_000])
def test_chunks_are_no_lines_and_the_answer_is_bounded(count: int) -> None:
    chunks: list[LiveEvent] = [Chunk(0, START + n, START, f"t{n} ", "", 1) for n in range(count)]
    lines = lines_of([heat("a"), *chunks, *answer(0, [1])[-1:], END])
    assert len(lines) == 7
    assert lines[-1].endswith(f"t{count - 1}")
    assert len(lines[-1]) <= LONGEST_ANSWER
    assert ("the last 2,000 characters" in lines[-2]) == (count > 1_000)


def test_who_was_sent_after_the_common_start_is_named_and_then_nobody_says_all_started_at_once() -> None:
    late = answer(1, [100, 200], start_ns=START + 565 * MS)
    shown = " ".join(result([heat("near", "far"), *answer(0, [100, 200]), *late, END]).split())
    assert "Sent after the common start: far 565.0 ms; times count from each lane's own sending" in shown
    assert "same instant" not in shown
    assert "They may share a host" in shown
    board = board_of([heat("near", "far"), *answer(0, [100, 200]), *late, END])
    picture = picture_of(board, Shown((), lambda: START), None)
    assert "far 565.0 ms" in str(picture.values["late"])
