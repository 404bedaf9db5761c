"""Secrets that a server repeats: hidden however the text is cut, and nothing else is."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from inference_bench.live.veil import UNSEEN, Veil

SECRET = "sk-abcabd-0042"
TEXTS = st.lists(st.one_of(st.just(SECRET), st.text("sk-abcd042 x", max_size=12)), max_size=6).map("".join)


def pieces_of(text: str, cuts: list[int]) -> list[str]:
    edges = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


@given(TEXTS, st.lists(st.integers(0, 200), max_size=20))
def test_no_more_of_a_secret_than_says_nothing_is_ever_shown(text: str, cuts: list[int]) -> None:
    veil = Veil([SECRET])
    shown = "".join(veil.over(piece) for piece in pieces_of(text, cuts))
    assert SECRET not in shown
    # Asterisks stand where the secret stood; all else is as it was, but for an end that may have become one.
    hidden = text.replace(SECRET, "*" * len(SECRET))
    plain_end = len(shown)
    assert len(hidden) - plain_end < len(SECRET)
    for place, (one, other) in enumerate(zip(shown, hidden, strict=False)):
        begun = hidden[place : place + 1] == "*" and one != "*"
        assert one == other or begun
    assert sum(one != other for one, other in zip(shown, hidden, strict=False)) <= UNSEEN * max(1, text.count(SECRET))


def test_a_secret_in_single_characters_is_hidden() -> None:
    veil = Veil([SECRET])
    shown = "".join(veil.over(character) for character in f"key: {SECRET}, bye")
    assert SECRET[: UNSEEN + 1] not in shown
    assert shown == f"key: {SECRET[:UNSEEN]}{'*' * (len(SECRET) - UNSEEN)}, bye"


def test_without_secrets_text_is_passed_on_as_it_is() -> None:
    assert Veil([]).over("sk-anything") == "sk-anything"
    assert Veil(["EM"]).over("EMPTY") == "EMPTY"
