"""What many heats show: figures with intervals, the comparison engine's verdict, and what a crowd does to TTFT.

The block is the heat: all services were asked the same at the same instant, so each pair has one log ratio per heat.
What decides is the time to the heat's common number of tokens, as on the podium; TTFT stands beside it, exploratory.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

from inference_bench.config.models import ComparisonSettings
from inference_bench.live.feeling import Saving
from inference_bench.metrics.columns import Floats
from inference_bench.metrics.comparison import Decision, Hypothesis, NotComparable, decide, paired
from inference_bench.metrics.distribution import Distribution, describe
from inference_bench.orchestration.race_orchestrator import RACE, RaceHeat
from inference_bench.results.comparison import Comparison, Pair
from inference_bench.results.comparison_words import FINISH_MS
from inference_bench.testing.validity import Facts, Judgement, judge

TTFT_MS: Final = "ttft_ms"
_STATISTIC: Final = (
    "p50"  # of a block of one value: the value itself; from 30 heats on a trimmed mean of the log ratios
)
_POINT: Final = 0.01
Value = Callable[[RaceHeat, str], float | None]


@dataclass(frozen=True, slots=True)
class RacerFigures:
    """One service over all heats alone: distributions of its values, and whether this machine could tell."""

    name: str
    ok: int
    failed: int
    ttft: Distribution
    finish: Distribution
    tokens_per_second: Distribution
    places: tuple[int, ...]
    validity: Judgement


@dataclass(frozen=True, slots=True)
class CrowdEffect:
    """TTFT of one service alone and among `users` background users on each service: medians in ms, None when missing.

    `decision` is the ratio crowd over alone with its interval; None with fewer than three pairs, and where `validity`
    says that this machine, which sends for the crowd too, could not tell. In `unsettled` of the
    heats the crowd had not had its first answers when the race began: what it loads a service with was still growing.
    """

    name: str
    users: int
    alone_ms: float | None
    crowd_ms: float | None
    decision: Decision | None
    reason: str | None
    answers: int
    failures: int
    unsettled: int
    validity: Judgement


@dataclass(frozen=True, slots=True)
class RaceStatistics:
    """Everything a race ends in."""

    heats: int
    figures: tuple[RacerFigures, ...]
    comparison: Comparison
    crowd: tuple[CrowdEffect, ...]
    saving: Saving | None


def statistics_of(
    heats: Sequence[RaceHeat], names: Sequence[str], settings: ComparisonSettings, *, seed: int, simulated: bool
) -> RaceStatistics:
    """Return what the heats show; heats that were cut short are left out."""
    whole = [heat for heat in heats if not heat.interrupted]
    alone = [heat for heat in whole if not heat.coming.crowd]
    figures = tuple(_figures(name, alone) for name in names)
    comparison = _comparison(alone, figures, settings, seed=seed, simulated=simulated)
    crowd = tuple(_crowd_effect(name, whole, seed=seed) for name in names) if len(whole) > len(alone) else ()
    return RaceStatistics(len(alone), figures, comparison, crowd, _saving(comparison, figures))


def ttft_of(heat: RaceHeat, name: str) -> float | None:
    """Return a good answer's TTFT."""
    outcome = heat.outcomes.get(name)
    return outcome.ttft_ms if outcome is not None and outcome.ok else None


def finish_of(heat: RaceHeat, name: str) -> float | None:
    """Return the time to the heat's common number of tokens."""
    return heat.finish_ms(name)


def _speed_of(heat: RaceHeat, name: str) -> float | None:
    outcome = heat.outcomes.get(name)
    tpot = None if outcome is None else outcome.tpot_ms
    return 1000 / tpot if tpot else None


