"""The front door for code: what a command calls and what a notebook imports.

    from inference_bench.orchestrator import open_services, make_run_plan, run_benchmark

Each name is a story told in `inference_bench.orchestration`; nothing is done here.
"""

from inference_bench.orchestration.benchmark_orchestrator import RunInput, RunOutcome, run_benchmark
from inference_bench.orchestration.closing import Ended, recover_run
from inference_bench.orchestration.demo_orchestrator import Show, open_show
from inference_bench.orchestration.inspect_orchestrator import inspect_answers, provoke_errors
from inference_bench.orchestration.race_orchestrator import Question, RaceInput, planned_heats, run_heat
from inference_bench.orchestration.race_statistics import statistics_of
from inference_bench.orchestration.resumable import resume_command
from inference_bench.orchestration.resuming import Interrupted, in_their_order, interrupted_run, left_of
from inference_bench.orchestration.run_plan import RunPlan, Selection, check_selection, make_run_plan
from inference_bench.orchestration.service_orchestrator import (
    OpenServices,
    ask_everyone,
    found_services,
    open_services,
    watched_services,
)

__all__ = [
    "Ended",
    "Interrupted",
    "OpenServices",
    "Question",
    "RaceInput",
    "RunInput",
    "RunOutcome",
    "RunPlan",
    "Selection",
    "Show",
    "ask_everyone",
    "check_selection",
    "found_services",
    "in_their_order",
    "inspect_answers",
    "interrupted_run",
    "left_of",
    "make_run_plan",
    "open_services",
    "open_show",
    "planned_heats",
    "provoke_errors",
    "recover_run",
    "resume_command",
    "run_benchmark",
    "run_heat",
    "statistics_of",
    "watched_services",
]
