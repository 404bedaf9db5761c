"""Composes the long documents of the long-context prompts from the packaged texts (`data/long_context.yaml`).

A document is made of whole parts of one or more texts, in their order and each at most once, up to a size in
estimated tokens; the task comes last, so that an answer needs the document. Nothing is random: a document is the
same in every run, and its length varies between models only as their tokenizers do.
"""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from inference_bench.workloads.estimate import estimate_tokens
from inference_bench.workloads.packaged import packaged_yaml

_STRICT = ConfigDict(extra="forbid", frozen=True)


class _Text(BaseModel):
    model_config = _STRICT

    title: str
    parts: tuple[str, ...]


class _Document(BaseModel):
    model_config = _STRICT

    size: str
    tokens: int
    start: int = Field(alias="from")
    texts: tuple[str, ...]
    task: str


class _LongContext(BaseModel):
    model_config = _STRICT

    documents: tuple[_Document, ...]
    texts: dict[str, _Text]


_LONG_CONTEXT = TypeAdapter(_LongContext)


def long_context_prompts() -> Mapping[str, tuple[str, ...]]:
    """Return the composed prompts by size: `2k`, `4k` and `8k` tokens, nominally."""
    data = packaged_yaml("long_context.yaml", _LONG_CONTEXT)
    prompts: dict[str, list[str]] = {}
    for document in data.documents:
        texts = [data.texts[name] for name in document.texts]
        composed = compose(
            [(text.title, text.parts) for text in texts],
            start=document.start,
            task=document.task,
            tokens=document.tokens,
        )
        prompts.setdefault(document.size, []).append(composed)
    return {size: tuple(composed) for size, composed in prompts.items()}


def compose(texts: Sequence[tuple[str, Sequence[str]]], *, start: int, task: str, tokens: int) -> str:
    """Return a prompt of at most `tokens` estimated tokens: parts of `texts` under their titles, then the task.

    `texts` are (title, parts). The first `start` parts of the first text are left out. The document ends before the
    first part that would not fit; a text none of whose parts fits is not announced by its title.
    """
    pieces: list[str] = []
    for number, (title, parts) in enumerate(texts):
        heading = [f"# {title}"]
        for part in parts[start:] if number == 0 else parts:
            longer = [*pieces, *heading, part]
            if estimate_tokens("\n\n".join([*longer, task])) > tokens:
                return "\n\n".join([*pieces, task])
            pieces, heading = longer, []
    return "\n\n".join([*pieces, task])
