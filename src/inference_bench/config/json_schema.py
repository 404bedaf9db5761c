"""The configuration's JSON Schema, for editors and for people who look a key up."""

from inference_bench.config.models import Settings

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, object]:
    """Return the JSON Schema (2020-12) of a configuration file. An empty file is valid: every key has a default."""
    return {"$schema": SCHEMA_DIALECT, **Settings.model_json_schema(), "title": "vllm-benchmark configuration"}
