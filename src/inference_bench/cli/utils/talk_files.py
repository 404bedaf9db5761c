"""A talk in a file, as JSON for programs or as Markdown for people. What a server said is text in both, never markup.

The JSON document, whose values are null where they are missing:

    schema_version   1
    kind             "conversation" or "chat"
    program, created the program that made it, and when (UTC)
    simulated        whether any of the services is a simulated engine
    stamp_source     "kernel" or "read": where the times of arrival come from
    scenario         {number, name, title, persona} of a conversation, else null
    history          "own": each service's own answers; "scripted": the same past for all
    max_tokens       the longest answer asked for
    interrupted      whether the last turn was cut short
    services         [{name, engine, simulated, told: {label: value}, down: why it took no part}]
    turns            [{number, said, late_ms, interrupted, replies: {NAME: {answered, text, thought, text_cut,
                     messages_sent, ttft_ms, e2e_ms, tpot_ms, output_tok_per_s_user, and the outcome: ok, error_class,
                     error_message, http_status, finish_reason, prompt_tokens, output_tokens, cached_tokens,
                     token_source, first_chunk_tokens, text_chunks, sent_ns, …}}}]

`text` is what the server sent, up to 20,000 characters (`text_cut`: there was more). A question without an answer
(`answered` false) stands in that service's next prompt, in front of the next question.
"""

import json
import os
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from inference_bench import __version__
from inference_bench.errors import UsageError
from inference_bench.live.events import Outcome
from inference_bench.live.plain import one_line, plain
from inference_bench.orchestration.conversation_orchestrator import Reply, Talk, TalkTurn
from inference_bench.orchestration.demo_orchestrator import Show
from inference_bench.orchestration.repeated_secrets import Secrets
from inference_bench.results.atomic import write_atomically
from inference_bench.results.markdown import escaped
from inference_bench.visualization.components.payload_values import MASK
from inference_bench.workloads.scenarios import Scenario

SCHEMA_VERSION: Final = 1
_UNSEEN: Final = re.compile("[\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_MISSING: Final = "-"
_SIMULATED: Final = "**SIMULATED: these are answers and times of simulated engines; they say nothing about real ones.**"


@dataclass(frozen=True, slots=True)
class TalkRecord:
    """A talk to be kept, with what must be known to read it. `scenario` is None for a chat."""

    show: Show
    talk: Talk
    scenario: Scenario | None = None
    same_history: bool = False

    @property
    def simulated(self) -> bool:
        """Whether any answer came from a simulated engine, however it was reached."""
        replies = (reply for turn in self.talk.turns for reply in turn.replies.values())
        return self.show.simulated or any(reply.outcome.simulated for reply in replies)

    @property
    def interrupted(self) -> bool:
        """Whether its last turn was cut short."""
        return any(turn.interrupted for turn in self.talk.turns)

    def without_secrets(self, text: str) -> str:
        """Return the text with a mask for every key that a server may have repeated in it."""
        found = zip(self.show.opened.services, self.show.session.services, strict=True)
        for service, measured in found:
            for value in Secrets.of(service.endpoint, measured.endpoint).values:
                text = text.replace(value, MASK)
        return text


def save_talk(record: TalkRecord, path: Path) -> None:
    """Write the talk, whole or not at all, in the form that the name's ending says; never over another file.

    Raises UsageError.
    """
    text = talk_markdown(record) if path.suffix.lower() == ".md" else talk_json(record)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # the name is ours, or nobody's
    except FileExistsError:
        raise UsageError(f"{path} already exists; nothing was written", hint="give another name") from None
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error
    try:
        write_atomically(path, text.encode())
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise UsageError(f"cannot write {path}: {error.strerror or error}") from error
        raise


def talk_json(record: TalkRecord) -> str:
    """Return the document as JSON; what a terminal would obey is written as escapes."""
    text = json.dumps(_document(record), indent=2, ensure_ascii=False, allow_nan=False)
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"


def _document(record: TalkRecord) -> dict[str, object]:
    scenario = record.scenario
    about = (
        None if scenario is None else {key: getattr(scenario, key) for key in ("number", "name", "title", "persona")}
    )
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": record.talk.kind,
        "program": f"vllm-benchmark {__version__}",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "simulated": record.simulated,
        "stamp_source": "kernel" if record.show.session.kernel_stamps else "read",
        "scenario": about,
        "history": "scripted" if record.same_history else "own",
        "max_tokens": record.talk.max_tokens,
        "interrupted": record.interrupted,
        "services": [
            {
                "name": lane.name,
                "engine": lane.engine,
                "simulated": lane.simulated,
                "told": dict(lane.told),
                "down": lane.down,
            }
            for lane in record.show.lanes
        ],
        "turns": [_turn(record, turn) for turn in record.talk.turns],
    }


