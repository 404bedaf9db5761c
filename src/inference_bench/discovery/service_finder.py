"""Who is there: candidates from every source, checked all at once, named, and paired with a model."""

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pydantic import ValidationError

from inference_bench.api.probe_http import ProbeOutcome
from inference_bench.config.models import Settings
from inference_bench.config.problems import config_error, problems_of
from inference_bench.config.service_models import EndpointSettings
from inference_bench.discovery.checking import Checked, check_all, family
from inference_bench.discovery.health_checker import CheckUp, HealthStatus
from inference_bench.discovery.services import FoundService, choose_model
from inference_bench.discovery.sources import Candidate, ServiceSource
from inference_bench.errors import UsageError

ByService = Mapping[str, Mapping[str, object]]
EVERY_SERVICE = "*"
_KEY_KEPT = "no key was sent to it: it is not in a namespace that was named; --api-key-env SERVICE=VARIABLE sends one"


async def find_services(
    settings: Settings,
    *,
    environ: Mapping[str, str],
    sources: Sequence[ServiceSource],
    only: Sequence[str] = (),
    by_service: ByService | None = None,
) -> tuple[FoundService, ...]:
    """Find and check every service of the sources, all at the same time.

    Returns the named ones whatever their health, and of the others those that are inference engines. `only` keeps
    the services of these names. `by_service` holds `model` and `api_key_env` for services that are known only once
    they are found, by name or `*`. Raises ConfigError for a missing secret or a wrong URL, UsageError for a name in
    `only` or `by_service` that nothing has.
    """
    said = by_service or {}
    listed = await asyncio.gather(*(source.candidates() for source in sources))
    candidates = _merged([_told_of_all(candidate, said) for batch in listed for candidate in batch])
    given = [candidate.endpoint.service_name for candidate in candidates]
    if only:
        candidates = [one for one, name in zip(candidates, given, strict=True) if name is None or name in only]
    checked = [found for found in await check_all(candidates, settings, environ) if _keep(found)]
    names = _names(checked)
    known = list(dict.fromkeys([name for name in given if name is not None] + names))
    _refuse_strangers("--service", only, known)
    _refuse_strangers("--model or --api-key-env", [name for name in said if name != EVERY_SERVICE], known)
    checked = await _checked_with_own_values(checked, names, said, settings, environ)
    services = [_found(name, found, settings) for name, found in zip(names, checked, strict=True)]
    return tuple(service for service in services if not only or service.name in only)


async def _checked_with_own_values(
    checked: Sequence[Checked], names: Sequence[str], said: ByService, settings: Settings, environ: Mapping[str, str]
) -> list[Checked]:
    """Apply what was said of services by name; one that now has a key of its own is asked again with it."""
    result = list(checked)
    again = []
    for position, (found, name) in enumerate(zip(checked, names, strict=True)):
        candidate = _with_values(found.candidate, said.get(name, {}))
        result[position] = replace(found, candidate=candidate)
        if candidate.endpoint.api_key_env != found.candidate.endpoint.api_key_env:
            again.append(position)
    renewed = await check_all([result[position].candidate for position in again], settings, environ)
    for position, found in zip(again, renewed, strict=True):
        result[position] = found
    return result


