"""Where sessions come from: the built-in scripts, the conversations of a file, or composed texts."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from inference_bench.errors import ConfigError
from inference_bench.workloads.choices import did_you_mean, normalised, shown
from inference_bench.workloads.lengths import LengthLaw
from inference_bench.workloads.scenarios import scenarios
from inference_bench.workloads.sessions import Session, SessionWorkload

if TYPE_CHECKING:
    from inference_bench.config.models import WorkloadSettings

TURNS = "turns"
OUTPUT = "output"


def scripted_sessions(settings: "WorkloadSettings", seed: int) -> SessionWorkload:
    """Return the built-in scripts as sessions: all of them, or the one that `category` names."""
    known = {scenario.name: scenario for scenario in scenarios()}
    chosen = list(known.values())
    name = "sessions"
    if settings.category is not None:
        wanted = normalised(settings.category)
        if wanted not in known:
            raise ConfigError(
                f"workload.category: there is no script {shown(settings.category)}{did_you_mean(wanted, known)}",
                key="workload.category",
                hint=f"scripts: {', '.join(known)}",
            )
        chosen, name = [known[wanted]], f"sessions/{wanted}"
    shape = SessionShape(settings, seed)
    count = min(len(chosen), settings.sessions or len(chosen))

    def draw(place: int) -> Session:
        script = chosen[place]
        return shape.fit(place, tuple(turn.user for turn in script.script), None, script.name)

    notes = (f"{count} built-in script{'s' if count > 1 else ''} of {len(chosen[0].script)} turns each",)
    return SessionWorkload(name, count, seed, draw, notes)


class SessionShape:
    """How many turns a session has and how long its answers are, as the settings say, by place and turn."""

    def __init__(self, settings: "WorkloadSettings", seed: int) -> None:
        self._seed = seed
        self._turns = None if settings.turns is None else LengthLaw(settings.turns, "turns")
        self._output = None if settings.output_tokens is None else LengthLaw(settings.output_tokens, "output_tokens")

    def turns(self, place: int, most: int | None = None) -> int | None:
        """Return how many turns the session at a place has, at most `most`; None when the settings do not say."""
        if self._turns is None:
            return most
        wanted = self._turns.draw(self._seed, TURNS, place)
        return wanted if most is None else min(wanted, most)

    def fit(
        self,
        place: int,
        turns: tuple[str, ...],
        system: str | None,
        category: str,
        given: Callable[[int], tuple[int, ...] | None] = lambda _count: None,
    ) -> Session:
        """Return a session of these turns, cut to its number of them, with answer lengths where they are known.

        `given` returns the answer lengths of the first so many turns that the source itself tells; the setting wins.
        """
        kept = turns[: self.turns(place, len(turns))]
        if self._output is None:
            return Session(kept, system, category, given(len(kept)))
        lengths = tuple(self._output.draw(self._seed, f"{OUTPUT}:{place}", turn) for turn in range(len(kept)))
        return Session(kept, system, category, lengths)
