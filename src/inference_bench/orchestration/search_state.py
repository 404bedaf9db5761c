"""Where the searches of one load test stand: whose turn it is, at which load, and what each service's probes said.

A pure function of the outcomes so far. So a search that was cut goes on as if it had not been: its outcomes are told
again, in the order in which they came, and lead to the same next probe.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from inference_bench.config.models import LoadTestSettings
from inference_bench.errors import UsageError
from inference_bench.metrics.capacity import CapacitySearch
from inference_bench.orchestration.capacity_plan import first_load, unit_of
from inference_bench.results.capacity import ProbeFacts, ServiceCapacity
from inference_bench.results.capacity_rows import load_text

TRIES_OF_AN_INVALID_PROBE: Final = 3


@dataclass(slots=True)
class ServiceSearch:
    """One service's search: its state, its probes, and what cannot be offered to it."""

    position: int
    name: str
    unit: str
    search: CapacitySearch
    probes: list[ProbeFacts] = field(default_factory=list)
    limited_by: str | None = None

    def round_of(self, load: float) -> int:
        """Return the number of the next probe of a load: how often it was offered."""
        return sum(probe.load == load for probe in self.probes)

    def note(self, probe: ProbeFacts) -> None:
        """Take up what a probe said."""
        self.probes.append(probe)
        load, why = probe.load, "; ".join(probe.why)
        if probe.kept is not None:
            self.search.record(load, kept=probe.kept)
        elif probe.too_few:  # as many would be sent if it was made again
            few = f"too few requests at {load_text(load, self.unit)} ({why}): probes must last longer"
            fewer = [tried.sent for tried in self.probes[:-1] if tried.too_few]
            # More load sends more, unless the service is not quick enough to be asked more.
            if probe.sent > max(fewer, default=-1) and self.search.says_too_little(load):
                self.limited_by = few
            else:
                self.refuse(load, few)
        elif sum(tried.load == load and tried.kept is None for tried in self.probes) >= TRIES_OF_AN_INVALID_PROBE:
            if probe.unreachable:  # smaller loads would find it as little
                self.refuse(0.0, f"the service could not be reached at {load_text(load, self.unit)}: {why}")
            else:
                self.refuse(load, f"this client at {load_text(load, self.unit)}: {why}")

    def refuse(self, load: float, why: str) -> None:
        """Note that this load, and any higher, cannot be offered from here."""
        self.search.cannot_offer(load)
        self.limited_by = why

    def facts(self) -> ServiceCapacity:
        """Return what was found so far."""
        answer = self.search.answer()
        return ServiceCapacity(
            value=answer.value,
            low=answer.low,
            high=answer.high,
            at_least=answer.at_least,
            limited_by=self.limited_by if answer.high is None or self.search.held_back else None,
            probes=tuple(self.probes),
        )


@dataclass(slots=True)
class SearchState:
    """The searches of all services. They take turns: everybody who still searches has one probe, then again.

    `next_probe` says who is offered which load; after it was, or could not be, `done` lets the next one have its turn.
    """

    test: str
    services: tuple[ServiceSearch, ...]
    _round: int = 0
    _queue: deque[ServiceSearch] = field(default_factory=deque)

    def next_probe(self) -> tuple[ServiceSearch, float] | None:
        """Return whose turn it is, and the load; None when every search is over."""
        if not self._queue:
            waiting = [one for one in self.services if one.search.next_load() is not None]
            if not waiting:
                return None
            # Who begins moves on from round to round: nobody is always measured first.
            ahead = self._round % len(waiting)
            self._queue.extend((*waiting[ahead:], *waiting[:ahead]))
            self._round += 1
        one = self._queue[0]
        load = one.search.next_load()
        assert load is not None  # it waited for its turn, and nothing but its own outcomes ends its search
        return one, load

    def done(self) -> None:
        """End the turn of the one who had it."""
        self._queue.popleft()


def begin_search(test: LoadTestSettings, services: Sequence[str]) -> SearchState:
    """Return the state of a search before its first probe."""
    whole = test.arrivals == "closed"
    first, unit = first_load(test), unit_of(test)
    least = 1.0 if whole else first / 1024
    return SearchState(
        test.name,
        tuple(
            ServiceSearch(position, name, unit, CapacitySearch(first, whole=whole, least=least))
            for position, name in enumerate(services)
        ),
    )


def replay(
    state: SearchState,
    stored: Mapping[str, ServiceCapacity],
    is_whole: Callable[[str, ProbeFacts], bool] = lambda _name, _probe: True,
) -> None:
    """Let a search that has not begun come to where it was cut: tell it the probes that were stored, one by one.

    It ends before the first probe, in the order in which they were made, whose records are not whole: what came after
    it is measured anew with it. A load that was asked for and has no stored probe, though later ones have, could not
    be offered from this machine then; it is not offered now.

    Raises UsageError when the stored probes are not those that the search would have made.
    """
    waiting = {one.name: deque(stored[one.name].probes if one.name in stored else ()) for one in state.services}
    while any(waiting.values()):
        found = state.next_probe()
        if found is None:
            raise _not_as_it_went(state)
        one, load = found
        left = waiting[one.name]
        if left and left[0].load == load:
            probe = left[0]
            if probe.round != one.round_of(load):
                raise _not_as_it_went(state)
            if not is_whole(one.name, probe):
                return
            one.note(left.popleft())
        else:
            known = stored[one.name].limited_by if one.name in stored else None
            one.refuse(load, known or f"this machine could not offer {load_text(load, one.unit)}")
        state.done()


def _not_as_it_went(state: SearchState) -> UsageError:
    return UsageError(
        f"the stored probes of {state.test} are not those that its search would have made",
        hint="what was measured is saved; begin a new search with --find-capacity",
    )
