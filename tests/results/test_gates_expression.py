"""The grammar of --fail-if: what is read, what is refused and where, and that writing it out reads the same."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inference_bench.errors import UsageError
from inference_bench.results.gate_expression import LONGEST, OPERATORS, Condition, GateExpression, parse_gate

NAMES = st.from_regex(r"[a-z0-9][a-z0-9-]{0,8}", fullmatch=True)
VALUES = st.from_regex(r"[a-z][a-z0-9_]{0,8}(\.[a-z0-9_]{1,5})?", fullmatch=True)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
CONDITIONS = st.builds(Condition, st.none() | NAMES, NAMES, VALUES, st.sampled_from(list(OPERATORS)), NUMBERS)
EXPRESSIONS = st.lists(st.lists(CONDITIONS, min_size=1, max_size=3).map(tuple), min_size=1, max_size=3).map(
    lambda groups: GateExpression(tuple(groups))
)


def test_every_part_is_read() -> None:
    read = parse_gate("high-load:vllm-blue.ttft_ms.p95>=3.5e2")
    assert read.alternatives == ((Condition("high-load", "vllm-blue", "ttft_ms.p95", ">=", 350.0),),)
    points = parse_gate("curve@16:tgi.ok<1 or curve@2.5:tgi.ok<1 and curve@1e-05:tgi.ok<1").conditions
    assert [point.test for point in points] == ["curve@16", "curve@2.5", "curve@1e-05"]


@pytest.mark.parametrize("sign", OPERATORS)
@pytest.mark.parametrize("space", ["", " ", "\t  "])
def test_every_operator_is_read_with_and_without_spaces(sign: str, space: str) -> None:
    (condition,) = parse_gate(f"tgi.success_rate{space}{sign}{space}-.5").conditions
    assert (condition.op, condition.number) == (sign, -0.5)


@pytest.mark.parametrize("text", ["curve@:tgi.ok<1", "curve@x:tgi.ok<1", "tgi@4.ok<1", "@4:tgi.ok<1"])
def test_a_load_stands_behind_the_name_of_a_test(text: str) -> None:
    with pytest.raises(UsageError):
        parse_gate(text)


def test_and_binds_tighter_than_or() -> None:
    read = parse_gate("a.ok < 1 or b.ok < 2 and c.ok < 3 or d.ok < 4")
    assert [[one.service for one in group] for group in read.alternatives] == [["a"], ["b", "c"], ["d"]]


def test_services_may_be_called_like_the_words_of_the_grammar() -> None:
    read = parse_gate("and.ok < 1 and or.ok < 2 or 3090.ok < 3 and 1e-3.ok > 1")
    assert [one.service for one in read.conditions] == ["and", "or", "3090", "1e-3"]


@given(EXPRESSIONS)
def test_an_expression_written_out_reads_the_same(expression: GateExpression) -> None:
    assert parse_gate(str(expression)) == expression


@given(st.text() | st.text(alphabet="ab.:-_ <>=!&|()+*0123456789andorpe\n\x1b", max_size=60))
@example("vllm.ttft_ms.p95 > ١٢")  # Arabic digits
@example("a.b > 1" + " and a.b > 1" * 300)
def test_any_text_is_an_expression_or_a_usage_error_on_one_line(text: str) -> None:
    try:
        read = parse_gate(text)
    except UsageError as error:
        assert error.message.isprintable()
        assert error.exit_code == 2
        return
    assert all(math.isfinite(one.number) for one in read.conditions)
    assert parse_gate(str(read)) == read


REFUSED = {
    "nothing": ("", 1, "it is empty"),
    "no operator": ("vllm.ttft_ms.p95", 17, "one of < <= > >= == != is wanted here, not nothing"),
    "no number": ("vllm.ok >", 10, "a number is missing after >"),
    "one equals sign": ("vllm.ok = 3", 9, "one = compares nothing: write =="),
    "arrow": ("vllm.ok => 3", 9, "one of < <= > >= == != is wanted here, not '=>'"),
    "unit": ("vllm.ttft_ms.p95 > 300ms", 20, "no unit"),
    "per cent": ("vllm.success_rate < 99%", 23, "no unit"),
    "thousands": ("vllm.ok < 1,000", 12, "no separator"),
    "arithmetic on the right": ("vllm.ok < 3 * 4", 13, "no arithmetic"),
    "arithmetic on the left": ("vllm.ok * 2 < 3", 9, "there is no arithmetic"),
    "parenthesis": ("(vllm.ok < 3)", 1, "there are no parentheses"),
    "closing parenthesis": ("vllm.ok < 3)", 12, "there are no parentheses"),
    "turned round": ("3 > vllm.ok", 1, "the number stands on the right"),
    "two values": ("vllm.ok < tgi.ok", 11, "values are not compared with each other"),
    "not a number": ("vllm.ok < nan", 11, "a number is wanted here, not 'nan'"),
    "too large": ("vllm.ok < 1e999", 11, "the number is too large"),
    "capitals": ("VLLM.ok < 3", 1, "names are written in lower case: vllm.ok"),
    "capital word": ("vllm.ok < 3 AND tgi.ok < 3", 13, "write and, in lower case"),
    "ampersands": ("vllm.ok < 3 && tgi.ok < 3", 13, "write and, in lower case"),
    "service alone": ("vllm > 3", 1, "'vllm' lacks a part"),
    "four parts": ("vllm.ttft_ms.p95.ms > 3", 1, "SERVICE.METRIC.STAT is wanted here"),
    "two tests": ("a:b:vllm.ok > 3", 1, "SERVICE.METRIC.STAT is wanted here"),
    "loose end": ("vllm.ok < 3 or", 15, "SERVICE.METRIC.STAT is missing here"),
    "second comparison": ("vllm.ok < 3 < 4", 13, "and, or, or the end is wanted here, not '<'"),
}


@pytest.mark.parametrize(("text", "column", "wanted"), REFUSED.values(), ids=REFUSED.keys())
def test_a_mistake_is_told_with_its_column(text: str, column: int, wanted: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_gate(text)
    assert caught.value.message.startswith(f"--fail-if '{text}', column {column}: ")
    assert wanted in caught.value.message
    assert caught.value.hint is not None
    assert "[TEST:]SERVICE.METRIC[.STAT] OP NUMBER" in caught.value.hint


def test_what_is_far_too_long_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="at most 2,000 characters"):
        parse_gate("a.b > 1 and " * LONGEST)
