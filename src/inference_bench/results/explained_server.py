"""What the words of the server's side and of a search for capacity mean (see `explained_values`)."""

from collections.abc import Mapping
from typing import Final

from inference_bench.results.explained_kinds import Explained

_PAGE: Final = "the engine's own metrics page, read once a second"
_NO_PAGE: Final = "the engine has no such page, or does not tell this on it"


def _level(words: str, unit: str) -> Explained:
    return Explained(
        "server's side", words, "mean and maximum of the samples within the steady windows", unit, _PAGE, _NO_PAGE
    )


SERVER_TERMS: Final[Mapping[str, Explained]] = {
    "running": _level("requests in the engine's batch", "requests"),
    "waiting": _level("requests in the engine's queue", "requests"),
    "kv_use": _level("share of the engine's KV cache in use", "0 to 1"),
    "prefix_hit_share": Explained(
        "server's side",
        "share of prompt tokens that the engine took from its prefix cache",
        "tokens found / tokens looked up, by their growth in the service's turns; else the mean of the share it tells",
        "0 to 1",
        _PAGE,
        _NO_PAGE,
    ),
    "preemptions": Explained(
        "server's side",
        "requests that the engine threw out of its batch for want of room, and began again later",
        "growth of its counter in the service's turns",
        "requests",
        _PAGE,
        _NO_PAGE,
    ),
    "parts": Explained(
        "server's side",
        "where the time until the last token went: the server's queue, prefill and decode, the network, this client",
        "means that add up to ours; network: what remains of ours beside the server's total and the client's part",
        "ms",
        "the metrics page (whole turns), or what each answer tells of itself (steady windows)",
        "neither tells a time, someone else used the server, or its counters went back",
    ),
    "first_token": Explained(
        "server's side",
        "where the time until the first token went; as parts",
        "means that add up to our TTFT",
        "ms",
        "as parts",
        "as parts",
    ),
    "capacity": Explained(
        "value",
        "the most users, or the highest rate, at which a service kept its promises (--find-capacity)",
        "the highest load kept in more than half of its probes, with none beyond it that was; interval: every probe up "
        "to its lower end was kept, none from its upper end on",
        "users or requests/s",
        "the probes of the search",
        "no load could be judged; `at least` where none broke the promises before the search ended",
    ),
}
