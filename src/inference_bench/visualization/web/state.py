"""The board as plain data for the page: all of it, or what is new to one viewer.

Words and figures are made here, by the same functions as a terminal's; the page shows them and counts nothing
itself but the clock that runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from inference_bench.live.board import Board
from inference_bench.live.events import Heat, LaneFacts
from inference_bench.live.lane import Lane, Phase
from inference_bench.live.plain import one_line, plain
from inference_bench.live.podium import Finish, Podium
from inference_bench.visualization.components.race_words import (
    RECORDING,
    SAME_INSTANT,
    SIMULATED,
    count_words,
    facts_words,
    kind_of,
    late_words,
    name_of,
    placed,
    rate_words,
    seconds,
    sent_late_words,
    thinking_words,
    trouble_words,
    ttft_words,
)
from inference_bench.visualization.theme import service_styles
from inference_bench.visualization.web.shown import LONGEST_PROMPT, Recorded, Shown

Plain = Mapping[str, object]
PROVES = "One race proves no difference."
ESTIMATED = "~: the chunks did not say how many tokens they carry; the total is spread evenly over them."
_MOST_PROMPT = 2_000  # characters of it on the page


@dataclass(frozen=True, slots=True)
class Picture:
    """The board at one instant: its figures for everybody, and the lanes whose text each viewer reads on by itself."""

    at_ns: int
    heat: Heat | None
    lanes: tuple[Lane, ...]
    values: Plain


def picture_of(board: Board, shown: Shown, busy: str | None) -> Picture:
    """Return what is to be seen now. Before the first race the lanes are those of whoever is there."""
    now = shown.clock()
    lanes = tuple(board.lanes) if board.heat is not None else tuple(Lane(facts, now) for facts in shown.lanes)
    # A recording may be cut short: nothing goes on any more, and yet its heat did not end.
    running = board.running and busy is not None
    values = {
        "busy": busy,
        "running": running,
        "simulated": SIMULATED if shown.simulated or any(map(_simulated, lanes)) else None,
        "heat": None if board.heat is None else _heat(board.heat, board),
        "lanes": [_lane(lane, board, place, now, running=running) for place, lane in enumerate(lanes)],
        "rule": _rule(board, running=running),
        "notes": None if board.podium is None else _notes(board.podium),
        "late": _late(board) if board.podium is not None else None,
    }
    return Picture(now, board.heat, lanes, values)


def _heat(heat: Heat, board: Board) -> Plain:
    return {
        "kind": kind_of(board),
        "number": heat.number,
        "of": heat.of if heat.of > heat.number else None,
        "title": one_line(heat.title, 80),
        "prompt": _cut(plain(heat.prompt), _MOST_PROMPT),
        "crowd": heat.crowd,
        "asked": f"at most {heat.max_tokens:,} tokens",
    }


def _rule(board: Board, *, running: bool) -> str | None:
    if board.podium is not None:
        return f"{plain(board.podium.rule)}."
    return None if board.heat is None or running else "It did not end; there are no places."


def _notes(podium: Podium) -> str:
    estimated = any(finish.estimated for finish in podium.finishes)
    return f"{ESTIMATED} {PROVES}" if estimated else PROVES


def _late(board: Board) -> str | None:
    return ". ".join(filter(None, (late_words(board), sent_late_words(board)))) or None


def _lane(lane: Lane, board: Board, place: int, now_ns: int, *, running: bool) -> dict[str, object]:
    idle, podium = board.heat is None, board.podium
    phase = Phase.READY if idle and lane.phase is Phase.WAITING else lane.phase
    finish = None if podium is None else podium.of(place)
    return {
        "phase": phase.value,
        "simulated": _simulated(lane),
        "state": _state(lane, phase),
        "ttft": None if lane.ttft_ms is None else ttft_words(lane),
        "rate": rate_words(lane),
        "count": count_words(lane),
        "share": _share(lane, board.heat),
        "elapsed": None if lane.outcome is None else seconds(lane.elapsed_ms(now_ns)),
        "since_ms": _since_ms(lane, now_ns) if running and lane.outcome is None else None,
        "place": None if finish is None else placed(finish),
        "first": finish is not None and finish.place == 1,
        "time": None if finish is None or podium is None else _time(finish, podium),
        "trouble": trouble_words(lane),
        "thinking": thinking_words(lane) if lane.outcome is not None else None,
    }


def _simulated(lane: Lane) -> bool:
    """Return whether a lane's service is simulated: it said so before, or its answer did."""
    return lane.facts.simulated or (lane.outcome is not None and lane.outcome.simulated)


