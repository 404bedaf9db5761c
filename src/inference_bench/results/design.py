"""The design of an experiment as the manifest keeps it: who was asked what, in which order, and when it was looked at.

It is enough to check the records against: equal index is equal work, the order of the services in every block or round
is written out, and a run that went on until it was decided lists the looks that were taken at it.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

_MODEL = ConfigDict(extra="forbid", frozen=True)
_ONE_DIGIT: Final = 10

Unit = Literal["block", "round"]
StopReason = Literal["decided", "undecidable", "budget", "interrupted"]

PREFIX_RULE: Final = (
    "every prompt starts with eight words made from BLAKE2b of (nonce, test, round, index): the same for every "
    "service, never the same for other work; warm-ups draw from a name of their own for each service"
)
PREFIX_SHARED: Final = "none: prompts are shared, as the workload asks"
BLOCKS_RULE: Final = (
    "every block asks each service once; each block's order is the next permutation of numpy's PCG64 seeded with "
    "BLAKE2b-128 of repr((seed, 'ttft', 'order'))"
)
ROUNDS_RULE: Final = "in every round each service has a turn; the place of each moves on by one from round to round"
LOOKS_RULE: Final = (
    "look k is judged at alpha / (k (k + 1)), which adds up to at most alpha over any number of looks, however they "
    "depend on each other (the union bound; alpha spending, Lan and DeMets 1983); between two looks the blocks of "
    "every test that is not decided are doubled"
)


class Look(BaseModel):
    """One look at a run that goes on until it is decided.

    `alpha` is the level it was judged at, `blocks` the blocks or rounds of each test that were known to be complete,
    `undecided` the tests whose primary pairs were not all better or equivalent. `stopped` says why it was the last
    one: `undecidable` when no further block could decide what is open, `interrupted` when the run ended before its
    next look was due (it is then judged as that next look).
    """

    model_config = _MODEL

    look: int
    alpha: float
    seconds: float | None = None  # since the planned tests were over
    blocks: dict[str, int] = Field(default_factory=dict)
    undecided: tuple[str, ...] = ()
    stopped: StopReason | None = None


class Sequential(BaseModel):
    """A run that was to go on until it is decided: its rule, its limits, its looks. `alpha` is that of all looks."""

    model_config = _MODEL

    rule: str = LOOKS_RULE
    alpha: float
    budget_seconds: float
    looks: tuple[Look, ...] = ()

    @property
    def stopped(self) -> StopReason | None:
        """Why no further look was taken; None while it goes on."""
        return self.looks[-1].stopped if self.looks else None


class TestDesign(BaseModel):
    """How one test asks the services.

    `asked` blocks or rounds by the configuration, `planned` after rounds were made a multiple of the services, `run`
    completed so far, those included that were added until it was decided. `order` gives the services of each planned
    and added block or round in their order (see `pack_order`).
    """

    model_config = _MODEL

    unit: Unit
    rule: str
    asked: int
    planned: int
    run: int = 0
    order: str = ""


class Design(BaseModel):
    """The experiment. `services` are the names behind the positions in the orders; `prefix` is the prompts' rule."""

    model_config = _MODEL

    seed: int
    nonce: str
    services: tuple[str, ...]
    prefix: dict[str, str] = Field(default_factory=dict)  # by test
    tests: dict[str, TestDesign] = Field(default_factory=dict)
    sequential: Sequential | None = None


def pack_order(rows: Iterable[Sequence[int]]) -> str:
    """Return orders as one text: positions of services without anything between them, a space after each row.

    `01 10 10` is three blocks of two services. From eleven services on positions are parted by dots.
    """
    return " ".join(("" if len(row) <= _ONE_DIGIT else ".").join(str(int(place)) for place in row) for row in rows)


def unpack_order(text: str) -> tuple[tuple[int, ...], ...]:
    """Undo `pack_order`."""
    return tuple(tuple(map(int, row.split(".") if "." in row else row)) for row in text.split())
