"""summary.json: the figures of a run, per test and service, as models. Missing values are null, never 0.

The JSON Schema of these models is published in the package (`schemas/summary.schema.json`). Making a summary out of
records is the business of `summarise`.
"""

import json
from importlib import resources
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from inference_bench.errors import RunFolderError
from inference_bench.results.atomic import write_atomically
from inference_bench.results.folder import RunFolder
from inference_bench.results.json_model import first_problem
from inference_bench.results.manifest import LoadShape, TestKind
from inference_bench.results.schema import SCHEMA_VERSION

SUMMARY_JSON: Final = "summary.json"
SCHEMA_FILE: Final = "summary.schema.json"

Verdict = Literal["valid", "suspect", "invalid"]
Bounds = tuple[float, float]
Number = float | None
_MODEL = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Validity(BaseModel):
    """Whether the figures can be trusted, and why not."""

    model_config = _MODEL

    verdict: Verdict
    reasons: tuple[str, ...] = ()


class Intervals(BaseModel):
    """95 % confidence intervals [low, high]; null where n is too small (see `needed_n`) or none is given (`reason`)."""

    model_config = _MODEL

    confidence: float
    mean: Bounds | None = None
    p1: Bounds | None = None
    p5: Bounds | None = None
    p10: Bounds | None = None
    p50: Bounds | None = None
    p90: Bounds | None = None
    p95: Bounds | None = None
    p99: Bounds | None = None
    needed_n: dict[str, int] = Field(default_factory=dict)
    reason: str | None = None


class _Figures(BaseModel):
    model_config = _MODEL

    unit: str
    n: int
    missing: int
    mean: Number
    std: Number
    min: Number
    max: Number
    ci: Intervals | None
    needed_n: dict[str, int]
    relative_error: Number


class UpperTail(_Figures):
    """The figures of a metric of which less is better, or neither. `needed_n`: what null percentiles would need."""

    p50: Number
    p90: Number
    p95: Number
    p99: Number


class LowerTail(_Figures):
    """The figures of a metric of which more is better: its bad end is the low one."""

    p1: Number
    p5: Number
    p10: Number
    p50: Number


class RequestFacts(BaseModel):
    """Requests of the window: sent = ok + failed + interrupted; `errors` counts the failed by class."""

    model_config = _MODEL

    sent: int
    ok: int
    failed: int
    interrupted: int
    success_rate: Number
    errors: dict[str, int]


class ThroughputFacts(BaseModel):
    """Rates inside the window, per second. `tokens_unknown`: good requests whose output tokens nobody told."""

    model_config = _MODEL

    requests_per_s: Number
    output_tokens_per_s: Number
    total_tokens_per_s: Number
    tokens_unknown: int
    rate_asked: Number
    rate_sent: Number
    concurrency_mean: Number
    concurrency_max: int | None


class GoodputFacts(BaseModel):
    """Requests per second that met every limit; `attainment` is their share of those sent in the window."""

    model_config = _MODEL

    requests_per_s: Number
    attainment: Number
    met: int
    of: int


class ColdStartFacts(BaseModel):
    """What the very first request of the test saw, warm-ups included."""

    model_config = _MODEL

    ttft_ms: Number
    server_load_ms: Number


class StampsSummary(BaseModel):
    """How sharp the stamps are: first tokens that shared a read with other chunks; the share of zero gaps."""

    model_config = _MODEL

    first_tokens: int
    first_tokens_merged: int
    merged_share: Number
    merged_reads: int
    zero_gap_share: Number


class CostFacts(BaseModel):
    """What a million output tokens cost at the measured rate and the given price."""

    model_config = _MODEL

    currency: str
    per_hour: float
    per_million_output_tokens: Number


class SanityFacts(BaseModel):
    """Whether the answers look like answers; the rules stand in `metrics.sanity`.

    Of the `checked` good answers of the window, `garbled` and `short` (wildly, beside the other services') do not look
    sound; `kinds` says by which rule the garbled do not, `paired` how many answers another service's length could be
    held against. `empty` and `truncated` are among the failed. `sound_rate`: sound ones of all that ended, null when
    nothing did. `flagged`: more than 1 % are not sound; `reason` then says what is wrong.
    """

    model_config = _MODEL

    checked: int
    sound: int
    garbled: int
    kinds: dict[str, int]
    short: int
    paired: int
    empty: int
    truncated: int
    sound_rate: Number
    flagged: bool
    reason: str | None


class ServiceSummary(BaseModel):
    """One service in one test. `sanity` is null where a version wrote the records that did not look at texts."""

    model_config = _MODEL

    engine: str
    simulated: bool
    window_s: float
    requests: RequestFacts
    metrics: dict[str, UpperTail | LowerTail]
    throughput: ThroughputFacts
    goodput: GoodputFacts | None
    cold_start: ColdStartFacts | None
    stamps: StampsSummary
    cost: CostFacts | None
    validity: Validity
    sanity: SanityFacts | None = None


class TestSummary(BaseModel):
    """One test. `window_s` is the steady window summed over rounds: the shortest of the services', null of none."""

    __test__ = False  # pytest takes every Test* for its own

    model_config = _MODEL

    name: str
    kind: TestKind
    load: LoadShape
    rounds: int
    window_s: Number
    points: Annotated[tuple[JsonValue, ...], Field(max_length=0, description="points of a sweep; none yet")] = ()
    services: dict[str, ServiceSummary]
    validity: Validity


class Summary(BaseModel):
    """summary.json."""

    model_config = _MODEL

    schema_version: int = SCHEMA_VERSION
    test_id: str
    simulated: bool
    tests: tuple[TestSummary, ...]


def read_summary(folder: RunFolder) -> Summary | None:
    """Return the run's summary; None when it has none (yet).

    Raises:
        RunFolderError: the file is damaged or of a later schema version.
    """
    path = folder.file(SUMMARY_JSON)
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path} is damaged") from error
    version = data.get("schema_version") if isinstance(data, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise RunFolderError(
            f"{path} has schema version {version}; this program reads up to {SCHEMA_VERSION}",
            hint="Update vllm-benchmark.",
        )
    try:
        return Summary.model_validate(data)
    except ValidationError as error:
        raise RunFolderError(f"{path} is damaged: {first_problem(error)}") from error


def write_summary(folder: RunFolder, summary: Summary) -> None:
    """Write summary.json, whole or not at all."""
    write_atomically(folder.file(SUMMARY_JSON), summary.model_dump_json(indent=2).encode() + b"\n")


def summary_json_schema() -> dict[str, JsonValue]:
    """Return the JSON Schema of summary.json as the models say it."""
    schema = Summary.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def published_json_schema() -> dict[str, JsonValue]:
    """Return the JSON Schema as the package publishes it."""
    text = resources.files("inference_bench.results").joinpath("schemas", SCHEMA_FILE).read_text(encoding="utf-8")
    published: dict[str, JsonValue] = json.loads(text)
    return published


def publish_json_schema() -> Path:
    """Write the schema into the package's source; to be run when the models have changed. Returns the file."""
    path = Path(__file__).parent / "schemas" / SCHEMA_FILE
    write_atomically(path, (json.dumps(summary_json_schema(), indent=2) + "\n").encode())
    return path
