"""The three files that ship, the contract's table of keys, the JSON Schema."""

from pathlib import Path

import jsonschema
import pytest
import yaml

from inference_bench.cli.utils.known_words import known_words
from inference_bench.config.json_schema import json_schema
from inference_bench.config.loader import LoadedSettings, load_settings
from inference_bench.config.models import Settings
from inference_bench.config.schema import all_keys
from inference_bench.config.shipped import SHIPPED_FILES, shipped_text, write_shipped
from inference_bench.errors import UsageError

# The contract's table: section by section, every key. Beyond it: `ttft_test.slo` and `slo.limits`, without which there
# is no slo per test, and none for any metric and statistic; `services.context` and `services.port_forward`, so that a
# file can say which cluster is searched and how its services are reached, as options do.
CONTRACT = {
    "benchmark": "name description model seed",
    "services": "namespace context port_forward discovery simulate timeout_seconds idle_timeout_seconds "
    "connect_timeout_seconds health_check_retries endpoints",
    "services.endpoints.0": "name engine url model api_key_env ca_file insecure_skip_verify headers",
    "ttft_test": "enabled iterations warmup_requests max_tokens temperature target_ms slo",
    "load_tests.0": "name arrivals concurrent_users rate burstiness speed max_in_flight think_time_seconds "
    "duration_seconds requests ramp_up_seconds warmup_requests rounds max_tokens temperature target_p95_ms "
    "workload slo",
    "workload": "kind path category prompt_column prompt_tokens output_tokens shared_prefix tokenizer turns "
    "sessions cache",
    "comparison": "primary min_effect confidence budget",
    "slo": "per_request attainment success_rate limits",
    "slo.per_request": "ttft_ms tpot_ms e2e_ms",
    "scoring": "weights references",
    "pricing": "currency per_hour",
    "output": "directory save_raw_data save_responses generate_charts generate_report",
}
SECTIONS = "benchmark services ttft_test load_tests workload comparison slo scoring pricing output"


def load_shipped(name: str, tmp_path: Path) -> LoadedSettings:
    """Load a shipped file as a user who ran `init` does."""
    write_shipped(tmp_path, force=True)
    return load_settings(Path("config", name), overrides={}, environ={}, cwd=tmp_path, known=known_words())


def test_the_models_have_exactly_the_contract_s_keys() -> None:
    known: dict[str, list[str]] = {}
    for path in all_keys():
        known.setdefault(".".join(str(part) for part in path[:-1]), []).append(str(path[-1]))
    for section, keys in CONTRACT.items():
        assert known[section] == keys.split(), section
    assert known[""] == SECTIONS.split()


@pytest.mark.parametrize(("section", "keys"), CONTRACT.items())
def test_every_available_key_is_explained_in_the_default_file(section: str, keys: str) -> None:
    text = shipped_text("default.yaml")
    missing = [key for key in keys.split() if f"{key}:" not in text]
    assert missing == []


def test_the_default_file_is_the_built_in_default(tmp_path: Path) -> None:
    assert load_shipped("default.yaml", tmp_path).settings == Settings()


def test_the_quick_file(tmp_path: Path) -> None:
    settings = load_shipped("quick-test.yaml", tmp_path).settings
    assert settings.ttft_test.iterations == 20
    assert [(test.concurrent_users, test.duration_seconds, test.rounds) for test in settings.load_tests] == [(3, 15, 1)]
    # A round of it answers too few requests for a p95 that could be compared.
    assert settings.comparison.primary == "ttft_ms.p50"


def test_the_stress_file(tmp_path: Path) -> None:
    settings = load_shipped("stress-test.yaml", tmp_path).settings
    assert [test.concurrent_users for test in settings.load_tests] == [25, 50, 100]
    assert [test.duration_seconds for test in settings.load_tests] == [120, 180, 300]


@pytest.mark.parametrize("name", SHIPPED_FILES)
def test_every_shipped_file_loads_without_remarks_and_sets_no_slo(name: str, tmp_path: Path) -> None:
    loaded = load_shipped(name, tmp_path)
    assert loaded.remarks == ()
    assert loaded.settings.slo is None
    assert all(test.slo is None for test in loaded.settings.load_tests)


def test_the_promises_the_default_file_suggests_are_ones_that_load(tmp_path: Path) -> None:
    lines = shipped_text("default.yaml").splitlines()
    start = next(position for position, line in enumerate(lines) if line.startswith("# slo:"))
    end = next(position for position in range(start, len(lines)) if not lines[position])
    (tmp_path / "x.yaml").write_text("\n".join(line.removeprefix("#").removeprefix(" ") for line in lines[start:end]))
    loaded = load_settings(Path("x.yaml"), overrides={}, environ={}, cwd=tmp_path, known=known_words())
    assert loaded.settings.slo is not None
    assert loaded.settings.slo.limits == {"ttft_ms.p95": 300, "output_tok_per_s_user.p5": 20}
    assert (loaded.settings.slo.attainment, loaded.settings.slo.success_rate) == (0.95, 0.99)


@pytest.mark.parametrize("name", SHIPPED_FILES)
def test_the_schema_accepts_every_shipped_file(name: str) -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(shipped_text(name)), schema)


def test_the_schema_refuses_what_the_loader_refuses() -> None:
    wrong: tuple[dict[str, object], ...] = (
        {"benchmrk": {}},
        {"ttft_test": {"iterations": 0}},
        {"load_tests": [{"rate": 1}]},
        {"slo": {"limits": {"ttft_ms.p95": "fast"}}},
    )
    for broken in wrong:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, json_schema())


def test_writing_never_overwrites_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    mine = tmp_path / "config" / "quick-test.yaml"
    mine.write_text("# mine\n")
    with pytest.raises(UsageError, match=r"quick-test\.yaml already exists; nothing was written"):
        write_shipped(tmp_path, force=False)
    assert [path.name for path in (tmp_path / "config").iterdir()] == ["quick-test.yaml"]
    assert mine.read_text() == "# mine\n"
    write_shipped(tmp_path, force=True)
    assert mine.read_text(encoding="utf-8") == shipped_text("quick-test.yaml")
    assert sorted(path.name for path in (tmp_path / "config").iterdir()) == sorted(SHIPPED_FILES)


def test_a_folder_that_cannot_be_made_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("a file")
    with pytest.raises(UsageError, match="cannot write"):
        write_shipped(tmp_path, force=False)
