"""What a plan of sessions has to say beforehand: a rate counts sessions that begin, and each is several requests."""

from dataclasses import replace

from inference_bench.orchestration.asked_lengths import with_lengths
from inference_bench.testing.estimates import Estimate
from inference_bench.testing.plan import LoadPlan, TtftPlan
from inference_bench.testing.rendering import TestShape
from inference_bench.workloads.sessions import SessionWorkload

_LOOKED_AT = 32  # sessions; their mean speaks for the rest, and is called a guess


def turns_each(shape: TestShape) -> float:
    """Return the mean number of turns of the workload's first sessions; 1 for any other workload."""
    workload = shape.workload
    if not isinstance(workload, SessionWorkload):
        return 1.0
    return sum(len(workload.session(number).turns) for number in range(_LOOKED_AT)) / _LOOKED_AT


def session_note(plan: TtftPlan | LoadPlan, shape: TestShape) -> str | None:
    """Return what the rate of an open loop of sessions means; None for any other test."""
    if isinstance(plan, TtftPlan) or not plan.open_loop or not shape.conversation:
        return None
    asked = "" if plan.rate is None else f"{plan.rate:.4g} "
    return f"{plan.name}: {asked}sessions begin each second, of about {turns_each(shape):.3g} turns, each a request"


def with_turns(found: Estimate, plan: TtftPlan | LoadPlan, shape: TestShape) -> Estimate:
    """Return the estimate with the requests that sessions of an open loop really make, and the lengths of answers that
    the work asks for.
    """
    return with_lengths(_with_turns(found, plan, shape), shape)


def _with_turns(found: Estimate, plan: TtftPlan | LoadPlan, shape: TestShape) -> Estimate:
    if isinstance(plan, TtftPlan) or not plan.open_loop or not shape.conversation:
        return found
    if plan.settings.requests is not None:
        return replace(found, guessed=True)  # so many turns are asked, whatever the sessions are
    turns = turns_each(shape)
    tokens = round(found.output_tokens * turns)
    return replace(found, requests=round(found.requests * turns), output_tokens=tokens, guessed=True)
