"""A search for a capacity that was cut: which of its probes stay, which give way, and how it goes on.

The manifest holds what every probe said, the tables hold its records. A probe stays when both are whole; one that was
made and not yet judged stays too, and is judged when the search comes to it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from inference_bench.config.models import LoadTestSettings
from inference_bench.orchestration.capacity_plan import probe_plan
from inference_bench.orchestration.run_plan import planned_test
from inference_bench.orchestration.search_state import SearchState, begin_search, replay
from inference_bench.results.capacity import CapacityFacts, ProbeFacts
from inference_bench.results.manifest import CutTurn, Manifest, PlannedTest
from inference_bench.results.progress import Progress, Turn
from inference_bench.testing.sweeps import point_name


@dataclass(frozen=True, slots=True)
class SearchLeft:
    """How far the search of one test had come: its state, the turns that stay, and those that give way."""

    test: LoadTestSettings
    state: SearchState
    kept: tuple[Turn, ...]
    cut: tuple[CutTurn, ...]

    @property
    def probes(self) -> int:
        """How many probes stay with what they said, of all services together."""
        return sum(len(one.probes) for one in self.state.services)

    @property
    def made(self) -> str:
        """The same in words."""
        return f"{self.probes:,} probe{'' if self.probes == 1 else 's'}"

    @property
    def over(self) -> bool:
        """Whether nothing is left to measure."""
        return self.state.next_probe() is None


def resumed_search(test: LoadTestSettings, manifest: Manifest) -> SearchState:
    """Return where the search of a test stands by what the manifest holds: at its beginning, in a new run.

    Raises UsageError when the stored probes are not those that the search would have made.
    """
    state = begin_search(test, [service.name for service in manifest.services])
    facts = _facts(manifest, test.name)
    if facts is not None:
        replay(state, facts.services)
    return state


def search_left(test: LoadTestSettings, manifest: Manifest, progress: Progress) -> SearchLeft:
    """Return how far the search of a test had come, by what the manifest holds and which turns have whole records.

    Raises UsageError when the stored probes are not those that the search would have made.
    """
    state = begin_search(test, [service.name for service in manifest.services])

    def is_whole(service: str, probe: ProbeFacts) -> bool:
        return progress.turns.get((point_name(test.name, probe.load), service, probe.round), False)

    facts = _facts(manifest, test.name)
    if facts is not None:
        replay(state, facts.services, is_whole)
    kept = [
        (point_name(test.name, probe.load), one.name, probe.round) for one in state.services for probe in one.probes
    ]
    found = {turn for turn in progress.turns if turn[0].rpartition("@")[0] == test.name}
    upcoming = state.next_probe()
    if upcoming is not None:
        one, load = upcoming
        turn = (point_name(test.name, load), one.name, one.round_of(load))
        kept += [turn] if progress.turns.get(turn, False) else []
        found |= {turn} if _was_planned(manifest, turn) else set()
    cut = [CutTurn(test=name, service=service, round=number) for name, service, number in sorted(found)]
    gone = tuple(turn for turn in cut if (turn.test, turn.service, turn.round) not in kept)
    return SearchLeft(test, state, tuple(kept), gone)


def with_searches(manifest: Manifest, searches: Sequence[SearchLeft]) -> dict[str, object]:
    """Return the changes of a manifest whose searches go on: its plan and what they found, with what stays alone."""
    if not searches:
        return {}
    plan = [test for test in manifest.plan if not test.probe]
    places = {test.name: place for place, test in enumerate(manifest.plan)}
    capacity = list(manifest.capacity)
    for left in searches:
        probes = _planned(left, manifest.seed)
        plan += sorted(probes, key=lambda test: places.get(test.name, len(places)))
        known = _facts(manifest, left.test.name)
        if known is not None:
            services = {one.name: one.facts() for one in left.state.services}
            capacity.remove(known)
            capacity.append(known.model_copy(update={"services": services, "complete": False}))
    return {"plan": tuple(plan), "capacity": tuple(capacity)}


def cut_before(manifest: Manifest, test: str, service: str, round_no: int) -> int:
    """Return how often a probe was cut before: what is asked anew must not be answered out of a prefix cache."""
    turn = CutTurn(test=test, service=service, round=round_no)
    return sum(turn in one.cut_turns for one in manifest.resumed or ())


def _planned(left: SearchLeft, seed: int) -> Iterator[PlannedTest]:
    """Yield a test for each load that has a probe that stays, as the search plans it."""
    loads = {point_name(left.test.name, probe.load): probe.load for one in left.state.services for probe in one.probes}
    upcoming = left.state.next_probe()
    if upcoming is not None:
        loads[point_name(left.test.name, upcoming[1])] = upcoming[1]
    for name, load in loads.items():
        turns = [turn for turn in left.kept if turn[0] == name]
        if turns:
            asked = tuple(dict.fromkeys(service for _, service, _ in turns))
            planned = planned_test(probe_plan(left.test, load, 0, seed, 0), asked)
            yield planned.model_copy(update={"rounds": max(number for _, _, number in turns) + 1})


def _was_planned(manifest: Manifest, turn: Turn) -> bool:
    """Return whether a probe was begun as far as the plan tells: one that was killed at once has sent what it has no
    records of.
    """
    name, service, number = turn
    return any(
        test.name == name and service in (test.services or ()) and test.rounds > number for test in manifest.plan
    )


def _facts(manifest: Manifest, test: str) -> CapacityFacts | None:
    return next((found for found in manifest.capacity if found.test == test), None)
