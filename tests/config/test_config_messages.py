"""Broken configuration files: each problem is told with file, line, key, what is allowed and what was meant."""

from dataclasses import replace
from pathlib import Path

import pytest

from inference_bench.cli.utils.known_words import known_words
from inference_bench.config.loader import load_settings
from inference_bench.errors import ConfigError

KNOWN = replace(known_words(), engines=("vllm", "tgi", "ollama", "openai"))
LOAD = "load_tests:\n  - name: a\n"


def error_of(text: str | bytes, tmp_path: Path, environ: dict[str, str] | None = None) -> ConfigError:
    """Load a broken file and return the error."""
    (tmp_path / "x.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        load_settings(Path("x.yaml"), overrides={}, environ=environ or {}, cwd=tmp_path, known=KNOWN)
    return caught.value


ONE_PROBLEM = {
    "unknown section": ("benchmrk: {}\n", "x.yaml:1: benchmrk: unknown key; did you mean benchmark? Keys here: "),
    "unknown key": (
        "ttft_test:\n  iteratons: 3\n",
        "x.yaml:2: ttft_test.iteratons: unknown key; did you mean iterations? Keys here: enabled, ",
    ),
    "short name of a key": (
        f"{LOAD}    users: 3\n",
        "x.yaml:3: load_tests[0].users: unknown key; did you mean concurrent_users? Keys here: name, ",
    ),
    "key like no other": ("services:\n  zzz: 1\n", "x.yaml:2: services.zzz: unknown key; keys here: "),
    "key of another section": (
        "ttft_test:\n  concurrent_users: 3\n",
        "x.yaml:2: ttft_test.concurrent_users: unknown key here; it belongs in load_tests[]",
    ),
    "key of several sections, with a word of secrets in it": (
        "workload:\n  max_tokens: 24\n",
        "x.yaml:2: workload.max_tokens: unknown key here; it belongs in ttft_test or load_tests[]",
    ),
    "text for a number": (
        "ttft_test:\n\n  iterations: many\n",
        "x.yaml:3: ttft_test.iterations: must be a whole number, not the text 'many'",
    ),
    "fraction for a whole number": (
        "ttft_test: {iterations: 2.5}",
        "x.yaml:1: ttft_test.iterations: must be a whole number, not 2.5",
    ),
    "true for a number": ("ttft_test: {iterations: true}", "must be a whole number, not true"),
    "yes for a boolean": ("output:\n  save_raw_data: yes", "x.yaml:2: output.save_raw_data: must be true or false"),
    "number for text": ("benchmark: {name: 7}", "benchmark.name: must be text (put it in quotes), not 7"),
    "empty number": (
        "ttft_test:\n  iterations:\n",
        "x.yaml:2: ttft_test.iterations: must be a whole number, not empty",
    ),
    "zero": ("ttft_test: {iterations: 0}", "ttft_test.iterations: must be greater than 0, not 0"),
    "too hot": ("ttft_test: {temperature: 3}", "ttft_test.temperature: must be at most 2, not 3"),
    "not a number": ("services: {timeout_seconds: .nan}", "services.timeout_seconds: must be a finite number"),
    "section as a number": ("services: 3", "x.yaml:1: services: must be a section of keys and values, not 3"),
    "list as a section": ("load_tests: {a: 1}", "load_tests: must be a list (write [] for none), not a section"),
    "empty list key": ("load_tests:\n", "x.yaml:1: load_tests: must be a list (write [] for none), not empty"),
    "wrong word": (
        LOAD + "    arrivals: poison\n    rate: 1\n    requests: 5\n",
        "x.yaml:3: load_tests[0].arrivals: must be one of closed, constant, poisson, gamma, steps, ramp, trace, "
        "not the text 'poison'; did you mean poisson?",
    ),
    "gamma without its shape": (
        LOAD + "    arrivals: gamma\n    rate: 1\n    requests: 5\n",
        "x.yaml:2: load_tests[0].burstiness: is needed by gamma arrivals",
    ),
    "a shape without gamma": (
        LOAD + "    rate: 1\n    burstiness: 0.5\n    requests: 5\n",
        "x.yaml:4: load_tests[0].burstiness: is used by gamma, steps and ramp arrivals, not by poisson",
    ),
    "a sweep in disorder": (
        LOAD + "    requests: 5\n    concurrent_users: [2, 1]\n",
        "x.yaml:4: load_tests[0].concurrent_users: must be a list of different numbers in ascending order",
    ),
    "a sweep with no user": (
        LOAD + "    requests: 5\n    concurrent_users: [0, 1]\n",
        "x.yaml:4: load_tests[0].concurrent_users[0]: must be greater than 0, not 0",
    ),
    "rates in disorder": (
        LOAD + "    requests: 5\n    rate: [2, 1.5]\n",
        "x.yaml:4: load_tests[0].rate: must be a list of different rates in ascending order",
    ),
    "two rates that would have one name": (
        LOAD + "    requests: 5\n    rate: [2, 2.0000000000001]\n",
        "x.yaml:4: load_tests[0].rate: must be a list of different rates in ascending order",
    ),
    "steps of one rate": (
        LOAD + "    arrivals: steps\n    rate: 2\n    duration_seconds: 5\n",
        "x.yaml:4: load_tests[0].rate: must be a list of two or more rates with steps arrivals",
    ),
    "a ramp of three rates": (
        LOAD + "    arrivals: ramp\n    rate: [1, 2, 3]\n    duration_seconds: 5\n",
        "x.yaml:4: load_tests[0].rate: must be a list of two rates, from and to, with ramp arrivals",
    ),
    "steps without a time": (
        LOAD + "    arrivals: steps\n    rate: [2, 4]\n    requests: 5\n",
        "load_tests[0].duration_seconds: is needed by steps arrivals: the rate changes with time",
    ),
    "a rate of a trace": (
        LOAD + "    arrivals: trace\n    rate: 2\n",
        "x.yaml:4: load_tests[0].rate: says nothing of trace arrivals: a trace has its own times",
    ),
    "a pause in a trace": (
        LOAD + "    arrivals: trace\n    think_time_seconds: 2\n",
        "x.yaml:4: load_tests[0].think_time_seconds: says nothing of trace arrivals: a trace has its own times",
    ),
    "a trace of no file": (
        LOAD + "    arrivals: trace\n",
        "x.yaml:3: load_tests[0].arrivals: trace arrivals need a workload of kind trace, not built-in",
    ),
    "the speed of no trace": (
        LOAD + "    rate: 2\n    requests: 5\n    speed: 2\n",
        "x.yaml:5: load_tests[0].speed: is used by trace arrivals, not by poisson",
    ),
    "users held back": (
        LOAD + "    concurrent_users: 2\n    requests: 5\n    max_in_flight: 2\n",
        "x.yaml:5: load_tests[0].max_in_flight: is used by open loops",
    ),
    "a rate beyond reason": (
        LOAD + "    rate: 2000000\n    requests: 5\n",
        "x.yaml:3: load_tests[0].rate: must be at most 1e+06, not 2000000",
    ),
    "users as a word": (
        LOAD + "    concurrent_users: many\n    requests: 5\n",
        "x.yaml:3: load_tests[0].concurrent_users: must be a whole number, not the text 'many'",
    ),
    "users and rate": (
        LOAD + "    concurrent_users: 2\n    requests: 5\n    rate: 2\n",
        "x.yaml:5: load_tests[0].rate: concurrent_users and rate exclude each other",
    ),
    "neither users nor rate": (LOAD + "    requests: 5\n", "x.yaml:2: load_tests[0]: needs concurrent_users or rate"),
    "time and number": (
        LOAD + "    rate: 2\n    requests: 5\n    duration_seconds: 3\n",
        "x.yaml:4: load_tests[0].requests: duration_seconds and requests exclude each other",
    ),
    "closed with a rate": (
        LOAD + "    arrivals: closed\n    rate: 2\n    requests: 5\n",
        "x.yaml:3: load_tests[0].arrivals: closed needs concurrent_users",
    ),
    "constant with users": (
        LOAD + "    arrivals: constant\n    concurrent_users: 2\n    requests: 5\n",
        "x.yaml:3: load_tests[0].arrivals: constant needs rate",
    ),
    "unnamed test": ("load_tests: [{rate: 2, requests: 5}]", "x.yaml:1: load_tests[0].name: is missing"),
    "name twice": (
        "load_tests:\n  - {name: a, rate: 2, requests: 5}\n  - {name: a, rate: 3, requests: 5}\n",
        "x.yaml:3: load_tests[1].name: the name 'a' is taken",
    ),
    "bad name": ("load_tests: [{name: A b, rate: 2, requests: 5}]", "load_tests[0].name: must be lower-case letters"),
    "reserved name": ("load_tests: [{name: ttft, rate: 2, requests: 5}]", "'ttft' is the name of the TTFT test"),
    "file without a path": (
        "workload:\n  kind: file\n",
        "x.yaml:1: workload.path: is needed by the workload kind file",
    ),
    "path without file": (
        "workload:\n  path: p.txt\n",
        "x.yaml:2: workload.path: is used by the workload kinds file, sharegpt, sessions and trace",
    ),
    "synthetic lengths": (
        "workload: {prompt_tokens: 5}",
        "workload.prompt_tokens: is used by the workload kinds synthetic and sessions, not by built-in",
    ),
    "empty slo": ("slo: {}", "x.yaml:1: slo: promises nothing"),
    "slo without limits": ("slo: {limits: {}}", "x.yaml:1: slo: promises nothing"),
    "attainment of nothing": (
        "slo:\n  attainment: 0.9\n",
        "x.yaml:2: slo.attainment: is the share that meets per_request: give that a limit",
    ),
    "share above one": ("slo: {success_rate: 99}", "slo.success_rate: must be at most 1, not 99"),
    "unknown metric in an slo": (
        "slo:\n  limits:\n    ttft.p95: 300\n",
        "x.yaml:3: slo.limits.ttft.p95: there is no such value here; did you mean ttft_ms? There are: ttft_ms, ",
    ),
    "metric without a statistic": (
        "ttft_test: {slo: {limits: {ttft_ms: 300}}}",
        "ttft_test.slo.limits.ttft_ms: needs a statistic, such as ttft_ms.p50. It has: p50, p90, p95, p99, mean",
    ),
    "unknown percentile": (
        LOAD + "    rate: 1\n    requests: 5\n    slo: {limits: {ttft_ms.p97: 1}}\n",
        "x.yaml:5: load_tests[0].slo.limits.ttft_ms.p97: ttft_ms has no 'p97'. It has: p50, p90, p95, p99",
    ),
    "the wrong tail": (
        "slo: {limits: {output_tok_per_s_user.p95: 20}}",
        "output_tok_per_s_user has no 'p95'. It has: p1, p5, p10, p50",
    ),
    "limit without a direction": (
        "slo: {limits: {output_tokens.p50: 20}}",
        "slo.limits.output_tokens.p50: there is no such value here",
    ),
    "metric with a space": (
        "slo: {limits: {ttft p95: 20}}",
        "slo.limits.ttft p95: must look like ttft_ms.p95 or success_rate, not the text 'ttft p95'",
    ),
    "unknown primary": (
        "comparison:\n  primary: ttft_ms.p96\n",
        "x.yaml:2: comparison.primary: ttft_ms has no 'p96'. It has: p50, p90, p95, p99, mean",
    ),
    "primary that has no blocks": (
        "comparison: {primary: success_rate}",
        "comparison.primary: there is no such value here",
    ),
    "no budget": ("comparison: {budget: 0}", "comparison.budget: must be greater than 0, not 0"),
    "unknown reference": (
        "scoring:\n  references: {ttft_ms.p50: 100, throughput: 3}\n",
        "x.yaml:2: scoring.references.throughput: there is no such value here",
    ),
    "unknown engine": (
        "services:\n  endpoints:\n    - url: http://a\n      engine: vlm\n",
        "x.yaml:4: services.endpoints[0].engine: must be one of vllm, tgi, ollama, openai, not 'vlm'; "
        "did you mean vllm?",
    ),
    "endpoint without url": ("services: {endpoints: [{name: a}]}", "services.endpoints[0].url: is missing"),
    "service name twice": (
        "services:\n  endpoints:\n    - {engine: vllm, url: http://a}\n    - {engine: vllm, url: http://b}\n",
        "x.yaml:4: services.endpoints[1].name: the name 'vllm' is taken; give each endpoint a name",
    ),
    "url scheme": ("services: {endpoints: [{url: ftp://a}]}", "endpoints[0].url: must start with http:// or https://"),
    "silence longer than all": (
        "services:\n  timeout_seconds: 5\n  idle_timeout_seconds: 6\n",
        "x.yaml:3: services.idle_timeout_seconds: must not be longer than timeout_seconds",
    ),
    "simulated and real": (
        "services:\n  endpoints: [{url: http://a}]\n  simulate: true\n",
        "x.yaml:3: services.simulate: excludes endpoints",
    ),
    "weights": (
        "scoring: {weights: {latency: 0.9}}",
        "scoring.weights: latency, throughput and reliability must add up",
    ),
    "price without currency": ("pricing: {per_hour: {vllm: 2}}", "pricing.currency: is needed beside per_hour"),
    "currency": ("pricing: {currency: euro}", "pricing.currency: must look like EUR or USD, not the text 'euro'"),
    "root is a list": ("- a\n", "x.yaml:1: must hold sections of keys and values"),
    "tab": ("benchmark:\n\tname: x\n", "x.yaml:2: not valid YAML, column 1: a tab stands where YAML wants spaces"),
    "open bracket": ("a: [1,\nb: 2\n", "x.yaml:3: not valid YAML, column 1: expected ',' or ']'"),
    "open quote": ('benchmark:\n  name: "x\n', "x.yaml:3: not valid YAML, column 1: found unexpected end of stream"),
    "bad indent": ("benchmark:\n  name: x\n seed: 3\n", "x.yaml:3: not valid YAML, column 2: "),
    "two documents": ("a: 1\n---\nb: 2\n", "x.yaml:2: not valid YAML, column 1: "),
    "key twice": (
        "benchmark:\n  seed: 1\n  name: a\n  seed: 2\n",
        "x.yaml:4: benchmark.seed: stands twice; the first is on line 2",
    ),
    "tag": (
        "benchmark:\n  seed: !!python/object/apply:os.system [x]\n",
        "x.yaml:2: benchmark.seed: the tag !!python/object/apply:os.system is not used in a configuration",
    ),
    "key that is no text": ("pricing:\n  per_hour:\n    1: 2\n", "x.yaml:3: pricing.per_hour: a key must be text"),
    "not UTF-8": (b"benchmark:\n  name: \xff\n", "x.yaml:2: is not UTF-8 text"),
    "control character": (b"benchmark:\n  name: \x07\n", "x.yaml:2: holds a character that YAML does not allow"),
}


@pytest.mark.parametrize(("text", "wanted"), ONE_PROBLEM.values(), ids=ONE_PROBLEM.keys())
def test_one_problem_is_one_clear_line(text: str | bytes, wanted: str, tmp_path: Path) -> None:
    error = error_of(text, tmp_path)
    assert wanted in error.message
    assert "\n" not in error.message
    assert error.exit_code == 2


def test_the_error_carries_file_line_and_key(tmp_path: Path) -> None:
    error = error_of("ttft_test:\n  iterations: 0\n", tmp_path)
    assert (error.file, error.line, error.key) == (Path("x.yaml"), 2, "ttft_test.iterations")


def test_several_problems_are_told_together_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = "ttft_test:\n  iterations: 0\n  max_tokns: 3\nbenchmark:\n  seed: -1\n  seed: 2\nworkload: {kind: trace}\n"
    lines = error_of(text, tmp_path).message.splitlines()
    assert lines[0] == "5 problems in the configuration"
    assert [line.split(":")[1] for line in lines[1:]] == ["2", "3", "5", "6", "7"]


def test_a_problem_from_the_environment_names_the_variable(tmp_path: Path) -> None:
    error = error_of("", tmp_path, {"VLLM_BENCHMARK__TTFT_TEST__ITERATIONS": "none"})
    assert error.message.startswith("VLLM_BENCHMARK__TTFT_TEST__ITERATIONS: ttft_test.iterations: must be a whole")
    error = error_of("", tmp_path, {"VLLM_BENCHMARK__SERVICES__NAMESPASE": "x"})
    assert (
        "VLLM_BENCHMARK__SERVICES__NAMESPASE: services.namespase: unknown key; did you mean namespace?" in error.message
    )
    error = error_of("", tmp_path, {"VLLM_BENCHMARK__LOAD_TESTS__7__RATE": "1"})
    assert error.message.endswith("load_tests has 2 items; the next index is 2")
    error = error_of("services: [{name: a}]", tmp_path, {"VLLM_BENCHMARK__SERVICES__SIMULATE": "vllm"})
    assert error.message.endswith(
        "VLLM_BENCHMARK__SERVICES__SIMULATE: services.simulate: services is a list and has no keys"
    )
    error = error_of("", tmp_path, {"VLLM_BENCHMARK__TTFT_TEST__ITERATIONS__X": "1"})
    assert error.message.endswith("there is no such key")
    error = error_of("", tmp_path, {"VLLM_BENCHMARK__LOAD_TESTS": "[1"})
    assert error.message.startswith("VLLM_BENCHMARK__LOAD_TESTS: load_tests: not valid YAML")


@pytest.mark.parametrize(
    "text", ["a: &a [*a]", "a: " + "[" * 5000, "a: [" + "1," * 10_000 + "]", "#" * (1 << 20) + "\n"]
)
def test_what_cannot_be_a_configuration_is_refused_at_once(text: str, tmp_path: Path) -> None:
    message = error_of(text, tmp_path).message
    assert any(word in message for word in ("nested too deeply", "is not a configuration"))


SECRETS = {
    "api_key": "services: {endpoints: [{url: http://a, api_key: SECRET}]}",
    "token": "services: {token: SECRET}",
    "authorization header": "services: {endpoints: [{url: http://a, headers: {Authorization: Bearer SECRET}}]}",
    "key-like header": "services: {endpoints: [{url: http://a, headers: {x-api-key: SECRET}}]}",
    "header that is no text": "services: {endpoints: [{url: http://a, headers: {x-tenant: [SECRET]}}]}",
    "key-like value": "services: {endpoints: [{url: http://a, headers: {x-tenant: sk-SECRET}}]}",
    "url password": "services: {endpoints: [{url: 'http://user:SECRET@a'}]}",
    "url query": "services: {endpoints: [{url: 'http://a/?key=SECRET'}]}",
    "pasted key": "services: {endpoints: [{url: http://a, api_key_env: hf_SECRET}]}",
    "pasted key with hyphen": "services: {endpoints: [{url: http://a, api_key_env: SECRET-1}]}",
    "broken quote": "services: {endpoints: [{url: http://a, api_key: 'SECRET}]}",
}


@pytest.mark.parametrize("text", SECRETS.values(), ids=SECRETS.keys())
def test_a_secret_in_a_file_is_refused_and_never_repeated(text: str, tmp_path: Path) -> None:
    error = error_of(text, tmp_path)
    assert "SECRET" not in f"{error.message} {error.hint} {error.key}"


def test_a_secret_key_is_sent_to_api_key_env(tmp_path: Path) -> None:
    assert "name the environment variable" in error_of(SECRETS["api_key"], tmp_path).message
    assert "api_key_env" in error_of(SECRETS["authorization header"], tmp_path).message
