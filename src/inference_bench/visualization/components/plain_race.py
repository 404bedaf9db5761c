"""The race without a terminal: a line for what happens to each lane, and the answers at the end."""

from collections.abc import Callable, Sequence
from typing import Final

from inference_bench.live.board import Board
from inference_bench.live.events import Chunk, Finished, Heat, HeatEnded, LaneFacts, LiveEvent
from inference_bench.live.plain import one_line
from inference_bench.visualization.components import race_words as words

LONGEST_ANSWER: Final = 2_000  # characters of an answer that are printed


class PlainRace:
    """Told every event, prints what is worth a line. Chunks are not printed; the answers are, at the end, bounded."""

    def __init__(self, print_line: Callable[[str], None]) -> None:
        self._print = print_line
        self._board = Board()
        self._told: tuple[LaneFacts, ...] = ()

    def take(self, event: LiveEvent) -> None:
        """Take what happened."""
        first = isinstance(event, Chunk) and self._silent(event.lane)
        self._board.take(event)
        if isinstance(event, Heat):
            self._begin(event)
        elif isinstance(event, Finished):
            self._finish(event.lane)
        elif isinstance(event, HeatEnded):
            self._answers()
        elif first:
            lane = self._board.lanes[event.lane]
            self._print(f"{words.name_of(lane.facts)}: first token, {words.ttft_words(lane)}")

    def _silent(self, lane: int) -> bool:
        return lane < len(self._board.lanes) and not self._board.lanes[lane].arrivals

    def _begin(self, heat: Heat) -> None:
        kind = " ".join(filter(None, (words.kind_of(self._board), words.heat_words(heat))))
        names = ", ".join(words.name_of(facts) for facts in heat.lanes)
        simulated = f"{words.SIMULATED}. " if heat.simulated else ""
        self._print(f"{simulated}{kind}: {names}; {words.SAME_INSTANT}")
        self._print(f"Prompt: {one_line(heat.prompt, 400)}")
        if heat.lanes != self._told:
            self._told = heat.lanes
            self._tell_facts(heat.lanes)

    def _tell_facts(self, lanes: Sequence[LaneFacts]) -> None:
        for facts in lanes:
            told = ", ".join(words.facts_words(facts))
            down = "" if facts.down is None else f"takes no part: {one_line(facts.down, 300)}"
            said = "; ".join(filter(None, (told, down)))
            if said:
                self._print(f"{words.name_of(facts)}: {said}")

    def _finish(self, place: int) -> None:
        if place >= len(self._board.lanes):
            return
        lane = self._board.lanes[place]
        elapsed = words.seconds(lane.elapsed_ms(0))
        trouble = words.trouble_words(lane)
        if trouble is None:
            state = words.state_words(self._board, place, lane.start_ns)
            said = f"{state}, {words.count_words(lane)} in {elapsed}, {words.rate_words(lane)}"
        else:
            said = f"{trouble} (after {elapsed}, {words.count_words(lane)})"
        self._print(f"{words.name_of(lane.facts)}: {said}")

    def _answers(self) -> None:
        for lane in self._board.lanes:
            text = lane.text.strip()
            if not text:
                continue
            kept = text[-LONGEST_ANSWER:]
            cut = len(kept) < len(text) or lane.cut
            self._print(f"--- {words.name_of(lane.facts)}" + (f", the last {len(kept):,} characters" if cut else ""))
            for line in kept.splitlines():
                self._print(line)
