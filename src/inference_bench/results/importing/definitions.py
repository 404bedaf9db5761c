"""What a metric means in other tools, where that is not what it means here: by tool and metric.

A figure can come in two ways. From marks: the file keeps each request's marks, and our formulas are applied to them;
then only the marks differ. As reported: the file keeps figures only, made by the tool's own formulas. Facts were read
from the sources of GuideLLM 0.8.1, AIPerf 0.13.0, inference-perf 0.7.0 and vLLM 0.32, and tried against a server of
known timing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from inference_bench.results.importing.model import Tool
from inference_bench.results.manifest import ImportedFrom

Basis = Literal["marks", "reported"]
_BOTH: Final[tuple[Basis, ...]] = ("marks", "reported")
_MARKS: Final[tuple[Basis, ...]] = ("marks",)
_REPORTED: Final[tuple[Basis, ...]] = ("reported",)

TITLES: Final[dict[Tool, str]] = {
    "guidellm": "GuideLLM",
    "aiperf": "AIPerf",
    "vllm bench serve": "vllm bench serve",
    "inference-perf": "inference-perf",
}


@dataclass(frozen=True, slots=True)
class Definition:
    """How a metric differs: what it is there and here, and which way its values err against ours.

    `material` says that two such values are not of the same thing: no verdict is given on them.
    """

    tool: Tool
    metric: str
    bases: tuple[Basis, ...]
    there: str
    here: str
    error: str
    material: bool

    @property
    def words(self) -> str:
        """The difference as one sentence."""
        return f"{self.metric}: there {self.there}; here {self.here}; so it {self.error}"


_TTFT: Final = "from just before the request's first byte to the first chunk with text, connection set-up left out"
_E2E: Final = "to the last chunk with text"
_RATES: Final = "inside the steady window, ramp, warm-up and drain left out"
_TOKENS: Final = "the server's own usage"
_TPOT: Final = "time between the first and the last text chunk over the tokens after the first chunk"
_WHOLE_RUN: Final = "over the whole span from the first request to the last end, ramp and drain in it"
_NEAREST: Final = "percentiles are values that occurred (no interpolation), also of fewer values than can carry them"
_FEW: Final = "percentiles are given of any number of values"


def _rates(tool: Tool, there: str = _WHOLE_RUN) -> tuple[Definition, ...]:
    error = "is too low, the more so the shorter the run"
    return tuple(
        Definition(tool, name, _BOTH, there, _RATES, error, material=True)
        for name in ("requests_per_s", "output_tokens_per_s", "total_tokens_per_s")
    )


_GUIDELLM: Final = (
    Definition(
        "guidellm",
        "ttft_ms",
        _BOTH,
        "from the moment its HTTP library begins to write the header (connection left out) to the read of the first "
        "line with text, both on the adjustable wall clock",
        _TTFT,
        "is too high when that client is busy, and wrong by any step of the clock",
        material=False,
    ),
    Definition(
        "guidellm",
        "tpot_ms",
        _REPORTED,
        "its inter-token latency (last - first token) / (tokens - 1), weighted by tokens over requests",
        f"{_TPOT}, one value per request",
        "leans to the requests with long answers; what it calls time per output token has TTFT in it and is not taken",
        material=True,
    ),
    Definition(
        "guidellm",
        "e2e_ms",
        _MARKS,
        "on the adjustable wall clock",
        "on a clock that nobody sets",
        "is wrong by any step of the clock",
        material=False,
    ),
    Definition(
        "guidellm",
        "e2e_ms",
        _REPORTED,
        "to the end of the stream",
        _E2E,
        "is too high by what comes after the last text",
        material=True,
    ),
    Definition(
        "guidellm",
        "output_tokens",
        _REPORTED,
        f"{_TOKENS}, and the number of chunks where there is none",
        _TOKENS,
        "is the number of chunks, not of tokens, with servers that tell no usage",
        material=False,
    ),
    Definition(
        "guidellm",
        "percentiles",
        _REPORTED,
        _NEAREST,
        "interpolated, from the n that carries them",
        "may differ by the distance of two values",
        material=False,
    ),
    *_rates(
        "guidellm", "over the span it measures: first request to last end unless it was given warm-up and cooldown"
    ),
)

_AIPERF: Final = (
    Definition(
        "aiperf",
        "ttft_ms",
        _BOTH,
        "from before the connection is looked for, so that setting up a new one is in it",
        _TTFT,
        "is too high for the first request on each connection (for every one when connections are not kept)",
        material=False,
    ),
    Definition(
        "aiperf",
        "e2e_ms",
        _BOTH,
        "from before the connection is looked for, to the last chunk with text",
        f"from just before the request's first byte {_E2E}",
        "is too high by the set-up of new connections",
        material=False,
    ),
    Definition(
        "aiperf",
        "tpot_ms",
        _REPORTED,
        "its inter-token latency: tokens are those of its own tokenizer unless it was told to use the server's",
        f"{_TPOT}; tokens are {_TOKENS}",
        "errs as its tokenizer does, either way",
        material=True,
    ),
    Definition(
        "aiperf",
        "output_tok_per_s_user",
        _REPORTED,
        "1 / its inter-token latency, by the tokens of its own tokenizer",
        "1000 / tpot_ms by the server's usage",
        "errs as its tokenizer does, either way",
        material=True,
    ),
    Definition(
        "aiperf",
        "output_tokens",
        _BOTH,
        "the server's usage where the file has it, else its own tokenizer on the text",
        _TOKENS,
        "differs by what the tokenizer cuts otherwise, or does not see",
        material=False,
    ),
    Definition(
        "aiperf",
        "percentiles",
        _REPORTED,
        _FEW,
        "null below the n that carries them",
        "is withheld here too",
        material=False,
    ),
    *_rates("aiperf"),
)

_ROLE: Final = "the first chunk with `choices`, with or without text: a role chunk sent ahead counts as the first token"
_VLLM: Final = (
    Definition(
        "vllm bench serve",
        "ttft_ms",
        _BOTH,
        f"from before the connection is looked for, to {_ROLE}",
        _TTFT,
        "is too low with servers that send the role at once, and too high where a connection had to be set up",
        material=True,
    ),
    Definition(
        "vllm bench serve",
        "tpot_ms",
        _BOTH,
        "(last chunk - first chunk) / (tokens - 1), where the first may be the role chunk",
        _TPOT,
        "is too high by up to TTFT / (tokens - 1) with servers that send the role at once",
        material=True,
    ),
    Definition(
        "vllm bench serve",
        "output_tok_per_s_user",
        _MARKS,
        "made of its first and last chunk, where the first may be the role chunk",
        "1000 / tpot_ms",
        "is too low with servers that send the role at once",
        material=True,
    ),
    Definition(
        "vllm bench serve",
        "icl_ms",
        _BOTH,
        "gaps between chunks with `choices`, pooled: those around a role chunk and a last chunk without text are in it",
        "gaps between chunks with text, pooled",
        "has one very long or very short gap more per request",
        material=True,
    ),
    Definition(
        "vllm bench serve",
        "stall_ms",
        _MARKS,
        "the longest of those gaps, the wait after a role chunk among them",
        "the longest gap between chunks with text",
        "may be TTFT with servers that send the role at once",
        material=True,
    ),
    Definition(
        "vllm bench serve",
        "e2e_ms",
        _BOTH,
        "from before the connection is looked for, to the last chunk with `choices`, with or without text",
        f"from just before the request's first byte {_E2E}",
        "is too high by the set-up of new connections and the wait for a last chunk without text",
        material=False,
    ),
    Definition(
        "vllm bench serve",
        "output_tokens",
        _MARKS,
        "the server's usage where there is one, else its tokenizer on the text; the file does not tell which",
        _TOKENS,
        "may be a little high where the tokenizer counted",
        material=False,
    ),
    Definition(
        "vllm bench serve",
        "percentiles",
        _REPORTED,
        f"{_FEW}; the number of gaps is not told",
        "null below the n that carries them",
        "is withheld by the number of requests",
        material=False,
    ),
    *_rates("vllm bench serve"),
)

_INFERENCE_PERF: Final = (
    Definition(
        "inference-perf",
        "ttft_ms",
        _BOTH,
        "from before the connection is looked for; its own figures leave out requests of a single token",
        _TTFT,
        "is too high for the first request on each connection",
        material=False,
    ),
    Definition(
        "inference-perf",
        "e2e_ms",
        _MARKS,
        "from before the connection is looked for, to the last chunk with text",
        f"from just before the request's first byte {_E2E}",
        "is too high for the first request on each connection",
        material=False,
    ),
    Definition(
        "inference-perf",
        "tpot_ms",
        _REPORTED,
        "(last - first token) / (tokens - 1), tokens counted by its own tokenizer on the whole text unless it was told "
        "to use the server's",
        f"{_TPOT}; tokens are {_TOKENS}",
        "errs as its tokenizer does: one token too many of 8 makes it an eighth too low",
        material=True,
    ),
    Definition(
        "inference-perf",
        "itl_ms",
        _REPORTED,
        "each chunk's text is cut into tokens by its own tokenizer, all but the first of a chunk at distance 0",
        "a gap before a chunk of k tokens counts as k values of gap/k",
        "has many zeros and a long tail where chunks hold several tokens, or pieces of one",
        material=True,
    ),
    Definition(
        "inference-perf",
        "e2e_ms",
        _REPORTED,
        "to the end of the body and of the work on it in the client, tokenizing included",
        _E2E,
        "is too high",
        material=True,
    ),
    Definition(
        "inference-perf",
        "percentiles",
        _REPORTED,
        _FEW,
        "null below the n that carries them",
        "is withheld here too",
        material=False,
    ),
    *_rates("inference-perf"),
)

_GOODPUT: Final[dict[Tool, str]] = {
    "guidellm": "errors count against it; its limit on time per token is held against the inter-token latency",
    "aiperf": "requests that meet its limits, over the whole run",
    "vllm bench serve": "over the whole run; an answer of one token has TPOT 0 and meets any limit on it",
    "inference-perf": "of the requests that succeeded: failed ones do not count against it",
}
DEFINITIONS: Final[tuple[Definition, ...]] = (*_GUIDELLM, *_AIPERF, *_VLLM, *_INFERENCE_PERF)


def title_of(tool: str) -> str:
    """Return a tool's name as it writes it itself."""
    return next((title for known, title in TITLES.items() if known == tool), tool)


def imported_words(imported: ImportedFrom) -> str:
    """Say where an imported run comes from: tool, version, file."""
    return f"imported from {' '.join(filter(None, [title_of(imported.tool), imported.version]))} ({imported.file})"


def definitions_of(tool: str, bases: Sequence[Basis]) -> tuple[Definition, ...]:
    """Return what a tool defines differently, for figures that come in these ways."""
    return tuple(one for one in DEFINITIONS if one.tool == tool and not set(bases).isdisjoint(one.bases))


def definition_of(tool: str, metric: str, basis: Basis) -> Definition | None:
    """Return how a tool's metric differs from ours; None where it does not."""
    return next((one for one in definitions_of(tool, (basis,)) if one.metric == metric), None)


def goodput_words(tool: Tool, per_second: float) -> str:
    """Return the note about a goodput that a tool reports: by limits of its own, so it is told and not taken over."""
    return f"{TITLES[tool]} reports a goodput of {per_second:.4g} requests/s by its own limits ({_GOODPUT[tool]})"
