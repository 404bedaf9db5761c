"""comparison.json: who is better, by how much, and how sure that is, as models. Nothing is computed here.

The JSON Schema of these models is published in the package (`schemas/comparison.schema.json`).
"""

import json
from importlib import resources
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from inference_bench.errors import RunFolderError
from inference_bench.results.atomic import write_atomically
from inference_bench.results.capacity import CapacityPair
from inference_bench.results.folder import RunFolder
from inference_bench.results.json_model import first_problem
from inference_bench.results.schema import SCHEMA_VERSION

COMPARISON_JSON: Final = "comparison.json"
SCHEMA_FILE: Final = "comparison.schema.json"

PairVerdict = Literal["better", "equivalent", "no_difference_shown", "not_comparable"]
Number = float | None
_MODEL = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Pair(BaseModel):
    """Two services on one metric of one test.

    `ratio` is a's value over b's. `p` is two-sided, `p_adjusted` after Holm (primary metrics only; else equal to p),
    and [ci_low, ci_high] is the interval of the ratio at `confidence`, the level that matches `p_adjusted`: it
    excludes 1 exactly when p_adjusted is below 1 minus the configured confidence. `needed_n` is how many further
    blocks would probably (90 %) show the smallest effect worth naming; null with the reason where not estimable.
    Winners look at primary pairs only: in all others verdict and `better` follow the same rules and are exploratory.
    """

    model_config = _MODEL

    test: str
    metric: str
    statistic: str | None
    primary: bool
    a: str
    b: str
    ratio: Number = None
    ci_low: Number = None
    ci_high: Number = None
    confidence: Number = None
    p: Number = None
    p_adjusted: Number = None
    verdict: PairVerdict
    better: str | None = None
    blocks: int = 0
    needed_n: int | None = None
    reason: str | None = None
    method: str | None = None
    value_a: Number = None
    value_b: Number = None
    unit: str | None = None

    @property
    def decided(self) -> bool:
        """Whether the question is answered."""
        return self.verdict in ("better", "equivalent")


class ServiceScore(BaseModel):
    """A service's score in one test: parts from 0 to 1, null where not known; no overall with a null part."""

    model_config = _MODEL

    latency: Number = None
    throughput: Number = None
    reliability: Number = None
    overall: Number = None
    reason: str | None = None


class FairnessNote(BaseModel):
    """Something that makes the services unlike each other. `code` is stable, `text` is for people.

    `weight`: `note` is worth knowing; `warning` may explain the result.
    """

    model_config = _MODEL

    code: str
    weight: Literal["note", "warning"] = "note"
    services: tuple[str, ...] = ()
    test: str | None = None
    text: str


class Comparison(BaseModel):
    """comparison.json. `winners` maps each test, and "overall", to a service or null."""

    model_config = _MODEL

    schema_version: int = SCHEMA_VERSION
    test_id: str
    simulated: bool
    scope: Literal["within_run", "between_runs"] = "within_run"
    design: dict[str, JsonValue] = Field(default_factory=dict)
    pairs: tuple[Pair, ...] = ()
    winners: dict[str, str | None] = Field(default_factory=dict)
    winner_reasons: dict[str, str] = Field(default_factory=dict)
    scores: dict[str, dict[str, ServiceScore]] = Field(default_factory=dict)
    fairness: tuple[FairnessNote, ...] = ()
    capacities: tuple[CapacityPair, ...] = ()  # between runs: those of one run stand in its summary

    @property
    def primary_pairs(self) -> tuple[Pair, ...]:
        """The pairs that decide."""
        return tuple(pair for pair in self.pairs if pair.primary)


def read_comparison(folder: RunFolder) -> Comparison | None:
    """Return the run's comparison; None when it has none (yet).

    Raises:
        RunFolderError: the file is damaged or of a later schema version.
    """
    path = folder.file(COMPARISON_JSON)
    return load_comparison(path) if path.is_file() else None


def load_comparison(path: Path) -> Comparison:
    """Return the comparison in a file, a run's own or one between runs.

    Raises:
        RunFolderError: it is missing, damaged or of a later schema version.
    """
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path} is missing or damaged: it is not JSON") from error
    version = data.get("schema_version") if isinstance(data, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise RunFolderError(
            f"{path} has schema version {version}; this program reads up to {SCHEMA_VERSION}",
            hint="Update vllm-benchmark.",
        )
    try:
        return Comparison.model_validate(data)
    except ValidationError as error:
        raise RunFolderError(f"{path} is damaged: {first_problem(error)}") from error


def write_comparison(folder: RunFolder, comparison: Comparison) -> None:
    """Write comparison.json, whole or not at all."""
    save_comparison(folder.file(COMPARISON_JSON), comparison)


def save_comparison(path: Path, comparison: Comparison) -> None:
    """Write a comparison to a file, whole or not at all. Raises OSError."""
    write_atomically(path, comparison.model_dump_json(indent=2).encode() + b"\n")


def comparison_json_schema() -> dict[str, JsonValue]:
    """Return the JSON Schema of comparison.json as the models say it."""
    schema = Comparison.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def published_json_schema() -> dict[str, JsonValue]:
    """Return the JSON Schema as the package publishes it."""
    text = resources.files("inference_bench.results").joinpath("schemas", SCHEMA_FILE).read_text(encoding="utf-8")
    published: dict[str, JsonValue] = json.loads(text)
    return published


def publish_json_schema() -> Path:
    """Write the schema into the package's source; to be run when the models have changed. Returns the file."""
    path = Path(__file__).parent / "schemas" / SCHEMA_FILE
    write_atomically(path, (json.dumps(comparison_json_schema(), indent=2) + "\n").encode())
    return path
