"""The five scenarios, found by number or name, and the same past for every service."""

import pytest

from inference_bench.api.protocols import Message
from inference_bench.errors import UsageError
from inference_bench.workloads.scenarios import Scenario, find_scenario, scenarios

NAMES = ["customer_support", "code_review", "creative_writing", "technical_docs", "business_intelligence"]


def test_five_scenarios_in_their_order() -> None:
    assert [scenario.number for scenario in scenarios()] == [1, 2, 3, 4, 5]
    assert [scenario.name for scenario in scenarios()] == NAMES


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda scenario: scenario.name)
def test_four_prompts_and_four_turns_with_real_answers(scenario: Scenario) -> None:
    assert scenario.title
    assert scenario.persona.startswith("A ")
    assert len(set(scenario.prompts)) == 4
    assert len(scenario.script) == 4
    assert all(len(prompt.split()) >= 30 for prompt in scenario.prompts)
    assert all(len(turn.user.split()) >= 20 and len(turn.assistant.split()) >= 100 for turn in scenario.script)


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda scenario: scenario.name)
def test_history_holds_the_scripted_past_and_ends_with_the_question(scenario: Scenario) -> None:
    for number, turn in enumerate(scenario.script):
        history = scenario.history(number)
        assert [message.role for message in history] == ["user", "assistant"] * number + ["user"]
        assert history[-1] == Message("user", turn.user)
        if number:
            assert history[:-2] == scenario.history(number - 1)
            assert history[-2] == Message("assistant", scenario.script[number - 1].assistant)


@pytest.mark.parametrize("turn", [-1, 4])
def test_a_turn_the_script_does_not_have(turn: int) -> None:
    with pytest.raises(IndexError, match="turns 0 to 3"):
        scenarios()[0].history(turn)


@pytest.mark.parametrize("choice", ["2", " 2 ", "code_review", "Code-Review", "code review", "CODE_REVIEW"])
def test_found_by_number_or_name(choice: str) -> None:
    assert find_scenario(choice).name == "code_review"


def test_a_near_miss_is_named() -> None:
    with pytest.raises(UsageError) as caught:
        find_scenario("creative-writting")
    assert caught.value.message == "there is no scenario 'creative-writting'; did you mean creative_writing?"
    assert caught.value.hint is not None
    assert "5 business_intelligence" in caught.value.hint


@pytest.mark.parametrize("choice", ["", "0", "6", "²", "01", "poetry slam"])
def test_no_scenario_is_chosen_in_silence(choice: str) -> None:
    with pytest.raises(UsageError, match="there is no scenario"):
        find_scenario(choice)


def test_a_wild_choice_is_shown_short_and_without_control_characters() -> None:
    with pytest.raises(UsageError) as caught:
        find_scenario("\x1b[31m" + "x" * 1_000)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 100
