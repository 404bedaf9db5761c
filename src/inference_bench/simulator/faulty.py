"""How the faults that strike in or after an answer are played. Those before any answer are played by the engine."""

import asyncio
import random
from collections.abc import Callable

from inference_bench.simulator import tokenizer
from inference_bench.simulator.answers import Answer
from inference_bench.simulator.faults import Fault
from inference_bench.simulator.generation import Host, StreamFormat, TokenStream, WholeAnswer, Work
from inference_bench.simulator.messages import Reply
from inference_bench.simulator.profile import NS_PER_S

STREAM_ERROR_TEXT = "the simulator was asked for an error inside the stream"
GARBAGE_EVENT = b'{"broken": \xff\xfe\x00 ]'
GARBAGE_BYTES = 512
DEFAULT_STALL_S = 5.0
DEFAULT_LINE_BYTES = 8_000_000
DEFAULT_SHORT_TOKENS = 3
NONSENSE = {"garbled": ("\ufffd",), "repeat": (" aga", "in")}
BANG = ("!",)


def spoiled(answer: Answer, fault: Fault | None) -> Answer:
    """Return the answer as an engine gives it that is fast and wrong: as many tokens of nonsense, or far too few."""
    if fault is None or fault.name not in (*NONSENSE, "short"):
        return answer
    if fault.name == "short":
        kept = int(fault.number(0, DEFAULT_SHORT_TOKENS))
        return Answer(answer.pieces[:kept], "eos") if kept < len(answer.pieces) else answer
    unit = BANG if "bang" in fault.words else NONSENSE[fault.name]
    return Answer([unit[index % len(unit)] for index in range(len(answer.pieces))], answer.ending)


class FaultyStream(TokenStream):
    """A streamed answer with a fault. Mid-stream faults strike at half of the tokens unless told otherwise."""

    def __init__(self, host: Host, work: Work, fmt: StreamFormat, fault: Fault) -> None:
        super().__init__(host, work, fmt)
        answer, exchange = work.answer, work.exchange
        self._fault = fault
        self._with_end_mark = fault.name != "no-done"
        self._strikes_at = int(fault.number(1 if fault.name == "stall" else 0, answer.tokens // 2))
        if fault.name in ("garbage", "oversized-line"):
            self._strikes_at = answer.tokens // 2
        if fault.name == "empty":
            self._strikes_at = 0
        self._held_due_ns: list[int] = []
        self._stalled_until_ns: int | None = None
        if fault.name == "keepalive-drop":
            exchange.drop_after_s = fault.number(0, 0.0)

    def token(self, due_ns: int) -> None:
        """Write the next token, or let the fault strike."""
        if self._stalled_until_ns is not None:
            self._held_due_ns.append(due_ns)
            return
        if not self.over and self._index == self._strikes_at:
            self._strikes_at = -1
            strike = self._STRIKES.get(self._fault.name)
            if strike is not None and not strike(self, due_ns):
                return
        super().token(due_ns)

    def _cut(self, _due_ns: int) -> bool:
        self.exchange.flush_head()
        self.exchange.abort(reset="reset" in self._fault.words)
        self.finish("cut")
        return False

    def _stall(self, due_ns: int) -> bool:
        """Hold tokens back; they are then due at the end of the silence, for it is meant, not lateness."""
        seconds = self._fault.number(0, DEFAULT_STALL_S)
        self._stalled_until_ns = due_ns + round(seconds * NS_PER_S)
        self._held_due_ns.append(due_ns)
        self.exchange.flush_head()
        asyncio.get_running_loop().call_at(self._stalled_until_ns / NS_PER_S, self._resume)
        return False

    def _resume(self) -> None:
        until_ns, self._stalled_until_ns = self._stalled_until_ns or 0, None
        held, self._held_due_ns = self._held_due_ns, []
        for due_ns in held:
            self.token(max(due_ns, until_ns))

    def _garbage(self, due_ns: int) -> bool:
        if "raw" not in self._fault.words:
            self.exchange.write(self.fmt.frame(GARBAGE_EVENT))
            return True
        self.exchange.raw(random.Random(due_ns).randbytes(GARBAGE_BYTES))
        self.exchange.abort(reset=False)
        self.finish("garbage")
        return False

    def _stream_error(self, _due_ns: int) -> bool:
        self.exchange.end(self.fmt.error(STREAM_ERROR_TEXT))
        self.finish("stream-error")
        return False

    def _empty(self, _due_ns: int) -> bool:
        self.exchange.end(self.fmt.empty())
        self.finish("empty")
        return False

    def _oversized_line(self, _due_ns: int) -> bool:
        size = int(self._fault.number(0, DEFAULT_LINE_BYTES))
        self.exchange.write(self.fmt.frame(b'{"padding":"' + b"x" * size + b'"}'))
        return True

    _STRIKES: dict[str, Callable[["FaultyStream", int], bool]] = {  # noqa: RUF012 - a table of methods
        "cut": _cut,
        "stall": _stall,
        "garbage": _garbage,
        "stream-error": _stream_error,
        "empty": _empty,
        "oversized-line": _oversized_line,
    }


class FaultyAnswer(WholeAnswer):
    """An answer in one piece with a fault; faults of the stream's events have their nearest meaning here."""

    def __init__(self, host: Host, work: Work, render: Callable[[Answer], Reply], fault: Fault, error: Reply) -> None:
        """`error` is the engine's reply when the fault is an error of its own."""
        super().__init__(host, work, render)
        self._fault = fault
        self._error = error
        if fault.name == "keepalive-drop":
            work.exchange.drop_after_s = fault.number(0, 0.0)

    def _deliver(self) -> None:
        name = self._fault.name
        if name == "cut":
            self._cut()
        elif name == "stall":
            delay_s = self._fault.number(0, DEFAULT_STALL_S)
            asyncio.get_running_loop().call_later(delay_s, self._deliver_late, round(delay_s * NS_PER_S))
        elif name == "stream-error":
            self._replace(self._error)
        elif name == "garbage":
            self._replace(Reply(200, GARBAGE_EVENT, self._render(self.answer).headers))
        elif name == "empty":
            self._replace(self._render(Answer((), self.answer.ending)))
        elif name == "oversized-line":
            size = int(self._fault.number(0, DEFAULT_LINE_BYTES))
            self._replace(self._render(Answer(tokenizer.split("x" * size), self.answer.ending)))
        else:
            super()._deliver()

    def _cut(self) -> None:
        """Promise the whole body, send half of it."""
        reply = self._render(self.answer)
        length = ("content-length", str(len(reply.body)))
        self.exchange.begin_raw(reply.status, (*reply.headers, length))
        self.exchange.raw(reply.body[: len(reply.body) // 2])
        self.exchange.abort(reset="reset" in self._fault.words)
        self.finish("cut")

    def _deliver_late(self, delay_ns: int) -> None:
        if not self.over:
            self._due_ns = [due_ns + delay_ns for due_ns in self._due_ns]
            super()._deliver()

    def _replace(self, reply: Reply) -> None:
        self.exchange.reply(reply)
        self.finish(self._fault.name)
