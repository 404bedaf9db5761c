"""The page on workloads: its settings are valid, and its table of keys is the one that the settings hold to."""

import re
from pathlib import Path

import pytest
import yaml

from inference_bench.config.models import WorkloadSettings
from inference_bench.config.workload_models import KINDS_BY_KEY

PAGE = (Path(__file__).parents[2] / "docs" / "workloads.md").read_text("utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_example_is_valid(block: str) -> None:
    WorkloadSettings.model_validate(yaml.safe_load(block)["workload"])


def test_the_table_of_keys_is_complete() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| [^|]* \| (.*) \|$", PAGE, re.MULTILINE)
    told = {kind: set(re.findall(r"`(\w+)`", keys)) for kind, keys in rows if kind != "kind"}
    used = {kind: {key for key, kinds in KINDS_BY_KEY.items() if kind in kinds} for kind in told}
    assert set(told) == {kind for kinds in KINDS_BY_KEY.values() for kind in kinds}
    assert {kind: keys ^ used[kind] for kind, keys in told.items()} == {kind: set() for kind in told}
