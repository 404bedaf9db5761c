"""A comparison in words: one sentence per pair, one about the winner. Pure functions; no markup, no terminal.

Names of services and reasons stand in the sentences as they are stored: whoever shows them cleans or escapes.
"""

import math
from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue

from inference_bench.results.comparison import Comparison, Pair
from inference_bench.results.values import better_of

WITHIN_THIS_RUN: Final = "within this run only"
FINISH_MS: Final = "finish_ms"  # of a race: from sending to the number of tokens that all have reached
NO_RUN_TO_RUN: Final = "does not include run-to-run change"

_METRICS: Final[Mapping[str, str]] = {
    "ttft_ms": "TTFT",
    "ttft_intended_ms": "TTFT from intended",
    "ttfa_ms": "time to first answer token",
    "tpot_ms": "TPOT",
    "icl_ms": "chunk gap",
    "itl_ms": "token gap",
    "stall_ms": "longest stall",
    "e2e_ms": "E2E",
    FINISH_MS: "time to the same tokens",
    "e2e_intended_ms": "E2E from intended",
    "output_tok_per_s_user": "tokens/s/user",
    "requests_per_s": "requests/s",
    "output_tokens_per_s": "output tokens/s",
}
_VERDICTS: Final = {
    "better": "better",
    "equivalent": "equivalent",
    "no_difference_shown": "no difference shown",
    "not_comparable": "not comparable",
}
_DECIMALS: Final = 2
_MOST_DECIMALS: Final = 3
Design = Mapping[str, JsonValue]


def metric_words(pair: Pair) -> str:
    """Return what is compared, such as "TTFT p50" or "requests/s"."""
    label = _METRICS.get(pair.metric, pair.metric)
    return label if pair.statistic is None else f"{label} {pair.statistic}"


def direction(pair: Pair) -> str | None:
    """Return "less" or "more": which way the pair's metric is better; None for a metric that has neither."""
    if pair.metric == FINISH_MS:
        return "less"
    name = pair.metric if pair.statistic is None else f"{pair.metric}.{pair.statistic}"
    try:
        return better_of(name)
    except KeyError:  # a file of a later version may compare more
        return None


def percent_words(share: float) -> str:
    """Return a share as per cent, without digits that say nothing: 5 %, 97.5 %, 99.17 %."""
    return f"{f'{100 * share:.2f}'.rstrip('0').rstrip('.')} %"


def factor_words(*factors: float) -> tuple[str, ...]:
    """Return ratios as text: two decimals, or three where it takes them to tell one from 1, or from another."""
    decimals = _DECIMALS if max(abs(factor) for factor in factors) < 10 else 1
    while True:
        shown = tuple(f"{factor:,.{decimals}f}" for factor in factors)
        unclear = any(
            factor != 1 and float(text.replace(",", "")) == 1 for factor, text in zip(factors, shown, strict=True)
        )
        if decimals >= _MOST_DECIMALS or not (unclear or len(set(shown)) < len(set(factors))):
            return shown
        decimals += 1


def seen_from(pair: Pair, name: str) -> tuple[float, float, float] | None:
    """Return (ratio, low, high) of `name`'s value over the other's; None where nothing was estimated."""
    if pair.ratio is None or pair.ci_low is None or pair.ci_high is None:
        return None
    if name == pair.a:
        return pair.ratio, pair.ci_low, pair.ci_high
    if min(pair.ratio, pair.ci_low) <= 0:
        return None
    return 1 / pair.ratio, 1 / pair.ci_high, 1 / pair.ci_low


def advantage(pair: Pair, name: str) -> tuple[float, float, float] | None:
    """Return (factor, low, high) by which `name` is better than the other: above 1 is better, whatever the metric."""
    other = pair.b if name == pair.a else pair.a
    return seen_from(pair, other if direction(pair) == "less" else name)


def leader(pair: Pair) -> str | None:
    """Return the service the figures favour, sure or not: the better one, else the one on the good side of 1."""
    if pair.better is not None or direction(pair) is None:
        return pair.better
    found = advantage(pair, pair.a)
    return None if found is None or found[0] == 1 else pair.a if found[0] > 1 else pair.b


def claim(pair: Pair) -> str | None:
    """Return who leads by how much, as figures and not as a verdict: "vllm is 1.80x faster than ollama"."""
    first = leader(pair)
    found = None if first is None else advantage(pair, first)
    if first is None or found is None:
        return None
    other = pair.b if first == pair.a else pair.a
    (factor,) = factor_words(found[0])
    if direction(pair) == "more":
        return f"{first} has {factor}x the {metric_words(pair)} of {other}"
    word = "faster" if pair.metric.endswith("_ms") else "lower"
    return f"{first} is {factor}x {word} than {other} on {metric_words(pair)}"


def tendency(pair: Pair) -> str | None:
    """Return whom the figures favour by how much, when nobody is called better: "vllm 1.02x faster"."""
    first = leader(pair)
    found = None if first is None else advantage(pair, first)
    if first is None or found is None:
        return None
    word = "higher" if direction(pair) == "more" else "faster" if pair.metric.endswith("_ms") else "lower"
    return f"{first} {factor_words(found[0])[0]}x {word}"


