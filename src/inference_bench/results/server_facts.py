"""What a server said of itself while it was measured, as the summary keeps it. Missing values are null, never 0."""

from collections.abc import Mapping
from typing import Final, Literal

from pydantic import BaseModel

from inference_bench.results.summary_parts import MODEL, Number

Source = Literal["metrics page", "each answer"]


class LevelFacts(BaseModel):
    """A level that the server told again and again: mean and largest of the samples in the steady windows."""

    model_config = MODEL

    mean: float
    max: float
    samples: int


class MeanFacts(BaseModel):
    """A mean of the server's own, in ms, over the n requests that it counted."""

    model_config = MODEL

    mean_ms: float
    n: int


class PartFacts(BaseModel):
    """Where the time of a request goes, in ms: means over the same n requests, so that the parts add up to `whole_ms`.

    `whole_ms` is `client_ms` plus the mean of our e2e_ms (or ttft_ms). `client_ms` is this machine's part: from when a
    request was due until it was sent (open loop), and from a token's arrival until it was read (with kernel stamps).
    `prefill_ms` and `decode_ms` are null where only their sum is told, `inference_ms`. `rest_ms` is what of the
    server's own total is told apart no further. `network_ms` is what remains: ours less the server's total; negative
    where the server's clock includes work after the last token. Where the server tells no total, the remainder
    is `untold_ms`: the server's own rest and the network, not told apart; then `rest_ms` and `network_ms` are null.
    """

    model_config = MODEL

    n: int
    whole_ms: float
    queue_ms: Number = None
    load_ms: Number = None
    prefill_ms: Number = None
    decode_ms: Number = None
    inference_ms: Number = None
    rest_ms: Number = None
    network_ms: Number = None
    untold_ms: Number = None
    client_ms: Number = None


class ServerFacts(BaseModel):
    """What the server told of one test, beside ours.

    The levels are of the steady windows. What a metrics page counts is of whole turns (ramp and drain included,
    warm-ups not): its counters are read when nothing is under way. `requests` is how many we sent in these turns (null
    where no turn was told), `counted` how many the server says to have ended in them. `source` says from where `parts`
    and `first_token` come; what stands in each answer is of the steady windows. Both are null where the server's
    figures are not of our requests alone, or tell no part: see `notes`. `others`: somebody else used the server.
    """

    model_config = MODEL

    running: LevelFacts | None = None
    waiting: LevelFacts | None = None
    kv_use: LevelFacts | None = None
    prefix_hit_share: Number = None
    preemptions: int | None = None
    requests: int | None = None
    counted: int | None = None
    ttft: MeanFacts | None = None
    queue: MeanFacts | None = None
    prefill: MeanFacts | None = None
    decode: MeanFacts | None = None
    e2e: MeanFacts | None = None
    source: Source | None = None
    parts: PartFacts | None = None
    first_token: PartFacts | None = None
    others: bool = False
    notes: tuple[str, ...] = ()


# Of a part its field and its name, in the order of time.
PART_NAMES: Final = (
    ("queue_ms", "queue"),
    ("load_ms", "model load"),
    ("prefill_ms", "prefill"),
    ("decode_ms", "decode"),
    ("inference_ms", "prefill and decode"),
    ("rest_ms", "server (not told apart)"),
    ("untold_ms", "server and network (not told apart)"),
    ("network_ms", "network"),
    ("client_ms", "client"),
)


def parts_line(parts: PartFacts) -> str:
    """Return the parts in one line, as in "of 812 ms mean: queue 300, prefill 40, decode 460, network 10, client 2"."""
    told = [f"{name} {_ms(value)}" for field, name in PART_NAMES if (value := getattr(parts, field)) is not None]
    return f"of {_ms(parts.whole_ms)} ms mean: {', '.join(told)}"


def server_lines(facts: Mapping[str, ServerFacts | None]) -> list[str]:
    """Return what the servers of one test told, by service: the parts in a line, then each note."""
    lines: list[str] = []
    for name, one in facts.items():
        if one is not None:
            lines += [f"{name}: {parts_line(one.parts)}"] if one.parts is not None else []
            lines += [f"{name}: {note}" for note in one.notes]
    return lines


def _ms(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
