"""The common service options: what they accept, what they refuse, and the configuration they become."""

from pathlib import Path

import pytest
import rich_click as click
from click.testing import CliRunner

from inference_bench.cli.utils.console_utils import reset_display
from inference_bench.cli.utils.service_options import (
    NamedUrl,
    ServiceOptions,
    load_configuration,
    parse_url,
    service_options,
)
from inference_bench.config.loader import load_settings
from inference_bench.errors import UsageError

ENGINES = ("vllm", "vllm-completions", "tgi", "ollama", "openai")


def parsed(*args: str) -> ServiceOptions:
    """Return what a command with the common options gets for these words."""
    received: list[ServiceOptions] = []

    @click.command()
    @service_options
    @click.option("--own")
    def command(services: ServiceOptions, own: str | None) -> None:
        received.append(services)

    result = CliRunner().invoke(command, list(args))
    if result.exception is not None:
        raise result.exception
    return received[0]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("http://localhost:8000", NamedUrl("http://localhost:8000")),
        ("https://a.b/v1", NamedUrl("https://a.b/v1")),
        ("http://a/x=y", NamedUrl("http://a/x=y")),
        ("localhost:8000", NamedUrl("localhost:8000")),
        ("vllm=http://a", NamedUrl("http://a", "vllm")),
        ("vllm-completions=http://a", NamedUrl("http://a", "vllm-completions")),
        ("vllm/blue=http://a", NamedUrl("http://a", "vllm", "vllm-blue")),
        ("tgi/2=http://[::1]:80", NamedUrl("http://[::1]:80", "tgi", "tgi-2")),
    ],
)
def test_a_url_with_and_without_engine_and_name(text: str, wanted: NamedUrl) -> None:
    assert parse_url(text, ENGINES) == wanted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("vlm=http://a", "no engine 'vlm'; did you mean vllm"),
        ("vllm/Blue=http://a", "the name after the slash must be lower-case"),
        ("vllm/=http://a", "the name after the slash"),
        ("vllm=", "is not a URL with a host"),
        ("ftp://a", "must start with http:// or https://"),
        ("http://user:SECRET@a", "must not carry a user name or password"),
        ("vllm=http://a?key=SECRET", "must be a base URL"),
        ("http://a:99999", "has a port that is no number from 1 to 65535"),
        ("http://a:0", "has a port that is no number from 1 to 65535"),
        ("http://a:http", "has a port that is no number from 1 to 65535"),
        ("http://[::1:8000", r"an IPv6 address stands in brackets, such as http://\[::1\]:8000"),
        ("http://::1:8000", "an IPv6 address stands in brackets"),
        ("http://a b", "is not a URL"),
        ("", "is not a URL"),
    ],
)
def test_a_wrong_url_is_refused_without_repeating_it(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        parse_url(text, ENGINES)
    assert "SECRET" not in caught.value.message


def test_everything_together() -> None:
    options = parsed(
        *("-c", "x.yaml", "--url", "vllm/blue=http://a", "--url", "http://b", "--service", "vllm-blue,tgi"),
        *("--service", "ollama", "--model", "m", "--model", "tgi=org/n=1", "--api-key-env", "vllm-blue=KEY"),
        *("--skip-unhealthy", "--own", "x"),
    )
    assert options == ServiceOptions(
        config=Path("x.yaml"),
        urls=(NamedUrl("http://a", "vllm", "vllm-blue"), NamedUrl("http://b")),
        service_names=("vllm-blue", "tgi", "ollama"),
        models=((None, "m"), ("tgi", "org/n=1")),
        api_key_envs=(("vllm-blue", "KEY"),),
        skip_unhealthy=True,
    )


def test_nothing_given_overrides_nothing() -> None:
    assert parsed() == ServiceOptions()
    assert parsed().overrides() == {}


@pytest.mark.parametrize("flag", ["--simulate", "--mock"])
def test_simulation_has_two_names(flag: str) -> None:
    assert parsed(flag).overrides() == {"services.simulate": True}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--simulate", "--url", "http://a"], "--simulate and --url exclude each other"),
        (["--url", "vllm=http://a", "--url", "vllm=http://b"], "two services would be called vllm"),
        (["--url", "vllm/x=http://a", "--url", "vllm/x=http://b"], "two services would be called vllm-x"),
        (["--service", "a,,b"], "--service: a service's name must be"),
        (["--model", "a", "--model", "b"], "--model is given twice for every service"),
        (["--model", "x=a", "--model", "x=b"], "--model is given twice for x"),
        (["--model", "x="], "--model needs a value"),
        (["--model", "X Y=a"], "--model: a service's name must be"),
        (["--api-key-env", "sk-1234"], "--api-key-env must be the name of an environment variable"),
        (["--api-key-env", "x=hf_1234"], "--api-key-env must be the name of an environment variable"),
    ],
)
def test_what_cannot_be_is_a_usage_error(args: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        parsed(*args)
    assert "1234" not in caught.value.message


def test_they_become_settings(tmp_path: Path) -> None:
    text = "services: {endpoints: [{engine: vllm, url: http://a, model: old}, {engine: tgi, url: http://b}]}"
    (tmp_path / "x.yaml").write_text(text)
    options = parsed("--model", "all", "--model", "tgi=other", "--api-key-env", "KEY")
    loaded = load_settings(Path("x.yaml"), overrides=options.overrides(), environ={}, cwd=tmp_path)
    assert loaded.settings.benchmark.model == "all"
    endpoints = loaded.settings.services.endpoints
    assert [(one.model, one.api_key_env) for one in endpoints] == [(None, "KEY"), ("other", "KEY")]
    assert loaded.service_values("later") == {"api_key_env": "KEY"}

    named = parsed("--url", "ollama/x=http://c", "--url", "http://d", "--model", "ollama-x=m").overrides()
    settings = load_settings(Path("x.yaml"), overrides=named, environ={}, cwd=tmp_path).settings
    given = [(one.name, one.engine, one.url, one.model) for one in settings.services.endpoints]
    assert given == [("ollama-x", "ollama", "http://c", "m"), (None, None, "http://d", None)]


def test_loading_says_which_configuration_and_which_variable_sets_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reset_display()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VLLM_BENCHMARK_IMAGE", "registry/a:1")
    (tmp_path / "x.yaml").write_text("services: {namespace: inference}")
    loaded = load_configuration(parsed("-c", "x.yaml"), overrides={"benchmark.seed": 4})
    assert loaded.settings.benchmark.seed == 4
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [
        "Configuration: x.yaml",
        "Note: VLLM_BENCHMARK_IMAGE sets nothing: a setting is written VLLM_BENCHMARK__SECTION__KEY",
    ]
