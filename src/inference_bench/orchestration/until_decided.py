"""After the plan: further blocks for the tests that are not decided, until they are or the budget is used up.

Look k is judged at its own level (`metrics.sequential`), all tests together, so the chance of a false winner at any
look stays under the configured one. A test that was decided at an earlier look gets no more blocks, and is judged
again with the others: the levels only fall, so that what is said at the last look is covered by the same bound, and
one that the stricter level leaves open again goes on with them. Between two looks nothing is timed; the journal goes
on as before, and a run that dies at any point keeps what it has measured.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count

from inference_bench.metrics.sequential import alpha_at_look
from inference_bench.orchestration.run_design import with_completed, with_further
from inference_bench.orchestration.run_plan import RunPlan
from inference_bench.results.comparing import compare_run
from inference_bench.results.comparison import Comparison
from inference_bench.results.design import StopReason
from inference_bench.results.finalise import interim_run, remove_interim
from inference_bench.results.folder import RunFolder
from inference_bench.results.looks import look_at, standing, with_look
from inference_bench.results.summary import read_summary
from inference_bench.testing.analyzers import write_summaries
from inference_bench.testing.context import Ran, RunContext
from inference_bench.testing.load_runner import run_load
from inference_bench.testing.plan import LoadPlan, TtftPlan, further_load, further_ttft
from inference_bench.testing.ttft_runner import run_ttft

_NANOSECONDS = 1_000_000_000


@dataclass(slots=True)
class Measured:
    """How far a test is: where its next block or round begins, how many are complete, how long they took."""

    plan: TtftPlan | LoadPlan
    first: int = 0
    completed: int = 0
    seconds: float = 0.0
    stretches: int = 0

    @property
    def pace(self) -> float:
        """Seconds per block or round, all services and pauses together."""
        return self.seconds / max(1, self.completed)

    @property
    def least(self) -> float:
        """Seconds that the least that can be added takes: a block, or one rotation of rounds."""
        return self.pace * (1 if isinstance(self.plan, TtftPlan) else len({turn.service for turn in self.plan.turns}))

    def add(self, ran: Ran, seconds: float, *, began: int) -> None:
        """Note a stretch of so many blocks or rounds."""
        self.completed += ran.completed
        self.first += min(began, ran.completed + 1)  # a block that was begun is not begun again
        self.seconds += seconds
        self.stretches += 1


@dataclass(slots=True)
class Until:
    """A run that goes on. `seconds` is its budget; `tell` takes a line about each look."""

    context: RunContext
    plan: RunPlan
    folder: RunFolder
    seconds: float
    tell: Callable[[str], None]
    _invalid: frozenset[str] = frozenset()
    _reason: str | None = None

    async def run(self, tests: dict[str, Measured]) -> bool:
        """Look, go on, look again; return whether the run was interrupted. Raises WorkerDiedError."""
        began = time.monotonic()
        deadline = began + self.seconds
        last = False
        for look in count(1):
            undecided, decidable = await self._look(look, time.monotonic() - began)
            if self.context.stop.is_set():
                self._end(look, "interrupted", f"look {look}: interrupted")
                return True
            if not undecided:
                return self._end(look, "decided", f"look {look}: decided")
            if not decidable:
                text = f"look {look}: {_names(undecided)} cannot be decided by further blocks: {self._reason}"
                return self._end(look, "undecidable", text)
            left = deadline - time.monotonic()
            going = _affordable([tests[name] for name in decidable], left)
            if last or not going:
                return self._end(look, "budget", self._used_up(look, undecided))
            last = sum(test.seconds for test in going) > left
            more = " and ".join(_amount(test) for test in going)
            until = f"{left:.0f} s of the budget left"
            self.tell(f"look {look}: {_names(undecided)} not decided yet; going on with {more}, {until}")
            before = sum(test.completed for test in going)
            if await self._go_on(going, deadline):
                return True
            if sum(test.completed for test in going) == before:
                return self._end(look, "budget", self._used_up(look, undecided))
        raise AssertionError("looks are counted without end")

    def _end(self, look: int, reason: StopReason, text: str) -> bool:
        """Keep why the run ends at this look, and say it; False, as for a run that was not interrupted."""
        manifest = self.folder.read_manifest()
        assert manifest.design is not None
        assert manifest.design.sequential is not None
        last = manifest.design.sequential.looks[-1]
        assert last.look == look
        self.folder.update(lambda so_far: with_look(so_far, last.model_copy(update={"stopped": reason})))
        self.tell(text)
        return False

    def _used_up(self, look: int, undecided: tuple[str, ...]) -> str:
        return f"look {look}: {_names(undecided)} still not decided, and the budget of {self.seconds:g} s is used up"

    async def _look(self, number: int, seconds: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Compare what was measured so far; keep the look; return the tests that are undecided, and those of them
        that further blocks could decide.
        """
        await self.context.pool.written_out()
        manifest = self.folder.read_manifest()
        assert manifest.design is not None
        assert manifest.design.sequential is not None
        alpha = alpha_at_look(number, manifest.design.sequential.alpha)
        # In a thread, so that Ctrl-C is heard. No request is under way, so nothing measured can be disturbed.
        comparison, invalid = await asyncio.to_thread(_compare_so_far, self.folder, alpha)
        look = look_at(manifest, number, alpha, comparison, seconds=round(seconds, 3))
        self.folder.update(lambda so_far: with_look(so_far, look))
        found = standing(comparison)
        self._reason = next((pair.reason for pair in comparison.primary_pairs if not pair.decided), None)
        # What disturbed a test may be over: it gets one chance more.
        again = [name for name in found.undecided if name in invalid and name not in self._invalid]
        self._invalid = invalid
        return found.undecided, (*found.decidable, *again)

    async def _go_on(self, tests: list[Measured], deadline: float) -> bool:
        """Double the blocks of these tests as far as time allows; return whether interrupted.

        Where it does not allow all, each may take its part of what is left.
        """
        for position, test in enumerate(tests):
            now = time.monotonic()
            waiting = sum(one.seconds for one in tests[position + 1 :])
            fair = now + (deadline - now) / (len(tests) - position)
            until = max(fair, deadline - waiting)
            if isinstance(test.plan, TtftPlan):
                interrupted = await self._further_blocks(test, test.plan, until)
            else:
                interrupted = await self._further_rounds(test, test.plan, until)
            if interrupted:
                return True
        return False

    async def _further_blocks(self, test: Measured, plan: TtftPlan, until: float) -> bool:
        services, seed = len(self.plan.services), self.plan.settings.benchmark.seed
        blocks = test.completed
        further = further_ttft(plan, services, seed, first=test.first, blocks=blocks, stretch=test.stretches)
        self.folder.update(partial(with_further, plan=further))
        began = time.monotonic()
        until_ns = time.monotonic_ns() + round((until - began) * _NANOSECONDS)
        ran = await run_ttft(self.context, further, self.plan.shapes[plan.name], until_ns=until_ns)
        self._keep(test, ran, began, of=blocks)
        return ran.interrupted

    async def _further_rounds(self, test: Measured, plan: LoadPlan, until: float) -> bool:
        """Go through whole rotations only, so that every service stands in every place equally often."""
        services, seed = len(self.plan.services), self.plan.settings.benchmark.seed
        target = 2 * test.completed
        while test.completed < target and test.least <= until - time.monotonic():
            further = further_load(plan, services, seed, first=test.first, rounds=services)
            self.folder.update(partial(with_further, plan=further))
            began = time.monotonic()
            ran = await run_load(self.context, further, self.plan.shapes[plan.name])
            self._keep(test, ran, began, of=services)
            if ran.interrupted:
                return True
        return False

    def _keep(self, test: Measured, ran: Ran, began: float, *, of: int) -> None:
        test.add(ran, time.monotonic() - began, began=of)
        self.folder.update(lambda so_far: with_completed(so_far, test.plan.name, ran.completed))


