"""The serving model on its own virtual clock: cadence, queue, knee, KV budget. Nothing sleeps."""

from dataclasses import replace
from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_bench.errors import UsageError
from inference_bench.simulator.behaviour import behaviour_table, format_table
from inference_bench.simulator.profile import NS_PER_MS, PRESETS, KvPolicy, ServingProfile
from inference_bench.simulator.scheduling import Emission, Job
from inference_bench.simulator.serving import BatchModel

PLAIN = ServingProfile(
    prefill_rate=10_000,
    step_ms=10,
    step_per_stream_ms=1,
    max_batch=4,
    kv_tokens=1000,
    kv_policy="preempt",
    prefill_chunk=100,
    overhead_ms=0,
    context=500,
    jitter=0,
)


def run(model: BatchModel) -> list[Emission]:
    """Step the model until it is idle."""
    emissions: list[Emission] = []
    while (due_ns := model.next_due_ns()) is not None:
        emissions += model.advance(due_ns)
    return emissions


def test_one_stream_has_exactly_the_times_of_the_formula() -> None:
    model = BatchModel(PLAIN)
    job = Job(prompt_tokens=50, output_tokens=3, reserve_tokens=3)
    model.submit(job, now_ns=7 * NS_PER_MS)
    times_ms = [emission.due_ns / NS_PER_MS for emission in run(model)]
    prefill_end = 7 + 10 + 50 / 10_000 * 1000
    assert times_ms == [prefill_end, prefill_end + 11, prefill_end + 22]


def test_a_long_prompt_takes_several_chunks_and_slows_the_others() -> None:
    model = BatchModel(PLAIN)
    first, second = Job(10, 20, 20), Job(250, 2, 2)
    model.submit(first, 0)
    model.submit(second, 30 * NS_PER_MS)
    times = [emission.due_ns / NS_PER_MS for emission in run(model) if emission.job is first]
    gaps = [round(after - before, 3) for before, after in pairwise(times)]
    assert gaps[:2] == [11, 11]
    assert gaps.count(21) == 2, "two full chunks of 100 prompt tokens"
    assert gaps.count(16) == 1, "the remaining 50"
    assert second.first_ns is not None
    assert second.first_ns > first.first_ns if first.first_ns else False


def test_beyond_the_batch_limit_requests_wait_in_order() -> None:
    model = BatchModel(PLAIN)
    jobs = [Job(10, 5, 5) for _ in range(10)]
    for job in jobs:
        model.submit(job, 0)
    model.advance(0)
    assert (model.load().running, model.load().waiting) == (4, 6)
    run(model)
    scheduled = [job.scheduled_ns for job in jobs]
    assert scheduled == sorted(scheduled, key=lambda at_ns: at_ns or 0)
    assert scheduled[4] is not None
    assert scheduled[4] > 0


def test_preemption_sends_the_youngest_back_and_loses_no_token() -> None:
    profile = replace(PLAIN, kv_tokens=120, context=100, max_batch=4)
    model = BatchModel(profile)
    jobs = [Job(20, 40, 40) for _ in range(4)]
    for job in jobs:
        model.submit(job, 0)
    emissions = run(model)
    assert model.load().preemptions > 0
    assert [job.emitted for job in jobs] == [40] * 4
    assert len(emissions) == 160
    assert model.load().kv_used == 0
    assert jobs[0].last_ns is not None
    assert jobs[0].last_ns == min(job.last_ns or 0 for job in jobs), "the oldest is never preempted"


def test_reserving_holds_requests_back_instead() -> None:
    profile = replace(PLAIN, kv_tokens=120, context=100, kv_policy="reserve")
    model = BatchModel(profile)
    for _ in range(4):
        model.submit(Job(20, 5, 40), 0)
    model.advance(0)
    assert (model.load().running, model.load().waiting) == (2, 2)
    run(model)
    assert model.load() == (0, 0, 0, 0)


def test_a_job_that_never_fits_is_refused() -> None:
    with pytest.raises(ValueError, match="KV"):
        BatchModel(PLAIN).submit(Job(900, 200, 200), 0)


@pytest.mark.parametrize("changes", [{"kv_tokens": 10}, {"max_batch": 0}, {"jitter": 2.0}, {"prefill_rate": 0.0}])
def test_impossible_profiles_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="simulator"):
        replace(PLAIN, **changes)  # type: ignore[arg-type]