def _figures(name: str, heats: Sequence[RaceHeat]) -> RacerFigures:
    took_part = [heat for heat in heats if name in heat.outcomes]
    good = [heat for heat in took_part if heat.outcomes[name].ok]
    ttft = _distribution(ttft_of, name, took_part)
    return RacerFigures(
        name=name,
        ok=len(good),
        failed=len(took_part) - len(good),
        ttft=ttft,
        finish=_distribution(finish_of, name, took_part),
        tokens_per_second=_distribution(_speed_of, name, took_part),
        places=tuple(place for heat in good if (place := _place(heat, name)) is not None),
        validity=_validity(name, good, ttft.percentiles.get(50)),
    )


def _distribution(value: Value, name: str, heats: Sequence[RaceHeat]) -> Distribution:
    found = [got for heat in heats if (got := value(heat, name)) is not None]
    return describe(np.array(found, dtype=float), missing=len(heats) - len(found), better="less")


def _place(heat: RaceHeat, name: str) -> int | None:
    return heat.podium.of([lane.name for lane in heat.lanes].index(name)).place


def _validity(name: str, heats: Sequence[RaceHeat], median: float | None) -> Judgement:
    """Judge the client by the signs that a race has: late sends, merged first reads, stops of the worker."""
    lags = [heat.send_lag_ms[name] for heat in heats if name in heat.send_lag_ms]
    merged = sum(heat.first_merged.get(name, False) for heat in heats)
    return judge(
        Facts(
            # Few heats have no 99th percentile: the median, which one slow connection does not move.
            send_lag_median_ms=float(np.median(lags)) if lags else None,
            ttft_median_ms=median,
            merged_first_token_share=merged / len(heats) if heats else None,
            longest_stall_ms=max((heat.late_ms for heat in heats), default=None),
        )
    )


def _comparison(
    heats: Sequence[RaceHeat],
    figures: Sequence[RacerFigures],
    settings: ComparisonSettings,
    *,
    seed: int,
    simulated: bool,
) -> Comparison:
    both = list(combinations(figures, 2))
    decided = [*_pairs(FINISH_MS, finish_of, heats, both, settings, seed=seed, primary=True)]
    decided += _pairs(TTFT_MS, ttft_of, heats, both, settings, seed=seed, primary=False)
    return Comparison(
        test_id=RACE,
        simulated=simulated,
        design={"min_effect": settings.min_effect, "tests": {RACE: {"unit": "heat"}}},
        pairs=tuple(decided),
    )


def _pairs(
    metric: str,
    value: Value,
    heats: Sequence[RaceHeat],
    both: Sequence[tuple[RacerFigures, RacerFigures]],
    settings: ComparisonSettings,
    *,
    seed: int,
    primary: bool,
) -> list[Pair]:
    """Return a verdict for each pair on one metric; Holm's correction over the pairs when it decides."""
    estimates = [paired(_blocks(value, heats, a.name), _blocks(value, heats, b.name), _STATISTIC, seed=seed)
                 for a, b in both]  # fmt: skip
    hypotheses = [Hypothesis(one, "less") for one in estimates if not isinstance(one, NotComparable)]
    decisions = iter(
        decide(
            hypotheses,
            min_effect=settings.min_effect,
            confidence=settings.confidence,
            multiplicity="holm" if primary else None,
        )
    )
    made = []
    for (a, b), estimate in zip(both, estimates, strict=True):
        bare = Pair(
            test=RACE, metric=metric, statistic=None if metric == FINISH_MS else _STATISTIC, primary=primary,
            a=a.name, b=b.name, verdict="not_comparable", unit="ms",
            value_a=_median(a, metric), value_b=_median(b, metric),
        )  # fmt: skip
        if isinstance(estimate, NotComparable):
            reason = estimate.reason.replace("block", "heat")
            made.append(bare.model_copy(update={"reason": reason}))
        else:
            made.append(_judged(bare, next(decisions), a, b))
    return made


def _blocks(value: Value, heats: Sequence[RaceHeat], name: str) -> list[Floats]:
    found = [value(heat, name) for heat in heats]
    return [np.array([] if one is None else [one], dtype=float) for one in found]


def _median(figures: RacerFigures, metric: str) -> float | None:
    return (figures.finish if metric == FINISH_MS else figures.ttft).percentiles.get(50)


