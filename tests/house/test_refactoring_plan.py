"""docs/refactoring.md stays true: the paths it names exist, what it calls not built yet is not there."""

import re
from typing import NamedTuple

import pytest
from house_tree import ROOT

from inference_bench.cli.main import COMMANDS

DOCUMENT = ROOT / "docs" / "refactoring.md"
NINE = ("benchmark", "config", "demo", "discover", "init", "inspect", "results", "test", "visualize")
NOT_YET = "not built yet"

_ROW = re.compile(r"^\| (?P<plan>.+?) \| (?P<now>.+?) \|$")
_QUOTED = re.compile(r"`([^`]+)`")
# A path has a slash or a known ending, and no space: `results` is a command, `pyproject.toml` a path.
_PATH = re.compile(r"^[\w./-]+(?:/|\.(?:py|md|toml|txt|yaml))$|^[\w.-]+/[\w./-]+$")
_FUTURE = re.compile(r"(?:will be|comes with) `([^`]+)`")


class Row(NamedTuple):
    """One line of the plan, and what became of it."""

    plan: str
    now: str

    def future_paths(self) -> list[str]:
        return _FUTURE.findall(self.now)

    def paths(self) -> list[str]:
        quoted = [text for text in _QUOTED.findall(self.now) if _PATH.match(text)]
        return [text for text in quoted if text not in self.future_paths()]


def rows() -> list[Row]:
    matches = (_ROW.match(line) for line in DOCUMENT.read_text("utf-8").splitlines())
    found = [Row(match["plan"], match["now"]) for match in matches if match]
    return [row for row in found if row.plan != "the plan" and not set(row.plan) <= set("-| ")]


def absent_commands() -> set[str]:
    return set(NINE) - set(COMMANDS)


def test_the_document_has_the_whole_plan() -> None:
    plan = " ".join(row.plan for row in rows())
    assert len(rows()) >= 60
    for words in (
        "StatisticalAnalyzer",
        "legacy_visualization",
        "relative imports",
        "try-it",
        "url_resolver",
        "Step 5",
    ):
        assert words in plan


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.plan[:60])
def test_what_a_row_says_is_true(row: Row) -> None:
    missing = [path for path in row.paths() if not (ROOT / path).exists()]
    assert not missing, f"{DOCUMENT.name} names what does not exist: {missing}"
    arrived = [path for path in row.future_paths() if (ROOT / path).exists()]
    assert not arrived, f"{DOCUMENT.name} says of what exists that it is still to come: {arrived}"


def test_not_built_yet_is_said_of_something_that_can_arrive() -> None:
    for row in (row for row in rows() if NOT_YET in row.now):
        words = {word for text in _QUOTED.findall(row.plan) for word in re.split(r"[^a-z-]+", text)}
        assert row.future_paths() or words & absent_commands(), f"{row.plan!r}: built by now, or nobody could tell"


@pytest.mark.parametrize("name", NINE)
def test_each_command_is_told_truly(name: str) -> None:
    (row,) = [row for row in rows() if row.plan.startswith(f"command `{name}`")]
    assert (NOT_YET in row.now) == (name in absent_commands())
