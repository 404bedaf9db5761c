"""Which file is chosen, which layer wins, what each value's origin is; the command line's ways into lists."""

import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.config.loader import LoadedSettings, flat_values, load_settings, redacted_config
from inference_bench.config.models import Settings
from inference_bench.config.provenance import Source, dotted
from inference_bench.errors import ConfigError, UsageError


def load(
    tmp_path: Path,
    text: str | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
) -> LoadedSettings:
    """Load settings from a file with this text, or from none."""
    file = None
    if text is not None:
        file = tmp_path / "x.yaml"
        file.write_text(text, encoding="utf-8")
    return load_settings(file, overrides=overrides or {}, environ=environ or {}, cwd=tmp_path)


def test_without_a_file_the_built_in_defaults_are_in_force(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    assert loaded.settings == Settings()
    assert loaded.source == "built-in defaults"
    assert {origin.source for origin in loaded.provenance.values()} == {Source.BUILT_IN}


@pytest.mark.parametrize("text", ["", "# nothing\n", "benchmark:\nservices:\n", "---\n", "\ufeff"])
def test_an_empty_file_or_section_says_nothing(text: str, tmp_path: Path) -> None:
    assert load(tmp_path, text).settings == Settings()


def test_the_file_of_the_current_directory_is_found(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "default.yaml").write_text("benchmark: {seed: 5}")
    loaded = load(tmp_path)
    assert (loaded.settings.benchmark.seed, loaded.source) == (5, "config/default.yaml")
    assert str(loaded.provenance["benchmark.seed"]) == "config/default.yaml:1"


def test_quick_takes_the_local_file_else_the_packaged_one(tmp_path: Path) -> None:
    packaged = load_settings(None, quick=True, overrides={}, environ={}, cwd=tmp_path)
    assert packaged.source == "packaged quick-test.yaml"
    assert packaged.settings.ttft_test.iterations == 20
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "quick-test.yaml").write_text("ttft_test: {iterations: 3}")
    local = load_settings(None, quick=True, overrides={}, environ={}, cwd=tmp_path)
    assert (local.source, local.settings.ttft_test.iterations) == ("config/quick-test.yaml", 3)


def test_quick_with_a_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--quick and -c/--config exclude each other"):
        load_settings(Path("x.yaml"), quick=True, overrides={}, environ={}, cwd=tmp_path)