def _turn(record: TalkRecord, turn: TalkTurn) -> dict[str, object]:
    return {
        "number": turn.number,
        "said": record.without_secrets(turn.said),
        "late_ms": turn.late_ms,
        "interrupted": turn.interrupted,
        "replies": {name: _reply(record, reply) for name, reply in turn.replies.items()},
    }


def _reply(record: TalkRecord, reply: Reply) -> dict[str, object]:
    outcome = reply.outcome
    message = outcome.error_message
    return {
        "answered": reply.answered,
        "text": record.without_secrets(reply.text),
        "thought": record.without_secrets(reply.thought),
        "text_cut": reply.cut,
        "messages_sent": reply.asked_messages,
        "ttft_ms": outcome.ttft_ms,
        "e2e_ms": outcome.e2e_ms,
        "tpot_ms": outcome.tpot_ms,
        "output_tok_per_s_user": _rate(outcome),
        **asdict(outcome),
        "error_message": None if message is None else record.without_secrets(message),
    }


def talk_markdown(record: TalkRecord) -> str:
    """Return the document as Markdown; answers stand in code fences, so that nothing in them is read as markup."""
    talk = record.talk
    title = f"Conversation: {record.scenario.title}" if record.scenario is not None else "Chat"
    lines = [f"# {escaped(title)}", "", *([_SIMULATED, ""] if record.simulated else [])]
    if record.interrupted:
        lines += ["**Interrupted: the last turn was cut short.**", ""]
    past = "the script's answers, the same for all" if record.same_history else "each service's own answers"
    lines += [
        f"Made {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC by vllm-benchmark {__version__}. History: {past}. "
        f"Answers of at most {talk.max_tokens:,} tokens.",
        "",
        "| Service | Engine | Told of itself |",
        "|---|---|---|",
    ]
    for lane in record.show.lanes:
        told = "; ".join(f"{label} {value}" for label, value in lane.told)
        said = told if lane.down is None else f"took no part: {lane.down}"
        lines.append(f"| {escaped(lane.name)} | {escaped(lane.engine)} | {escaped(said)} |")
    for turn in talk.turns:
        lines += _turn_lines(record, turn)
    return "\n".join(lines) + "\n"


def _turn_lines(record: TalkRecord, turn: TalkTurn) -> list[str]:
    lines = ["", f"## Turn {turn.number}", "", *_fenced(record.without_secrets(turn.said))]
    for name, reply in turn.replies.items():
        lines += ["", f"### {escaped(name)}"]
        if reply.text:
            lines += ["", *_fenced(record.without_secrets(reply.text))]
            lines += ["", f"Only the first {len(reply.text):,} characters are kept."] if reply.cut else []
        outcome = reply.outcome
        if not outcome.ok:
            message = record.without_secrets(one_line(outcome.error_message or "", 300))
            lines += ["", f"**Failed: {escaped(outcome.error_class or 'no answer')}** {escaped(message)}".rstrip()]
        lines += ["", _figures(outcome)]
    return lines


def _fenced(text: str) -> list[str]:
    """Return a block of code whose fence is longer than any in the text."""
    shown = plain(text).strip("\n")
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", shown)), default=0))
    return [f"{fence}text", *shown.split("\n"), fence]


def _figures(outcome: Outcome) -> str:
    rate = _rate(outcome)
    told = (
        ("TTFT", _ms(outcome.ttft_ms)),
        ("tokens/s", _MISSING if rate is None else f"{rate:.1f}"),
        ("E2E", _ms(outcome.e2e_ms)),
        ("prompt tokens", _count(outcome.prompt_tokens)),
        ("answer tokens", _count(outcome.output_tokens)),
        ("ended", escaped(outcome.finish_reason or (_MISSING if outcome.ok else "badly"))),
    )
    return " · ".join(f"{label} {value}" for label, value in told)


def _rate(outcome: Outcome) -> float | None:
    return 1000 / outcome.tpot_ms if outcome.tpot_ms else None


def _ms(value: float | None) -> str:
    return _MISSING if value is None else f"{value:.1f} ms"


def _count(value: int | None) -> str:
    return _MISSING if value is None else f"{value:,}"
