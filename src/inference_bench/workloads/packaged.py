"""Reads the text and YAML files that are packaged beside this module, in `data/`."""

from importlib import resources
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Shape = TypeVar("Shape")


def packaged_text(name: str) -> str:
    """Return the text of the data file with this name (a path below `data/`, with slashes)."""
    return resources.files("inference_bench.workloads").joinpath(f"data/{name}").read_text(encoding="utf-8")


def packaged_names(folder: str) -> list[str]:
    """Return the names, below `data/`, of the YAML files in one of its folders, sorted."""
    files = resources.files("inference_bench.workloads").joinpath(f"data/{folder}").iterdir()
    return sorted(f"{folder}/{file.name}" for file in files if file.name.endswith(".yaml"))


def packaged_yaml(name: str, shape: "TypeAdapter[Shape]") -> Shape:
    """Return the content of a YAML data file in the given shape; pydantic's ValidationError if it has another."""
    import yaml  # noqa: PLC0415 - who only needs a prefix should not load a YAML parser

    # libyaml's loader is ten times as fast; PyYAML has it unless it was built without the C library.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return shape.validate_python(yaml.load(packaged_text(name), Loader=loader))
