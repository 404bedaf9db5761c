"""What a lane says in words and figures, the same on every screen: its state, TTFT, tokens, rate, place."""

from inference_bench.live.board import Board
from inference_bench.live.events import Heat, LaneFacts
from inference_bench.live.lane import Lane, Phase
from inference_bench.live.plain import one_line
from inference_bench.live.podium import Finish

LATE_MS = 2.0  # a stop of the measuring process that small differences do not survive
MS_UP_TO = 1_000.0  # longer times are told in seconds: a lane has not the room
SENT_LATE_MS = 5.0  # after the common start: more than sending to four lanes takes
SHARED_HOST = "they may share a host, and then slow each other"
SAME_INSTANT = f"all start at the same instant; {SHARED_HOST}"
SIMULATED = "SIMULATED ENGINES"
RECORDING = "RECORDING"
_KINDS = {"race": "Race", "conversation": "Conversation", "chat": "Chat"}
_ORDINALS = {1: "st", 2: "nd", 3: "rd"}


def name_of(facts: LaneFacts) -> str:
    """Return a lane's name, fit to show."""
    return one_line(facts.name, 80) or "?"


def kind_of(board: Board) -> str:
    """Return what is shown, as a title."""
    return "Race" if board.heat is None else _KINDS[board.heat.kind]


def heat_words(heat: Heat) -> str:
    """Return which heat it is among its like: "2 of 10: rapid fire, in a crowd of 16"; "" for one alone."""
    numbered = f"{heat.number:,} of {heat.of:,}" if heat.of > 1 else ""
    titled = ": ".join(filter(None, (numbered, one_line(heat.title, 80))))
    crowd = f"in a crowd of {heat.crowd:,}" if heat.crowd else ""
    return ", ".join(filter(None, (titled, crowd)))


def facts_words(facts: LaneFacts) -> list[str]:
    """Return what the service told of itself, in display order; a label only where the value needs one."""
    told = [(one_line(label, 40), one_line(value, 120)) for label, value in facts.told]
    return [value if label in ("engine", "model") else f"{label} {value}" for label, value in told]


def state_words(board: Board, place: int, now_ns: int) -> str:
    """Return where a lane is, in a few words; the waiting time runs with the clock."""
    lane = board.lanes[place]
    match board.phase(place, now_ns):
        case Phase.READY:
            return "ready"
        case Phase.WAITING:
            return f"waiting {seconds(lane.elapsed_ms(now_ns))}"
        case Phase.STREAMING:
            return "streaming (thinking)" if lane.thinking else "streaming"
        case Phase.DONE:
            reason = None if lane.outcome is None else lane.outcome.finish_reason
            return "done" if reason is None else f"done ({one_line(reason, 20)})"
        case Phase.FAILED:
            return f"failed: {failure_class(lane)}"
        case Phase.DOWN:
            return "down"


def failure_class(lane: Lane) -> str:
    """Return the class of a lane's failure, with the HTTP status where one came."""
    outcome = lane.outcome
    if outcome is None or outcome.error_class is None:
        return "no answer"
    status = "" if outcome.http_status in (None, 200) else f" (HTTP {outcome.http_status})"
    return f"{one_line(outcome.error_class, 30)}{status}"


def trouble_words(lane: Lane) -> str | None:
    """Return why a lane has no good answer, whole; None for one that has, or may still get one."""
    if lane.facts.down is not None:
        return f"down: {one_line(lane.facts.down, 300)}"
    if lane.outcome is None or lane.outcome.ok:
        return None
    message = one_line(lane.outcome.error_message or "", 300)
    news = message and message != lane.outcome.error_class
    return f"failed: {failure_class(lane)}" + (f": {message}" if news else "")


def ttft_words(lane: Lane) -> str:
    """Return the time to first token."""
    return "TTFT -" if lane.ttft_ms is None else f"TTFT {lane.ttft_ms:,.1f} ms"


def count_words(lane: Lane) -> str:
    """Return how many tokens there are; chunks where nobody has told what they carry."""
    outcome = lane.outcome
    if outcome is not None and outcome.output_tokens is not None:
        return _counted(outcome.output_tokens, "token")
    return _counted(lane.tokens, "token") if lane.tokens_told else _counted(len(lane.arrivals), "chunk")


def rate_words(lane: Lane) -> str:
    """Return the tokens per second after the first."""
    rate = lane.tokens_per_second()
    return "- tokens/s" if rate is None else f"{rate:,.1f} tokens/s"


def place_words(board: Board, place: int) -> str | None:
    """Return a lane's place once the heat is over; None before that, and for a lane that has none."""
    return None if board.podium is None else placed(board.podium.of(place))


def placed(finish: Finish) -> str | None:
    """Return a place in words: "1st", "2nd (tie)"; None without one."""
    if finish.place is None:
        return None
    ending = "th" if 10 < finish.place % 100 < 14 else _ORDINALS.get(finish.place % 10, "th")
    return f"{finish.place}{ending}" + (" (tie)" if finish.tied else "")


def time_words(board: Board, place: int) -> str | None:
    """Return the time that a lane is placed by: "983.3 ms to 87", "~1.407 s to 87"; None before there is one."""
    if board.podium is None or board.podium.tokens is None:
        return None
    finish = board.podium.of(place)
    if finish.to_tokens_ms is None:
        return None
    ms = finish.to_tokens_ms
    time = f"{ms:,.1f} ms" if ms < MS_UP_TO else f"{ms / 1e3:,.3f} s"
    return f"{'~' if finish.estimated else ''}{time} to {board.podium.tokens:,}"


def sent_late_words(board: Board) -> str | None:
    """Return whose request went out after the common start, as one does whose connection was not there yet."""
    marks = [(lane, lane.sent_ns if lane.outcome is None else lane.outcome.sent_ns) for lane in board.lanes]
    late = [(lane, (sent - lane.start_ns) / 1e6) for lane, sent in marks if sent is not None]
    said = [f"{name_of(lane.facts)} {ms:,.1f} ms" for lane, ms in late if ms > SENT_LATE_MS]
    if not said:
        return None
    return f"sent after the common start: {', '.join(said)}; times count from each lane's own sending"


def late_words(board: Board) -> str | None:
    """Return what a stop of the measuring process means for a heat; None when there was none to speak of."""
    if board.late_ms <= LATE_MS:
        return None
    return f"the measuring process could not run for {board.late_ms:,.1f} ms: do not trust small differences"


def thinking_words(lane: Lane) -> str | None:
    """Return what a lane's thinking did; None when it showed none."""
    if not lane.thought_chunks:
        return None
    told = _counted(lane.thought_tokens, "token") if lane.tokens_told else _counted(lane.thought_chunks, "chunk")
    answered = lane.answer_ms
    after = "no answer came after it" if answered is None else f"its answer began after {answered:,.1f} ms"
    return f"{told} of thinking count as tokens, and TTFT is to the first of them; {after}"


def seconds(ms: float) -> str:
    """Return a time in seconds, to the hundredth."""
    return f"{ms / 1e3:.2f} s"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
