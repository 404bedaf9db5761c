"""How a plan looks: counts in good English, guesses marked as such, and fairness notes wrapped beside their mark."""

import io
from collections.abc import Sequence

import pytest
from rich.console import Console

from inference_bench.cli.utils.run_display import describe, guessed_requests, print_fairness
from inference_bench.config.models import LoadTestSettings, TtftTestSettings
from inference_bench.results.comparison import FairnessNote
from inference_bench.testing.plan import LoadPlan, plan_load, plan_ttft


def load(**settings: object) -> LoadPlan:
    return plan_load(LoadTestSettings.model_validate({"name": "t", "rounds": 1, **settings}), 1, 0)


DESCRIBED = {
    "1 user, 1 request per service in 1 round": load(concurrent_users=1, requests=1),
    "2 users, 10 s per service in 2 rounds": load(concurrent_users=2, duration_seconds=10, rounds=2),
    "1,500 users, 2,000 requests per service in 1 round": load(concurrent_users=1500, requests=2000),
    "poisson 2.5/s, 1 s per service in 1 round": load(rate=2.5, duration_seconds=1),
    "1 block, one request at a time": plan_ttft(TtftTestSettings(iterations=1), 2, 0),
    "3 blocks, one request at a time": plan_ttft(TtftTestSettings(iterations=3), 2, 0),
}


@pytest.mark.parametrize(("words", "plan"), DESCRIBED.items())
def test_one_is_one_and_two_are_two(words: str, plan: object) -> None:
    assert describe(plan) == words


def test_only_a_closed_loop_that_goes_on_for_a_time_has_a_guessed_number_of_requests() -> None:
    assert guessed_requests(load(concurrent_users=2, duration_seconds=10))
    assert not guessed_requests(load(concurrent_users=2, requests=10))
    assert not guessed_requests(load(rate=2, duration_seconds=10))
    assert not guessed_requests(plan_ttft(TtftTestSettings(), 2, 0))


def printed(notes: Sequence[FairnessNote], width: int = 80) -> list[str]:
    stream = io.StringIO()
    print_fairness(Console(file=stream, width=width, color_system=None), notes)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


WORDS = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen."


def test_notes_are_wrapped_beside_their_mark_and_warnings_are_marked() -> None:
    warning = FairnessNote(code="a", weight="warning", services=("x",), text=WORDS)
    said = printed([warning, FairnessNote(code="b", text="Short.", test="load"), warning])
    assert said == [
        "What makes the services unlike each other:",
        "Warning: one two three four five six seven eight nine ten eleven twelve thirteen",
        "         fourteen fifteen sixteen.",
        "Note:    load: Short.",
    ]
    assert max(len(line) for line in printed([warning], width=40)) <= 40
    assert printed([]) == []


def test_what_servers_say_is_text_on_the_terminal() -> None:
    nasty = FairnessNote(code="a", text="It is [bold]m[/bold] \x1b[2J\x1b]0;t\x07 \u202eabc.")
    (_, line) = printed([nasty], width=120)
    assert "[bold]m[/bold]" in line
    assert line.isprintable()
