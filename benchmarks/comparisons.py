"""How often verdicts are right: synthetic comparisons whose truth is known, and runs over HTTP.

python benchmarks/comparisons.py                    # the tables, 2,000 comparisons per cell
python benchmarks/comparisons.py --end-to-end 20    # real runs against two simulated services

The noise is that of the simulator's model: a lone request's TTFT is its overhead and one prefill step, whose length
varies by the profile's jitter; prompts differ in length from block to block, the same for both services. On top comes
what a real machine does: a drift that slows both services of a block alike (an AR(1) process, 5 %), and a smaller one
of each service's own (AR(1), 1 %). The stress rows make the latter three times as large and longer. Rounds of a load
test come from the model itself under closed-loop users, with the same drifts from round to round.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np

from comparisons_end_to_end import end_to_end
from comparisons_rounds import REQUESTS, USERS, rounds_pool
from harness import machine
from inference_bench.metrics.columns import Floats
from inference_bench.metrics.comparison import Decision, Hypothesis, decide, paired
from inference_bench.metrics.sequential import alpha_at_look
from inference_bench.metrics.statistics import Estimate
from inference_bench.simulator.profile import NS_PER_MS, PRESETS
from inference_bench.simulator.scheduling import Job
from inference_bench.simulator.serving import SHORTEST_FACTOR, BatchModel

BLOCKS = (3, 5, 10, 30, 100)
RATIOS = (1.0, 1.05, 1.1, 1.5)
ROUNDS = (3, 5, 10, 30)
POOL = 400
EFFECT, ALPHA = 0.05, 0.05
MOST_LOOKS = 8
PROFILE = PRESETS["vllm"]


@dataclass(frozen=True, slots=True)
class Noise:
    """The AR(1) processes around the model: standard deviations on the log scale, and correlations of neighbours.

    `stalls` is the share of the first service's answers that take ten times as long. With `load` a block is a round of
    a load test and its p95 is compared, else one request and the p50.
    """

    shared: float = 0.05
    shared_phi: float = 0.9
    own: float = 0.01
    own_phi: float = 0.5
    stalls: float = 0.0
    load: bool = False

    @property
    def statistic(self) -> str:
        """What is compared."""
        return "p95" if self.load else "p50"


USUAL, STRESS, STALLS, LOAD = Noise(), Noise(own=0.03, own_phi=0.8), Noise(stalls=0.05), Noise(load=True)


def ar1(rng: np.random.Generator, n: int, spread: float, phi: float) -> Floats:
    """Return n values of a stationary AR(1) process."""
    steps = rng.normal(0, spread * math.sqrt(1 - phi * phi), n)
    values = np.empty(n)
    values[0] = rng.normal(0, spread)
    for place in range(1, n):
        values[place] = phi * values[place - 1] + steps[place]
    return values


def model_ttft_ms(rng: np.random.Generator, prompts: Floats) -> Floats:
    """Return the TTFT of lone requests by the serving model's formula (`profile.ServingProfile`)."""
    factors = np.maximum(SHORTEST_FACTOR, rng.normal(1, PROFILE.jitter, prompts.size))
    return PROFILE.overhead_ms + (PROFILE.step_ms + 1000 * prompts / PROFILE.prefill_rate) * factors


def blocks_of(rng: np.random.Generator, n: int, ratio: float, noise: Noise) -> tuple[list[Floats], list[Floats]]:
    """Return n blocks, service a slower by `ratio`."""
    if noise.load:
        return rounds_of(rng, n, ratio, noise)
    prompts = rng.integers(60, 400, n).astype(np.float64)
    drift = ar1(rng, n, noise.shared, noise.shared_phi)
    sides = [
        np.exp(drift + ar1(rng, n, noise.own, noise.own_phi)) * model_ttft_ms(rng, prompts) * factor
        for factor in (ratio, 1.0)
    ]
    if noise.stalls:
        sides[0] = np.where(rng.random(n) < noise.stalls, 10, 1) * sides[0]
    return [one[None] for one in sides[0]], [one[None] for one in sides[1]]


