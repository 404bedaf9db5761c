"""summary.json: the figures of a run, per test and service, as models. Missing values are null, never 0.

The JSON Schema of these models is published in the package (`schemas/summary.schema.json`). Making a summary out of
records is the business of `summarise`.
"""

import json
from importlib import resources
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, Field, JsonValue, ValidationError

from inference_bench.errors import RunFolderError
from inference_bench.results.atomic import write_atomically
from inference_bench.results.capacity import CapacityFacts
from inference_bench.results.folder import RunFolder
from inference_bench.results.json_model import first_problem
from inference_bench.results.manifest import LoadShape, TestKind
from inference_bench.results.schema import SCHEMA_VERSION
from inference_bench.results.server_facts import ServerFacts
from inference_bench.results.summary_parts import (
    MODEL,
    ColdStartFacts,
    CostFacts,
    GoodputFacts,
    LowerTail,
    Number,
    RequestFacts,
    SanityFacts,
    SessionFacts,
    StampsSummary,
    ThroughputFacts,
    TurnFacts,
    UpperTail,
)
from inference_bench.results.trust import CalibrationFacts, OmissionFacts, PhaseFacts, SignFacts, WatchFacts

SUMMARY_JSON: Final = "summary.json"
SCHEMA_FILE: Final = "summary.schema.json"

Verdict = Literal["valid", "suspect", "invalid"]


class Validity(BaseModel):
    """Whether the figures can be trusted, and why not.

    `signs` is every sign as it was measured, with its limits (empty for a test as a whole); `near` says what is close
    to a limit of this machine or of a sign and `not_watched` what nobody looked at: neither is a verdict.
    """

    model_config = MODEL

    verdict: Verdict
    reasons: tuple[str, ...] = ()
    signs: tuple[SignFacts, ...] = ()
    near: tuple[str, ...] = ()
    not_watched: tuple[str, ...] = ()


class ServiceSummary(BaseModel):
    """One service in one test. `sanity` is null where a version wrote the records that did not look at texts.

    `sessions` and `turns` are of tests whose workload is sessions.
    """

    model_config = MODEL

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
    sessions: SessionFacts | None = None
    turns: tuple[TurnFacts, ...] = ()
    server: ServerFacts | None = None
    phases: PhaseFacts | None = None
    omission: OmissionFacts | None = None
    notes: tuple[str, ...] = ()


class TestSummary(BaseModel):
    """One test. `window_s` is the steady window summed over rounds: the shortest of the services', null of none.

    `sweep` names the load test of the configuration of which this one is a point; `probe`: the search for a service's
    capacity offered this load, and only the services whose capacity it is are here.
    """

    __test__ = False  # pytest takes every Test* for its own

    model_config = MODEL

    name: str
    kind: TestKind
    load: LoadShape
    rounds: int
    window_s: Number
    sweep: str | None = None
    probe: bool = False
    points: Annotated[
        tuple[JsonValue, ...], Field(max_length=0, description="always empty: a sweep's points are tests, see `sweep`")
    ] = ()
    services: dict[str, ServiceSummary]
    validity: Validity
    calibration: CalibrationFacts | None = None
    watch: WatchFacts | None = None


class Summary(BaseModel):
    """summary.json."""

    model_config = MODEL

    schema_version: int = SCHEMA_VERSION
    test_id: str
    simulated: bool
    tests: tuple[TestSummary, ...]
    capacity: tuple[CapacityFacts, ...] = ()


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
