"""The five ready questions, by number or as the user's own words."""

import pytest

from inference_bench.errors import UsageError
from inference_bench.workloads.canned import DEFAULT_TEST_PROMPT, canned_prompts, choose_prompt


def test_five_questions_with_titles() -> None:
    assert len(canned_prompts()) == 5
    assert len({canned.title for canned in canned_prompts()}) == 5
    assert all(len(canned.prompt.split()) > 20 for canned in canned_prompts())


def test_chosen_by_number_from_one() -> None:
    assert [choose_prompt(str(number)) for number in range(1, 6)] == [canned.prompt for canned in canned_prompts()]
    assert choose_prompt(" 3 ") == canned_prompts()[2].prompt


@pytest.mark.parametrize("text", ["Why is the sea salty?", "3 reasons to sail", "-1", "²", "1.5"])
def test_anything_else_is_the_prompt_itself(text: str) -> None:
    assert choose_prompt(text) == text


@pytest.mark.parametrize("number", ["0", "6", "00000000001", "9" * 10_000])
def test_a_number_that_no_prompt_has(number: str) -> None:
    with pytest.raises(UsageError, match="numbered 1 to 5") as caught:
        choose_prompt(number)
    assert len(caught.value.message) < 120
    assert caught.value.hint is not None
    assert "1 Transformers in simple terms" in caught.value.hint


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_an_empty_prompt_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="empty"):
        choose_prompt(text)


def test_the_quick_test_says_hello() -> None:
    assert DEFAULT_TEST_PROMPT.startswith("Hello!")
