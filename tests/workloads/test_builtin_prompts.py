"""The packaged prompts: enough of them, all different, every kind present, and long documents of the stated size."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.workloads.builtin import CHAT_CATEGORIES, categories, category_names
from inference_bench.workloads.estimate import estimate_tokens
from inference_bench.workloads.items import WorkItem
from inference_bench.workloads.long_context import compose

WANTED = (
    *("short", "medium", "long", "conversational", "code", "reasoning", "streaming", "multilingual", "edge_cases"),
    *("long_context_2k", "long_context_4k", "long_context_8k"),
)


def prompts(category: str) -> list[str]:
    return [item.messages[0].content for item in categories()[category]]


def test_every_category_is_there_and_the_groups_hold_what_they_say() -> None:
    assert set(category_names()) == {*WANTED, "long_context", "mixed"}
    assert prompts("long_context") == [text for size in ("2k", "4k", "8k") for text in prompts(f"long_context_{size}")]
    assert prompts("mixed") == [text for name in CHAT_CATEGORIES for text in prompts(name)]
    assert not set(prompts("mixed")) & {*prompts("edge_cases"), *prompts("long_context")}


def test_there_are_over_sixty_prompts_and_no_two_are_equal() -> None:
    every = [text for name in WANTED for text in prompts(name)]
    assert len(every) == len(set(every)) >= 60
    assert all(len(prompts(name)) >= 6 for name in WANTED if not name.startswith("long_context"))


@pytest.mark.parametrize("name", WANTED)
def test_a_prompt_is_one_user_message_that_leaves_its_length_to_the_test(name: str) -> None:
    for item in categories()[name]:
        assert isinstance(item, WorkItem)
        assert [message.role for message in item.messages] == ["user"]
        assert item.messages[0].content == item.messages[0].content.strip() != ""
        assert item.max_tokens is None
        assert item.category == name


@pytest.mark.parametrize(
    ("name", "least", "most"), [("short", 8, 30), ("medium", 30, 90), ("long", 150, 400), ("streaming", 20, 60)]
)
def test_lengths_are_what_their_category_says(name: str, least: int, most: int) -> None:
    assert all(least <= estimate_tokens(text) <= most for text in prompts(name))


def test_nine_languages_are_spoken() -> None:
    scripts = {
        "ja": r"[\u3040-\u30ff]",
        "zh": r"^[^\u3040-\u30ff]*[\u4e00-\u9fff]{9}",
        "ru": r"[\u0400-\u04ff]{4}",
        "ar": r"[\u0600-\u06ff]{4}",
        "hi": r"[\u0900-\u097f]{4}",
        "es": r"^(Explica|Escribe) ",
        "fr": r"^(Expliquez|Rédigez) ",
        "de": r"^(Erkläre|Unsere) ",
        "pt": r"^(Explique|Uma) ",
    }
    texts = prompts("multilingual")
    found = {language: [text for text in texts if re.search(script, text)] for language, script in scripts.items()}
    assert {language: len(matching) for language, matching in found.items()} == dict.fromkeys(scripts, 2)
    # Chinese and Japanese have no spaces between sentences: a folded line must not have put one there.
    assert not any(" " in text for language in ("ja", "zh") for text in found[language])


def test_edge_cases_hold_the_odd_ones() -> None:
    texts = prompts("edge_cases")
    assert any(len(text.split()) == 1 and text.isalpha() for text in texts)
    assert any(set(text) == {"."} for text in texts)
    assert any(text.isupper() for text in texts)
    assert any("fifty thousand words" in text for text in texts)
    assert any("\U0001f98a" in text for text in texts)
    scripts = {unicodedata.name(letter).split()[0] for text in texts for letter in text if letter.isalpha()}
    assert {"LATIN", "CYRILLIC", "ARABIC", "DEVANAGARI", "CJK", "HIRAGANA"} <= scripts


@pytest.mark.parametrize(("size", "least", "most"), [("2k", 1_500, 1_650), ("4k", 3_300, 3_650), ("8k", 7_000, 7_800)])
def test_long_documents_have_their_size_and_are_no_repetition(size: str, least: int, most: int) -> None:
    for text in prompts(f"long_context_{size}"):
        assert least <= estimate_tokens(text) <= most
        paragraphs = [piece for piece in text.split("\n\n") if len(piece) > 80]
        assert len(paragraphs) == len(set(paragraphs))
        assert "above" in paragraphs[-1]


def test_a_document_takes_whole_parts_in_order_and_stops_before_one_too_many() -> None:
    texts = [("One", ["a" * 45, "b" * 45, "c" * 45]), ("Two", ["d" * 45])]
    assert compose(texts, start=1, task="Go", tokens=1_000) == "\n\n".join(
        ["# One", "b" * 45, "c" * 45, "# Two", "d" * 45, "Go"]
    )
    assert compose(texts, start=1, task="Go", tokens=24) == "\n\n".join(["# One", "b" * 45, "c" * 45, "Go"])
    assert compose(texts, start=0, task="Go", tokens=5) == "Go"


@given(st.text(max_size=300), st.text(max_size=300))
def test_the_estimate_is_never_negative_and_grows_with_the_text(one: str, two: str) -> None:
    assert 0 <= estimate_tokens(one) <= estimate_tokens(one + two)
