"""How a run looks while it goes on, and what is said of it before it begins."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from inference_bench.cli.utils.console_utils import ProgressLine, clean, foreign, table

if TYPE_CHECKING:
    from rich.console import Console

    from inference_bench.orchestration.run_plan import RunPlan
    from inference_bench.results.comparison import FairnessNote
    from inference_bench.testing.frames import Tally
    from inference_bench.testing.plan import LoadPlan

_NOTE_CHARACTERS = 1000


class RunDisplay:
    """Follows a run: which test, whose turn, how many answers so far. A bar on a terminal, else plain lines.

    `turns` are those of the plan; a run that goes on until it is decided brings more, and the bar's end moves. It moves
    by the turns that are over and by the time of the one that goes on.
    """

    def __init__(self, line: ProgressLine, turns: int) -> None:
        self._line = line
        self._turns = turns
        self._announced = 0
        self._ended = 0
        self._test = ""
        self._what = "starting"
        self._turn_began = time.monotonic()
        self._turn_seconds: float | None = None
        self._turn_requests = 0
        self._before = 0
        self._seen = 0
        self._failed = 0
        self._error = ""

    def test_began(self, test: str, kind: str, turns: int) -> None:
        """A test begins, or goes on with further turns."""
        self._announced += turns
        self._turns = max(self._turns, self._announced)
        self._test = test
        self._what = "warming up" if kind == "ttft" else counted(turns, "turn")
        self._show()

    def turn_began(self, test: str, service: str | None, round_no: int, seconds: float | None, requests: int) -> None:
        """A turn begins."""
        self._test = test
        self._what = "services interleaved" if service is None else f"{clean(service)}, round {round_no + 1}"
        self._turn_began = time.monotonic()
        self._turn_seconds = seconds
        self._turn_requests = requests
        self._before = self._seen
        self._show()

    def turn_ended(self, test: str) -> None:
        """A turn is over."""
        self._test = test
        self._ended += 1
        self._turn_seconds = None
        self._turn_requests = 0
        self._show()

    def counts(self, tallies: Mapping[tuple[str, str], "Tally"]) -> None:
        """The decoder has counted."""
        self._seen = sum(tally.ok + tally.failed for tally in tallies.values())
        self._failed = sum(tally.failed for tally in tallies.values())
        self._error = next((tally.last_error for tally in reversed(list(tallies.values())) if tally.last_error), "")
        self._show()

    def _show(self) -> None:
        part = 0.0
        if self._turn_seconds:
            part = (time.monotonic() - self._turn_began) / self._turn_seconds
        elif self._turn_requests:
            part = (self._seen - self._before) / self._turn_requests
        detail = f" · {self._seen} answers"
        if self._failed:
            detail += f", {self._failed} failed ({clean(self._error, limit=60)})"
        doing = f"{clean(self._test)}: {self._what}"
        self._line.update(self._ended + min(part, 1.0), total=self._turns, description=doing, detail=detail)


def print_plan(console: "Console", plan: "RunPlan", *, simulated: bool) -> None:
    """Say what will be done, how long it takes, how much it asks for, and what makes the services unlike."""
    made = table("Test", "What", "Requests", "Output tokens", "Time", right=("Requests", "Output tokens", "Time"))
    for test, estimate in zip((*plan.tests, *plan.searches), plan.estimates, strict=True):
        about = "~" if guessed_requests(test) else ""
        made.add_row(
            clean(test.name),
            describe(test),
            f"{about}{estimate.requests:,}",
            f"{'~' if estimate.tokens_guessed else f'<= {about}'}{estimate.output_tokens:,}",
            f"~{duration(estimate.seconds)}",
        )
    services = ", ".join(f"{service.name} ({service.client.engine})" for service in plan.services)
    console.print(f"Services: {clean(services, limit=500)}", markup=False, soft_wrap=True)
    if simulated:
        console.print(
            "SIMULATED: these are simulated engines; the figures say nothing about real ones.", style="magenta"
        )
    console.print(made)
    for text in (*_guesses(plan), *(f"Note: {clean(text, limit=500)}" for text in plan.notes)):
        console.print(text, markup=False, soft_wrap=True)
    print_fairness(console, plan.fairness)


def print_fairness(console: "Console", notes: "Sequence[FairnessNote]") -> None:
    """Print fairness notes, each once and wrapped beside its mark; nothing when there are none."""
    if not notes:
        return
    from rich.table import Table  # noqa: PLC0415 - keeps --help fast
    from rich.text import Text  # noqa: PLC0415

    made = Table.grid(padding=(0, 1))
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    for one in dict.fromkeys(notes):
        mark = Text("Warning:", style="bold yellow") if one.weight == "warning" else Text("Note:")
        where = f"{one.test}: " if one.test is not None else ""
        made.add_row(mark, foreign(f"{where}{one.text}", limit=_NOTE_CHARACTERS))
    console.print("What makes the services unlike each other:", markup=False)
    console.print(made)


def _guesses(plan: "RunPlan") -> list[str]:
    """Say what the figures of the plan assume, where they assume anything."""
    said = []
    if plan.searches:
        said = ["~ assumes a second per answer and 14 probes of a service; a search takes as many as it needs."]
    elif any(guessed_requests(test) for test in plan.tests):
        said = ["~ assumes a second per answer; a closed loop sends as many as the services answer."]
    elif any(estimate.guessed for estimate in plan.estimates):
        said = ["~ assumes a second per answer; the number of requests is exact."]
    if any(estimate.tokens_guessed for estimate in plan.estimates):
        said.append("Output tokens with ~ alone: what the workload asks for, by the mean of a sample.")
    return said


def plan_json(plan: "RunPlan", *, simulated: bool) -> dict[str, object]:
    """Return the plan as plain data.

    `guessed`: the time assumes a second per answer; `requests_guessed`: so do the requests, of a closed loop that
    goes on for a time. `output_tokens_asked`: where the workload says how long answers are to be, by a sample of it;
    then there is no `output_tokens_at_most`. `said` is what a service told of itself, `fairness` what makes the
    services unlike.
    """
    return {
        "dry_run": True,
        "simulated": simulated,
        "services": [
            {
                "name": one.name,
                "engine": one.client.engine,
                "url": one.endpoint.url,
                "model": one.endpoint.model,
                "product": facts.product,
                "version": facts.version,
                "said": facts.said,
            }
            for one, facts in zip(plan.services, plan.facts, strict=True)
        ],
        "tests": [
            {
                "name": test.name,
                "what": describe(test),
                "requests": estimate.requests,
                "output_tokens_at_most": None if estimate.tokens_guessed else estimate.output_tokens,
                "output_tokens_asked": estimate.output_tokens if estimate.tokens_guessed else None,
                "seconds": estimate.seconds,
                "guessed": estimate.guessed,
                "requests_guessed": guessed_requests(test),
            }
            for test, estimate in zip((*plan.tests, *plan.searches), plan.estimates, strict=True)
        ],
        "workers": plan.workers,
        "notes": list(plan.notes),
        "fairness": [one.model_dump(mode="json") for one in plan.fairness],
    }


def guessed_requests(test: object) -> bool:
    """Return whether a test's number of requests is a guess: a closed loop that goes on for a time, or a search."""
    from inference_bench.config.models import LoadTestSettings  # noqa: PLC0415 - keeps --help fast
    from inference_bench.testing.plan import LoadPlan  # noqa: PLC0415

    if isinstance(test, LoadTestSettings):
        return True
    return isinstance(test, LoadPlan) and not test.open_loop and test.settings.requests is None


