"""How a run looks while it goes on, and what is said of it before it begins."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from inference_bench.cli.utils.console_utils import ProgressLine, clean, table

if TYPE_CHECKING:
    from rich.console import Console

    from inference_bench.orchestration.run_plan import RunPlan
    from inference_bench.testing.frames import Tally


class RunDisplay:
    """Follows a run: which test, whose turn, how many answers so far. A bar on a terminal, else plain lines.

    `total_seconds` is the estimate; the bar moves by the turns that are over and by the time of the one that goes on.
    """

    def __init__(self, line: ProgressLine, turns: int) -> None:
        self._line = line
        self._turns = turns
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
        """A test begins."""
        self._test = test
        self._what = "warming up" if kind == "ttft" else f"{turns} turns"
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
    """Say what will be done, how long it takes and how much it asks for."""
    made = table("Test", "What", "Requests", "Output tokens", "Time", right=("Requests", "Output tokens", "Time"))
    for test, estimate in zip(plan.tests, plan.estimates, strict=True):
        about = "~" if estimate.guessed else ""
        made.add_row(
            clean(test.name),
            describe(test),
            f"{about}{estimate.requests:,}",
            f"<= {about}{estimate.output_tokens:,}",
            f"~{duration(estimate.seconds)}",
        )
    services = ", ".join(f"{service.name} ({service.client.engine})" for service in plan.services)
    console.print(f"Services: {clean(services, limit=500)}", markup=False, soft_wrap=True)
    if simulated:
        console.print(
            "SIMULATED: these are simulated engines; the figures say nothing about real ones.", style="magenta"
        )
    console.print(made)
    notes = [f"Note: {clean(text, limit=500)}" for text in plan.notes]
    if any(estimate.guessed for estimate in plan.estimates):
        notes.insert(0, "~ assumes a second per answer; a closed loop sends as many as the services answer.")
    for text in notes:
        console.print(text, markup=False, soft_wrap=True)


def plan_json(plan: "RunPlan", *, simulated: bool) -> dict[str, object]:
    """Return the plan as plain data. `guessed`: a closed loop's requests and time assume a second per answer."""
    return {
        "dry_run": True,
        "simulated": simulated,
        "services": [
            {"name": one.name, "engine": one.client.engine, "url": one.endpoint.url, "model": one.endpoint.model}
            for one in plan.services
        ],
        "tests": [
            {
                "name": test.name,
                "what": describe(test),
                "requests": estimate.requests,
                "output_tokens_at_most": estimate.output_tokens,
                "seconds": estimate.seconds,
                "guessed": estimate.guessed,
            }
            for test, estimate in zip(plan.tests, plan.estimates, strict=True)
        ],
        "workers": plan.workers,
        "notes": list(plan.notes),
    }


def describe(test: object) -> str:
    """Return a test in a few words."""
    from inference_bench.testing.plan import LoadPlan, TtftPlan  # noqa: PLC0415 - keeps --help fast

    if isinstance(test, TtftPlan):
        return f"{test.blocks} blocks, one request at a time"
    assert isinstance(test, LoadPlan)
    load = test.settings
    who = f"{load.concurrent_users} users" if load.rate is None else f"{load.arrivals} {load.rate:g}/s"
    length = f"{load.duration_seconds:g} s" if load.duration_seconds is not None else f"{load.requests} requests"
    return f"{who}, {length} per service in {test.rounds} rounds"


def duration(seconds: float) -> str:
    """Return a duration as people say it."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    return f"{round(whole / 60)} min" if whole < 7200 else f"{whole / 3600:.1f} h"
