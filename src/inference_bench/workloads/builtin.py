"""The packaged prompts by category; how a category is drawn from lives in `items`, how it is chosen in `build`."""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict, TypeAdapter

from inference_bench.api.protocols import Message
from inference_bench.workloads.items import WorkItem
from inference_bench.workloads.long_context import long_context_prompts
from inference_bench.workloads.packaged import packaged_yaml

MIXED = "mixed"
"""What is asked when no category is named: every category of `CHAT_CATEGORIES`."""

CHAT_CATEGORIES = (
    "short",
    "medium",
    "long",
    "conversational",
    "code",
    "reasoning",
    "streaming",
    "multilingual",
)
"""The ordinary work of a chat service. Long contexts stay out, because a server with a small context window would
refuse them, and so do edge cases, because some of them are answered with a word."""

LONG_CONTEXT = "long_context"


class _Category(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    about: str
    prompts: tuple[str, ...]


_CATEGORIES = TypeAdapter(dict[str, _Category])


@lru_cache(maxsize=1)
def categories() -> Mapping[str, tuple[WorkItem, ...]]:
    """Return every category that can be asked for, with its prompts in the order of the data files.

    Beside those of the file there are `long_context_2k`, `_4k` and `_8k` (documents of about that many tokens),
    `long_context` (the three together) and `mixed` (all of `CHAT_CATEGORIES`).
    """
    found = {
        name: tuple(_item(prompt, name) for prompt in category.prompts)
        for name, category in packaged_yaml("prompts.yaml", _CATEGORIES).items()
    }
    by_size = {
        f"{LONG_CONTEXT}_{size}": tuple(_item(prompt, f"{LONG_CONTEXT}_{size}") for prompt in prompts)
        for size, prompts in long_context_prompts().items()
    }
    found |= by_size
    found[LONG_CONTEXT] = tuple(item for items in by_size.values() for item in items)
    found[MIXED] = tuple(item for name in CHAT_CATEGORIES for item in found[name])
    return MappingProxyType(found)


def category_names() -> tuple[str, ...]:
    """Return the names of all categories, for a help text or a message."""
    return tuple(categories())


def _item(prompt: str, category: str) -> WorkItem:
    return WorkItem(messages=(Message("user", prompt),), max_tokens=None, category=category)
