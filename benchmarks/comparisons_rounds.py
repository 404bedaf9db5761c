"""Rounds of a load test as the simulator's model makes them: TTFT under closed-loop users, on its virtual clock."""

import random

import numpy as np

from inference_bench.metrics.columns import Floats
from inference_bench.simulator.profile import NS_PER_MS, ServingProfile
from inference_bench.simulator.scheduling import Job
from inference_bench.simulator.serving import BatchModel

USERS, REQUESTS = 16, 100
_RAMP = 2 * USERS


def rounds_pool(profile: ServingProfile, count: int) -> Floats:
    """Return the TTFT (ms) of so many rounds, shape (count, requests); each from a seed of its own."""
    return np.array([_round(profile, seed) for seed in range(count)])


def _round(profile: ServingProfile, seed: int) -> list[float]:
    """Return a round's TTFT after a ramp of two answers for each user."""
    model, rng = BatchModel(profile, seed), random.Random(f"rounds/{seed}")
    jobs: list[Job] = []

    def submit(now_ns: int) -> None:
        tokens = rng.randint(48, 80)
        jobs.append(Job(rng.randint(60, 400), tokens, tokens))
        model.submit(jobs[-1], now_ns)

    for _ in range(USERS):
        submit(rng.randint(0, 100) * NS_PER_MS)
    while any(job.first_ns is None for job in jobs[_RAMP : _RAMP + REQUESTS]) or len(jobs) < _RAMP + REQUESTS:
        due_ns = model.next_due_ns()
        assert due_ns is not None, "closed-loop users never leave the model without work"
        for emitted_ns, job in model.advance(due_ns):
            if job.finished:
                submit(emitted_ns)
    return [((job.first_ns or 0) - job.arrival_ns) / NS_PER_MS for job in jobs[_RAMP : _RAMP + REQUESTS]]
