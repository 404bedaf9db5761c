"""Lays one source of settings over another: built-in < file < environment < command line, each value with its origin.

Lists are replaced whole by a file; the environment and the command line reach into them (by index, by `*` for every
item, by `@name` for the item of that name). What a higher layer sets puts out what a lower one set and that cannot
stand beside it: a rate puts out the users. Nothing is validated here beyond the place a value may stand in.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from inference_bench.config.load_models import SHAPED
from inference_bench.config.models import default_load_tests
from inference_bench.config.problems import unknown_key
from inference_bench.config.provenance import BUILT_IN, KeyPath, Problem, Provenance, Source, dotted
from inference_bench.config.schema import Kind, kind_at, may_be_null
from inference_bench.config.variables import ENV_PREFIX, misspelt_variables
from inference_bench.config.workload_models import KINDS_BY_KEY
from inference_bench.config.yaml_source import ParsedYaml, parse_scalar

_EXCLUSIVE = (("concurrent_users", "rate"), ("duration_seconds", "requests"))
# A trace brings its own times and its own end.
_NOT_OF_TRACES = (
    *("concurrent_users", "rate", "burstiness", "think_time_seconds", "ramp_up_seconds"),
    *("duration_seconds", "requests"),
)
_ENDPOINTS: KeyPath = ("services", "endpoints")
_COMMAND_LINE = Provenance(Source.COMMAND_LINE)


@dataclass(slots=True)
class Layers:
    """The effective values so far. `by_service` holds what the command line said of services, by name or `*`.

    `displaced` keeps the endpoints that a higher layer put out, with their origins: they are not measured, and a
    mistake in them is still told. `remarks` are what a user should know and what is no error.
    """

    values: dict[str, object] = field(default_factory=dict)
    origins: dict[KeyPath, Provenance] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    by_service: dict[str, dict[str, object]] = field(default_factory=dict)
    displaced: list[tuple[object, dict[KeyPath, Provenance]]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def built_in() -> Layers:
    """Return the lowest layer: the load tests, which others may reach into; the rest are the models' own defaults."""
    return Layers(values={"load_tests": list(default_load_tests())})


def add_file(layers: Layers, parsed: ParsedYaml, name: str) -> None:
    """Lay a parsed file over the values. An empty file says nothing; an empty section is as if it were not there."""
    origins = {path: Provenance(Source.FILE, name, line) for path, line in parsed.lines.items()}
    layers.problems += [
        Problem(problem.path, problem.text, provenance=Provenance(Source.FILE, name, problem.line))
        for problem in parsed.problems
    ]
    if parsed.value is None:
        return
    if not isinstance(parsed.value, dict):
        text = "must hold sections of keys and values, such as `benchmark:`"
        layers.problems.append(Problem((), text, provenance=origins[()]))
        return
    for path, value in _leaves(parsed.value, ()):
        _put(layers, path, value, origins)


def add_environment(layers: Layers, environ: Mapping[str, str]) -> None:
    """Lay the VLLM_BENCHMARK__SECTION__KEY variables over the values; a list item is reached by its index."""
    given: list[_Assignment] = []
    misspelt, remarks = misspelt_variables(environ)
    layers.problems += misspelt.values()
    layers.remarks += remarks
    for variable in sorted(name for name in environ if name.startswith(ENV_PREFIX) and name not in misspelt):
        origin = Provenance(Source.ENVIRONMENT, variable)
        parts = variable.removeprefix(ENV_PREFIX).lower().split("__")
        path: KeyPath = tuple(int(part) if part.isdecimal() else part for part in parts)
        try:
            given.append(_Assignment(path, parse_scalar(environ[variable]), origin))
        except ValueError as error:
            layers.problems.append(Problem(path, str(error), provenance=origin))
    given.sort(key=lambda assignment: (len(assignment.path), [str(part).zfill(6) for part in assignment.path]))
    _assign(layers, given)