def test_cancelled_jobs_free_their_place_wherever_they_are() -> None:
    model = BatchModel(PLAIN)
    jobs = [Job(10, 50, 50) for _ in range(6)]
    for job in jobs:
        model.submit(job, 0)
    model.advance(0)
    model.cancel(jobs[5])
    model.cancel(jobs[0])
    assert (model.load().running, model.load().waiting) == (3, 1)
    emissions = run(model)
    assert {id(emission.job) for emission in emissions} == {id(job) for job in jobs[1:5]}
    assert model.load().kv_used == 0


def test_a_late_driver_changes_no_due_time() -> None:
    punctual, late = BatchModel(PLAIN, 3), BatchModel(PLAIN, 3)
    for model in (punctual, late):
        for _ in range(3):
            model.submit(Job(10, 20, 20), 0)
    times = [emission.due_ns for emission in run(punctual)]
    assert [emission.due_ns for emission in late.advance(10**12)] == times


def test_the_same_seed_gives_the_same_times_and_another_seed_others() -> None:
    def times(seed: int) -> list[int]:
        model = BatchModel(replace(PLAIN, jitter=0.1), seed)
        model.submit(Job(10, 20, 20), 0)
        return [emission.due_ns for emission in run(model)]

    assert times(1) == times(1)
    assert times(1) != times(2)


@settings(max_examples=60, deadline=None)
@given(
    jobs=st.lists(st.tuples(st.integers(1, 60), st.integers(1, 40), st.integers(0, 300)), min_size=1, max_size=25),
    policy=st.sampled_from(get_args(KvPolicy)),
    max_batch=st.integers(1, 8),
    seed=st.integers(0, 5),
)
def test_every_token_comes_once_in_order_and_within_the_limits(
    jobs: list[tuple[int, int, int]], policy: KvPolicy, max_batch: int, seed: int
) -> None:
    profile = replace(
        PLAIN, kv_policy=policy, max_batch=max_batch, kv_tokens=100, context=100, jitter=0.2, overhead_ms=1.5
    )
    model = BatchModel(profile, seed)
    waiting = sorted(jobs, key=lambda job: job[2])
    made: list[Job] = []
    last_ns = 0
    while waiting or model.next_due_ns() is not None:
        due_ns = model.next_due_ns()
        if waiting and (due_ns is None or waiting[0][2] * NS_PER_MS <= due_ns):
            prompt, output, at_ms = waiting.pop(0)
            made.append(Job(prompt, output, output))
            model.submit(made[-1], at_ms * NS_PER_MS)
            continue
        assert due_ns is not None
        for emission in model.advance(due_ns):
            assert emission.due_ns >= last_ns
            last_ns = emission.due_ns
        load = model.load()
        assert load.running <= max_batch
        assert load.kv_used <= profile.kv_tokens
    assert [job.emitted for job in made] == [job.output_tokens for job in made]
    assert model.load()[:3] == (0, 0, 0)


@pytest.mark.parametrize("engine", list(PRESETS))
def test_the_presets_show_cadence_queue_and_knee(engine: str) -> None:
    profile = PRESETS[engine]
    limit = profile.max_batch
    rows = behaviour_table(profile, [1, max(2, limit // 2), limit, 2 * limit], answers_per_stream=2)
    alone, half, full, double = rows
    assert alone.itl_ms < half.itl_ms < full.itl_ms, "more streams, slower cadence"
    assert alone.tokens_per_s < half.tokens_per_s < full.tokens_per_s, "and more tokens in all"
    assert full.waiting < 0.1 * limit
    assert double.waiting > 0.5 * limit, "beyond the batch limit a queue"
    assert double.tokens_per_s < 1.15 * full.tokens_per_s, "and no more throughput: the knee"
    assert double.ttft_ms > 4 * full.ttft_ms
    assert format_table(rows).count("\n") == len(rows) + 1


def test_the_presets_differ_as_the_engines_do() -> None:
    at_16 = {engine: behaviour_table(profile, [16], answers_per_stream=2)[0] for engine, profile in PRESETS.items()}
    assert at_16["vllm"].tokens_per_s > at_16["tgi"].tokens_per_s > 3 * at_16["ollama"].tokens_per_s
    assert at_16["ollama"].queue_ms > 10 * at_16["vllm"].queue_ms
