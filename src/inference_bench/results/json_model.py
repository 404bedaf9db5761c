"""Reading one of a run's JSON files into its model, with errors that name the file."""

import json
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from inference_bench.errors import RunFolderError
from inference_bench.results.schema import SCHEMA_VERSION

Model = TypeVar("Model", bound=BaseModel)


def read_model(path: Path, model: type[Model]) -> Model:
    """Return the file's content.

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
        return model.model_validate(data)
    except ValidationError as error:
        raise RunFolderError(f"{path} is damaged: {first_problem(error)}") from error


def first_problem(error: ValidationError) -> str:
    """Return the first thing that is wrong with a file's content, in words: which key, and what of it."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if not where:
        return "it holds no JSON object"
    if first["type"] == "missing":
        return f"{where} is missing"
    if first["type"] == "extra_forbidden":
        return f"{where} is not known"
    said = first["msg"]
    return f"{where} {said.removeprefix('Input ')}" if said.startswith("Input ") else f"{where}: {said}"
