"""Is a service well: one check-up of a server, tried again where trying again can help.

What an engine's answers mean is read in `api`; here they become one of five words and a sentence.
"""

import asyncio
import random
from dataclasses import dataclass, field
from enum import StrEnum

from inference_bench.api.identity import Identity
from inference_bench.api.probe_http import ProbeLimits, ProbeOutcome, Prober, ProbeTarget, Reply
from inference_bench.api.probes import Recognition, ask_health, recognise


class HealthStatus(StrEnum):
    """How a service is. Only a healthy one can be measured."""

    HEALTHY = "healthy"
    RESPONDING = "responding"  # alive, but not ready: a model is loading, or there is none
    UNHEALTHY = "unhealthy"  # answers, but not as a working engine does
    UNAUTHORISED = "unauthorised"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class HealthReport:
    """How a service is. `cause` is how the deciding answer ended, `elapsed_ms` how long it took (None: no answer)."""

    status: HealthStatus
    detail: str
    cause: ProbeOutcome
    elapsed_ms: float | None = None
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """How patient a check-up is. Whatever the retries, it ends at `deadline_seconds`."""

    retries: int = 3
    first_wait_seconds: float = 0.25
    deadline_seconds: float = 8.0
    limits: ProbeLimits = field(default=ProbeLimits())


@dataclass(frozen=True, slots=True)
class CheckUp:
    """What one check-up found: who the server is, as far as it told, and how it is."""

    recognition: Recognition | None
    health: HealthReport

    @property
    def identity(self) -> Identity | None:
        """Who the server said it is, None when it was not recognised."""
        return self.recognition.identity if self.recognition is not None else None


_UNREACHABLE = (
    ProbeOutcome.DNS,
    ProbeOutcome.TLS,
    ProbeOutcome.REFUSED,
    ProbeOutcome.TIMEOUT,
    ProbeOutcome.UNREACHABLE,
)
# A wrong key, certificate or address stays wrong; these may pass.
_TRANSIENT = (
    ProbeOutcome.DNS,
    ProbeOutcome.REFUSED,
    ProbeOutcome.TIMEOUT,
    ProbeOutcome.UNREACHABLE,
    ProbeOutcome.RESET,
    ProbeOutcome.NOT_READY,
    ProbeOutcome.HTTP_ERROR,
)


async def check_health(
    target: ProbeTarget,
    *,
    engine: str | None = None,
    model: str | None = None,
    policy: HealthPolicy | None = None,
    rng: random.Random | None = None,
) -> CheckUp:
    """Recognise a server and ask how it is.

    `engine` and `model` are what the user said; with both, a server that answers but does not list its models is
    taken on trust. Waits between attempts double and are jittered. Raises ConfigError for an unreadable
    certificate file, and for nothing a server does.
    """
    policy, rng = policy or HealthPolicy(), rng or random.Random()
    last: CheckUp | None = None
    try:
        async with asyncio.timeout(policy.deadline_seconds), Prober(target, policy.limits) as prober:
            for attempt in range(1, policy.retries + 2):
                if attempt > 1:
                    await asyncio.sleep(policy.first_wait_seconds * 2 ** (attempt - 2) * rng.uniform(0.5, 1.5))
                last = await _attempt(prober, engine, model, attempt)
                if last.health.status is HealthStatus.HEALTHY or last.health.cause not in _TRANSIENT:
                    break
    except TimeoutError:
        pass
    return last or CheckUp(None, _out_of_time(policy))


def _out_of_time(policy: HealthPolicy) -> HealthReport:
    return HealthReport(
        HealthStatus.UNREACHABLE, f"no answer within {policy.deadline_seconds:g} s", ProbeOutcome.TIMEOUT
    )


async def _attempt(prober: Prober, engine: str | None, model: str | None, number: int) -> CheckUp:
    recognition = await recognise(prober)
    if recognition.identity is not None:
        reply = await ask_health(prober, recognition.identity.engine)
        return CheckUp(recognition, _known(recognition, recognition.identity, reply, model, number))
    reply = recognition.reply
    if engine is not None and reply.outcome in (ProbeOutcome.NOT_FOUND, ProbeOutcome.HTTP_ERROR):
        trusted = _on_trust(reply, await ask_health(prober, engine), engine, model, number)
        if trusted is not None:
            return CheckUp(recognition, trusted)
    return CheckUp(recognition, _unknown(recognition, number))


def _known(
    recognition: Recognition, identity: Identity, reply: Reply, model: str | None, attempts: int
) -> HealthReport:
    """Judge a recognised server by its health route; one without such a route is well when it answers at all."""
    elapsed = reply.elapsed_ms
    if not reply.answered or reply.outcome in (ProbeOutcome.HTTP_ERROR, ProbeOutcome.NOT_READY):
        status = HealthStatus.RESPONDING if reply.outcome is ProbeOutcome.NOT_READY else HealthStatus.UNHEALTHY
        return HealthReport(status, f"{reply.path}: {reply.detail}", reply.outcome, elapsed, attempts)
    if not identity.models and model is None and identity.engine != "tgi":
        advice = "pull one with: ollama pull NAME" if identity.engine == "ollama" else "name one with --model"
        detail = f"has no model to offer; {advice}"
        return HealthReport(HealthStatus.RESPONDING, detail, ProbeOutcome.OK, elapsed, attempts)
    if identity.engine == "ollama" and not identity.models:
        detail = f"has no model, so not {model} either; pull it with: ollama pull {model}"
        return HealthReport(HealthStatus.RESPONDING, detail, ProbeOutcome.OK, elapsed, attempts)
    if reply.outcome is not ProbeOutcome.OK:
        elapsed = recognition.reply.elapsed_ms
        detail = f"{recognition.reply.path}: {recognition.reply.detail} (no {reply.path})"
        return HealthReport(HealthStatus.HEALTHY, detail, ProbeOutcome.OK, elapsed, attempts)
    return HealthReport(HealthStatus.HEALTHY, f"{reply.path}: {reply.detail}", ProbeOutcome.OK, elapsed, attempts)


def _on_trust(listing: Reply, health: Reply, engine: str, model: str | None, attempts: int) -> HealthReport | None:
    """Accept a server that lists no models, when the user has said what it is.

    transformers serve answers /v1/models with 500 where it has no download cache; a gateway may pass on nothing but
    the routes that generate. A web page is neither.
    """
    if listing.is_web_page or health.is_web_page or (model is None and engine != "tgi"):
        return None
    well = health.outcome is ProbeOutcome.OK
    bare = health.outcome is ProbeOutcome.NOT_FOUND and listing.outcome is ProbeOutcome.NOT_FOUND
    if not (well or bare):
        return None
    detail = f"taken on trust as {engine}: {listing.path} gave {listing.detail}"
    return HealthReport(HealthStatus.HEALTHY, detail, ProbeOutcome.OK, health.elapsed_ms, attempts)


def _unknown(recognition: Recognition, attempts: int) -> HealthReport:
    reply = recognition.reply
    if reply.outcome in _UNREACHABLE:
        status = HealthStatus.UNREACHABLE
    elif reply.outcome is ProbeOutcome.UNAUTHORISED:
        status = HealthStatus.UNAUTHORISED
    elif reply.outcome is ProbeOutcome.NOT_READY:
        status = HealthStatus.RESPONDING
    else:
        status = HealthStatus.UNHEALTHY
    return HealthReport(status, recognition.problem or reply.detail, reply.outcome, reply.elapsed_ms, attempts)
