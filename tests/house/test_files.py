"""The rules on files: their length, their lines, their imports, and what must not be written into them."""

import ast
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from house_tree import ROOT, is_data, own_files, problems, shown

MAX_LINES = 400
MAX_WIDTH = 120
SOURCE_SUFFIXES = frozenset({".py", ".pyi", ".sh", ".j2", ".html", ".css", ".js"})

# Written in pieces, so that this file does not contain what it forbids.
_REGISTRIES = (
    ("python", "hosted"),
    ("pypi", r"\.org"),
    ("registry", r"\.npmjs"),
    ("deb", r"\.debian\.org"),
    ("archive", r"\.ubuntu\.com"),
    ("conda", r"\.anaconda\.org"),
)
_MACHINE_PATHS = (
    ("/wo", "rk/"),
    ("/ro", "ot/"),
    ("/ho", r"me/[a-z]"),
    ("/Us", r"ers/[A-Za-z]"),
    ("/op", "t/py"),
    ("/tmp/st", "udio"),
    ("/fa", "rm/"),
    ("farm-", "(studio|bench)"),
)
FORBIDDEN = re.compile("|".join("".join(pieces) for pieces in chain(_REGISTRIES, _MACHINE_PATHS)))


def sources() -> list[Path]:
    """Return the sources, tests, templates and scripts: what the rules on length are for."""
    return [path for path in own_files() if not is_data(path) and _is_source(path)]


def _is_source(path: Path) -> bool:
    return path.suffix in SOURCE_SUFFIXES or "templates" in path.parts or path.parent == ROOT / ".ci"


def python_files() -> list[Path]:
    """Return every Python file of the project."""
    return [path for path in own_files() if path.suffix == ".py"]


def test_the_walk_sees_the_project_and_nothing_else() -> None:
    seen = {shown(path) for path in own_files()}
    assert {"vllm_benchmark.py", "pyproject.toml", ".ci/run", "tests/house/test_files.py"} <= seen
    assert not [name for name in seen if name.startswith((".git/", ".venv/", "results/")) or "__pycache__" in name]


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {shown(path): len(path.read_text("utf-8").splitlines()) for path in sources()}
    too_long = [f"{name}: {length} lines" for name, length in lengths.items() if length > MAX_LINES]
    assert not too_long, problems(too_long)


def test_no_line_is_wider_than_120() -> None:
    too_wide = [
        f"{shown(path)}:{number}: {len(line)} characters"
        for path in sources()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if len(line) > MAX_WIDTH
    ]
    assert not too_wide, problems(too_wide)


def test_no_relative_import() -> None:
    relative = [
        f"{shown(path)}:{node.lineno}: from {'.' * node.level}{node.module or ''}"
        for path in python_files()
        for node in ast.walk(ast.parse(path.read_text("utf-8"), filename=str(path)))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not relative, problems(relative)


def test_names_of_test_files_are_unique() -> None:
    # Without __init__.py files, pytest and mypy know a test module by its bare name.
    homes: dict[str, list[str]] = {}
    for path in python_files():
        if path.is_relative_to(ROOT / "tests"):
            homes.setdefault(path.name, []).append(shown(path))
    twice = [f"{name}: {', '.join(places)}" for name, places in homes.items() if len(places) > 1]
    assert not twice, problems(twice)


def test_no_registry_host_and_no_path_of_one_machine() -> None:
    found = list(_forbidden_places())
    assert not found, problems(found)


def _forbidden_places() -> Iterator[str]:
    for path in own_files():
        text = path.read_bytes().decode("utf-8", errors="replace")
        for match in FORBIDDEN.finditer(text):
            yield f"{shown(path)}:{text.count(chr(10), 0, match.start()) + 1}: {match.group()}"


@pytest.mark.parametrize("pieces", [*_REGISTRIES, *_MACHINE_PATHS])
def test_the_forbidden_words_are_recognised(pieces: tuple[str, str]) -> None:
    plain = "".join(pieces).replace("\\", "").replace("[a-z]", "u").replace("[A-Za-z]", "U").split("(")[0]
    assert FORBIDDEN.search(f"see {plain}{'bench' if plain.endswith('-') else ''} there")
