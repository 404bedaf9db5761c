"""Turns what the models refuse into sentences: file, line, key, what is wrong, what is allowed, what was meant.

A value is shown only where it cannot be a secret.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from inference_bench.config.provenance import BUILT_IN, KeyPath, Problem, Provenance, Source
from inference_bench.config.rules import looks_secret, secret_word
from inference_bench.config.schema import closest, keys_at, part_of, sections_of
from inference_bench.errors import ConfigError

HINT = "vllm-benchmark config --schema prints every key with its type and default"
_NEVER_SHOWN = ("headers", "url", "api_key_env")
_SHOWN_CHARACTERS = 40
_MOST_PLACES = 3  # that are named for a key in the wrong place: one like `enabled` is in too many to help


def problems_of(error: ValidationError, origins: Mapping[KeyPath, Provenance]) -> list[Problem]:
    """Return every problem pydantic found, each with the layer and line of its key."""
    found = []
    for details in error.errors(include_url=False):
        if _only_follows(details):
            continue
        path = _path_of(details)
        text = _sentence(details, path)
        found.append(Problem(path, text, provenance=origin_of(path, origins)))
    return found


def _only_follows(details: ErrorDetails) -> bool:
    """Whether a list is called too short for its entries that are wrong: those have problems of their own."""
    given = details["input"]
    return details["type"] == "too_short" and isinstance(given, list) and len(given) >= details["ctx"]["min_length"]


def origin_of(path: KeyPath, origins: Mapping[KeyPath, Provenance]) -> Provenance:
    """Return where the value at a path came from; a key that nobody wrote belongs to its section."""
    for length in range(len(path), 0, -1):
        above = path[:length]
        if above in origins:
            return origins[above]
        siblings = [origin for known, origin in origins.items() if known[:length] == above]
        if siblings:
            return siblings[0]
    return BUILT_IN


def config_error(problems: Sequence[Problem]) -> ConfigError:
    """Return one error that tells all problems, a line each, in the order of the files they stand in."""
    ordered = sorted(problems, key=_order)
    first = ordered[0]
    lines = list(dict.fromkeys(str(problem) for problem in ordered))
    message = lines[0] if len(lines) == 1 else "\n  ".join([f"{len(lines)} problems in the configuration", *lines])
    origin = first.provenance
    in_file = origin is not None and origin.source is Source.FILE
    return ConfigError(
        message,
        file=Path(origin.where) if origin is not None and in_file and origin.where is not None else None,
        line=origin.line if origin is not None and in_file else None,
        key=".".join(str(part) for part in first.path) or None,
        hint=HINT if any(problem.path for problem in ordered) else None,
    )


def unknown_key(path: KeyPath) -> str:
    """Say that a key is not known, and what may have been meant. Its value is never shown."""
    key, known = str(path[-1]), keys_at(path[:-1])
    near = closest(key, known, cutoff=0.8)
    elsewhere = sections_of(key)
    if 0 < len(elsewhere) <= _MOST_PLACES:
        return f"unknown key here; it belongs in {' or '.join(elsewhere)}"
    if near is None and not elsewhere and secret_word(key):
        return "secrets are never written here: name the environment variable that holds it in api_key_env"
    near = near or closest(key, known) or part_of(key, known)
    lead = "keys here" if near is None else f"did you mean {near}? Keys here"
    return f"unknown key; {lead}: {', '.join(known)}"


def _order(problem: Problem) -> tuple[int, str, int]:
    origin = problem.provenance or BUILT_IN
    return (list(Source).index(origin.source), origin.where or "", origin.line or 0)


def _path_of(details: ErrorDetails) -> KeyPath:
    path: KeyPath = tuple(part for part in details["loc"] if part != "[key]")
    # A key that takes one number or a list of them is checked as one or the other: no part of what a user wrote.
    path = tuple(
        part for above, part in zip(("", *path), path, strict=False) if above not in _EITHER or part not in _FORMS
    )
    if details["type"] == "refused":
        path = (*path, *details["ctx"]["key"])
    return path


def _sentence(details: ErrorDetails, path: KeyPath) -> str:
    kind = details["type"]
    context = details.get("ctx", {})
    if kind == "refused":
        return str(context["problem"])
    if kind == "extra_forbidden":
        return unknown_key(path)
    if kind == "missing":
        return "is missing"
    if kind in ("too_short", "too_long"):
        limit = f"least {context['min_length']}" if kind == "too_short" else f"most {context['max_length']}"
        return f"must have at {limit} entries, not {context['actual_length']}"
    given = _shown(details["input"], path)
    if kind == "literal_error":
        return _literal(context, details["input"], given)
    return f"{_wanted(kind, context, path) or details['msg']}, not {given}"


def _wanted(kind: str, context: Mapping[str, object], path: KeyPath) -> str | None:
    if kind in _LIMITS:
        return f"must be {_LIMITS[kind]} {context[_LIMIT_KEYS[kind]]:g}"
    if kind == "string_pattern_mismatch":
        example = next((_EXAMPLES[str(part)] for part in reversed(path) if str(part) in _EXAMPLES), context["pattern"])
        return f"must look like {example}"
    return f"must be {_WANTED[kind]}" if kind in _WANTED else None


def _literal(context: Mapping[str, object], value: object, given: str) -> str:
    expected = str(context["expected"]).replace("'", "").replace(" or ", ", ")
    near = closest(value, expected.split(", ")) if isinstance(value, str) else None
    return f"must be one of {expected}, not {given}" + (f"; did you mean {near}?" if near is not None else "")


def _shown(value: object, path: KeyPath) -> str:
    """Return a value as a message may show it."""
    describe: tuple[tuple[type | tuple[type, ...], Callable[[], str]], ...] = (
        (type(None), lambda: "empty"),
        (bool, lambda: "true" if value else "false"),
        ((list, tuple), lambda: "a list"),
        (Mapping, lambda: "a section"),
        ((int, float), lambda: _number(value)),  # type: ignore[arg-type]
    )
    for types_, text in describe:
        if isinstance(value, types_):
            return text()
    if any(part in _NEVER_SHOWN for part in path) or looks_secret(str(value)):
        return "this text"
    shown = "".join(character if character.isprintable() else "?" for character in str(value)[:_SHOWN_CHARACTERS])
    return f"the text {shown!r}" + ("…" if len(str(value)) > _SHOWN_CHARACTERS else "")


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return str(value) if abs(value) < 1e15 else "such a large number"


_EITHER, _FORMS = ("concurrent_users", "rate"), ("one", "list")
_LIMITS = {
    "greater_than": "greater than",
    "greater_than_equal": "at least",
    "less_than": "less than",
    "less_than_equal": "at most",
}
_LIMIT_KEYS = {"greater_than": "gt", "greater_than_equal": "ge", "less_than": "lt", "less_than_equal": "le"}
_WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text (put it in quotes)",
    "model_type": "a section of keys and values",
    "model_attributes_type": "a section of keys and values",
    "mapping_type": "a section of keys and values",
    "dict_type": "a section of keys and values",
    "tuple_type": "a list (write [] for none)",
    "list_type": "a list (write [] for none)",
}
_EXAMPLES = {
    "currency": "EUR or USD",
    "primary": "ttft_ms.p95",
    "limits": "ttft_ms.p95 or success_rate",
    "references": "ttft_ms.p50 or requests_per_s",
}
