"""The two sides of a comparison between runs: which runs, which service. A and B are TEST_ID[/SERVICE].

Several runs on a side are joined by commas (`run1,run2,run3/vllm`); a run may be named by the path of its folder too.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inference_bench.errors import RunFolderError, UsageError
from inference_bench.results.folder import MANIFEST, Run

FindRun = Callable[[str], Run]
_SERVICE: Final = re.compile(r"[a-z0-9][a-z0-9-]*")


@dataclass(frozen=True, slots=True)
class Chosen:
    """One side: its letter, its runs, and the service that was named, if one was."""

    letter: str
    runs: tuple[Run, ...]
    service: str | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        """The runs' ids."""
        return tuple(run.folder.test_id for run in self.runs)

    def services(self) -> list[str]:
        """Return the services that all runs of this side have, in the first one's order."""
        others = [{facts.name for facts in run.manifest.services} for run in self.runs[1:]]
        return [facts.name for facts in self.runs[0].manifest.services if all(facts.name in had for had in others)]


def read_side(letter: str, text: str, find: FindRun) -> Chosen:
    """Return the side that a command line names; `find` finds a run by its id or path.

    Raises:
        UsageError: it names no run, one run twice, or two services.
        RunFolderError: there is no such run.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise UsageError(f"{letter} names no run", hint="Give TEST_ID or TEST_ID/SERVICE.")
    found = [_run_and_service(part, find) for part in parts]
    named = list(dict.fromkeys(service for _, service in found if service is not None))
    if len(named) > 1:
        raise UsageError(f"{letter} names the services {' and '.join(named)}", hint="A side is one service.")
    runs = tuple(run for run, _ in found)
    places = [run.folder.path.resolve() for run in runs]
    if len(set(places)) < len(places):
        raise UsageError(f"{letter} names a run twice", hint="Every run is to be one measurement of its own.")
    return Chosen(letter, runs, named[0] if named else None)


def _run_and_service(text: str, find: FindRun) -> tuple[Run, str | None]:
    head, slash, tail = text.rstrip("/").rpartition("/")
    # A folder of that path is a run, whatever it is called; only then is what follows the last slash a service.
    if not slash or (Path(text) / MANIFEST).is_file() or _SERVICE.fullmatch(tail) is None:
        return find(text), None
    try:
        return find(head), tail
    except RunFolderError as error:
        if Path(head).is_dir() and not (Path(head) / MANIFEST).is_file():
            raise RunFolderError(f"no run {text!r}", hint=error.hint) from error
        raise


def pair_services(a: Chosen, b: Chosen) -> list[tuple[str, str]]:
    """Return which service of A stands against which of B: those that were named, else those of the same name.

    Raises:
        UsageError: a service is unknown, or it does not follow which ones are meant.
    """
    of_a, of_b = _offered(a), _offered(b)
    if a.service is not None or b.service is not None:
        first = a.service or _counterpart(a, of_a, b.service)
        second = b.service or _counterpart(b, of_b, a.service)
        pairs = [(first, second)]
    elif common := [name for name in of_a if name in of_b]:
        pairs = [(name, name) for name in common]
    elif len(of_a) == len(of_b) == 1:
        pairs = [(of_a[0], of_b[0])]
    else:
        raise UsageError(
            f"A and B have no service in common: A has {_list(of_a)}, B has {_list(of_b)}",
            hint="Say which ones: A/SERVICE B/SERVICE.",
        )
    if set(a.ids) & set(b.ids) and any(first == second for first, second in pairs):
        raise UsageError(
            "A and B are the same measurement", hint="Give two runs, or two services: A/SERVICE B/SERVICE."
        )
    return pairs


def common_tests(a: Chosen, b: Chosen) -> list[str]:
    """Return the tests that every run of both sides has, by name and kind; none where they only searched capacities.

    Raises:
        UsageError: there is none, and a side has no capacity either.
    """
    plans = [{(test.name, test.kind) for test in run.manifest.plan if not test.probe} for run in (*a.runs, *b.runs)]
    common = set.intersection(*plans)
    found = [test.name for test in a.runs[0].manifest.plan if (test.name, test.kind) in common]
    searched = all(any(run.manifest.capacity for run in side.runs) for side in (a, b))
    if not found and not searched:
        raise UsageError(
            f"the runs have no test in common: A has {_tests(a)}, B has {_tests(b)}",
            hint="Tests are matched by their names.",
        )
    return found


def _offered(side: Chosen) -> list[str]:
    """Return the services of a side, having checked the one that was named."""
    services = side.services()
    for run in side.runs:
        had = [facts.name for facts in run.manifest.services]
        if side.service is not None and side.service not in had:
            raise UsageError(
                f"{run.folder.test_id} has no service {side.service!r}", hint=f"Its services: {_list(had)}."
            )
    if not services:
        raise UsageError(f"the runs of {side.letter} have no service in common")
    return services


def _counterpart(side: Chosen, services: Sequence[str], other: str | None) -> str:
    if other in services:
        return str(other)
    if len(services) == 1:
        return services[0]
    raise UsageError(
        f"{side.letter} has no service {other!r}, and several others: {_list(services)}",
        hint=f"Say which one: {side.letter}/SERVICE.",
    )


def _tests(side: Chosen) -> str:
    names = dict.fromkeys(test.name for run in side.runs for test in run.manifest.plan if not test.probe)
    return _list(list(names)) if names else "none but a search for capacity"


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
