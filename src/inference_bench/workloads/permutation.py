"""Seeded orders: which of a fixed number of things comes at which index, each once in every pass over them."""

from functools import lru_cache
from hashlib import blake2b
from random import Random

MOST_SORTED = 100_000
"""Up to so many things an order is kept in memory; beyond, it is computed place by place."""

_ROUNDS = 4


def place_in_pass(seed: int, index: int, count: int) -> int:
    """Return which of `count` things, 0 to `count` - 1, comes at `index` >= 0; each comes once in every pass.

    The order of each pass is its own, and a function of `seed` and the number of the pass alone.
    """
    pass_no, position = divmod(index, count)
    if count <= MOST_SORTED:
        return _sorted_order(seed, pass_no, count)[position]
    return permuted(f"{seed}:{pass_no}", position, count)


@lru_cache(maxsize=4)
def _sorted_order(seed: int, pass_no: int, count: int) -> tuple[int, ...]:
    """Return the seeded permutation of range(count) for one pass.

    Sorting by `random()` draws instead of calling `shuffle`: Python guarantees only the former to be the same in
    every version, and a seed must mean the same work wherever it is given.
    """
    draw = Random(f"{seed}:{pass_no}").random
    return tuple(sorted(range(count), key=[draw() for _ in range(count)].__getitem__))


def permuted(key: str, position: int, count: int) -> int:
    """Return the image of `position` under a permutation of range(count) chosen by `key`, in constant memory.

    A balanced Feistel network of four rounds over the smallest even number of bits that holds `count`, with BLAKE2b
    as its round function (Luby and Rackoff 1988), walked on until the image falls below `count` (cycle walking, Black
    and Rogaway 2002): four steps on average at most, because at most three quarters of the images lie beyond.
    """
    half = max(1, ((count - 1).bit_length() + 1) // 2)
    place = position
    while True:
        place = _feistel(key, place, half)
        if place < count:
            return place


def _feistel(key: str, value: int, half: int) -> int:
    mask = (1 << half) - 1
    left, right = value >> half, value & mask
    for round_no in range(_ROUNDS):
        digest = blake2b(f"{key}:{round_no}:{right}".encode(), digest_size=8).digest()
        left, right = right, left ^ (int.from_bytes(digest, "big") & mask)
    return left << half | right
