"""Exact timing: due times are the arithmetic of arrival, TTFT and gap, and nothing moves them."""

from hypothesis import given
from hypothesis import strategies as st

from inference_bench.simulator.fixed import FixedTiming
from inference_bench.simulator.profile import NS_PER_MS
from inference_bench.simulator.scheduling import Job

FAR_NS = 10**15


@given(
    ttft_ms=st.integers(0, 500),
    itl_ms=st.integers(1, 100),
    arrivals_ms=st.lists(st.integers(0, 1000), min_size=1, max_size=20),
    step_ms=st.integers(1, 700),
)
def test_every_token_is_due_at_its_distance_from_the_arrival(
    ttft_ms: int, itl_ms: int, arrivals_ms: list[int], step_ms: int
) -> None:
    timing = FixedTiming(ttft_ms, itl_ms)
    jobs = [Job(1, 7, 7) for _ in arrivals_ms]
    for job, arrival_ms in zip(jobs, arrivals_ms, strict=True):
        timing.submit(job, arrival_ms * NS_PER_MS)
    assert timing.load().running == len(jobs)
    due_ns: dict[int, list[int]] = {id(job): [] for job in jobs}
    now_ns = 0
    while timing.next_due_ns() is not None:
        now_ns += step_ms * NS_PER_MS
        for emission in timing.advance(now_ns):
            assert emission.due_ns <= now_ns
            due_ns[id(emission.job)].append(emission.due_ns)
    for job, arrival_ms in zip(jobs, arrivals_ms, strict=True):
        assert due_ns[id(job)] == [(arrival_ms + ttft_ms + index * itl_ms) * NS_PER_MS for index in range(7)]
    assert timing.load().running == 0


@given(jitter=st.floats(0, 1), seed=st.integers(0, 100))
def test_jitter_moves_tokens_within_their_gap_and_never_adds_up(jitter: float, seed: int) -> None:
    timing = FixedTiming(20, 10, jitter=jitter, seed=seed)
    timing.submit(Job(1, 200, 200), 0)
    times = [emission.due_ns for emission in timing.advance(FAR_NS)]
    assert times == sorted(times)
    assert times[0] == 20 * NS_PER_MS
    allowed_ns = jitter * 10 * NS_PER_MS / 2 + 1
    assert all(abs(at_ns - (20 + 10 * index) * NS_PER_MS) <= allowed_ns for index, at_ns in enumerate(times))


def test_a_delay_shifts_the_whole_answer() -> None:
    timing = FixedTiming(5, 1)
    timing.submit(Job(1, 2, 2), 100, delay_ns=1000)
    assert [emission.due_ns for emission in timing.advance(FAR_NS)] == [1100 + 5 * NS_PER_MS, 1100 + 6 * NS_PER_MS]


def test_a_cancelled_job_is_silent() -> None:
    timing = FixedTiming(5, 1)
    kept, dropped = Job(1, 3, 3), Job(1, 3, 3)
    timing.submit(kept, 0)
    timing.submit(dropped, 0)
    timing.cancel(dropped)
    assert {id(emission.job) for emission in timing.advance(FAR_NS)} == {id(kept)}
    assert timing.load().running == 0
    assert timing.next_due_ns() is None
