"""What may stand at a path of the configuration: asked by the layers and by the messages, answered by the models."""

import difflib
import types
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum, auto
from typing import Annotated, Union, get_args, get_origin

from pydantic import BaseModel

from inference_bench.config.models import Settings
from inference_bench.config.provenance import KeyPath, dotted


class Kind(Enum):
    """What stands at a path."""

    SECTION = auto()  # a model: fixed keys
    LIST = auto()  # a list of sections
    MAPPING = auto()  # keys of the user's own
    VALUE = auto()
    UNKNOWN = auto()


def kind_at(path: KeyPath) -> Kind:
    """Return what the models expect at a path."""
    annotation = _annotation_at(path)
    if annotation is None:
        return Kind.UNKNOWN
    if _is_model(annotation):
        return Kind.SECTION
    origin = get_origin(annotation)
    if origin is tuple:
        return Kind.LIST
    return Kind.MAPPING if origin is Mapping else Kind.VALUE


def keys_at(path: KeyPath) -> tuple[str, ...]:
    """Return the keys a section may have; empty when the path is no section."""
    annotation = _annotation_at(path)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return tuple(annotation.model_fields)
    return ()


def may_be_null(path: KeyPath) -> bool:
    """Whether the key at a path accepts null."""
    if not path or not isinstance(path[-1], str):
        return False
    parent = _annotation_at(path[:-1])
    if not (isinstance(parent, type) and issubclass(parent, BaseModel)) or path[-1] not in parent.model_fields:
        return False
    return types.NoneType in _alternatives(parent.model_fields[path[-1]].annotation)


def all_keys() -> Iterator[KeyPath]:
    """Yield the path of every key of every section; list items have the index 0."""
    yield from _walk(())


def sections_of(key: str) -> list[str]:
    """Return the sections that have this key, as they are written, each once."""
    sections = [path[:-1] for path in all_keys() if path[-1] == key and len(path) > 1]
    return list(dict.fromkeys(dotted(section).replace("[0]", "[]") for section in sections))


def closest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known word that a misspelt one most likely means."""
    matches = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=cutoff)
    return matches[0] if matches else None


def part_of(word: str, known: Iterable[str]) -> str | None:
    """Return the one known key that has this word in it: `users` is short for `concurrent_users`."""
    whole = [key for key in known if word.lower() in key.split("_")]
    return whole[0] if len(whole) == 1 else None


def _walk(path: KeyPath) -> Iterator[KeyPath]:
    for key in keys_at(path):
        below: KeyPath = (*path, key)
        yield below
        kind = kind_at(below)
        if kind is Kind.SECTION:
            yield from _walk(below)
        elif kind is Kind.LIST:
            yield from _walk((*below, 0))


def _annotation_at(path: KeyPath) -> object:
    """Return the bare type at a path (a model, a tuple, a mapping, a value's type); None when nothing may be there."""
    annotation: object = Settings
    for part in path:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel) and isinstance(part, str):
            field = annotation.model_fields.get(part)
            annotation = None if field is None else _bare(field.annotation)
        elif get_origin(annotation) is tuple and isinstance(part, int):
            annotation = _bare(get_args(annotation)[0])
        elif get_origin(annotation) is Mapping and isinstance(part, str):
            annotation = _bare(get_args(annotation)[1])
        else:
            return None
        if annotation is None:
            return None
    return annotation


def _bare(annotation: object) -> object:
    alternatives = [kind for kind in _alternatives(annotation) if kind is not types.NoneType]
    return alternatives[0] if alternatives else types.NoneType


def _alternatives(annotation: object) -> list[object]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _alternatives(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [kind for part in get_args(annotation) for kind in _alternatives(part)]
    return [types.NoneType if annotation is None else annotation]


def _is_model(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