def _merged(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Let a URL that a user gave stand for the service of that name in the cluster: it keeps what the cluster told."""
    given = {candidate.endpoint.name for candidate in candidates if candidate.named} - {None}
    placed = {candidate.endpoint.name: candidate.cluster for candidate in candidates if not candidate.named}
    return [
        replace(candidate, cluster=placed.get(candidate.endpoint.name)) if candidate.named else candidate
        for candidate in candidates
        if candidate.named or candidate.endpoint.name not in given
    ]


def _told_of_all(candidate: Candidate, said: ByService) -> Candidate:
    """Apply what was said of every service; configured endpoints have had it from the loader already."""
    values = said.get(EVERY_SERVICE, {})
    if candidate.by_name_only and "api_key_env" in values:
        values = {key: value for key, value in values.items() if key != "api_key_env"}
        candidate = replace(candidate, notes=(*candidate.notes, _KEY_KEPT))
    return candidate if candidate.named else _with_values(candidate, values)


def _with_values(candidate: Candidate, values: Mapping[str, object]) -> Candidate:
    if not values:
        return candidate
    try:
        endpoint = EndpointSettings.model_validate({**candidate.endpoint.model_dump(), **values})
    except ValidationError as error:
        raise config_error(problems_of(error, {})) from error
    return replace(candidate, endpoint=endpoint)


def _keep(found: Checked) -> bool:
    """Keep what the user named; of the rest what is an engine, even one that is loading or wants a key.

    What seems to be one in a cluster is kept when it could not be asked: only its answer could have told.
    """
    check = found.check
    if found.candidate.named or found.candidate.certain or check.identity is not None:
        return True
    if check.recognition is None or check.health.status is HealthStatus.UNREACHABLE:
        return found.candidate.cluster is not None
    if check.recognition.product_hint is not None:
        return True
    reply = check.recognition.reply
    # vLLM and its kin guard their /v1 routes with JSON; a web application's log-in is a page or an empty answer.
    return reply.outcome is ProbeOutcome.UNAUTHORISED and reply.content_type == "application/json"


def _names(checked: Sequence[Checked]) -> list[str]:
    """Name every service: as the user did, else after its engine, numbered where that is taken."""
    taken = {found.candidate.endpoint.name for found in checked} - {None}
    names = []
    for found in checked:
        endpoint, identity = found.candidate.endpoint, found.check.identity
        name = endpoint.name
        if name is None:
            wanted = endpoint.engine or (identity.engine if identity is not None else "service")
            name = _free_name(wanted, taken)
            taken.add(name)
        names.append(name)
    return names


def _free_name(wanted: str, taken: set[str | None]) -> str:
    if wanted not in taken:
        return wanted
    return next(name for number in itertools.count(2) if (name := f"{wanted}-{number}") not in taken)


def _refuse_strangers(option: str, asked: Sequence[str], names: Sequence[str]) -> None:
    missing = [name for name in asked if name not in names]
    if missing:
        hint = f"the services are: {', '.join(names)}" if names else "no service was found"
        raise UsageError(f"{option} names {', '.join(missing)}, and there is no such service", hint=hint)


def _found(name: str, checked: Checked, settings: Settings) -> FoundService:
    candidate, check = checked.candidate, checked.check
    identity, endpoint = check.identity, candidate.endpoint
    dialect = endpoint.engine or (identity.engine if identity is not None else None)
    if dialect is None and check.health.status is HealthStatus.HEALTHY:
        dialect = candidate.hint  # it was taken on trust as that
    engine = family(dialect)
    model, model_notes = choose_model(endpoint.model, settings.benchmark.model, identity, engine)
    return FoundService(
        name=name,
        dialect=dialect,
        engine=engine,
        model=model,
        identity=identity,
        health=check.health,
        source=candidate.source,
        named=candidate.named,
        endpoint=endpoint,
        notes=(*candidate.notes, *_state_notes(candidate, check), *_engine_notes(engine, check), *model_notes),
        way=checked.way or candidate.way,
        cluster=candidate.cluster,
    )


def _state_notes(candidate: Candidate, check: CheckUp) -> tuple[str, ...]:
    """Say what the cluster says of a service that does not work; a healthy one needs no second opinion."""
    state = candidate.cluster.state if candidate.cluster is not None else None
    if state is None or check.health.status is HealthStatus.HEALTHY or state in check.health.detail:
        return ()
    return (f"the cluster says: {state}",)


def _engine_notes(engine: str | None, check: CheckUp) -> tuple[str, ...]:
    """Say where a server is something else than the user said; every engine speaks `openai` as well."""
    identity = check.identity
    if identity is None:
        hint = check.recognition.product_hint if check.recognition is not None else None
        return (f"its Server header says {hint}",) if hint is not None else ()
    if engine in (identity.engine, "openai"):
        return ()
    return (f"configured as {engine}, but it says that it is {identity.product}",)
