"""The serving model: continuous batching in steps, a queue, a prefill budget and a KV budget.

What it models: each step prefills a chunk of the waiting prompts and decodes one token for every running sequence; its
length grows with both (formula in `profile.ServingProfile`), so more streams mean a slower cadence for each, and
beyond the batch or KV limit a queue. What it does not: prefix caching, speculation, several GPUs, attention cost that
grows with the context.
"""

import random
from collections import deque

from inference_bench.simulator.drift import NO_DRIFT, Drift
from inference_bench.simulator.profile import NS_PER_MS, ServingProfile
from inference_bench.simulator.scheduling import Emission, Job, Load

SHORTEST_FACTOR = 0.2


class BatchModel:
    """A scheduler that shares steps among all sequences; deterministic in (profile, seed, drift, submissions).

    `drift` makes steps (by when they begin) and the overhead of requests (by when they arrive) longer.
    """

    def __init__(self, profile: ServingProfile, seed: int = 0, *, drift: Drift = NO_DRIFT) -> None:
        self._profile = profile
        self._drift = drift
        self._rng = random.Random(f"steps/{seed}")
        self._waiting: deque[Job] = deque()
        self._running: list[Job] = []
        self._emitting: list[Job] = []
        self._step_end_ns: int | None = None
        self._free_from_ns = 0
        self._kv_used = 0
        self._preemptions = 0

    def submit(self, job: Job, now_ns: int, *, delay_ns: int = 0) -> None:
        """Queue a job; it may be scheduled after the profile's overhead and `delay_ns`.

        Raises ValueError for a job that the KV cache could never hold: it would wait for ever.
        """
        most = job.reserve_tokens if self._profile.kv_policy == "reserve" else job.output_tokens
        if job.prompt_tokens + most > self._profile.kv_tokens:
            raise ValueError("a job needs more KV tokens than there are")
        job.arrival_ns = now_ns
        overhead_ns = self._profile.overhead_ms * NS_PER_MS * self._drift.factor(now_ns)
        job.ready_ns = now_ns + delay_ns + round(overhead_ns)
        job.prefill_left = job.prompt_tokens
        self._waiting.append(job)

    def cancel(self, job: Job) -> None:
        """Forget a job, wherever it is; a step that has begun keeps its length."""
        if job.cancelled or job.finished:
            return
        job.cancelled = True
        if job in self._waiting:
            self._waiting.remove(job)
        elif job in self._running:
            self._leave(job)

    def next_due_ns(self) -> int | None:
        """Return the end of the current step, or when the job at the head of the queue can start one."""
        if self._step_end_ns is not None:
            return self._step_end_ns
        if not self._waiting:
            return None
        return max(self._free_from_ns, self._waiting[0].ready_ns)

    def advance(self, now_ns: int) -> list[Emission]:
        """Complete every step that ends by now and begin the next ones."""
        emissions: list[Emission] = []
        while True:
            due_ns = self.next_due_ns()
            if due_ns is None or due_ns > now_ns:
                return emissions
            if self._step_end_ns is not None:
                self._complete_step(due_ns, emissions)
            self._begin_step(due_ns)

    def load(self) -> Load:
        """Return what is running and waiting."""
        return Load(len(self._running), len(self._waiting), self._kv_used, self._preemptions)

    def _begin_step(self, start_ns: int) -> None:
        self._make_room()
        self._admit(start_ns)
        if not self._running:
            return
        decoding = [job for job in self._running if job.prefill_left == 0]
        prefilled, prefill_tokens = self._prefill()
        length_ns = self._profile.step_ns(len(decoding), prefill_tokens) * self._factor() * self._drift.factor(start_ns)
        self._emitting = decoding + prefilled
        self._step_end_ns = start_ns + max(1, round(length_ns))

    def _complete_step(self, end_ns: int, emissions: list[Emission]) -> None:
        for job in self._emitting:
            if job.cancelled:
                continue
            job.emit(end_ns)
            emissions.append(Emission(end_ns, job))
            if self._profile.kv_policy == "preempt":
                self._kv_used += 1
            if job.finished:
                self._leave(job)
        self._emitting = []
        self._step_end_ns = None
        self._free_from_ns = end_ns

    def _prefill(self) -> tuple[list[Job], int]:
        """Spend the step's prefill budget in order of admission; return whose prompt is now complete, and the cost."""
        budget = self._profile.prefill_chunk
        complete: list[Job] = []
        for job in self._running:
            if job.prefill_left and budget:
                spent = min(job.prefill_left, budget)
                job.prefill_left -= spent
                budget -= spent
                if job.prefill_left == 0:
                    complete.append(job)
        return complete, self._profile.prefill_chunk - budget

    def _admit(self, now_ns: int) -> None:
        """Move waiting jobs into the batch, first come first served, while batch and KV budget allow."""
        while self._waiting and len(self._running) < self._profile.max_batch:
            job = self._waiting[0]
            spare = 0 if self._profile.kv_policy == "reserve" else len(self._running)
            if job.ready_ns > now_ns or self._kv_used + self._kv_need(job) + spare > self._profile.kv_tokens:
                return
            self._waiting.popleft()
            self._running.append(job)
            self._kv_used += self._kv_need(job)
            if job.scheduled_ns is None:
                job.scheduled_ns = now_ns

    def _make_room(self) -> None:
        """Send the youngest sequences back to the queue when the next tokens would not fit (vLLM's preemption)."""
        if self._profile.kv_policy != "preempt":
            return
        while len(self._running) > 1 and self._kv_used + len(self._running) > self._profile.kv_tokens:
            job = self._running[-1]
            self._leave(job)
            job.prefill_left = job.prompt_tokens + job.emitted
            self._waiting.appendleft(job)
            self._preemptions += 1

    def _leave(self, job: Job) -> None:
        self._running.remove(job)
        self._kv_used -= self._kv_need(job)

    def _kv_need(self, job: Job) -> int:
        if self._profile.kv_policy == "reserve":
            return job.prompt_tokens + job.reserve_tokens
        return job.prompt_tokens + job.emitted

    def _factor(self) -> float:
        return max(SHORTEST_FACTOR, self._rng.gauss(1.0, self._profile.jitter))
