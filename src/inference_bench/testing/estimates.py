"""What a plan will take: seconds, requests, tokens. Exact where the plan says it, a stated guess where answers do."""

from dataclasses import dataclass

from inference_bench.testing.plan import LoadPlan, TtftPlan

ASSUMED_ANSWER_SECONDS = 1.0  # for the estimate of a closed loop only, and said so where it is shown


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a test will take, over all services. `requests` of a closed loop is a guess (see ASSUMED_ANSWER_SECONDS).

    `output_tokens` is the most that can come; with `tokens_guessed` what the mean of a sample of the work asks for.
    """

    test: str
    seconds: float
    requests: int
    output_tokens: int
    guessed: bool
    tokens_guessed: bool = False


def estimate(plan: TtftPlan | LoadPlan, services: int) -> Estimate:
    """Estimate duration, requests and output tokens (at most) of one test."""
    settings = plan.settings
    if isinstance(plan, TtftPlan):
        requests = (plan.blocks + plan.settings.warmup_requests) * services
        return Estimate(plan.name, requests * ASSUMED_ANSWER_SECONDS, requests, requests * settings.max_tokens, True)
    load = plan.settings
    per_turn = ASSUMED_ANSWER_SECONDS + load.ramp_up_seconds + (ASSUMED_ANSWER_SECONDS if load.warmup_requests else 0)
    users = plan.users or 1
    requests = 0
    seconds = 0.0
    for turn in plan.turns:
        if plan.open_loop:
            sent = len(plan.intended(turn.round_no))
            steady = turn.steady_seconds if turn.steady_seconds is not None else sent / (plan.rate or 1)
        elif turn.steady_seconds is not None:
            steady = turn.steady_seconds
            sent = round(
                users * (steady + load.ramp_up_seconds / 2) / (ASSUMED_ANSWER_SECONDS + load.think_time_seconds)
            )
        else:
            sent = turn.requests or 0
            steady = sent / users * (ASSUMED_ANSWER_SECONDS + load.think_time_seconds)
        requests += sent + load.warmup_requests
        seconds += steady + per_turn
    return Estimate(plan.name, seconds, requests, requests * load.max_tokens, not plan.open_loop)
