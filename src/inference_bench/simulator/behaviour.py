"""Shows that the serving model behaves: a table of streams against cadence, wait and throughput.

The table comes from the model's own virtual clock; nothing sleeps and no socket is opened.
"""

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from inference_bench.simulator.profile import NS_PER_MS, NS_PER_S, ServingProfile
from inference_bench.simulator.scheduling import Job, Load
from inference_bench.simulator.serving import BatchModel


@dataclass(frozen=True, slots=True)
class BehaviourRow:
    """The model's steady state with a number of closed-loop users (a finished answer starts the next request).

    Times are medians in milliseconds; `tokens_per_s` is the total rate; running and waiting are means.
    """

    streams: int
    itl_ms: float
    ttft_ms: float
    queue_ms: float
    tokens_per_s: float
    running: float
    waiting: float
    preemptions: int


def behaviour_table(
    profile: ServingProfile,
    streams: Sequence[int],
    *,
    prompt_tokens: int = 200,
    output_tokens: int = 128,
    answers_per_stream: int = 4,
    seed: int = 0,
) -> list[BehaviourRow]:
    """Return one row for each number of streams, each from a run of its own."""
    return [
        _row(profile, n, prompt=prompt_tokens, output=output_tokens, answers=answers_per_stream, seed=seed)
        for n in streams
    ]


def format_table(rows: Sequence[BehaviourRow]) -> str:
    """Return the rows as a Markdown table."""
    head = "| streams | ITL ms | TTFT ms | queue ms | tokens/s | running | waiting | preemptions |"
    lines = [head, "|---:" * 8 + "|"]
    lines += [
        f"| {row.streams} | {row.itl_ms:.1f} | {row.ttft_ms:.0f} | {row.queue_ms:.0f} | {row.tokens_per_s:.0f} "
        f"| {row.running:.1f} | {row.waiting:.1f} | {row.preemptions} |"
        for row in rows
    ]
    return "\n".join(lines)


@dataclass(slots=True)
class _Tally:
    """What is noted of a run: token gaps and loads of its steady part, and every finished job."""

    done: list[Job] = field(default_factory=list)
    gaps_ns: list[int] = field(default_factory=list)
    token_times_ns: list[int] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)
    last_ns: dict[Job, int] = field(default_factory=dict)

    def note(self, due_ns: int, job: Job, *, steady: bool) -> None:
        """Take one token."""
        if steady:
            self.token_times_ns.append(due_ns)
            if job in self.last_ns:
                self.gaps_ns.append(due_ns - self.last_ns[job])
        self.last_ns[job] = due_ns
        if job.finished:
            self.done.append(job)


def _row(profile: ServingProfile, streams: int, *, prompt: int, output: int, answers: int, seed: int) -> BehaviourRow:
    """Run closed-loop users on the virtual clock; ramp and drain are outside the steady part.

    Lengths vary by a quarter either way, so that the users do not march in step.
    """
    model = BatchModel(profile, seed)
    rng = random.Random(f"behaviour/{seed}")
    lengths = [rng.randint(output * 3 // 4, output * 5 // 4) for _ in range(streams * (answers + 1))]
    tally = _Tally()
    submitted = 0

    def submit(now_ns: int) -> None:
        nonlocal submitted
        if submitted < len(lengths):
            model.submit(Job(prompt, lengths[submitted], lengths[submitted]), now_ns)
            submitted += 1

    for _ in range(streams):
        submit(0)
    while (now_ns := model.next_due_ns()) is not None:
        steady = streams <= len(tally.done) < len(lengths) - streams
        for due_ns, job in model.advance(now_ns):
            tally.note(due_ns, job, steady=steady)
            if job.finished:
                submit(due_ns)
        if steady:
            tally.loads.append(model.load())
    return _summary(streams, tally, model.load().preemptions)


def _summary(streams: int, tally: _Tally, preemptions: int) -> BehaviourRow:
    jobs = tally.done[streams:]
    times_ns = tally.token_times_ns
    return BehaviourRow(
        streams=streams,
        itl_ms=statistics.median(tally.gaps_ns) / NS_PER_MS,
        ttft_ms=statistics.median((job.first_ns or 0) - job.arrival_ns for job in jobs) / NS_PER_MS,
        queue_ms=statistics.median((job.scheduled_ns or 0) - job.arrival_ns for job in jobs) / NS_PER_MS,
        tokens_per_s=len(times_ns) * NS_PER_S / (times_ns[-1] - times_ns[0]),
        running=statistics.fmean(load.running for load in tally.loads),
        waiting=statistics.fmean(load.waiting for load in tally.loads),
        preemptions=preemptions,
    )
