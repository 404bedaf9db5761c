"""Reads YAML text into plain values and remembers the line of every key; knows no section and no rule of ours.

The scalars are those of YAML 1.2's core schema: `no` is text, `1e3` is a number, `2024-01-01` is text. Tags, duplicate
keys and keys that are not text are problems with a line, reported together.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from inference_bench.config.provenance import KeyPath, Problem

MAX_BYTES = 1 << 20
MAX_NODES = 5_000  # aliases are expanded, so a small file could otherwise grow without bound
_TAG = "tag:yaml.org,2002:"
_SCALARS: tuple[tuple[str, str, str], ...] = (
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("merge", r"<<", "<"),
)


class _Loader(yaml.SafeLoader):
    """The safe loader with YAML 1.2's scalars."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own attribute


for _name, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(
        _TAG + _name, re.compile(rf"^(?:{_pattern})$"), [*_first, *([""] if _name == "null" else [])]
    )


@dataclass(slots=True)
class ParsedYaml:
    """A document as plain values; `lines` (1-based) by path, and what is wrong with it.

    `value` is None for an empty document. After a syntax error it is None and `problems` holds that one error.
    """

    value: object = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


class _TooLargeError(Exception):
    """The document has more nodes than a configuration can have."""


def parse_yaml(data: bytes) -> ParsedYaml:
    """Parse one YAML document; never raises on what the text holds."""
    parsed = ParsedYaml()
    if len(data) > MAX_BYTES:
        parsed.problems.append(Problem((), f"is larger than {MAX_BYTES >> 20} MiB; this is not a configuration"))
        return parsed
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        parsed.problems.append(Problem((), "is not UTF-8 text", line=line))
        return parsed
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is not None:
                parsed.value = _Builder(loader, parsed).build(node, ())
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        parsed.problems.append(_syntax_problem(error))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        parsed.problems.append(Problem((), "holds a character that YAML does not allow", line=line))
    except _TooLargeError:
        parsed.problems.append(Problem((), f"has more than {MAX_NODES} values; this is not a configuration"))
    except RecursionError:
        parsed.problems.append(Problem((), "is nested too deeply"))
    return parsed


def parse_scalar(text: str) -> object:
    """Read an environment variable's text as one YAML value; text that starts with [ or { or a quote may be any.

    Raises ValueError with a short reason when it is not YAML.
    """
    if text.strip()[:1] in ("[", "{", '"', "'"):
        parsed = parse_yaml(text.encode())
        if parsed.problems:
            raise ValueError(parsed.problems[0].text)
        return parsed.value
    loader = _Loader("")
    tag = loader.resolve(ScalarNode, text.strip(), (True, False))  # type: ignore[no-untyped-call]
    return text if tag in (f"{_TAG}str", f"{_TAG}merge") else _scalar(str(tag), text.strip())


def _syntax_problem(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    what = str(error.problem or "cannot be read")
    if "'\\t'" in what:
        what = "a tab stands where YAML wants spaces"
    where = f", column {mark.column + 1}" if mark is not None else ""
    context = f" {error.context}" if error.context else ""
    begun = error.context_mark
    if context and begun is not None and mark is not None and begun.line != mark.line:
        context += f" (line {begun.line + 1})"
    return Problem((), f"not valid YAML{where}: {what}{context}", line=mark.line + 1 if mark is not None else None)


def _no_tag(tag: str) -> str:
    return f"the tag {tag.replace(_TAG, '!!')} is not used in a configuration"


def _scalar(tag: str, text: str) -> object:
    kind = tag.removeprefix(_TAG)
    if kind == "str":
        return text
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        base = 16 if text.startswith("0x") else 8 if text.startswith("0o") else 10
        return int(text.removeprefix("0o"), base)
    if kind == "float":
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    raise ValueError(_no_tag(tag))


class _Builder:
    """Turns composed nodes into values, noting lines and problems on the way."""

    def __init__(self, loader: _Loader, parsed: ParsedYaml) -> None:
        self.loader = loader
        self.parsed = parsed
        self.nodes = 0

    def build(self, node: Node, path: KeyPath) -> object:
        """Return the value of a node whose place is `path`."""
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise _TooLargeError
        self.parsed.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, MappingNode | SequenceNode) and node.tag not in (f"{_TAG}map", f"{_TAG}seq"):
            self._problem(path, _no_tag(node.tag), node)
            return None
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.build(item, (*path, position)) for position, item in enumerate(node.value)]
        try:
            return _scalar(node.tag, node.value)
        except ValueError as error:
            reason = str(error) if "tag" in str(error) else f"is not a value of the type {node.tag.removeprefix(_TAG)}"
            self._problem(path, reason, node)
            return None

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, object]:
        result: dict[str, object] = {}
        first_lines: dict[str, int] = {}
        merges = [value for key, value in node.value if key.tag == f"{_TAG}merge"]
        merged = self._merged(merges, path) if merges else {}
        for key_node, value_node in node.value:
            if key_node.tag == f"{_TAG}merge":
                continue
            if not isinstance(key_node, ScalarNode) or key_node.tag != f"{_TAG}str":
                self._problem(path, "a key must be text (put it in quotes)", key_node)
                continue
            key = str(key_node.value)
            if key in first_lines:
                self._problem((*path, key), f"stands twice; the first is on line {first_lines[key]}", key_node)
                continue
            first_lines[key] = key_node.start_mark.line + 1
            self.parsed.lines[(*path, key)] = first_lines[key]
            result[key] = self.build(value_node, (*path, key))
        return {**merged, **result}

    def _merged(self, nodes: list[Node], path: KeyPath) -> dict[str, object]:
        """Return what `<<: *anchor` (or a list of anchors) brings; the earlier of several wins."""
        merged: dict[str, object] = {}
        for source in _merge_sources(nodes):
            if not isinstance(source, MappingNode):
                self._problem(path, "<< takes a mapping or a list of mappings", source)
                continue
            merged = {**self._mapping(source, path), **merged}
        return merged

    def _problem(self, path: KeyPath, text: str, node: Node) -> None:
        self.parsed.problems.append(Problem(path, text, line=node.start_mark.line + 1))


def _merge_sources(nodes: list[Node]) -> Iterator[Node]:
    for node in nodes:
        if isinstance(node, SequenceNode):
            yield from node.value
        else:
            yield node