def _judged(bare: Pair, decision: Decision, a: RacerFigures, b: RacerFigures) -> Pair:
    """Return the pair with its verdict, unless this machine or a service's failures withhold it."""
    winner, other = (a, b) if decision.better == "a" else (b, a)
    obstacle = next(
        (f"the race is invalid: {one.validity.reasons[0]}" for one in (a, b) if one.validity.verdict == "invalid"),
        None,
    )
    if obstacle is None and decision.better is not None and _rate(other) - _rate(winner) > _POINT:
        obstacle = f"{winner.name} has the better figures, and fewer of its requests succeeded"
    if obstacle is not None:
        return bare.model_copy(update={"reason": obstacle})
    return bare.model_copy(
        update={
            "ratio": decision.ratio,
            "ci_low": decision.ci_low,
            "ci_high": decision.ci_high,
            "confidence": decision.confidence,
            "p": decision.p,
            "p_adjusted": decision.p_adjusted,
            "verdict": decision.verdict,
            "better": None if decision.better is None else winner.name,
            "blocks": decision.blocks,
            "needed_n": decision.needed_n,
            "reason": decision.reason,
            "method": decision.method,
        }
    )


def _rate(figures: RacerFigures) -> float:
    ended = figures.ok + figures.failed
    return figures.ok / ended if ended else 0.0


def _crowd_effect(name: str, heats: Sequence[RaceHeat], *, seed: int) -> CrowdEffect:
    """Return what the crowd does to one service, from pairs of heats that asked the same, alone and in it."""
    alone = [heat for heat in heats if not heat.coming.crowd]
    among = [heat for heat in heats if heat.coming.crowd]
    pairs = min(len(alone), len(among))
    crowd, quiet = _blocks(ttft_of, among[:pairs], name), _blocks(ttft_of, alone[:pairs], name)
    estimate = paired(crowd, quiet, _STATISTIC, seed=seed)
    crowd_ttft = _distribution(ttft_of, name, among)
    validity = _validity(name, [heat for heat in among if ttft_of(heat, name) is not None], _middle(crowd_ttft))
    decision: Decision | None = None
    reason: str | None = None
    if isinstance(estimate, NotComparable):
        reason = estimate.reason.replace("block", "heat")
    elif validity.verdict == "invalid":
        reason = f"the heats in the crowd are invalid: {validity.reasons[0]}"
    else:
        decision = decide([Hypothesis(estimate, "less")])[0]
    counts = [heat.crowd_counts.get(name, (0, 0)) for heat in among]
    return CrowdEffect(
        name=name,
        users=max((heat.coming.crowd for heat in among), default=0),
        alone_ms=_middle(_distribution(ttft_of, name, alone)),
        crowd_ms=_middle(crowd_ttft),
        decision=decision,
        reason=reason,
        answers=sum(ok for ok, _ in counts),
        failures=sum(failed for _, failed in counts),
        unsettled=sum(not heat.settled for heat in among),
        validity=validity,
    )


def _middle(found: Distribution) -> float | None:
    """Return the median; of a single value, which carries no percentile, the value."""
    return found.percentiles.get(50) if found.n > 1 else found.mean


def _saving(comparison: Comparison, figures: Sequence[RacerFigures]) -> Saving | None:
    """Return what the quickest first words save over the slowest, where heats show that they differ at all."""
    means = {one.name: one.ttft.mean for one in figures if one.ttft.mean is not None}
    if len(means) < 2:
        return None
    fast, slow = min(means, key=lambda name: means[name] or 0), max(means, key=lambda name: means[name] or 0)
    shown = any(
        pair.metric == TTFT_MS and {pair.a, pair.b} == {fast, slow} and pair.verdict == "better" and pair.better == fast
        for pair in comparison.pairs
    )
    fast_ms, slow_ms = means[fast], means[slow]
    return Saving(fast, slow, fast_ms, slow_ms) if shown and fast_ms is not None and slow_ms is not None else None
