"""Faults on demand: their names, their notation, and which request gets one. How each is played stands in `faulty`.

Notation: `NAME[:ARG[:ARG]]`; as an option also `NAME…@SHARE` (a seeded share of the requests, 0 to 1) or `NAME…/N`
(every Nth request). As request header `x-simulator-fault: NAME[:ARG]` it concerns that request alone, on any route.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from inference_bench.errors import UsageError

FAULT_HEADER = "x-simulator-fault"
FAULTS: dict[str, str] = {
    "refuse": "close the connection before any answer; :reset with RST, :accept already when it is opened",
    "http-429": "answer 429 in the engine's error shape",
    "http-500": "answer 500 in the engine's error shape",
    "http-503": "answer 503 in the engine's error shape",
    "html": "answer 200 with an HTML page",
    "slow-first-byte": "wait before anything of the answer; :SECONDS (1)",
    "cut": "end the connection in mid-stream; :TOKENS written before (half), :reset with RST instead of FIN",
    "stall": "fall silent in mid-stream; :SECONDS (5) [:TOKENS written before]",
    "garbage": "an event that is no JSON in mid-stream; :raw random bytes instead of HTTP framing, then the end",
    "stream-error": "the engine's own error event inside the 200 stream; [:TOKENS written before]",
    "empty": "a proper 200 stream without any text",
    "no-done": "never send the protocol's end mark ([DONE], done:true, the details event)",
    "oversized-line": "one very long line in mid-stream; :BYTES (8000000)",
    "garbled": "a proper stream of U+FFFD instead of text; :bang of exclamation marks",
    "repeat": "a proper stream of one word, again and again",
    "short": "end the answer by itself far too early; :TOKENS of text (3)",
    "keepalive-drop": "close the idle connection after the answer; :SECONDS (0)",
}
BEFORE_ANSWER = frozenset({"refuse", "http-429", "http-500", "http-503", "html", "slow-first-byte"})
_WORDS = {"refuse": {"reset", "accept"}, "cut": {"reset"}, "garbage": {"raw"}, "garbled": {"bang"}}
_NUMBERS = {
    "slow-first-byte": 1,
    "cut": 1,
    "stall": 2,
    "stream-error": 1,
    "oversized-line": 1,
    "short": 1,
    "keepalive-drop": 1,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault with its arguments, in the order given."""

    name: str
    words: frozenset[str] = frozenset()
    numbers: tuple[float, ...] = ()

    def number(self, index: int, default: float) -> float:
        """Return the numeric argument at `index`, or the default."""
        return self.numbers[index] if index < len(self.numbers) else default


@dataclass(frozen=True, slots=True)
class FaultRule:
    """A fault and the requests it concerns: a share of them, or every Nth."""

    fault: Fault
    share: float = 1.0
    every: int | None = None


def parse_fault(text: str) -> Fault:
    """Read `NAME[:ARG[:ARG]]`; raises UsageError for an unknown name or an argument it does not take."""
    name, *arguments = text.strip().split(":")
    if name not in FAULTS:
        raise UsageError(f"simulator: unknown fault {name!r}", hint=f"known: {', '.join(FAULTS)}")
    words: set[str] = set()
    numbers: list[float] = []
    for argument in arguments:
        if argument in _WORDS.get(name, ()):
            words.add(argument)
        else:
            numbers.append(_number(name, argument))
    if len(numbers) > _NUMBERS.get(name, 0):
        raise UsageError(f"simulator: fault {name} does not take {len(numbers)} numbers", hint=FAULTS[name])
    return Fault(name, frozenset(words), tuple(numbers))


def parse_rule(text: str) -> FaultRule:
    """Read `NAME[:ARG][@SHARE | /N]`; raises UsageError."""
    if "@" in text:
        head, _, tail = text.partition("@")
        share = _number(head, tail)
        if share > 1:
            raise UsageError(f"simulator: the share in {text!r} must be between 0 and 1")
        return FaultRule(parse_fault(head), share=share)
    if "/" in text:
        head, _, tail = text.partition("/")
        if not tail.isdigit() or int(tail) < 1:
            raise UsageError(f"simulator: {text!r} needs a whole number of at least 1 after the slash")
        return FaultRule(parse_fault(head), every=int(tail))
    return FaultRule(parse_fault(text))


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e12:
        raise UsageError(f"simulator: fault {name} cannot take {text!r}", hint=FAULTS.get(name))
    return value


class FaultPlan:
    """Says which request gets which fault. Seeded; the first rule that hits wins."""

    def __init__(self, rules: Sequence[FaultRule], *, seed: int, everywhere: bool = False) -> None:
        self._rules = tuple(rule for rule in rules if "accept" not in rule.fault.words)
        self._accept_rules = tuple(rule for rule in rules if "accept" in rule.fault.words)
        self._everywhere = everywhere
        self._rng = random.Random(f"faults/{seed}")
        self._seen = [0] * len(self._rules)
        self._accepted = [0] * len(self._accept_rules)

    def pick(self, header: str | None, *, generates: bool) -> Fault | None:
        """Return the fault of one request, whose fault header is given.

        Rules concern generation routes, or all routes when the plan is for everywhere. Raises UsageError for a bad
        header.
        """
        if header is not None:
            return parse_fault(header)
        if not (generates or self._everywhere):
            return None
        return self._draw(self._rules, self._seen)

    def refuses_connection(self) -> bool:
        """Say whether a connection just opened is to be refused."""
        return self._draw(self._accept_rules, self._accepted) is not None

    def _draw(self, rules: tuple[FaultRule, ...], seen: list[int]) -> Fault | None:
        chosen: Fault | None = None
        for index, rule in enumerate(rules):
            seen[index] += 1
            hit = seen[index] % rule.every == 0 if rule.every else self._rng.random() < rule.share
            if hit and chosen is None:
                chosen = rule.fault
        return chosen
