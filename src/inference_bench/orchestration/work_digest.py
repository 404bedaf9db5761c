"""A short word for what the prompts of a test are, so that a run that goes on is known to ask the same."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

from inference_bench.testing.rendering import TestShape
from inference_bench.workloads.sessions import SessionWorkload

_MOST_ITEMS: Final = 256  # a file of no more prompts is covered whole: a pass uses each once
_MOST_CHARACTERS: Final = 1 << 20
_DIGEST_BYTES: Final = 16


def work_digests(shapes: Mapping[str, TestShape]) -> dict[str, str]:
    """Return, for each test by name, a digest (BLAKE2b, hexadecimal) of the first pieces of its work.

    Equal work has equal digests, in any process. Of a large file a change in few places may go unseen. Raises
    ConfigError when a file of prompts cannot be read any more.
    """
    return {name: _digest(shape) for name, shape in shapes.items()}


def _digest(shape: TestShape) -> str:
    found = blake2b(digest_size=_DIGEST_BYTES)
    room = _MOST_CHARACTERS
    for index in range(_MOST_ITEMS):
        work = _work(shape, shape.item_number(0, index))
        found.update(work.encode("utf-8", "surrogatepass"))
        room -= len(work)
        if room < 0:
            break
    return found.hexdigest()


def _work(shape: TestShape, number: int) -> str:
    """Return one piece of work as a text that no other one has."""
    if isinstance(shape.workload, SessionWorkload):
        session = shape.workload.session(number)
        return repr((session.system, session.turns, session.max_tokens))
    item = shape.workload.item(number)
    return repr(([(message.role, message.content) for message in item.messages], item.max_tokens))
