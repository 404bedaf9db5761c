"""Looking several times without making false winners: the stopping rule of a run that goes on until it is decided.

Looks happen when the number of blocks has doubled. Look k is judged at alpha / (k (k + 1)); these add up to at most
alpha over any number of looks, so by the union bound the chance of a false winner at any of them stays under alpha,
however the looks depend on each other and wherever the budget ends the run. It is an alpha-spending rule (Lan and
DeMets 1983) in its plainest form: it needs no planned number of looks and no assumption on the noise between them.
Doubling keeps their number small, so that little of the 5 % is spent on looking.
"""

from collections.abc import Iterator


def alpha_at_look(look: int, alpha: float = 0.05) -> float:
    """Return the level at which look `look` (1, 2, …) is judged; the sum over all looks is `alpha`.

    Raises:
        ValueError: looks are numbered from 1.
    """
    if look < 1:
        raise ValueError("looks are numbered from 1")
    return alpha / (look * (look + 1))


def look_schedule(start: int, most: int | None = None) -> Iterator[int]:
    """Yield the numbers of blocks at which to look: the start, then doubled each time, at most `most`.

    Raises:
        ValueError: there is no first block.
    """
    if start < 1:
        raise ValueError("a run of no blocks has no looks")
    blocks = start
    while most is None or blocks < most:
        yield blocks
        blocks *= 2
    if most is not None:
        yield max(start, most)
