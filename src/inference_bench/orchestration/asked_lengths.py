"""How many output tokens a plan asks for, where the work says itself how long each answer is to be."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from inference_bench.testing.estimates import Estimate
from inference_bench.testing.rendering import TestShape
from inference_bench.workloads.sessions import SessionWorkload

_LOOKED_AT: Final = 64  # items; their mean speaks for the rest, and is called a guess


def with_lengths(found: Estimate, shape: TestShape) -> Estimate:
    """Return the estimate with the output tokens that the work asks for; as it is where the test alone says how many.

    `max_tokens` of the test is the most of any answer only where no item of the work has a length of its own.
    """
    lengths = [length for index in range(_LOOKED_AT) for length in _lengths(shape, index)]
    if all(length is None for length in lengths):
        return found
    mean = sum(shape.max_tokens if length is None else length for length in lengths) / len(lengths)
    return replace(found, output_tokens=round(found.requests * mean), tokens_guessed=True)


def _lengths(shape: TestShape, index: int) -> Iterator[int | None]:
    """Yield the answer length that each request of an item asks for; None where the item leaves it to the test."""
    number, workload = shape.item_number(0, index), shape.workload
    if isinstance(workload, SessionWorkload):
        session = workload.session(number)
        yield from session.max_tokens or (None,) * len(session.turns)
    else:
        yield workload.item(number).max_tokens
