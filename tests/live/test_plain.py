"""Text for a screen: nothing a terminal could obey is left, widths agree, and pieces make no difference."""

from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len, get_character_cell_size

from inference_bench.live.plain import PlainText, one_line, plain

UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
ANY = st.characters(min_codepoint=0, max_codepoint=0x10FFFF, exclude_categories=())  # surrogates too
NASTY = st.sampled_from(
    "a \t\r\n\x1b\x07\x9b\u202e\u2066\u200d\u200b\ufe0f\u0300\u0301\u0302👩🚀🏽🇩🇪中\u2028\U000e0001"
)
TEXTS = st.text(ANY) | st.text(NASTY)


@given(TEXTS)
def test_nothing_unseen_is_left_but_line_feeds(text: str) -> None:
    assert not [character for character in plain(text) if character != "\n" and category(character) in UNSEEN]


@given(TEXTS)
def test_it_is_its_own_result(text: str) -> None:
    assert plain(plain(text)) == plain(text)


@given(TEXTS)
def test_the_width_of_a_line_is_the_sum_of_its_characters(text: str) -> None:
    for line in plain(text).split("\n"):
        assert cell_len(line) == sum(map(get_character_cell_size, line))


@given(TEXTS, st.data())
def test_pieces_make_no_difference(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    reader = PlainText()
    assert "".join(map(reader.feed, pieces)) == plain(text)


@given(TEXTS)
def test_marks_do_not_pile_up(text: str) -> None:
    run = 0
    for character in plain(text):
        run = run + 1 if category(character) in ("Mn", "Me") else 0
        assert run <= 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m \x1b]0;title\x07", "[31mred[0m ]0;title"),
        ("a\r\nb\rc\n", "a\nb\nc\n"),
        ("col\tumn", "col    umn"),
        ("\u202eright to left\u202c", "right to left"),
        ("👩\u200d🚀 🇩🇪 👍🏽 ❤\ufe0f", "👩🚀 DE 👍 ❤"),
        ("e" + "\u0301" * 50, "e\u0301\u0301"),
        ("\u2028\x85\u00a0", "\n  "),
        ("שלום العربية 中文 ひらがな", "שלום العربية 中文 ひらがな"),
        ("[bold]not markup[/bold] <b>", "[bold]not markup[/bold] <b>"),
    ],
)
def test_what_becomes_of(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(TEXTS, st.integers(2, 50))
def test_one_line_is_one_line_and_bounded(text: str, limit: int) -> None:
    shown = one_line(text, limit)
    assert "\n" not in shown
    assert len(shown) <= limit
    assert shown.endswith("…") or len(text) <= 4 * limit


def test_a_mark_belongs_to_the_letter_before_it_whatever_the_pieces() -> None:
    reader = PlainText()
    assert [reader.feed(piece) for piece in ("e\u0301\u0301", "\u0301", "b", "\u0301")] == [
        "e\u0301\u0301", "", "b", "\u0301",
    ]  # fmt: skip


def test_a_text_cut_to_one_line_says_so() -> None:
    assert one_line("a b\nc") == "a b c"
    assert one_line("word " * 100, 20) == "word word word word…"