def rounds_of(rng: np.random.Generator, n: int, ratio: float, noise: Noise) -> tuple[list[Floats], list[Floats]]:
    """Return n rounds of many requests each, service a slower by `ratio`."""
    drift = ar1(rng, n, noise.shared, noise.shared_phi)
    a, b = (
        pool()[rng.integers(0, POOL, n)] * np.exp(drift + ar1(rng, n, noise.own, noise.own_phi))[:, None] * factor
        for factor in (ratio, 1.0)
    )
    return list(a), list(b)


@cache
def pool() -> Floats:
    """Return the rounds to draw from; made once in each process."""
    return rounds_pool(PROFILE, POOL)


def compared(rng: np.random.Generator, n: int, ratio: float, noise: Noise) -> Estimate:
    """Return the estimate of one comparison."""
    made = paired(*blocks_of(rng, n, ratio, noise), noise.statistic, seed=int(rng.integers(1 << 30)))
    assert isinstance(made, Estimate)
    return made


def judged(estimate: Estimate, *, alpha: float = ALPHA, effect: float = EFFECT) -> Decision:
    """Return the verdict on a family of one."""
    return decide([Hypothesis(estimate, "less")], min_effect=effect, confidence=1 - alpha)[0]


def cell(arguments: tuple[int, float, Noise, int, int]) -> str:
    """Return one row of the table."""
    n, ratio, noise, comparisons, seed = arguments
    rng = np.random.default_rng((seed, n, round(1000 * ratio)))
    truth = math.log(ratio)
    covered = significant = better = wrong = 0
    widths = []
    for _ in range(comparisons):
        estimate = compared(rng, n, ratio, noise)
        low, high = estimate.interval(1 - ALPHA)
        covered += low <= truth <= high
        widths.append(math.exp((high - low) / 2) - 1)
        significant += estimate.p < ALPHA
        decision = judged(estimate)
        better += decision.better == "b"
        wrong += decision.better is not None and (ratio == 1 or decision.better == "a")
    shares = [count / comparisons for count in (wrong, significant, better, covered)]
    cells = [str(n), f"{ratio:g}", *(f"{share:.1%}" for share in shares), f"±{float(np.median(widths)):.1%}"]
    return "| " + " | ".join(cells) + " |"


def power(arguments: tuple[int, Noise, int, int]) -> str:
    """Return a row: the power at the number of blocks that pilots of n blocks ask for, in fresh runs of that length."""
    n, noise, comparisons, seed = arguments
    rng = np.random.default_rng((seed, n, 7))
    found = better = 0
    totals = []
    for _ in range(comparisons):
        further = compared(rng, n, 1.0, noise).needed_blocks(math.log1p(EFFECT), ALPHA)
        assert further is not None
        totals.append(n + further)
        estimate = compared(rng, n + further, 1 + EFFECT, noise)
        found += estimate.p < ALPHA
        better += judged(estimate).better == "b"
    share, named = found / comparisons, better / comparisons
    return f"| {n} | {float(np.median(totals)):.0f} ({max(totals)}) | {share:.1%} | {named:.1%} |"


def until_decided(arguments: tuple[int, float, Noise, int, int]) -> str:
    """Return a row: A against A with looks at doubling numbers of blocks until decided, or the looks are used up."""
    start, effect, noise, comparisons, seed = arguments
    rng = np.random.default_rng((seed, start, round(1000 * effect)))
    winners = significant = undecided = 0
    used = []
    for _ in range(comparisons):
        ours, theirs = blocks_of(rng, start << (MOST_LOOKS - 1), 1.0, noise)
        decided = False
        for look in range(1, MOST_LOOKS + 1):
            n = start << (look - 1)
            estimate = paired(ours[:n], theirs[:n], noise.statistic, seed=look)
            assert isinstance(estimate, Estimate)
            decision = judged(estimate, alpha=alpha_at_look(look, ALPHA), effect=effect)
            significant += estimate.p < alpha_at_look(look, ALPHA)
            if decision.verdict in ("better", "equivalent"):
                decided = True
                break
        winners += decision.verdict == "better"
        undecided += not decided
        used.append(n)
    shares = (winners, significant, undecided)
    cells = [str(start), f"{effect:.0%}", *(f"{count / comparisons:.1%}" for count in shares), f"{np.mean(used):.0f}"]
    return "| " + " | ".join(cells) + " |"


