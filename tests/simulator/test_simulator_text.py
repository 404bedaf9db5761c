"""Tokens and answers: the tokeniser's laws, and what decides an answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.simulator import tokenizer
from inference_bench.simulator.answers import AnswerPool, Sampling

POOL = AnswerPool(seed=0, median_tokens=100)
TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]))


@given(TEXTS)
def test_text_survives_the_tokeniser(text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert len(ids) == tokenizer.count(text)
    assert "".join(tokenizer.split(text)) == text


@given(TEXTS, TEXTS)
def test_different_pieces_have_different_ids(first: str, second: str) -> None:
    for one in tokenizer.split(first):
        for other in tokenizer.split(second):
            assert (tokenizer.token_id(one) == tokenizer.token_id(other)) == (one == other)


@given(st.integers(0, 5_000_000))
def test_any_id_has_a_text(token: int) -> None:
    assert tokenizer.token_text(token)


@given(st.lists(st.tuples(st.sampled_from(["system", "user", "assistant", "strange"]), TEXTS), max_size=4))
def test_a_conversation_is_counted_as_it_is_encoded(messages: list[tuple[str, str]]) -> None:
    assert tokenizer.count_chat(messages) == len(tokenizer.encode_chat(messages))


def test_a_known_text_has_the_documented_tokens() -> None:
    assert tokenizer.split("Say something, 東京!") == ["Say", " som", "eth", "ing", ",", " 東", "京", "!"]
    assert tokenizer.encode_chat([("user", "Say")]) == [0, 4, tokenizer.token_id("Say"), 1, 5]


@given(maximum=st.integers(1, 3000), minimum=st.integers(0, 200), seed=st.integers(0, 50))
def test_an_answer_keeps_its_limits(maximum: int, minimum: int, seed: int) -> None:
    minimum = min(minimum, maximum)
    answer = POOL.plan("hello", Sampling(max_tokens=maximum, min_tokens=minimum, seed=seed))
    assert minimum <= answer.tokens <= maximum
    assert (answer.ending == "eos") == (answer.tokens == len(answer.pieces) + 1)
    assert answer.ending == "eos" or answer.tokens == maximum


@given(maximum=st.integers(1, 40_000))
def test_without_a_natural_end_an_answer_is_exactly_as_long_as_asked(maximum: int) -> None:
    answer = POOL.plan("hello", Sampling(max_tokens=maximum, natural=False))
    assert (answer.tokens, len(answer.pieces), answer.ending) == (maximum, maximum, "length")
    assert all(answer.pieces)


def test_seed_and_greed_repeat_and_free_sampling_does_not() -> None:
    def plan(**more: object) -> str:
        return POOL.plan("hello", Sampling(max_tokens=300, **more)).text  # type: ignore[arg-type]

    assert plan(seed=4) == plan(seed=4)
    assert plan(greedy=True) == plan(greedy=True)
    assert len({plan() for _ in range(8)}) > 4
    other = POOL.plan("another prompt", Sampling(max_tokens=300, seed=4)).text
    assert other != plan(seed=4)


def test_natural_lengths_lie_around_the_median() -> None:
    lengths = sorted(POOL.plan(f"prompt {n}", Sampling(max_tokens=10_000, seed=n)).tokens for n in range(400))
    assert 80 <= lengths[200] <= 125
    assert lengths[0] < 60
    assert lengths[-1] > 180


@pytest.mark.parametrize("keep", [False, True])
def test_a_stop_sequence_ends_the_answer(keep: bool) -> None:
    whole = POOL.plan("hello", Sampling(max_tokens=200, seed=1))
    stop = whole.text[20:26]
    at = whole.text.index(stop)
    answer = POOL.plan("hello", Sampling(max_tokens=200, seed=1, stop=("never there §", stop), keep_stop=keep))
    assert (answer.ending, answer.stop) == ("stop_sequence", stop)
    if keep:
        assert answer.text.startswith(whole.text[: at + len(stop)])
    else:
        assert answer.text == whole.text[:at]
    assert answer.tokens == len(answer.pieces) < whole.tokens


def test_the_words_have_more_bytes_than_characters() -> None:
    text = POOL.plan("hello", Sampling(max_tokens=10_000, natural=False)).text
    assert len(text.encode()) > len(text)
