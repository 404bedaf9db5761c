"""The story of `inspect`: one request to each service, kept whole; or the errors that services answer, provoked.

Services are asked one after the other, so that none of them waits for another's work on a machine they may share.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from inference_bench.api.protocols import ChatRequest, Message
from inference_bench.config.models import Settings
from inference_bench.discovery.services import FoundService
from inference_bench.orchestration.demo_orchestrator import Show, open_show
from inference_bench.orchestration.inspect_differences import differences
from inference_bench.orchestration.inspect_specimen import specimen_of
from inference_bench.testing.rendering import ServiceUnderTest
from inference_bench.visualization.components.payload_values import PURPOSES, Aspect, Specimen

ANSWER: Final = "answer"
UNKNOWN_MODEL: Final = "unknown_model"
OVER_LONG: Final = "over_long_prompt"
UNKNOWN_NAME: Final = "no-such-model/made-up-to-see-the-error"
UNTOLD_WORDS: Final = 50_000  # of an over-long prompt for a service that did not tell its context
MOST_WORDS: Final = 300_000
_MARGIN = 64  # words beyond the context told
_NAMELESS = "this route names no model, so none can be unknown: it is asked as always"
_WORD = " word"  # a token of its own in every tokenizer known here: none joins words over a blank


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: the conversation, the wanted length and the seed."""

    messages: tuple[Message, ...]
    max_tokens: int
    seed: int

    def request(self) -> ChatRequest:
        """Return it as a benchmark would ask it, with an id of its own."""
        return ChatRequest(self.messages, self.max_tokens, seed=self.seed, request_id=secrets.token_hex(16))


@dataclass(frozen=True, slots=True)
class Inspection:
    """What came of it: the exchanges in the order of asking, what tells their requests apart, what was not sent.

    `interrupted`: the user ended it before all were asked.
    """

    specimens: tuple[Specimen, ...]
    aspects: tuple[Aspect, ...] = ()
    unsent: tuple[str, ...] = ()
    interrupted: bool = False


Watch = Callable[[str], None]


async def inspect_answers(show: Show, question: Question, watch: Watch) -> Inspection:
    """Ask every service the question, one after the other; `watch` is told what is being done.

    Raises WorkerDiedError.
    """
    asked = await _ask_each(show, {name: question.request() for name in show.names}, watch, purpose=ANSWER)
    aspects = differences(show.session.services, question.request())
    return Inspection(asked, aspects, interrupted=_cut_short(show, asked))


async def provoke_errors(show: Show, question: Question, settings: Settings, watch: Watch) -> Inspection:
    """Ask every service for a model it cannot know, and with a prompt that is too long for it: two requests each.

    Raises WorkerDiedError.
    """
    strangers = tuple(replace(endpoint, model=UNKNOWN_NAME) for endpoint in show.opened.endpoints)
    requests = {name: question.request() for name in show.names}
    async with open_show(replace(show.opened, endpoints=strangers), settings, show.stop) as other:
        named = {one.name: _names_a_model(one, requests[one.name]) for one in other.session.services}
        remarks = {name: "" if names else _NAMELESS for name, names in named.items()}
        unknown = await _ask_each(other, requests, watch, purpose=UNKNOWN_MODEL, remarks=remarks)
    too_long: dict[str, ChatRequest] = {}
    remarks = {}
    unsent: list[str] = []
    for service in show.opened.services:
        words, remark = over_long(service)
        if words is None:
            unsent.append(f"{service.name}: {remark}")
        else:
            message = Message("user", _WORD.strip() + _WORD * (words - 1))
            too_long[service.name] = replace(question.request(), messages=(message,))
            remarks[service.name] = remark
    long = await _ask_each(show, too_long, watch, purpose=OVER_LONG, remarks=remarks)
    asked = (*unknown, *long)
    return Inspection(asked, unsent=tuple(unsent), interrupted=_cut_short(show, asked))


def over_long(service: FoundService) -> tuple[int | None, str]:
    """Return how many words are too many for a service, and where that number is from; None when it is too large."""
    identity = service.identity
    facts = None if identity is None else identity.facts_of(service.model)
    told = (
        (None if facts is None else facts.context_length, "a context of {:,} tokens"),
        (None if identity is None else identity.max_input_tokens, "prompts of at most {:,} tokens"),
        (None if facts is None else facts.max_context_length, "a model with a context of {:,} tokens"),
    )
    length, form = next(((length, form) for length, form in told if length is not None), (None, ""))
    if length is None:
        return UNTOLD_WORDS, f"a prompt of {UNTOLD_WORDS:,} words: its context was not told"
    words = length + _MARGIN
    said = f"it told {form.format(length)}"
    if words > MOST_WORDS:
        return None, f"{said}; a longer prompt than {MOST_WORDS:,} words is not sent"
    return words, f"a prompt of {words:,} words: {said}"


def _names_a_model(service: ServiceUnderTest, request: ChatRequest) -> bool:
    return UNKNOWN_NAME.encode() in service.client.render(request, service.endpoint.model).body


async def _ask_each(
    show: Show,
    requests: dict[str, ChatRequest],
    watch: Watch,
    *,
    purpose: str,
    remarks: dict[str, str] | None = None,
) -> tuple[Specimen, ...]:
    made: list[Specimen] = []
    for place, found in enumerate(show.opened.services):
        request = requests.get(found.name)
        if request is None or show.stop.is_set():
            continue
        watch(f"asking {found.name} ({PURPOSES[purpose]})")
        heard = await show.session.ask({place: request}, lambda _event: None, stop=show.stop)
        made += [
            specimen_of(
                found, show.session.services[place], one, purpose=purpose, remark=(remarks or {}).get(found.name, "")
            )
            for one in heard.exchanged.values()
        ]
        await asyncio.sleep(0)  # a signal that came meanwhile is heard before the next is asked
    return tuple(made)


def _cut_short(show: Show, asked: Sequence[Specimen]) -> bool:
    return show.stop.is_set() or any(one.outcome.error_class == "interrupted" for one in asked)
