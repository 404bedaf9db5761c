"""comparison.json as a file: the published schema, an old file held against it, damaged and later ones."""

import json
from pathlib import Path

import jsonschema
import pytest

from inference_bench.errors import RunFolderError
from inference_bench.results.comparison import (
    comparison_json_schema,
    load_comparison,
    published_json_schema,
    save_comparison,
)

OLD_FILES = sorted((Path(__file__).parents[1] / "data" / "runs").glob("comparison-v1*.json"))


def says_all_of(new: object, old: object) -> bool:
    """Whether everything the old file said is still said; a later version may say more."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(key in new and says_all_of(new[key], value) for key, value in old.items())
    if isinstance(old, list):
        return isinstance(new, list) and len(new) == len(old) and all(map(says_all_of, new, old))
    return new == old


def test_the_published_schema_is_up_to_date() -> None:
    assert published_json_schema() == comparison_json_schema(), (
        "run: python -c 'from inference_bench.results.comparison import publish_json_schema as p; p()'"
    )


def test_there_are_old_files() -> None:
    assert OLD_FILES


@pytest.mark.parametrize("path", OLD_FILES, ids=lambda path: path.name)
def test_an_old_file_holds_to_the_schema_and_is_read(path: Path, tmp_path: Path) -> None:
    data = json.loads(path.read_text())
    jsonschema.Draft202012Validator.check_schema(published_json_schema())
    jsonschema.validate(data, published_json_schema(), jsonschema.Draft202012Validator)
    found = load_comparison(path)
    save_comparison(tmp_path / "again.json", found)
    assert says_all_of(json.loads((tmp_path / "again.json").read_text()), data)
    assert {pair.verdict for pair in found.pairs} == {
        "better", "equivalent", "no_difference_shown", "not_comparable",
    }  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [{"pairs": 3}, {"surprise": 1}, {"schema_version": "one"}, {"simulated": None}, {"test_id": None}, {"scope": "x"}],
)
def test_the_schema_refuses_what_the_models_refuse(change: dict[str, object], tmp_path: Path) -> None:
    data = {**json.loads(OLD_FILES[0].read_text()), **change}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, published_json_schema(), jsonschema.Draft202012Validator)
    path = tmp_path / "comparison.json"
    path.write_text(json.dumps(data))
    with pytest.raises(RunFolderError, match="damaged"):
        load_comparison(path)


def test_a_file_of_a_later_version_or_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "comparison.json"
    with pytest.raises(RunFolderError, match="missing or damaged"):
        load_comparison(path)
    path.write_text('{"schema_version": 9}')
    with pytest.raises(RunFolderError, match="schema version 9"):
        load_comparison(path)