def add_overrides(layers: Layers, overrides: Mapping[str, object]) -> None:
    """Lay the command line's values over the rest.

    Keys are dotted: `benchmark.seed`, `load_tests.*.rate`, `services.endpoints.@vllm-blue.model`. What is said of
    endpoints by `*` or by name is kept in `by_service` too, for services that are still to be found.
    """
    given: list[_Assignment] = []
    for key, value in overrides.items():
        path: KeyPath = tuple(int(part) if part.isdecimal() else part for part in key.split("."))
        if path[:2] == _ENDPOINTS and len(path) == 4 and str(path[2])[:1] in ("*", "@"):
            given += _for_endpoints(layers, path, value, _endpoints_of(layers, overrides))
        elif len(path) > 1 and path[1] == "*":
            items = layers.values.get(str(path[0]))
            count = len(items) if isinstance(items, list) else 0
            if count == 0:
                text = "there is no load test that this could change"
                layers.problems.append(Problem(path, text, provenance=_COMMAND_LINE))
            given += [_Assignment((path[0], item, *path[2:]), value, _COMMAND_LINE) for item in range(count)]
        else:
            given.append(_Assignment(path, value, _COMMAND_LINE))
    given.sort(key=lambda assignment: len(assignment.path))
    if overrides.get("workload.path") is not None:
        _ask_all(layers)
    _assign(layers, given)


def _ask_all(layers: Layers) -> None:
    """Let the command line's prompts be those of every load test, of one with a workload of its own too; a trace has
    no use for them, which is told.
    """
    tests = layers.values.get("load_tests")
    replays: list[str] = []
    for place, test in enumerate(tests if isinstance(tests, list) else []):
        work = test.get("workload") if isinstance(test, dict) else None
        if isinstance(work, dict) and work.get("kind") == "trace":
            replays.append(str(test.get("name")))
        elif work is not None:
            _remove(layers, ("load_tests", place, "workload"))
    if replays:
        layers.remarks.append(f"the prompts given change nothing in {', '.join(replays)}: a trace brings its own")


@dataclass(frozen=True, slots=True)
class _Assignment:
    """One value for one path, from one place."""

    path: KeyPath
    value: object
    origin: Provenance


def _endpoints_of(layers: Layers, overrides: Mapping[str, object]) -> Sequence[object]:
    """Return the endpoints that stand when the command line has spoken: its own, none beside --simulate, else those
    of the layers below."""
    replaced = overrides.get("services.endpoints")
    if replaced is None and overrides.get("services.simulate"):
        return ()
    found = replaced or _get(layers, _ENDPOINTS)
    return found if isinstance(found, Sequence) else ()


def _for_endpoints(layers: Layers, path: KeyPath, value: object, endpoints: Sequence[object]) -> Iterator[_Assignment]:
    """Yield the assignments to every endpoint (`*`) or to the one of that name (`@name`)."""
    who, key = str(path[2]), str(path[3])
    for position, endpoint in enumerate(endpoints):
        service = (endpoint.get("name") or endpoint.get("engine")) if isinstance(endpoint, Mapping) else None
        if who in ("*", f"@{service}"):
            yield _Assignment((*_ENDPOINTS, position, key), value, _COMMAND_LINE)
    if value is not None:
        layers.by_service.setdefault(who.removeprefix("@"), {})[key] = value


def _assign(layers: Layers, given: Sequence[_Assignment]) -> None:
    paths = {assignment.path for assignment in given}
    for assignment in given:
        path = assignment.path
        if any(kind_at(path[:length]) is Kind.UNKNOWN for length in range(1, len(path) + 1)):
            text = unknown_key(path) if kind_at(path[:-1]) is Kind.SECTION else "there is no such key"
            layers.problems.append(Problem(path, text, provenance=assignment.origin))
            continue
        if path == _ENDPOINTS:
            _set_aside(layers)
        origins = {(*path, *below): assignment.origin for below, _ in _below(assignment.value)}
        if _put(layers, path, assignment.value, origins):
            _put_out(layers, path, assignment.value, paths)


def _put(layers: Layers, path: KeyPath, value: object, origins: Mapping[KeyPath, Provenance]) -> bool:
    """Set one value; make the sections above it; say where it came from. Return whether it could be set."""
    if value is None and kind_at(path) is Kind.SECTION and not may_be_null(path):
        return True
    container: object = layers.values
    for depth, part in enumerate(path):
        last = depth == len(path) - 1
        if isinstance(container, list) and isinstance(part, int) and part <= len(container):
            if part == len(container):
                container.append({})
            if last:
                container[part] = _plain(value)
            container = container[part]
        elif isinstance(container, dict) and isinstance(part, str):
            if last:
                container[part] = _plain(value)
            elif container.get(part) is None:
                container[part] = [] if isinstance(path[depth + 1], int) else {}
            container = container[part]
        else:
            origin = origins.get(path, BUILT_IN)
            reason = _no_place(container, part, path[:depth])
            layers.problems.append(Problem(path, reason, provenance=origin))
            return False
    for known in [known for known in layers.origins if known[: len(path)] == path]:
        del layers.origins[known]
    layers.origins.update({known: origin for known, origin in origins.items() if known[: len(path)] == path})
    for length in range(1, len(path)):
        if path[:length] in origins:
            layers.origins[path[:length]] = origins[path[:length]]
    return True


