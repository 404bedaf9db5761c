"""Empty texts, roles, counts and finish reasons in long streams: bulk reading equals reading piece by piece."""

from itertools import accumulate

import pytest
from both_readings import lengths_of_runs, read_both_ways
from hypothesis import example, given, settings
from hypothesis import strategies as st
from odd_chunks import CHUNKS, SHORT, USAGE, framed

# What a server sends one after the other, by name. An empty text is of the same form as a text: a run may hold it.
TEXT, EMPTY, ROLE, TEXTLESS, COUNTED, PLAIN, PLAIN_TEXT, THOUGHT, USAGE_ONLY, FINISH, FINISH_EMPTY = range(11)
UNCOUNTED = b',"usage":null'
Stretch = tuple[int, int]  # (what, how many in a row)


def chunk(dialect: str, kind: int, number: int) -> bytes:
    """Return the piece of this kind; `number` is the running count where the form tells one."""
    form = CHUNKS[dialect]
    text = b'""' if kind in (EMPTY, ROLE, COUNTED, PLAIN, FINISH_EMPTY) else b'" w%d"' % number
    if kind == ROLE:
        form = form.replace(b'"content":TEXT', b'"role":"assistant","content":""')
    elif kind == TEXTLESS:
        form = form.replace(b'"content":TEXT', b"").replace(b'"text":TEXT,', b'"text":"",')
    elif kind == COUNTED:  # an empty text with a count, whatever the form around it
        form = form if USAGE in form else form[:-1].replace(UNCOUNTED, b"") + USAGE + b"}"
    elif kind in (PLAIN, PLAIN_TEXT, THOUGHT):  # without a count; a thought is of no form that repeats
        form = form.replace(b'"content"', b'"reasoning"') if kind == THOUGHT else form
        form = form.replace(USAGE, UNCOUNTED)
    elif kind == USAGE_ONLY:
        form = form[: form.index(b'"choices":')] + b'"choices":[]' + USAGE + b"}"
    elif kind in (FINISH, FINISH_EMPTY):
        form = form.replace(b'"finish_reason":null', b'"finish_reason":"stop"')
    filled = form.replace(b"TEXT", text).replace(b"TOTAL", b"%d" % (24 + number)).replace(b"COUNT", b"%d" % number)
    return framed(dialect, filled)


def stream(dialect: str, stretches: list[Stretch], *, told_only: bool = False) -> list[bytes]:
    """Return the pieces; each is a token, with `told_only` each that tells its count."""
    kinds = [kind for kind, length in stretches for _ in range(length)]
    numbers = accumulate(int(not told_only or kind not in (PLAIN, PLAIN_TEXT, THOUGHT)) for kind in kinds)
    return [*(chunk(dialect, kind, number) for number, kind in zip(numbers, kinds, strict=True)), b"data: [DONE]\n\n"]


KINDS = [
    TEXT,
    TEXT,
    EMPTY,
    EMPTY,
    ROLE,
    TEXTLESS,
    COUNTED,
    PLAIN,
    PLAIN_TEXT,
    THOUGHT,
    USAGE_ONLY,
    FINISH,
    FINISH_EMPTY,
]
LENGTHS = [1, 1, 2, 3, 9, 20, 40]
STRETCHES = st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(LENGTHS)), min_size=1, max_size=9)
USUAL = [(ROLE, 1), (TEXT, 3), (EMPTY, 60), (TEXT, 20), (FINISH_EMPTY, 1), (USAGE_ONLY, 1)]


@settings(deadline=None, max_examples=250)
@given(stretches=STRETCHES, dialect=st.sampled_from(SHORT), keep=st.booleans(), told_only=st.booleans())
@example(USUAL, "openai", True, False)
@example(USUAL, "vllm", True, False)
@example([(TEXT, 3), (EMPTY, 80)], "tgi-chat", False, False)
# A run is tried behind two pieces, then behind four more: it begins right behind those that change the count.
@example([(ROLE, 1), (TEXT, 1), (THOUGHT, 4), (TEXT, 40)], "vllm", True, True)
@example([(ROLE, 1), (PLAIN_TEXT, 1), (COUNTED, 4), (PLAIN_TEXT, 8), (TEXT, 20)], "vllm", True, False)
def test_any_mixture_reads_the_same(stretches: list[Stretch], dialect: str, keep: bool, told_only: bool) -> None:
    for sample in (0, 9, 2000):
        read_both_ways(dialect, stream(dialect, stretches, told_only=told_only), keep_text=keep, sample_chars=sample)


@pytest.mark.parametrize("dialect", SHORT)
def test_a_run_of_nothing_but_empty_texts_is_taken_and_makes_no_chunk(dialect: str) -> None:
    pieces = stream(dialect, [(TEXT, 3), (EMPTY, 90), (TEXT, 30), (FINISH_EMPTY, 1)])
    assert max(lengths_of_runs(dialect, pieces)) >= 20
    reading = read_both_ways(dialect, pieces, sample_chars=2000)
    assert reading.ok
    assert len(reading.chunks.arrivals) == 33
    assert reading.text == "".join(f" w{number}" for number in [*range(1, 4), *range(94, 124)])
    if dialect.startswith("vllm"):  # the tokens of the silent ones belong to the next text
        assert list(reading.chunks.tokens) == [1, 1, 1, 91, *[1] * 29]
    # The longest time without text is the one of the empty texts.
    assert reading.stall_ns == reading.chunks.arrivals[3] - reading.chunks.arrivals[2]


@pytest.mark.parametrize("dialect", SHORT)
def test_an_answer_of_empty_texts_is_an_empty_answer(dialect: str) -> None:
    reading = read_both_ways(dialect, stream(dialect, [(ROLE, 1), (EMPTY, 80), (FINISH_EMPTY, 1)]))
    assert not reading.ok
    assert reading.error is not None
    assert reading.error.error_class == "empty"


def test_an_uncounted_run_of_empty_texts_leaves_the_count_as_it_was() -> None:
    """After texts that told no count, one without text tells it; empty texts of the uncounted form do not lose it."""
    dialect = "vllm"
    uncounted = framed(dialect, CHUNKS[dialect].replace(USAGE, UNCOUNTED).replace(b"TEXT", b'" w"'))
    plain, empty = [uncounted] * 2, [chunk(dialect, PLAIN, 0)] * 40
    for silent in (1, 2, 5):
        pieces = [*plain, *(chunk(dialect, COUNTED, 2 + n) for n in range(silent)), *empty]
        after = [chunk(dialect, TEXT, 50), chunk(dialect, TEXT, 51), b"data: [DONE]\n\n"]
        assert any(length >= 8 for length in lengths_of_runs(dialect, [*pieces, *after])), silent
        reading = read_both_ways(dialect, [*pieces, *after])
        assert reading.chunks.tokens[-1] == 1
        assert reading.chunks.tokens[-2] >= 50 - (1 + silent)
