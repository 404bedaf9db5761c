"""What tells the engines' requests apart, found by experiment: ask a little differently, and see what changes.

Each dialect renders the request once as it is and once with one thing changed; the parts of the request that differ are
the words in which that engine is asked for that thing. Nothing here knows any engine's JSON, so it holds for plug-ins.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import orjson

from inference_bench.api.dialects.rendering import NO_TEMPLATE_NOTE
from inference_bench.api.protocols import ChatRequest, Message
from inference_bench.testing.rendering import ServiceUnderTest
from inference_bench.visualization.components.payload_values import Aspect

CANNOT: Final = "cannot be asked"
_ABSENT: Final = "left out"
_LONGEST = 60
Parts = Mapping[str, str]


def differences(services: Sequence[ServiceUnderTest], request: ChatRequest) -> tuple[Aspect, ...]:
    """Return the aspects of the request, each with every service's own words for it."""
    seen: dict[str, set[str]] = {service.name: set() for service in services}
    aspects = [_aspect("route", {service.name: _route(service, request) for service in services})]
    experiments = (
        ("prompt goes into", {"messages": (*request.messages[:-1], _other_words(request))}, False),
        (f"at most {request.max_tokens} tokens", {"max_tokens": request.max_tokens + 1}, True),
        (f"exactly {request.max_tokens} tokens", {"exact_length": not request.exact_length}, True),
        (f"temperature {request.temperature:g}", {"temperature": request.temperature + 0.7}, True),
        ("seed", {"seed": None if request.seed is not None else 1}, True),
        ("stream, and its usage", {"stream": not request.stream}, True),
    )
    for name, change, values in experiments:
        words: dict[str, str] = {}
        for service in services:
            here = _parts(service, request)
            changed = _changed(here, _parts(service, replace(request, **change)))
            seen[service.name] |= set(changed)
            words[service.name] = _words(changed, here, values=values) or CANNOT
        aspects.append(_aspect(name, words))
    aspects.append(_aspect("model", {service.name: _model(service, request, seen) for service in services}))
    aspects.append(_aspect("always sent besides", {one.name: _rest(one, request, seen) for one in services}))
    aspects.append(_aspect("chat template", {one.name: _template(one, request) for one in services}))
    return tuple(aspects)


def _aspect(name: str, words: dict[str, str]) -> Aspect:
    lacking = frozenset(service for service, said in words.items() if said == CANNOT)
    return Aspect(name, words, same=len(set(words.values())) == 1, lacking=lacking)


def _other_words(request: ChatRequest) -> Message:
    last = request.messages[-1]
    return Message(last.role, f"{last.content}.")


def _route(service: ServiceUnderTest, request: ChatRequest) -> str:
    wire = service.client.render(request, service.endpoint.model)
    return f"{wire.method} {wire.path} ({wire.dialect})"


def _parts(service: ServiceUnderTest, request: ChatRequest, model: str | None = None) -> Parts:
    """Return a rendered request as its leaves: the path, the headers that are not about one request, the JSON."""
    wire = service.client.render(request, model or service.endpoint.model)
    parts = {"path": wire.path}
    parts.update(dict(_leaves(orjson.loads(wire.body), "")))
    return parts


def _leaves(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for place, item in enumerate(value):
            yield from _leaves(item, f"{path}[{place}]")
    else:
        yield path, orjson.dumps(value).decode()


def _changed(here: Parts, there: Parts) -> tuple[str, ...]:
    return tuple(
        part for part in (*here, *(one for one in there if one not in here)) if here.get(part) != there.get(part)
    )


def _words(changed: Sequence[str], here: Parts, *, values: bool) -> str:
    """Say the parts that an engine is asked by; one that appears only when asked otherwise is said to be left out."""
    return ", ".join(
        f"{part}: {_short(here[part]) if part in here else _ABSENT}" if values else part for part in changed
    )


def _short(value: str) -> str:
    return value if len(value) <= _LONGEST else value[: _LONGEST - 1] + "…"


def _model(service: ServiceUnderTest, request: ChatRequest, seen: Mapping[str, set[str]]) -> str:
    here = _parts(service, request)
    changed = _changed(here, _parts(service, request, f"{service.endpoint.model or ''}-other"))
    seen[service.name].update(changed)
    return _words(changed, here, values=True) or "not named: the route serves one model"


def _rest(service: ServiceUnderTest, request: ChatRequest, seen: Mapping[str, set[str]]) -> str:
    """Say what no experiment changed, but for the conversation itself."""
    here = _parts(service, request)
    said = [message.content for message in request.messages] + [message.role for message in request.messages]
    told = {orjson.dumps(text).decode() for text in said}
    rest = [part for part in here if part not in seen[service.name] and part != "path" and here[part] not in told]
    return ", ".join(f"{part}: {_short(here[part])}" for part in rest) or "nothing"


def _template(service: ServiceUnderTest, request: ChatRequest) -> str:
    bare = NO_TEMPLATE_NOTE in service.client.notes(request)
    return "not applied: the model sees the bare prompt" if bare else "applied by the server"