def certainty_words(pair: Pair) -> str | None:
    """Return the interval of `claim`, as "95 % CI 1.62 to 2.01"; None where there is none."""
    first = leader(pair) or pair.a
    found = advantage(pair, first) if direction(pair) is not None else seen_from(pair, first)
    if found is None or pair.confidence is None:
        return None
    low, high = factor_words(*found[1:])
    return f"{percent_words(pair.confidence)} CI {low} to {high}"


def needed_words(pair: Pair, design: Design) -> str | None:
    """Return how much more would probably decide; None where that is not known, or where nothing more would."""
    if not pair.needed_n:
        return None
    unit = unit_of(design, pair.test)
    many = f"{pair.needed_n:,} more {unit}{'' if pair.needed_n == 1 else 's'}"
    return f"about {many} would probably show {effect_words(design)}"


def effect_words(design: Design) -> str:
    """Return the smallest effect worth naming: "5 %"."""
    effect = design.get("min_effect")
    known = isinstance(effect, int | float) and math.isfinite(effect)
    return percent_words(float(effect)) if known and isinstance(effect, int | float) else "the smallest effect"


def unit_of(design: Design, test: str) -> str:
    """Return what the blocks of a test are: block, round, slice, run."""
    tests = design.get("tests")
    of_test = tests.get(test) if isinstance(tests, dict) else None
    unit = of_test.get("unit") if isinstance(of_test, dict) else None
    return unit if isinstance(unit, str) else "block"


def block_words(comparison: Comparison) -> tuple[tuple[str, str], ...]:
    """Return (test, "100 blocks") for every test that was compared: the evidence its verdicts stand on."""
    fewest: dict[str, int] = {}
    for pair in comparison.primary_pairs:
        fewest[pair.test] = min(pair.blocks, fewest.get(pair.test, pair.blocks))
    units = {test: unit_of(comparison.design, test) for test in fewest}
    return tuple((test, f"{many:,} {units[test]}{'' if many == 1 else 's'}") for test, many in fewest.items())


def verdict_words(pair: Pair) -> str:
    """Return the verdict in two or three words; a better one is named."""
    return f"{pair.better} better" if pair.better is not None else _VERDICTS[pair.verdict]


def sentence(pair: Pair, design: Design | None = None) -> str:
    """Return what the pair shows, in one sentence without a full stop. `design` is the comparison's."""
    design = design or {}
    both = f"{pair.a} and {pair.b} on {metric_words(pair)}"
    figures = ", ".join(filter(None, [tendency(pair), certainty_words(pair)])) or None
    if pair.verdict == "better":
        said = " ".join(filter(None, [claim(pair), _bracketed(certainty_words(pair), pair.reason)]))
    elif pair.verdict == "equivalent":
        said = f"{pair.a} and {pair.b} are equivalent within {effect_words(design)} on {metric_words(pair)}"
        said = " ".join(filter(None, [said, _bracketed(figures, pair.reason)]))
    elif pair.verdict == "no_difference_shown":
        what = f"no difference of {effect_words(design)} or more" if _is_small(pair) else "no difference"
        reach, why = _reach_and_reason(pair)
        said = " ".join(filter(None, [f"{what} shown between {both}", _bracketed(figures, reach)]))
        said = "; ".join(filter(None, [said, needed_words(pair, design), why]))
    else:
        said = f"{both} are not comparable: {pair.reason or 'no reason is stored'}"
    return said


def winner_sentence(comparison: Comparison) -> str:
    """Return who wins the run and why, or why nobody does."""
    winner = comparison.winners.get("overall")
    reason = comparison.winner_reasons.get("overall")
    if winner is None:
        return f"No overall winner{f': {reason}' if reason else ''}"
    return f"Overall winner: {winner}{f' ({reason})' if reason else ''}"


def verdict_sentences(comparison: Comparison) -> tuple[tuple[str, str], ...]:
    """Return (test, sentence) for every primary pair, in order."""
    return tuple((pair.test, sentence(pair, comparison.design)) for pair in comparison.primary_pairs)


def _is_small(pair: Pair) -> bool:
    """Whether a difference is shown that may be too small to be worth naming."""
    found = seen_from(pair, pair.a)
    return found is not None and (found[1] > 1 or found[2] < 1)


def _reach_and_reason(pair: Pair) -> tuple[str | None, str | None]:
    """Return how far a verdict reaches, and why it is what it is: a pair's reason may say both."""
    parts = pair.reason.split("; ") if pair.reason else []
    reach = [part for part in parts if part.startswith(WITHIN_THIS_RUN) or part == NO_RUN_TO_RUN]
    return "; ".join(reach) or None, "; ".join(part for part in parts if part not in reach) or None


def _bracketed(*parts: str | None) -> str | None:
    said = "; ".join(part for part in parts if part)
    return f"({said})" if said else None