def _no_place(container: object, part: object, above: KeyPath) -> str:
    if isinstance(container, list) and not isinstance(part, int):
        return f"{dotted(above)} is a list and has no keys"
    if isinstance(container, list):
        return f"{dotted(above)} has {len(container)} items; the next index is {len(container)}"
    return f"{dotted(above)} is not a section or a list"


def _put_out(layers: Layers, path: KeyPath, value: object, same_layer: set[KeyPath]) -> None:
    """Remove what lower layers set and what cannot stand beside the value that was just set."""
    if path[0] == "services" and len(path) == 2:
        partner = {"simulate": "endpoints", "endpoints": "simulate"}.get(str(path[1]))
        if partner is not None and value and ("services", partner) not in same_layer:
            if partner == "endpoints":
                _set_aside(layers)
            _remove(layers, ("services", partner))
    if path[-2:] == ("workload", "kind"):
        for key in [key for key, kinds in KINDS_BY_KEY.items() if value not in kinds]:
            if (*path[:-1], key) not in same_layer:
                _remove(layers, (*path[:-1], key))
    if path[0] != "load_tests" or len(path) != 3 or value is None:
        return
    test, key = path[:2], str(path[2])
    for partner in _put_out_by(layers, test, key, value, same_layer):
        if (*test, partner) not in same_layer:
            _remove(layers, (*test, partner))


def _put_out_by(layers: Layers, test: KeyPath, key: str, value: object, same_layer: set[KeyPath]) -> list[str]:
    """Return the keys of a load test that cannot stand beside a value of one of its keys."""
    gone = [b if key == a else a for a, b in _EXCLUSIVE if key in (a, b)]
    if key == "rate" and _get(layers, (*test, "arrivals")) in (None, "closed"):
        gone += ["arrivals", "think_time_seconds"]
    if key == "concurrent_users" and _get(layers, (*test, "arrivals")) != "closed":
        gone += ["arrivals", "burstiness", "max_in_flight"]
    if key == "arrivals" and value == "trace":
        gone += _NOT_OF_TRACES
    if key == "arrivals" and value in SHAPED:
        gone.append("ramp_up_seconds")
    if key in ("concurrent_users", "rate") or (key == "arrivals" and value != "trace"):
        gone.append("speed")
    if key == "arrivals" and value in ("closed", "constant", "poisson"):
        gone.append("burstiness")
    closed = _get(layers, (*test, "concurrent_users")) is not None and (*test, "rate") not in same_layer
    if key == "requests" and closed:
        gone.append("ramp_up_seconds")  # a closed loop's requests are used up in its ramp too, and not measured there
    return gone


def _set_aside(layers: Layers) -> None:
    """Keep the endpoints that are about to be put out, for the eyes of whoever validates."""
    endpoints = _get(layers, _ENDPOINTS)
    if endpoints:
        origins = {path: origin for path, origin in layers.origins.items() if path[:2] == _ENDPOINTS}
        layers.displaced.append((_plain(endpoints), origins))


def _get(layers: Layers, path: KeyPath) -> object:
    value: object = layers.values
    for part in path:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value


def _remove(layers: Layers, path: KeyPath) -> None:
    section = _get(layers, path[:-1])
    if isinstance(section, dict):
        section.pop(path[-1], None)
    for known in [known for known in layers.origins if known[: len(path)] == path]:
        del layers.origins[known]


def _leaves(section: Mapping[str, object], path: KeyPath) -> Iterator[tuple[KeyPath, object]]:
    """Yield what a file sets: every value below the sections; lists and mappings of the user's own are whole."""
    for key, value in section.items():
        below: KeyPath = (*path, key)
        if isinstance(value, dict) and value and kind_at(below) is Kind.SECTION:
            yield from _leaves(value, below)
        else:
            yield below, value


def _plain(value: object) -> object:
    """Return a copy in lists and dictionaries, which later layers may reach into without touching the caller's."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _below(value: object) -> Iterator[tuple[KeyPath, object]]:
    """Yield the path of a value and of everything in it, relative to it."""
    yield (), value
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, item in items:
        for path, inner in _below(item):
            yield (key, *path), inner
