"""What many heats show, from heats with known figures: verdicts that are right, withheld, or not given at all."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from inference_bench.cli.utils.race_views import race_report
from inference_bench.config.models import ComparisonSettings
from inference_bench.live.events import LaneFacts, Outcome
from inference_bench.live.podium import Finish, Podium
from inference_bench.orchestration.race_orchestrator import (
    RAPID_FIRE,
    Coming,
    Question,
    RaceHeat,
    RaceInput,
    answered_nothing,
    planned_heats,
)
from inference_bench.orchestration.race_statistics import RaceStatistics, statistics_of
from inference_bench.results.comparison import Pair

NAMES = ("slow", "fast")
MS = 1_000_000
Pace = Callable[[int], tuple[float, float]]  # of a heat: TTFT and time to the common tokens, ms


def outcome(ttft_ms: float, finish_ms: float, *, ok: bool = True) -> Outcome:
    return Outcome(
        ok=ok,
        error_class=None if ok else "reset",
        output_tokens=50,
        first_chunk_tokens=1,
        text_chunks=50,
        sent_ns=MS,
        first_token_ns=MS + int(ttft_ms * MS),
        last_token_ns=MS + int(finish_ms * MS),
    )


def heat(number: int, paces: dict[str, tuple[float, float]], *, crowd: int = 0) -> RaceHeat:
    finishes = tuple(Finish(place, place + 1, to_tokens_ms=finish) for place, (_, finish) in enumerate(paces.values()))
    return RaceHeat(
        coming=Coming(number, 99, number, Question("why?"), crowd),
        lanes=tuple(LaneFacts(name, "vllm") for name in paces),
        outcomes={name: outcome(*pace) for name, pace in paces.items()},
        podium=Podium(50, 1.0, finishes),
        late_ms=0.0,
        interrupted=False,
        first_merged=dict.fromkeys(paces, False),
        send_lag_ms=dict.fromkeys(paces, 0.2),
        crowd_counts=dict.fromkeys(paces, (30, 1)) if crowd else {},
    )


def heats(count: int, **pace_of: Pace) -> list[RaceHeat]:
    return [heat(number, {name: pace(number) for name, pace in pace_of.items()}) for number in range(1, count + 1)]


def noisy(ttft: float, finish: float, seed: int) -> Pace:
    draw = random.Random(seed)
    return lambda _: (ttft * draw.uniform(0.98, 1.02), finish * draw.uniform(0.99, 1.01))


def found_in(run: Sequence[RaceHeat]) -> RaceStatistics:
    return statistics_of(run, NAMES, ComparisonSettings(), seed=1, simulated=False)


def pair_of(found: RaceStatistics, metric: str) -> Pair:
    (pair,) = [pair for pair in found.comparison.pairs if pair.metric == metric]
    return pair


def test_a_true_difference_is_found_by_the_comparison_engine() -> None:
    found = found_in(heats(8, slow=noisy(100, 1500, 1), fast=noisy(60, 1000, 2)))
    pair = pair_of(found, "finish_ms")
    assert (pair.primary, pair.verdict, pair.better) == (True, "better", "fast")
    assert pair.ci_low is not None
    assert pair.ci_high is not None
    assert pair.ci_low < 1.5 < pair.ci_high
    beside = pair_of(found, "ttft_ms")
    assert (beside.primary, beside.better) == (False, "fast")
    assert found.saving is not None
    assert (found.saving.fast, found.saving.slow) == ("fast", "slow")
    assert found.saving.seconds == pytest.approx(1000 * 4 * (found.saving.slow_ms - found.saving.fast_ms) / 1000)


def test_wins_do_not_make_a_verdict() -> None:
    """One side wins every single heat by a hair, and no difference worth naming is shown."""
    found = found_in(heats(8, slow=lambda number: (100, 1000 + number), fast=lambda number: (100, 999.5 + number)))
    assert pair_of(found, "finish_ms").verdict == "equivalent"
    assert pair_of(found, "finish_ms").better is None
    assert found.saving is None


def test_two_heats_are_too_few_and_say_so() -> None:
    pair = pair_of(found_in(heats(2, slow=noisy(100, 1500, 1), fast=noisy(60, 1000, 2))), "finish_ms")
    assert pair.verdict == "not_comparable"
    assert pair.reason == "2 heats with values; 3 are needed"


def test_a_service_that_fails_more_often_is_not_better() -> None:
    run = heats(8, slow=noisy(100, 1500, 1), fast=noisy(60, 1000, 2))
    failed = replace(
        run[0],
        outcomes={**run[0].outcomes, "fast": outcome(60, 1000, ok=False)},
        podium=Podium(50, 1.0, (Finish(0, None, reason="alone"), Finish(1, None, reason="failed"))),
    )
    found = found_in([failed, *run[1:]])
    pair = pair_of(found, "finish_ms")
    assert (pair.verdict, pair.better) == ("not_comparable", None)
    assert "fewer of its requests succeeded" in (pair.reason or "")
    assert [(one.ok, one.failed) for one in found.figures] == [(8, 0), (7, 1)]


@pytest.mark.parametrize("sign", ["late", "merged", "lag"])
def test_a_machine_that_could_not_tell_names_nobody(sign: str) -> None:
    run = heats(8, slow=noisy(100, 1500, 1), fast=noisy(60, 1000, 2))
    if sign == "late":
        run[3] = replace(run[3], late_ms=900.0)
    elif sign == "merged":
        run[3] = replace(run[3], first_merged={"slow": False, "fast": True})
    else:
        run = [replace(one, send_lag_ms={"slow": 0.1, "fast": 25.0}) for one in run]
    found = found_in(run)
    assert "invalid" in {one.validity.verdict for one in found.figures}
    reasons = [reason for one in found.figures for reason in one.validity.reasons]
    assert not any("p99" in reason for reason in reasons)  # eight heats have none
    assert pair_of(found, "finish_ms").verdict == "not_comparable"
    assert "invalid" in (pair_of(found, "finish_ms").reason or "")
    assert found.saving is None


def test_heats_that_were_cut_short_count_for_nothing() -> None:
    run = heats(4, slow=noisy(100, 1500, 1), fast=noisy(60, 1000, 2))
    cut = replace(heat(5, {"slow": (1, 1), "fast": (900, 9000)}), interrupted=True)
    assert found_in([*run, cut]) == found_in(run)
    assert answered_nothing([cut]) == ()


def test_the_crowd_is_compared_with_the_heat_before_it() -> None:
    alone = heats(5, slow=noisy(100, 1500, 1), fast=noisy(60, 1000, 2))
    among = [heat(number, {"slow": (300.0 + number, 4000), "fast": (62, 1100)}, crowd=16) for number in range(1, 6)]
    run = [one for both in zip(alone, among, strict=True) for one in both]
    slow, fast = found_in(run).crowd
    assert slow.decision is not None
    assert fast.decision is not None
    assert 2.8 < slow.decision.ratio < 3.3
    assert slow.decision.verdict == "better"  # the quiet heats are
    assert fast.decision.verdict != "better"
    assert (slow.users, slow.answers, slow.failures) == (16, 150, 5)
    assert found_in(alone).crowd == ()
    # The crowd's heats stay out of the race's own figures.
    assert found_in(run).figures == found_in(alone).figures


def test_a_machine_that_its_own_crowd_starved_gives_no_interval() -> None:
    alone = heats(5, slow=noisy(100, 1500, 1), fast=noisy(60, 1000, 2))
    among = [heat(number, {"slow": (300.0 + number, 4000), "fast": (62, 1100)}, crowd=16) for number in range(1, 6)]
    among = [replace(one, late_ms=900.0, settled=number > 1) for number, one in enumerate(among)]
    found = found_in([*alone, *among])
    for effect in found.crowd:
        assert effect.decision is None
        assert "could not run for 900 ms" in (effect.reason or "")
        assert effect.unsettled == 2
    assert {one.validity.verdict for one in found.figures} == {"valid"}
    said = "\n".join(str(block) for block in race_report(found, simulated=False))
    assert "slow: invalid: a worker could not run for 900 ms" in said
    assert "2 heats in the crowd began after 8 s" in said


def test_few_heats_in_a_crowd_have_no_interval() -> None:
    run = [heat(1, {"slow": (100, 1500), "fast": (60, 1000)}), heat(1, {"slow": (200, 1), "fast": (60, 1)}, crowd=4)]
    slow, _ = found_in(run).crowd
    assert slow.decision is None
    assert (slow.alone_ms, slow.crowd_ms) == (100, 200)
    assert slow.reason == "1 heat with values; 3 are needed"


def test_heats_are_planned_run_by_run_alone_before_the_crowd() -> None:
    questions = tuple(Question(prompt, title) for title, prompt in RAPID_FIRE)
    plan = planned_heats(RaceInput(questions, 48, 2, "nonce", crowd=8))
    assert [one.number for one in plan] == list(range(1, 17))
    assert {one.of for one in plan} == {16}
    assert [one.crowd for one in plan] == [0, 8] * 8
    assert [one.run for one in plan] == [1] * 8 + [2] * 8
    assert [one.question for one in plan[::2]] == [*questions, *questions]


def test_a_service_without_a_good_answer_is_named() -> None:
    run = heats(3, slow=noisy(100, 1500, 1), fast=noisy(60, 1000, 2))
    silent = [replace(one, outcomes={**one.outcomes, "fast": outcome(1, 1, ok=False)}) for one in run]
    assert answered_nothing(silent) == ("fast",)
    assert answered_nothing([*silent, run[0]]) == ()