def test_a_missing_file_is_an_error_and_never_the_defaults(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no configuration file none\.yaml"):
        load_settings(Path("none.yaml"), overrides={}, environ={}, cwd=tmp_path)
    with pytest.raises(ConfigError, match="cannot read"):
        load_settings(tmp_path, overrides={}, environ={}, cwd=tmp_path)


@given(present=st.lists(st.booleans(), min_size=3, max_size=3), values=st.permutations([11, 22, 33]))
def test_the_highest_layer_that_speaks_wins_and_is_named(
    present: list[bool], values: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    in_file, in_environment, in_command = present
    loaded = load(
        tmp_path_factory.mktemp("layers"),
        f"ttft_test: {{iterations: {values[0]}}}" if in_file else "",
        environ={"VLLM_BENCHMARK__TTFT_TEST__ITERATIONS": str(values[1])} if in_environment else {},
        overrides={"ttft_test.iterations": values[2]} if in_command else {},
    )
    wanted = (100, Source.BUILT_IN)
    for given_here, value, source in zip(present, values, list(Source)[1:], strict=True):
        wanted = (value, source) if given_here else wanted
    assert (loaded.settings.ttft_test.iterations, loaded.provenance["ttft_test.iterations"].source) == wanted


def test_every_effective_value_has_an_origin(tmp_path: Path) -> None:
    text = "load_tests: [{name: a, rate: 2, requests: 5}]\nservices: {endpoints: [{url: http://a, headers: {x: y}}]}"
    loaded = load(tmp_path, text, environ={"VLLM_BENCHMARK__BENCHMARK__SEED": "3"}, overrides={"output.directory": "o"})
    keys = {dotted(path) for path in flat_values(loaded.settings.model_dump())}
    assert set(loaded.provenance) == keys
    written = {key: str(origin) for key, origin in loaded.provenance.items() if origin.source is not Source.BUILT_IN}
    file = str(tmp_path / "x.yaml")
    assert written == {
        "load_tests[0].name": f"{file}:1",
        "load_tests[0].rate": f"{file}:1",
        "load_tests[0].requests": f"{file}:1",
        "services.endpoints[0].url": f"{file}:2",
        "services.endpoints[0].headers.x": f"{file}:2",
        "benchmark.seed": "VLLM_BENCHMARK__BENCHMARK__SEED",
        "output.directory": "command line",
    }


def test_a_list_in_a_file_replaces_the_built_in_one(tmp_path: Path) -> None:
    assert load(tmp_path, "load_tests: []").settings.load_tests == ()
    only = load(tmp_path, "load_tests: [{name: a, rate: 2, requests: 5}]").settings.load_tests
    assert [test.name for test in only] == ["a"]


def test_the_environment_reaches_into_lists_and_takes_whole_values(tmp_path: Path) -> None:
    environ = {
        "VLLM_BENCHMARK__LOAD_TESTS__1__CONCURRENT_USERS": "7",
        "VLLM_BENCHMARK__LOAD_TESTS__2": "{name: more, rate: 1.5, requests: 10}",
        "VLLM_BENCHMARK__SERVICES__ENDPOINTS__0__URL": "http://a:1",
        "VLLM_BENCHMARK__SERVICES__ENDPOINTS__0__ENGINE": "tgi",
        "VLLM_BENCHMARK__OUTPUT__SAVE_RESPONSES": "true",
        "VLLM_BENCHMARK__BENCHMARK__NAME": "a: b # c",
        "VLLM_BENCHMARK__BENCHMARK__DESCRIPTION": '"123"',
    }
    settings = load(tmp_path, environ=environ).settings
    assert [test.concurrent_users for test in settings.load_tests] == [5, 7, None]
    assert settings.load_tests[2].arrivals == "poisson"
    assert [(endpoint.url, endpoint.engine) for endpoint in settings.services.endpoints] == [("http://a:1", "tgi")]
    assert settings.output.save_responses
    assert (settings.benchmark.name, settings.benchmark.description) == ("a: b # c", "123")


def test_a_variable_that_lacks_an_underscore_is_never_ignored(tmp_path: Path) -> None:
    right = {
        "VLLM_BENCHMARK_SERVICES_NAMESPACE": "VLLM_BENCHMARK__SERVICES__NAMESPACE",
        "VLLM_BENCHMARK__SERVICES_NAMESPACE": "VLLM_BENCHMARK__SERVICES__NAMESPACE",
        "VLLM_BENCHMARK_TTFT_TEST_MAX_TOKENS": "VLLM_BENCHMARK__TTFT_TEST__MAX_TOKENS",
        "VLLM_BENCHMARK_LOAD_TESTS_1_RATE": "VLLM_BENCHMARK__LOAD_TESTS__1__RATE",
    }
    for variable, meant in right.items():
        with pytest.raises(ConfigError) as caught:
            load(tmp_path, environ={variable: "x"})
        assert caught.value.message == (
            f"{variable}: a section and its key are joined by two underscores; did you mean {meant}?"
        )
    loaded = load(tmp_path, environ={"VLLM_BENCHMARK_IMAGE": "registry/a:1", "VLLM_BENCHMARKS": "1"})
    assert loaded.settings == Settings()
    assert loaded.remarks == ("VLLM_BENCHMARK_IMAGE sets nothing: a setting is written VLLM_BENCHMARK__SECTION__KEY",)


@given(value=st.one_of(st.integers(0, 10**12), st.text(string.ascii_letters, min_size=1)))
def test_a_scalar_means_the_same_in_the_environment_and_in_a_file(
    value: int | str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, key = tmp_path_factory.mktemp("same"), "seed" if isinstance(value, int) else "name"

    def outcome(text: str, environ: dict[str, str]) -> object:
        try:
            return getattr(load(folder, text, environ=environ).settings.benchmark, key)
        except ConfigError as error:
            return error.message.rpartition(f"benchmark.{key}: ")[2]

    in_file = outcome(f"benchmark: {{{key}: {value}}}", {})
    assert in_file == outcome("", {f"VLLM_BENCHMARK__BENCHMARK__{key.upper()}": str(value)})


def test_a_rate_puts_out_the_users_of_lower_layers(tmp_path: Path) -> None:
    first, second = load(tmp_path, overrides={"load_tests.*.rate": 4.0}).settings.load_tests
    assert (first.rate, first.concurrent_users, first.arrivals) == (4.0, None, "poisson")
    assert (second.rate, second.concurrent_users, second.arrivals) == (4.0, None, "poisson")
    text = "load_tests: [{name: a, arrivals: constant, rate: 2, duration_seconds: 5}]"
    kept = load(tmp_path, text, overrides={"load_tests.*.rate": 4.0}).settings.load_tests[0]
    assert kept.arrivals == "constant"
    users = load(tmp_path, text, overrides={"load_tests.*.concurrent_users": 4, "load_tests.*.requests": 9})
    changed = users.settings.load_tests[0]
    assert (changed.arrivals, changed.rate, changed.concurrent_users) == ("closed", None, 4)
    assert (changed.requests, changed.duration_seconds) == (9, None)


@pytest.mark.parametrize("arrivals", ["steps", "ramp"])
def test_arrivals_with_their_own_course_put_out_the_ramp_of_lower_layers(arrivals: str, tmp_path: Path) -> None:
    asked: dict[str, object] = {"load_tests.*.arrivals": arrivals, "load_tests.*.rate": (1.0, 3.0)}
    for test in load(tmp_path, overrides=asked).settings.load_tests:
        assert (test.arrivals, test.rate, test.ramp_up_seconds) == (arrivals, (1.0, 3.0), 0.0)
    with pytest.raises(ConfigError, match=f"ramp_up_seconds: says nothing beside {arrivals}"):
        load(tmp_path, overrides={**asked, "load_tests.*.ramp_up_seconds": 2})


def test_a_number_of_requests_puts_out_the_ramp_that_would_use_them_up(tmp_path: Path) -> None:
    for test in load(tmp_path, overrides={"load_tests.*.requests": 9}).settings.load_tests:
        assert (test.requests, test.duration_seconds, test.ramp_up_seconds) == (9, None, 0.0)
    asked: dict[str, object] = {"load_tests.*.requests": 9, "load_tests.*.rate": 4.0}
    assert load(tmp_path, overrides=asked).settings.load_tests[0].ramp_up_seconds == 2  # comes on top in an open loop


def test_other_arrivals_put_out_what_only_the_former_used(tmp_path: Path) -> None:
    gamma = "load_tests: [{name: a, arrivals: gamma, rate: 2, burstiness: 0.5, duration_seconds: 5}]"
    changed = load(tmp_path, gamma, overrides={"load_tests.*.arrivals": "constant"}).settings.load_tests[0]
    assert (changed.arrivals, changed.burstiness) == ("constant", None)
    trace = "load_tests: [{name: a, arrivals: trace, speed: 5, workload: {kind: trace, path: t.csv}}]"
    asked: dict[str, object] = {"load_tests.*.concurrent_users": 3, "load_tests.*.duration_seconds": 4}
    closed = load(tmp_path, trace, overrides=asked).settings.load_tests[0]
    assert (closed.arrivals, closed.speed) == ("closed", None)


def test_contradictions_inside_one_layer_stay_errors(tmp_path: Path) -> None:
    both: dict[str, object] = {"load_tests.*.rate": 4.0, "load_tests.*.concurrent_users": 4}
    with pytest.raises(ConfigError, match="exclude each other"):
        load(tmp_path, overrides=both)
    with pytest.raises(ConfigError, match=r"command line: .*poisson needs rate"):
        load(tmp_path, overrides={"load_tests.*.arrivals": "poisson"})


def test_changing_load_tests_that_are_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no load test that this could change"):
        load(tmp_path, "load_tests: []", overrides={"load_tests.*.rate": 4.0})


def test_the_caller_s_values_are_not_changed(tmp_path: Path) -> None:
    endpoints = [{"engine": "vllm", "url": "http://a"}]
    load(tmp_path, overrides={"services.endpoints": endpoints, "services.endpoints.*.model": "m"})
    assert endpoints == [{"engine": "vllm", "url": "http://a"}]


def test_models_and_keys_by_service(tmp_path: Path) -> None:
    text = "services: {endpoints: [{engine: vllm, url: http://a, model: old}, {name: blue, url: http://b}]}"
    overrides: dict[str, object] = {
        "services.endpoints.*.api_key_env": "ALL_KEY",
        "services.endpoints.@blue.api_key_env": "BLUE_KEY",
        "services.endpoints.@vllm.model": "new",
        "services.endpoints.@ollama.model": "llama3",
    }
    loaded = load(tmp_path, text, overrides=overrides)
    vllm, blue = loaded.settings.services.endpoints
    assert (vllm.model, vllm.api_key_env, blue.model, blue.api_key_env) == ("new", "ALL_KEY", None, "BLUE_KEY")
    assert loaded.service_values("ollama") == {"model": "llama3", "api_key_env": "ALL_KEY"}
    assert loaded.service_values("blue") == {"api_key_env": "BLUE_KEY"}


def test_simulation_and_endpoints_put_each_other_out(tmp_path: Path) -> None:
    text = "services: {endpoints: [{url: http://a}]}"
    assert load(tmp_path, text, overrides={"services.simulate": True}).settings.services.endpoints == ()
    modelled = load(tmp_path, text, overrides={"services.simulate": True, "services.endpoints.*.model": "m"})
    assert (modelled.settings.services.endpoints, modelled.by_service) == ((), {"*": {"model": "m"}})
    named = load(tmp_path, "services: {simulate: true}", overrides={"services.endpoints": [{"url": "http://a"}]})
    assert not named.settings.services.simulate


@pytest.mark.parametrize(
    "how",
    [
        {"overrides": {"services.simulate": True}},
        {"overrides": {"services.endpoints": [{"url": "http://other"}]}},
        {"environ": {"VLLM_BENCHMARK__SERVICES__SIMULATE": "true"}},
    ],
)
def test_endpoints_that_are_put_out_are_still_held_to_their_rules(how: dict[str, Any], tmp_path: Path) -> None:
    text = "services:\n  endpoints:\n    - url: http://a\n      engin: vllm\n    - url: ftp://b\n"
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, **how)
    lines = caught.value.message.splitlines()
    assert lines[0] == "2 problems in the configuration"
    assert "x.yaml:4: services.endpoints[0].engin: unknown key; did you mean engine?" in lines[1]
    assert "x.yaml:5: services.endpoints[1].url: must start with http:// or https://" in lines[2]


def test_the_redacted_configuration_is_json_and_hides_header_values(tmp_path: Path) -> None:
    text = "services: {endpoints: [{url: http://a, headers: {x-tenant: blue, x-token: env:TOKEN}}]}"
    plain = redacted_config(load(tmp_path, text).settings)
    assert "blue" not in str(plain)
    services = plain["services"]
    assert isinstance(services, dict)
    assert services["endpoints"][0]["headers"] == {"x-tenant": "***", "x-token": "env:TOKEN"}
    assert load(tmp_path, yaml.safe_dump(plain)).settings.ttft_test == Settings().ttft_test


def test_an_anchor_and_a_merge_key_work_and_the_own_key_wins(tmp_path: Path) -> None:
    text = """
load_tests:
  - &base {name: a, rate: 2, requests: 5}
  - <<: *base
    name: b
    rate: 1e1
"""
    first, second = load(tmp_path, text).settings.load_tests
    assert (first.rate, second.rate, second.requests, second.name) == (2, 10, 5, "b")
    assert load(tmp_path, text).provenance["load_tests[1].name"].line == 5


def test_an_output_length_that_a_workload_overrides_is_remarked(tmp_path: Path) -> None:
    text = """
load_tests:
  - {name: own, max_tokens: 9, concurrent_users: 1, duration_seconds: 1}
  - {name: replay, arrivals: trace, workload: {kind: trace, path: t.csv}}
  - name: made
    concurrent_users: 1
    duration_seconds: 1
    workload: {kind: synthetic, prompt_tokens: 50, output_tokens: 20}
"""
    assert load(tmp_path, text).remarks == ()
    assert load(tmp_path, text, overrides={"load_tests.*.max_tokens": 16}).remarks == (
        "max_tokens changes nothing in replay, made: the workload brings output lengths of its own",
    )


def test_prompts_on_the_command_line_put_out_what_is_of_other_kinds_of_work(tmp_path: Path) -> None:
    text = (
        "workload: {kind: synthetic, prompt_tokens: 100, output_tokens: 9, shared_prefix: {share: 0.5, tokens: 20}, "
        "cache: shared}\n"
        "load_tests:\n"
        "  - {name: plain, concurrent_users: 2, requests: 9}\n"
        "  - {name: own, concurrent_users: 2, requests: 9, workload: {kind: sessions, turns: 3}}\n"
        "  - {name: replay, arrivals: trace, workload: {kind: trace, path: t.csv}}\n"
    )
    loaded = load(tmp_path, text, overrides={"workload.kind": "file", "workload.path": "mine.txt"})
    work = loaded.settings.workload
    assert (work.kind, work.path, work.prompt_tokens, work.output_tokens, work.shared_prefix, work.cache) == (
        "file", "mine.txt", None, None, None, "shared",
    )  # fmt: skip
    assert [test.workload and test.workload.kind for test in loaded.settings.load_tests] == [None, None, "trace"]
    assert loaded.remarks == ("the prompts given change nothing in replay: a trace brings its own",)
    by_variable = load(tmp_path, text, environ={"VLLM_BENCHMARK__WORKLOAD__KIND": "built-in"}).settings
    assert (by_variable.workload.prompt_tokens, by_variable.load_tests[1].workload is None) == (None, False)
