"""What a plan has to say beforehand of prompts that are longer than a service's context: a note, nothing is refused.

Lengths are those that a workload composes, else estimates from characters; the chat template, and a unique prefix
where none is composed in, come on top of them. Only the server counts, so a note names a share of a sample.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from inference_bench.results.manifest import ServiceFacts
from inference_bench.results.slo import configured_name
from inference_bench.testing.rendering import TestShape
from inference_bench.workloads.estimate import estimate_tokens
from inference_bench.workloads.sessions import Session, SessionWorkload
from inference_bench.workloads.synthetic import SyntheticWorkload
from inference_bench.workloads.traces import TraceWorkload

_SAMPLE: Final = 32  # requests of a test that are looked at
_COMPOSED: Final = (SyntheticWorkload, TraceWorkload)


class _Length(NamedTuple):
    """Tokens of a prompt, and of the prompt with the answer that is asked for."""

    prompt: int
    whole: int


class _Limit(NamedTuple):
    """A limit that a service tells: its tokens, what it is in words, and whether the answer counts."""

    tokens: int
    words: str
    whole: bool


def context_notes(
    shapes: Mapping[str, TestShape], facts: Sequence[ServiceFacts], requests: Mapping[str, int]
) -> list[str]:
    """Return a note for each test and service whose told context some of the sampled requests exceed.

    `requests` says how many a test will send to a service, where that is known; no more are looked at. The points of a
    sweep ask the same and have one note.
    """
    limited = [(service.name, limits) for service in facts if (limits := list(_limits(service)))]
    if not limited:
        return []
    widest: dict[str, tuple[int, TestShape]] = {}
    for name, shape in shapes.items():
        test, sampled = configured_name(name), max(1, min(_SAMPLE, requests.get(name, _SAMPLE)))
        if test not in widest or widest[test][0] < sampled:
            widest[test] = (sampled, shape)
    notes: list[str] = []
    for test, (sampled, shape) in widest.items():
        lengths = [_length(shape, index) for index in range(sampled)]
        for service, limits in limited:
            notes += (f"{test}: {said}" for said in _exceeding(shape, service, limits, lengths))
    return notes


def _limits(service: ServiceFacts) -> Iterator[_Limit]:
    """Yield what a service tells: the context in force, else the longest of its model; and its longest prompt."""
    context, longest = service.said.get("context_length"), service.said.get("max_context_length")
    if _tokens(context):
        yield _Limit(int(context), "the context of", whole=True)  # type: ignore[arg-type]
    elif _tokens(longest):
        yield _Limit(int(longest), "the model's longest context of", whole=True)  # type: ignore[arg-type]
    prompt = service.said.get("max_input_tokens")
    if _tokens(prompt):
        yield _Limit(int(prompt), "the longest prompt of", whole=False)  # type: ignore[arg-type]


def _tokens(told: object) -> bool:
    return isinstance(told, int) and not isinstance(told, bool) and told > 0


def _exceeding(shape: TestShape, service: str, limits: Sequence[_Limit], lengths: Sequence[_Length]) -> Iterator[str]:
    for limit in limits:
        many = sum((length.whole if limit.whole else length.prompt) > limit.tokens for length in lengths)
        if many:
            what = _what(shape, whole=limit.whole)
            told = f"{limit.words} {limit.tokens:,} tokens that {service} tells"
            yield f"{many} of {len(lengths)} sampled {what} exceed {told} ({_source(shape)})"


def _what(shape: TestShape, *, whole: bool) -> str:
    if shape.conversation:
        return "sessions, in their last turn and with answers as long as they are asked for,"
    return "prompts plus their max_tokens" if whole else "prompts"


def _source(shape: TestShape) -> str:
    if isinstance(shape.workload, _COMPOSED):
        return "by the lengths they are composed to; the chat template comes on top"
    return "lengths are estimated from characters: only the server counts"


def _length(shape: TestShape, index: int) -> _Length:
    """Return the length of a request of the first round, of a session that of its last turn."""
    number, workload = shape.item_number(0, index), shape.workload
    if isinstance(workload, SessionWorkload):
        return _of_session(workload.session(number), shape.max_tokens)
    item = workload.item(number)
    if isinstance(workload, _COMPOSED):
        prompt = workload.tokens(number)
    else:
        prompt = sum(estimate_tokens(message.content) for message in item.messages)
    return _Length(prompt, prompt + (item.max_tokens or shape.max_tokens))


def _of_session(session: Session, max_tokens: int) -> _Length:
    answers = session.max_tokens or (max_tokens,) * len(session.turns)
    said = sum(estimate_tokens(text) for text in (session.system or "", *session.turns))
    prompt = said + sum(answers[:-1])
    return _Length(prompt, prompt + answers[-1])
