"""Which answers look garbled or wildly short, and which must never be taken for that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.metrics.sanity import SAMPLE_CHARS, Answers, Sanity, answers_of, judge_answers, text_check
from inference_bench.simulator.answers import AnswerPool, Sampling
from run_records import ZERO_NS, request, request_table

WINDOW = [(ZERO_NS, ZERO_NS + 10_000_000_000)]

GARBLED = {
    "wrong bytes": ("\ufffd" * 16, "broken_characters"),
    "wrong bytes among words": ("The \ufffd\ufffd answer \ufffd is \ufffd of \ufffd", "broken_characters"),
    "control characters": ("\x00\x01\x02\x03 abc def ghi jkl", "broken_characters"),
    "unassigned code points": ("\u0378\u0379\u0380\u0381 plain words follow here", "broken_characters"),
    "lone surrogates": ("\ud800\ud801\ud802 words and words", "broken_characters"),
    "token 0 of many vocabularies": ("!!!!!!!!", "few_characters"),
    "three characters only": ("ab, ab, ab, ab, ab, ab, ab, ab", "few_characters"),
    "nothing but blanks": ("\n" * 40, "few_characters"),
    "one word from the beginning": (" again" * 9, "repeated"),
    "nearly in step": (("wrong " * 20) + "w" + ("wrong " * 20), "repeated"),
    "a long loop": ("Assistant: " * 200, "repeated"),
}


@pytest.mark.parametrize(("text", "kind"), GARBLED.values(), ids=GARBLED.keys())
def test_nonsense_is_found(text: str, kind: str) -> None:
    assert text_check(text) == kind


TABLE = "| a | b |\n|---|---|\n" + "".join(f"| {row} | {row * row} |\n" for row in range(30))
SOUND = {
    "prose": "The capital of France is Paris, a city on the Seine that has been its centre for centuries.",
    "one digit": "4",
    "one word": "Yes.",
    "a rule of dashes is the beginning of something": "-------",
    "chinese": "北京是中华人民共和国的首都，也是全国的政治、文化、国际交往和科技创新中心。",
    "japanese": "東京は日本の首都であり、世界最大の都市圏のひとつです。",
    "arabic with direction marks": "\u200fالقاهرة هي عاصمة جمهورية مصر العربية\u200f وأكبر مدنها.",
    "thai": "กรุงเทพมหานครเป็นเมืองหลวงของประเทศไทย",
    "emoji": "🙂👍🏽🎉👩‍👩‍👧‍👦🚀✨🇫🇷",
    "an icon font's characters": "\ue0b0\ue0b1\ue0b2 main \ue0a0",
    "code": "def add(a, b):\n    return a + b\n\n\nfor i in range(10):\n\tprint(add(i, i))\n",
    "a table": TABLE,
    "numbers in a row": " ".join(str(number) for number in range(200)),
    "latin phrases of a tiny model": "lasses defined (ugh fassigncope throughxlike vailable l pre",
    "a phrase again after the end was ignored": "Paris is the capital of France."
    + "\nThe capital of France is Paris." * 30,
    "blanks after an answer whose end was ignored": "Paris." + "\n" * 200,
    "a character cut by max_tokens": "好的\ufffd\ufffd\ufffd",
    "one broken character in a short answer": "a \ufffd b",
    "a terminal's colours in a shell lesson": "Print \x1b[1mbold\x1b[0m text by sending the escape before the word.",
}


@pytest.mark.parametrize("text", SOUND.values(), ids=SOUND.keys())
def test_no_false_alarm(text: str) -> None:
    assert text_check(text) == "sound"


def test_a_text_of_none_is_not_judged() -> None:
    assert text_check("") is None


def test_simulated_answers_of_every_length_are_sound() -> None:
    pool = AnswerPool(7, 180)
    lengths = (1, 2, 4, 8, 16, 64, 256, 1024)
    texts = [pool.plan(f"prompt {n}", Sampling(n, natural=False)).text for n in lengths for _ in range(20)]
    assert {text_check(text) for text in texts} == {"sound"}


@given(st.text(max_size=400))
def test_any_text_gets_a_judgement_and_only_its_beginning_counts(text: str) -> None:
    verdict = text_check(text)
    assert (verdict is None) == (text == "")
    padded = text.ljust(SAMPLE_CHARS, "é")
    assert text_check(padded) == text_check(padded + "\ufffd" * 500)


@given(st.text(alphabet="abcdef ghij", min_size=1, max_size=12), st.integers(10, 300))
def test_a_unit_of_a_few_characters_is_garbled_however_often_it_comes(unit: str, times: int) -> None:
    text = unit * times
    if len(text.strip()) >= 40 and unit.strip():
        assert text_check(text) in {"repeated", "few_characters"}


def answers(
    lengths: list[int | None], *, max_tokens: int = 64, looks: str | None = "sound", first: int = 0, **fields: object
) -> Answers:
    rows = [
        request(
            first + place,
            sent_at=10 * place,
            output_tokens=length,
            max_tokens=max_tokens,
            text_check=looks,
            index=place,
            **fields,
        )
        for place, length in enumerate(lengths)
    ]
    return answers_of(request_table(rows), WINDOW)


def judged(**services: Answers) -> dict[str, Sanity]:
    return {name: one for name, one in judge_answers(services).items() if one is not None}


def test_garbled_answers_lower_the_sound_rate_and_are_flagged() -> None:
    rows = [request(n, sent_at=n, text_check="repeated" if n < 3 else "sound", output_tokens=9) for n in range(10)]
    rows += [
        request(20, sent_at=20, ok=False, error_class="empty"),
        request(21, sent_at=21, ok=False, error_class="truncated"),
        request(22, sent_at=22, ok=False, error_class="timeout"),
        request(23, sent_at=23, ok=False, error_class="interrupted"),
        request(24, sent_at=24, warmup=True, text_check="repeated"),
        request(25, sent_at=99_999, text_check="repeated"),
    ]
    found = judged(a=answers_of(request_table(rows), WINDOW))["a"]
    assert (found.checked, found.sound, found.garbled, found.empty, found.truncated) == (10, 7, 3, 1, 1)
    assert found.kinds == {"repeated": 3}
    assert found.sound_rate == 7 / 13  # the interrupted one, the warm-up and the one outside do not count
    assert found.flagged
    assert found.reason == "5 of 13 answers do not look sound: 3 garbled (repeated), 1 empty, 1 truncated"


def test_a_single_odd_answer_of_very_many_flags_nothing() -> None:
    rows = [request(n, sent_at=n, text_check="repeated" if n == 5 else "sound") for n in range(100)]
    found = judged(a=answers_of(request_table(rows), WINDOW))["a"]
    assert (found.garbled, found.sound_rate, found.flagged, found.reason) == (1, 0.99, False, None)


def test_an_engine_that_ends_after_a_few_tokens_is_short_beside_the_others() -> None:
    found = judged(a=answers([3] * 20), b=answers([60] * 20))
    assert (found["a"].short, found["a"].sound_rate, found["a"].flagged) == (20, 0.0, True)
    assert "20 wildly short beside the other services'" in str(found["a"].reason)
    assert (found["b"].short, found["b"].sound_rate, found["b"].flagged) == (0, 1.0, False)


def test_exact_lengths_that_the_others_obeyed_are_the_measure() -> None:
    found = judged(a=answers([15] * 20), b=answers([64] * 20), c=answers([64] * 20))
    assert [found[name].flagged for name in "abc"] == [True, False, False]


@pytest.mark.parametrize(
    ("mine", "others"),
    [
        ([20] * 20, [[60] * 20]),  # a third
        ([2] * 20, [[8] * 20]),  # prompts that want a word
        ([2] * 20, [[2] * 20, [64] * 20]),  # one of two others is as short: the lower median
        ([3] * 4, [[60] * 4]),  # too few to show a pattern
        ([3] * 4 + [60] * 16, [[60] * 20]),  # now and then, as sampling goes
        ([None] * 20, [[60] * 20]),  # nobody told
        ([3] * 20, [[None] * 20]),
        ([3] * 20, []),
    ],
)
def test_what_is_not_wildly_short(mine: list[int | None], others: list[list[int | None]]) -> None:
    services = {"mine": answers(mine)} | {f"other{n}": answers(lengths) for n, lengths in enumerate(others)}
    found = judged(**services)["mine"]
    assert (found.short, found.flagged) == (0, False)


def test_an_answer_as_long_as_it_was_allowed_is_not_short() -> None:
    found = judged(a=answers([12] * 20, max_tokens=12), b=answers([60] * 20))
    assert found["a"].short == 0


def test_lengths_are_compared_prompt_by_prompt() -> None:
    """Short answers to the prompts that everybody answers shortly are no fault, whatever the median is."""
    lengths: list[int | None] = [4 if place % 2 else 200 for place in range(40)]
    found = judged(a=answers(lengths, max_tokens=256), b=answers(lengths, max_tokens=256))
    assert found["a"].short == found["b"].short == 0
    other_rounds = judged(a=answers([3] * 20, round=0), b=answers([60] * 20, round=1))
    assert (other_rounds["a"].paired, other_rounds["a"].short) == (0, 0)


def test_without_an_answer_nothing_is_sound_and_nothing_is_known() -> None:
    none = judged(a=answers([]), b=answers([60] * 20))
    assert (none["a"].sound_rate, none["a"].flagged) == (None, False)
    failed = judged(a=answers([None] * 5, ok=False, error_class="empty", looks=None))["a"]
    assert (failed.checked, failed.sound_rate, failed.flagged) == (0, 0.0, True)


def test_records_of_a_version_that_did_not_look_are_not_judged() -> None:
    rows = [request(n, sent_at=n, output_tokens=3) for n in range(20)]
    assert judge_answers({"a": answers_of(request_table(rows), WINDOW)}) == {"a": None}
    older = request_table(rows).drop_columns(["text_check"])
    assert judge_answers({"a": answers_of(older, WINDOW)}) == {"a": None}


@given(st.lists(st.lists(st.one_of(st.none(), st.integers(1, 80)), max_size=30), min_size=1, max_size=4))
def test_counts_add_up_whatever_the_lengths_are(lengths: list[list[int | None]]) -> None:
    services = {f"s{n}": answers(one) for n, one in enumerate(lengths)}
    for name, found in judged(**services).items():
        assert found.checked == found.sound + found.garbled + found.short == services[name].ended
        assert found.flagged == (found.reason is not None)
