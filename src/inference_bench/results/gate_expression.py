"""The expressions of --fail-if: read, refused with the column of the mistake, written out again. Nothing is evaluated.

    expression = condition { ("and" | "or") condition }          and binds tighter than or
    condition  = [TEST ":"] SERVICE "." VALUE OP NUMBER          VALUE is METRIC.STATISTIC, or one word
    OP         = "<" | "<=" | ">" | ">=" | "==" | "!="

There are no parentheses and no arithmetic. A hyphen belongs to the name it stands in.
"""

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, cast

from inference_bench.errors import UsageError

Operator = Literal["<", "<=", ">", ">=", "==", "!="]
OPERATORS: Final[Mapping[Operator, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
GRAMMAR: Final = "[TEST:]SERVICE.METRIC[.STAT] OP NUMBER, joined by and/or; for example 'vllm.ttft_ms.p95 > 300'"
LONGEST: Final = 2_000
_SHOWN: Final = 80

_TOKEN = re.compile(r"\s*(?:(?P<op>[<>=!]+)|(?P<word>[A-Za-z0-9_.:@+-]+)|(?P<other>\S))")
_NAME = re.compile(
    r"(?:(?P<test>[a-z0-9][a-z0-9-]*(?:@[0-9][0-9.e+-]*)?):)?"  # a point of a sweep is called NAME@VALUE
    r"(?P<service>[a-z0-9][a-z0-9-]*)\.(?P<value>[a-z][a-z0-9_]*(?:\.[a-z0-9_-]+)?)"
)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WRONG_WORDS: Final = {"and": "and", "or": "or", "&": "and", "|": "or"}
_PARENTHESES: Final = ("(", ")")
_ARITHMETIC: Final = ("+", "-", "*", "/", "%")
_NO_PARENTHESES: Final = "there are no parentheses: and binds tighter than or, and --fail-if may be given several times"
_PLAIN_NUMBER: Final = "a plain number stands on the right: no unit, no separator, no arithmetic"


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison: true when `value` of `service` in `test` (None: in every test) stands so to `number`.

    `column` is where it begins in the text it was read from, counted from 1.
    """

    test: str | None
    service: str
    value: str
    op: Operator
    number: float
    column: int = field(default=1, compare=False)

    def __str__(self) -> str:
        test = "" if self.test is None else f"{self.test}:"
        return f"{test}{self.service}.{self.value} {self.op} {number_text(self.number)}"


@dataclass(frozen=True, slots=True)
class GateExpression:
    """What fails a run when it is true: one of `alternatives` (or), all conditions of which hold (and)."""

    alternatives: tuple[tuple[Condition, ...], ...]
    text: str = field(default="", compare=False)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Every condition, in the order of the text."""
        return tuple(condition for group in self.alternatives for condition in group)

    def __str__(self) -> str:
        return " or ".join(" and ".join(str(condition) for condition in group) for group in self.alternatives)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: Literal["op", "word", "other", "end"]
    text: str
    column: int


def parse_gate(text: str) -> GateExpression:
    """Read an expression. Raises UsageError that points at the column of the mistake."""
    if len(text) > LONGEST:
        raise UsageError(f"--fail-if takes at most {LONGEST:,} characters", hint="give it several times")
    tokens = _tokens(text)
    groups: list[list[Condition]] = [[_condition(text, tokens)]]
    for token in tokens:
        if token.kind == "end":
            return GateExpression(tuple(tuple(group) for group in groups), text)
        if token.text == "or":
            groups.append([])
        elif token.text != "and":
            raise gate_problem(text, token.column, _instead_of_joint(token))
        groups[-1].append(_condition(text, tokens))
    raise AssertionError("the tokens end with an end")


def gate_problem(text: str, column: int, problem: str) -> UsageError:
    """Return the error of an expression, with the place it is about."""
    return UsageError(f"--fail-if {_quoted(text)}, column {column}: {problem}", hint=GRAMMAR)


def number_text(number: float) -> str:
    """Return a number as it is written, so that reading it gives the same number."""
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def _tokens(text: str) -> Iterator[_Token]:
    position = 0
    while (match := _TOKEN.match(text, position)) is not None:
        kind = cast(Literal["op", "word", "other"], match.lastgroup)
        yield _Token(kind, match[kind], match.start(kind) + 1)
        position = match.end()
    yield _Token("end", "", len(text.rstrip()) + 1)


def _condition(text: str, tokens: Iterator[_Token]) -> Condition:
    subject = next(tokens)
    name = _NAME.fullmatch(subject.text) if subject.kind == "word" else None
    if name is None:
        raise gate_problem(text, subject.column, _instead_of_name(subject))
    sign = next(tokens)
    if sign.text not in OPERATORS:
        raise gate_problem(text, sign.column, _instead_of_operator(sign))
    number = next(tokens)
    if number.kind != "word" or _NUMBER.fullmatch(number.text) is None:
        raise gate_problem(text, number.column, _instead_of_number(number, sign.text))
    limit = float(number.text)
    if not math.isfinite(limit):
        raise gate_problem(text, number.column, "the number is too large")
    op = cast(Operator, sign.text)
    return Condition(name["test"], name["service"], name["value"], op, limit, subject.column)


def _instead_of_name(token: _Token) -> str:
    if token.kind == "end":
        return "SERVICE.METRIC.STAT is missing here" if token.column > 1 else "it is empty"
    if token.text in _PARENTHESES:
        return _NO_PARENTHESES
    if _NUMBER.fullmatch(token.text):
        return f"the number stands on the right: SERVICE.METRIC.STAT > {token.text}"
    if _NAME.fullmatch(token.text.lower()):
        return f"names are written in lower case: {token.text.lower()}"
    if re.fullmatch(r"[a-z0-9_-]+", token.text) and token.text not in ("and", "or"):
        return f"{token.text!r} lacks a part: SERVICE.METRIC.STAT, or SERVICE.success_rate"
    return f"SERVICE.METRIC.STAT is wanted here, not {_quoted(token.text)}"


def _instead_of_operator(token: _Token) -> str:
    if token.text == "=":
        return "one = compares nothing: write =="
    if token.text in _ARITHMETIC:
        return "there is no arithmetic"
    found = "nothing" if token.kind == "end" else _quoted(token.text)
    return f"one of {' '.join(OPERATORS)} is wanted here, not {found}"


def _instead_of_number(token: _Token, sign: str) -> str:
    if token.kind == "end":
        return f"a number is missing after {sign}"
    if _NUMBER.match(token.text):
        return f"{_PLAIN_NUMBER}, not {_quoted(token.text)}"
    return f"a number is wanted here, not {_quoted(token.text)}: values are not compared with each other"


def _instead_of_joint(token: _Token) -> str:
    if token.text.lower() in _WRONG_WORDS:
        return f"write {_WRONG_WORDS[token.text.lower()]}, in lower case"
    if token.text in _PARENTHESES:
        return _NO_PARENTHESES
    if token.text in _ARITHMETIC or token.text == ",":
        return _PLAIN_NUMBER
    return f"and, or, or the end is wanted here, not {_quoted(token.text)}"


def _quoted(text: str) -> str:
    """Return what a user wrote, in quotes, fit for one line of a terminal."""
    shown = "".join(character if character.isprintable() else "?" for character in text[:_SHOWN])
    return f"'{shown}{'…' if len(text) > _SHOWN else ''}'"
