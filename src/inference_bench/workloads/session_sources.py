"""Where sessions come from: the built-in scripts, the conversations of a file, or composed texts."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from inference_bench.api.protocols import Message
from inference_bench.errors import ConfigError
from inference_bench.workloads.choices import did_you_mean, normalised, shown
from inference_bench.workloads.conversations import read_conversations
from inference_bench.workloads.exactness import TEMPLATE_NOTE
from inference_bench.workloads.items import WorkItem
from inference_bench.workloads.lengths import LengthLaw
from inference_bench.workloads.scenarios import scenarios
from inference_bench.workloads.sessions import Session, SessionWorkload
from inference_bench.workloads.synthetic import check_room, composer_for, length_note
from inference_bench.workloads.tokens import TokenCounter

if TYPE_CHECKING:
    from inference_bench.config.models import WorkloadSettings

RECORDED = "sessions"
COMPOSED = "synthetic"
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


def recorded_sessions(settings: "WorkloadSettings", path: Path, seed: int) -> SessionWorkload:
    """Return the conversations of a file as sessions: what the users say. Raises ConfigError for a wrong file.

    Answers have the length that the settings or the test ask for: what was answered then is not repeated.
    """
    found = read_conversations(path)
    shape = SessionShape(settings, seed)
    count = min(len(found.records), settings.sessions or len(found.records))

    def draw(place: int) -> Session:
        conversation = found.records[place]
        turns = tuple(exchange.user for exchange in conversation.exchanges)
        return shape.fit(place, turns, conversation.system, RECORDED)

    notes = (found.note, *((f"the first {count:,} of them are used",) if count < len(found.records) else ()))
    return SessionWorkload(f"sessions {path.name}", count, seed, draw, notes)


def composed_sessions(settings: "WorkloadSettings", seed: int, counter: TokenCounter | None) -> SessionWorkload:
    """Return sessions whose turns are composed to a length in tokens. Raises ConfigError.

    Each session has texts of its own. The first turn leaves room for a unique prefix where there will be one.
    """
    lengths = settings.prompt_tokens
    if lengths is None:
        raise ConfigError("workload.prompt_tokens: is needed by composed sessions", key="workload.prompt_tokens")
    composer, unique = composer_for(counter), settings.cache == "unique"
    check_room(lengths, None, composer, unique)
    law, shape = LengthLaw(lengths, "prompt_tokens"), SessionShape(settings, seed)

    def tokens(place: int, turn: int = 0) -> int:
        return law.draw(seed, f"prompt:{place}", turn)

    def draw(place: int) -> Session:
        turns = []
        for turn in range(shape.turns(place) or 1):
            key = f"{seed}:session:{place}:{turn}"
            if unique and turn == 0:
                turns.append(composer.lead + composer.run(key, tokens(place) - composer.costs.prefix))
            else:
                turns.append(composer.beginning(key, tokens(place, turn)))
        return shape.fit(place, tuple(turns), None, COMPOSED)

    def first(place: int) -> WorkItem:
        return WorkItem((Message("user", draw(place).turns[0]),), None, COMPOSED)

    note = length_note(first, tokens, counter, composer=composer, unique=unique, most=settings.sessions)
    notes = (f"each turn of the user: {note}", TEMPLATE_NOTE)
    name = f"sessions, {law.in_words()} tokens a turn"
    return SessionWorkload(name, settings.sessions, seed, draw, notes, composer.prefix_words)


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