def _state(lane: Lane, phase: Phase) -> str:
    """Return the lane's state in a word or two; while it waits the page's own clock runs beside it."""
    if phase is Phase.STREAMING:
        return "thinking" if lane.thinking else "streaming"
    if phase is Phase.DONE and lane.outcome is not None and lane.outcome.finish_reason is not None:
        return f"done ({one_line(lane.outcome.finish_reason, 20)})"
    return phase.value


def _since_ms(lane: Lane, now_ns: int) -> float:
    """Return how long the lane has been at it; below 0 before the common start."""
    return (now_ns - (lane.start_ns if lane.sent_ns is None else lane.sent_ns)) / 1e6


def _share(lane: Lane, heat: Heat | None) -> float:
    """Return how far the lane is on its way to the number of tokens that was asked for, 0 to 1."""
    if heat is None or lane.facts.down is not None:
        return 0.0
    told = None if lane.outcome is None else lane.outcome.output_tokens
    return min(1.0, (lane.tokens if told is None else told) / max(1, heat.max_tokens))


def _time(finish: Finish, podium: Podium) -> str | None:
    """Return what placed a lane, or why it has no place."""
    if finish.to_tokens_ms is None:
        return None if finish.reason is None else plain(finish.reason)
    estimated = "~" if finish.estimated else ""
    return f"{estimated}{finish.to_tokens_ms:,.1f} ms to {podium.tokens:,} tokens"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def setting_of(shown: Shown, lanes: tuple[LaneFacts, ...]) -> Plain:
    """Return what does not move during a race: who is in the lanes, what can be asked, where it comes from."""
    styles = service_styles([str(place) for place, _ in enumerate(lanes)])
    return {
        "lanes": [
            {
                "name": name_of(facts),
                "told": facts_words(facts),
                "colour": styles[str(place)].colour,
                "marker": styles[str(place)].marker,
            }
            for place, facts in enumerate(lanes)
        ],
        "canned": [{"title": one.title, "prompt": one.prompt} for one in shown.canned],
        "first": shown.first,
        "longest_prompt": LONGEST_PROMPT,
        "recording": None if shown.played is None else _recording(shown.played),
        "same_instant": SAME_INSTANT,
    }


def _recording(recorded: Recorded) -> Plain:
    return {"word": RECORDING, "speed": recorded.speed, "source": one_line(recorded.words, 400)}


@dataclass(slots=True)
class Reader:
    """One viewer's place in what is shown: what it has been told, so that the next message holds only what is new.

    Nothing is kept for it: a viewer that was slow is told the newest figures and the text from its place on, or, when
    that is no longer held, all the text there is.
    """

    shown: Shown
    _begun: bool = False
    _heat: Heat | None = None
    _read: list[int] = field(default_factory=list)

    def message(self, picture: Picture) -> Plain:
        """Return what this viewer is to be told of a picture."""
        age_ms = max(0, self.shown.clock() - picture.at_ns) / 1e6  # a viewer may be told it late
        made: dict[str, object] = {"now": picture.values, "age_ms": age_ms}
        if not self._begun or picture.heat is not self._heat:
            self._begun, self._heat = True, picture.heat
            self._read = [0] * len(picture.lanes)
            made["setting"] = setting_of(self.shown, tuple(lane.facts for lane in picture.lanes))
        made["text"] = [self._text(place, lane) for place, lane in enumerate(picture.lanes)]
        return made

    def _text(self, place: int, lane: Lane) -> list[object] | None:
        """Return [whether it goes on behind what was there, the text]; None for nothing new."""
        new = lane.written - self._read[place]
        if not new:
            return None
        goes_on, text = self._read[place] > 0 and new <= len(lane.text), lane.text
        self._read[place] = lane.written
        return [goes_on, text[-new:] if goes_on else text]
