"""The mode chat: somebody talks with all services at once, as long as they like."""

import asyncio
from pathlib import Path

from inference_bench.cli.utils.console_utils import note, out
from inference_bench.cli.utils.demo_options import DemoOptions
from inference_bench.cli.utils.demo_prompts import check_talk_file, opening
from inference_bench.cli.utils.demo_talk import OWN_HISTORY, TalkView, check_answers, kept, warmed_up
from inference_bench.cli.utils.new_file import check_new
from inference_bench.cli.utils.questions import ask_text
from inference_bench.cli.utils.talk_files import TalkRecord, save_talk
from inference_bench.config.models import Settings
from inference_bench.errors import UsageError
from inference_bench.orchestration.conversation_orchestrator import Talk
from inference_bench.orchestration.demo_orchestrator import Show
from inference_bench.visualization.components.race_words import SAME_INSTANT
from inference_bench.workloads.choices import shown

_HELP = "Type and Enter. /save FILE keeps the talk, /new begins afresh, q leaves."


async def chat_flow(show: Show, settings: Settings, options: DemoOptions, stop: asyncio.Event) -> int:
    """Talk until somebody leaves. Raises InterruptedRunError, NoServiceError, UsageError, WorkerDiedError."""
    check_talk_file(options.save)
    first = opening(options)
    talk = Talk(show, settings, kind="chat", max_tokens=options.max_tokens)
    view = TalkView(show, talk, OWN_HISTORY)
    record = TalkRecord(show, talk)
    out().print(f"A chat with {', '.join(show.names)}; {OWN_HISTORY}.", markup=False)
    note(SAME_INSTANT.capitalize() + ".")
    note(_HELP)
    with kept(record, options.save):
        await warmed_up(show)
        if first is not None:
            view.tell_unanswered(await view.turn(first))
        while not view.left and (said := await ask_text("You: ", stop)) is not None:
            if said.startswith("/"):
                _obey(said, record)
            else:
                view.tell_unanswered(await view.turn(said))
    check_answers(talk.turns)
    return 0


def _obey(said: str, record: TalkRecord) -> None:
    """Do what a line that begins with a stroke asks for; what cannot be done is said, and the talk goes on."""
    command, _, rest = said.partition(" ")
    if command == "/save" and rest.strip():
        _save(record, rest.strip())
    elif command == "/new":
        record.talk.forget()
        note("The services are asked without what was said before.")
    elif command in ("/save", "/help"):
        note(_HELP)
    else:
        note(f"There is no {shown(command)} here. {_HELP}")


def _save(record: TalkRecord, name: str) -> None:
    try:
        path = _place(name)
        check_talk_file(path)
        check_new(path)
        if not record.talk.turns:
            raise UsageError("nothing has been said yet")
        save_talk(record, path)
    except UsageError as problem:
        note(f"Not saved: {problem.message}" + (f" ({problem.hint})" if problem.hint else ""))
    else:
        note(f"Saved: {path}")


def _place(name: str) -> Path:
    """Return the path that was typed. Raises UsageError for one that no file can have."""
    if not name.isprintable():
        raise UsageError("a file's name has no control characters")
    try:
        return Path(name).expanduser()
    except RuntimeError as error:  # ~nobody
        raise UsageError(f"{name}: {error}") from error
