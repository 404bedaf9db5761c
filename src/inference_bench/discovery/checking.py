"""Candidates, checked: all at once within a bound, each by the first of its ways on which anybody answers."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from inference_bench.api.clients import get_client
from inference_bench.api.probe_http import ProbeLimits, ProbeOutcome, ProbeTarget
from inference_bench.config.models import Settings
from inference_bench.config.service_models import EndpointSettings, ServicesSettings
from inference_bench.discovery.health_checker import CheckUp, HealthPolicy, HealthReport, HealthStatus, check_health
from inference_bench.discovery.services import to_probe_target
from inference_bench.discovery.sources import Candidate
from inference_bench.discovery.url_resolver import Way
from inference_bench.errors import NoServiceError

MOST_CHECKED_AT_ONCE = 64
# A check-up of a named service may wait for a slow name server or a loading model; all of it stays under ten seconds.
_LONGEST_CONNECT_SECONDS = 2.0
_LONGEST_PROBE_SECONDS = 4.0
# On this machine a port answers at once or there is no engine behind it.
_LOCAL_POLICY = HealthPolicy(
    retries=0, deadline_seconds=5.0, limits=ProbeLimits(connect_seconds=0.75, total_seconds=2.5)
)
# Of several ways to one service each is given a moment; the whole of them no more than a named service has.
_WAY_SECONDS, _ALL_WAYS_SECONDS, _LAST_TURN_SECONDS = 5.0, 9.0, 2.5


@dataclass(frozen=True, slots=True)
class Checked:
    """A candidate, with the endpoint that was asked last, and what its check-up found. `way` is how it was reached."""

    candidate: Candidate
    check: CheckUp
    way: Way | None = None


def policy_for(services: ServicesSettings) -> HealthPolicy:
    """Return how patiently a named service is checked; the measured requests' own time-outs may be longer."""
    limits = ProbeLimits(
        connect_seconds=min(services.connect_timeout_seconds, _LONGEST_CONNECT_SECONDS),
        total_seconds=min(services.timeout_seconds, _LONGEST_PROBE_SECONDS),
    )
    return HealthPolicy(retries=services.health_check_retries, limits=limits)


async def check_all(candidates: Sequence[Candidate], settings: Settings, environ: Mapping[str, str]) -> list[Checked]:
    """Check every candidate, at most MOST_CHECKED_AT_ONCE at a time; the results are in their order.

    Raises ConfigError when a named secret is missing, before anybody is asked.
    """
    for candidate in candidates:
        to_probe_target(candidate.endpoint, environ)
    turn = asyncio.Semaphore(MOST_CHECKED_AT_ONCE)

    async def check(candidate: Candidate) -> Checked:
        async with turn:
            return await _check(candidate, settings, environ)

    return list(await asyncio.gather(*(check(candidate) for candidate in candidates)))


def family(dialect: str | None) -> str | None:
    """Return the engine a dialect speaks to."""
    return get_client(dialect).engine if dialect is not None else None


async def _check(candidate: Candidate, settings: Settings, environ: Mapping[str, str]) -> Checked:
    policy = policy_for(settings.services)
    if candidate.ways or candidate.last_way is not None or candidate.no_way is not None:
        return await _check_ways(candidate, settings, environ, policy)
    target = to_probe_target(candidate.endpoint, environ)
    check = await _ask(candidate, target, settings, policy if candidate.named else _LOCAL_POLICY)
    return Checked(candidate, check)


async def _ask(candidate: Candidate, target: ProbeTarget, settings: Settings, policy: HealthPolicy) -> CheckUp:
    return await check_health(
        target,
        engine=family(candidate.endpoint.engine or candidate.hint),
        model=candidate.endpoint.model or settings.benchmark.model,
        policy=policy,
    )


async def _check_ways(
    candidate: Candidate, settings: Settings, environ: Mapping[str, str], policy: HealthPolicy
) -> Checked:
    """Ask by one way after another until the service answers. Why a preferred way was left is said in the notes.

    Only the last way is tried again, and it always has its turn: dead ways must not use up the time of a good one.
    """
    tried: list[Checked] = []
    left: list[str] = []
    clock = asyncio.get_running_loop().time
    deadline = clock() + _ALL_WAYS_SECONDS
    for number, way in enumerate(candidate.ways, start=1):
        final = number == len(candidate.ways)
        remaining = deadline - clock()
        if tried and not final and remaining < _LAST_TURN_SECONDS:
            left.append(f"{way.through} ({way.url}) was not tried any more")
            continue
        patient = replace(
            policy,
            retries=min(policy.retries, 1) if final else 0,
            deadline_seconds=min(_WAY_SECONDS, max(remaining, _LAST_TURN_SECONDS)),
        )
        found = await _by(candidate, way, settings, left=left, environ=environ, policy=patient)
        if _answers(found.check):
            return found
        tried.append(found)
        does = "does not answer" if _silent(found) else "is answered by something else"
        left.append(f"{way.through} ({way.url}) {does}: {found.check.health.detail}")
    if candidate.last_way is not None:
        try:
            way = await candidate.last_way()
        except NoServiceError as error:
            left.append(error.message)
        else:
            patient = replace(policy, deadline_seconds=_WAY_SECONDS)
            return await _by(candidate, way, settings, left=left, environ=environ, policy=patient)
    if not tried:
        why = candidate.no_way or (left[-1] if left else "there is no way to it")
        health = HealthReport(HealthStatus.UNREACHABLE, why, ProbeOutcome.UNREACHABLE)
        return Checked(candidate, CheckUp(None, health))
    shown = next((found for found in tried if not _silent(found)), tried[0])
    others = [text for text in left if shown.way is None or f"({shown.way.url})" not in text]
    return Checked(_noted(shown.candidate, others), shown.check, shown.way)


def _silent(found: Checked) -> bool:
    return found.check.health.status is HealthStatus.UNREACHABLE


def _answers(check: CheckUp) -> bool:
    """Whether the service itself answered, or whoever asks for its key.

    A web page or a redirect is a router's own word: that it knows no such host, or has no pod to send to.
    """
    if check.health.status is HealthStatus.UNREACHABLE:
        return False
    if check.identity is not None or check.recognition is None:
        return True
    reply = check.recognition.reply
    if reply.outcome is ProbeOutcome.UNAUTHORISED:
        return True
    return not reply.is_web_page and reply.outcome is not ProbeOutcome.REDIRECT


async def _by(
    candidate: Candidate,
    way: Way,
    settings: Settings,
    *,
    left: Sequence[str],
    environ: Mapping[str, str],
    policy: HealthPolicy,
) -> Checked:
    endpoint = _reached(candidate.endpoint, way)
    placed = _noted(replace(candidate, endpoint=endpoint), (*left, *way.notes))
    return Checked(placed, await _ask(placed, to_probe_target(endpoint, environ), settings, policy), way)


def _reached(endpoint: EndpointSettings, way: Way) -> EndpointSettings:
    """Return the endpoint at a way's URL; what is said of certificates holds where there are any."""
    said: dict[str, object] = {}
    if not way.url.startswith("https:"):
        said = {"ca_file": None, "insecure_skip_verify": False}
    elif way.ca_file is not None and endpoint.ca_file is None and not endpoint.insecure_skip_verify:
        said = {"ca_file": way.ca_file}
    return endpoint.model_copy(update={"url": way.url, **said})


def _noted(candidate: Candidate, notes: Sequence[str]) -> Candidate:
    return replace(candidate, notes=tuple(dict.fromkeys((*candidate.notes, *notes))))