def check_model() -> None:
    """Hold the formula against the model itself, on its virtual clock."""
    model, times = BatchModel(PROFILE, 1), []
    now = 0
    for _ in range(3000):
        job = Job(200, 1, 1)
        model.submit(job, now)
        while not job.finished:
            now = model.next_due_ns() or now
            model.advance(now)
        times.append(((job.first_ns or 0) - job.arrival_ns) / NS_PER_MS)
    made = model_ttft_ms(np.random.default_rng(1), np.full(3000, 200.0))
    for of_model, of_formula in ((np.mean(times), made.mean()), (np.std(times), made.std())):
        assert abs(of_model / of_formula - 1) < 0.06, (of_model, of_formula)


def tables(comparisons: int, seed: int) -> Iterator[str]:
    """Yield the lines of all tables."""
    check_model()
    verdicts = ("blocks", "true ratio", "wrong winner", "p < 5 %", "`better`", "coverage", "half width")
    sized = ("pilot, blocks", "asked for in all, median (most)", "p < 5 %", "`better`")
    looks = ("first look", "smallest effect", "false winners", "p < alpha at a look", "undecided", "blocks, mean")
    size = (comparisons, seed)
    with ProcessPoolExecutor(2) as each:
        yield from head("Blocks of one request, p50", verdicts)
        yield from each.map(cell, [(n, ratio, USUAL, *size) for n in BLOCKS for ratio in RATIOS])
        yield from head("Further blocks as asked for by needed_n, at a true ratio of 1.05", sized)
        yield from each.map(power, [(n, USUAL, *size) for n in BLOCKS])
        yield from head("A against A under --until-decided; the last row with stress", looks)
        kinds = [(5, 0.05, USUAL), (20, 0.05, USUAL), (5, 0.01, USUAL), (5, 0.05, STRESS)]
        yield from each.map(until_decided, [(*kind, *size) for kind in kinds])
        yield from head(f"Rounds of {REQUESTS} requests from {USERS} users, p95", verdicts)
        yield from each.map(cell, [(n, ratio, LOAD, *size) for n in ROUNDS for ratio in RATIOS])
        yield from head("Further rounds as asked for by needed_n, at a true ratio of 1.05", sized)
        yield from each.map(power, [(n, LOAD, *size) for n in ROUNDS])
        yield from head("A against A under --until-decided, rounds", looks)
        yield from each.map(until_decided, [(3, 0.05, LOAD, *size)])
        yield from head("Stress: own drift 3 % with correlation 0.8", verdicts)
        yield from each.map(cell, [(n, 1.0, STRESS, *size) for n in BLOCKS])
        yield from head("Stalls: 5 % of the first service's answers ten times as slow", verdicts)
        yield from each.map(cell, [(n, 1.0, STALLS, *size) for n in BLOCKS])


def head(title: str, columns: Sequence[str]) -> Iterator[str]:
    """Yield a table's title and first lines."""
    yield f"\n{title}:\n"
    yield f"| {' | '.join(columns)} |"
    yield "|---:" * len(columns) + "|"


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--end-to-end", type=int, default=0, metavar="RUNS")
    given = parser.parse_args(arguments)
    print(machine())
    lines = end_to_end(given.end_to_end) if given.end_to_end else tables(given.comparisons, given.seed)
    for line in lines:
        print(line, flush=True)


if __name__ == "__main__":
    main()