def _compare_so_far(folder: RunFolder, alpha: float) -> tuple[Comparison, frozenset[str]]:
    """Compare what the journal holds, in a folder of its own that goes again; also return which tests are invalid."""
    interim = interim_run(folder)
    try:
        write_summaries(interim)
        summary = read_summary(interim)
        assert summary is not None
        invalid = frozenset(test.name for test in summary.tests if test.validity.verdict == "invalid")
        return compare_run(interim, alpha=alpha), invalid
    finally:
        remove_interim(folder)


def _affordable(tests: Sequence[Measured], seconds: float) -> list[Measured]:
    """Return the tests whose blocks can be doubled in this time, the quickest first; when none can, those that can
    have something more at all.
    """
    found: list[Measured] = []
    left = seconds
    for test in sorted((test for test in tests if test.completed), key=lambda test: test.seconds):
        if test.seconds > left:
            break
        found.append(test)
        left -= test.seconds
    return found or [test for test in tests if test.completed and test.least <= seconds]


def _names(tests: tuple[str, ...]) -> str:
    return ", ".join(tests)


def _amount(test: Measured) -> str:
    what = "block" if isinstance(test.plan, TtftPlan) else "round"
    return f"{test.completed} further {what}{'' if test.completed == 1 else 's'} of {test.plan.name}"
