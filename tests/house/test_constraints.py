"""The constraints file pins, exactly and by version alone, everything that the project and its tests install."""

import re
import tomllib
from importlib.metadata import files, requires
from pathlib import Path

from house_tree import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

MAX_DISTRIBUTIONS = 60
MAX_BYTES = 450_000_000
_PIN = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][0-9A-Za-z.!+]*$")


def pins() -> dict[str, str]:
    """Return the pinned version of each distribution, by its canonical name."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    stated = [line for line in lines if line and not line.startswith("#")]
    return {str(canonicalize_name(line.partition("==")[0])): line.partition("==")[2] for line in stated}


def wanted() -> list[Requirement]:
    """Return what pyproject.toml asks for: the run-time dependencies and the test extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return [Requirement(line) for line in (*project["dependencies"], *project["optional-dependencies"]["test"])]


def closure(asked: list[Requirement]) -> dict[str, Requirement]:
    """Return every distribution that these bring along on this Python and platform, by canonical name."""
    found: dict[str, Requirement] = {}
    waiting = list(asked)
    while waiting:
        requirement = waiting.pop()
        name = str(canonicalize_name(requirement.name))
        extras = {"", *requirement.extras}
        if name in found and extras <= {"", *found[name].extras}:
            continue
        found[name] = requirement
        below = [Requirement(line) for line in requires(name) or ()]
        waiting += [one for one in below if _applies(one, extras)]
    return found


def _applies(requirement: Requirement, extras: set[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras)


def test_every_line_is_an_exact_version_and_nothing_else() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    strange = [line for line in lines if line and not line.startswith("#") and not _PIN.match(line)]
    assert not strange
    assert len(pins()) == sum(1 for line in lines if "==" in line), "a distribution is pinned twice"


def test_everything_that_is_installed_is_pinned() -> None:
    missing = sorted(set(closure(wanted())) - set(pins()))
    assert not missing, f"not in constraints.txt: {', '.join(missing)}"


def test_nothing_else_is_pinned() -> None:
    # A pin may be for another Python or platform than this one; then some installed distribution names it.
    named = {
        str(canonicalize_name(Requirement(line).name)) for one in closure(wanted()) for line in requires(one) or ()
    }
    assert not sorted(set(pins()) - set(closure(wanted())) - named)


def test_the_pins_satisfy_what_the_project_asks_for() -> None:
    pinned = pins()
    for requirement in wanted():
        version = pinned[str(canonicalize_name(requirement.name))]
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement} but {version} is pinned"


def test_the_program_alone_stays_small() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    names = closure([Requirement(line) for line in project["dependencies"]])
    size = sum(installed_bytes(name) for name in names)
    assert len(names) < MAX_DISTRIBUTIONS
    assert size < MAX_BYTES, f"{size / 1e6:.0f} MB: {', '.join(sorted(names))}"


def installed_bytes(name: str) -> int:
    """Return the size of a distribution's own files, without what Python compiles of them."""
    paths = [Path(str(file.locate())) for file in files(name) or () if file.suffix != ".pyc"]
    return sum(path.stat().st_size for path in paths if path.is_file())