def describe(test: object) -> str:
    """Return a test, or the load test whose capacity is searched, in a few words."""
    from inference_bench.config.models import LoadTestSettings  # noqa: PLC0415 - keeps --help fast
    from inference_bench.testing.plan import LoadPlan, TtftPlan  # noqa: PLC0415 - keeps --help fast

    if isinstance(test, TtftPlan):
        return f"{counted(test.blocks, 'block')}, one request at a time"
    if isinstance(test, LoadTestSettings):
        from inference_bench.orchestration.capacity_plan import first_load, unit_of  # noqa: PLC0415
        from inference_bench.results.capacity_rows import load_text  # noqa: PLC0415

        closed = test.arrivals == "closed"
        most = "the most users that keep" if closed else f"the highest {test.arrivals} rate that keeps"
        return f"{most} the promises, searched from {load_text(first_load(test), unit_of(test))}"
    assert isinstance(test, LoadPlan)
    load = test.settings
    who = counted(test.users or 0, "user") if not test.open_loop else f"{load.arrivals} {rate_words(test)}"
    seconds = load.duration_seconds
    if test.slices:
        seconds = sum(part.seconds for part in test.slices)
    length = f"{seconds:.4g} s" if seconds is not None else counted(load.requests or 0, "request")
    return f"{who}, {length} per service in {counted(test.rounds, 'round')}"


def rate_words(test: "LoadPlan") -> str:
    rate = test.settings.rate
    if isinstance(rate, tuple):
        return f"{' to '.join(f'{one:g}' for one in rate)}/s" if len(rate) == 2 else f"{rate[0]:g} … {rate[-1]:g}/s"
    return f"{test.rate or 0:.4g}/s" + (" on the mean" if test.slices else "")


def counted(count: int, thing: str) -> str:
    """Return a count with its noun: 1 user, 2 users."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return a duration as people say it."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    return f"{round(whole / 60)} min" if whole < 7200 else f"{whole / 3600:.1f} h"
