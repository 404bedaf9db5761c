"""Services are found, named, paired with a model, and handed on with their secrets in memory only."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from engine_servers import (
    HTML,
    LOADING,
    Page,
    closed_port,
    llama_server_pages,
    ollama_pages,
    serving,
    tgi_pages,
    vllm_pages,
)
from inference_bench.config.models import Settings
from inference_bench.discovery.health_checker import HealthStatus
from inference_bench.discovery.service_finder import ByService, find_services
from inference_bench.discovery.services import FoundService, to_endpoint
from inference_bench.discovery.sources import ConfiguredSource, LocalSource
from inference_bench.errors import BenchError, ConfigError, NoServiceError, UsageError


def settings_of(*endpoints: Mapping[str, object], model: str | None = None, retries: int = 0) -> Settings:
    services = {"endpoints": list(endpoints), "health_check_retries": retries}
    return Settings.model_validate({"services": services, "benchmark": {"model": model}})


def find(
    settings: Settings,
    environ: Mapping[str, str] | None = None,
    only: Sequence[str] = (),
    by_service: ByService | None = None,
) -> tuple[FoundService, ...]:
    sources = [ConfiguredSource(settings.services.endpoints)]
    story = find_services(settings, environ=environ or {}, sources=sources, only=only, by_service=by_service)
    return asyncio.run(story)


def find_local(*ports: int, by_service: ByService | None = None, **more: object) -> tuple[FoundService, ...]:
    story = find_services(
        Settings(),
        environ={"KEY": "sekret"},
        sources=[LocalSource(ports)],
        by_service=by_service,
        **more,  # type: ignore[arg-type]
    )
    return asyncio.run(story)


def test_urls_without_an_engine_are_probed_and_named_after_it() -> None:
    with ExitStack() as stack:
        pages = (vllm_pages(), ollama_pages("m:latest"), vllm_pages("other"), llama_server_pages(), tgi_pages())
        urls = [stack.enter_context(serving(page)).url for page in pages]
        found = find(settings_of(*({"url": url + "/v1/"} for url in urls)))
    assert [service.name for service in found] == ["vllm", "ollama", "vllm-2", "openai", "tgi"]
    assert [service.url for service in found] == urls
    assert all(service.usable and service.named and service.source == "configured" for service in found)
    assert all("/v1" in service.notes[0] for service in found)
    assert [service.model for service in found][:4] == ["tiny-llama", "m:latest", "other", "tiny-llama"]


def test_names_that_were_given_stay_and_are_not_taken_by_others() -> None:
    with serving(vllm_pages()) as one, serving(vllm_pages()) as two:
        found = find(settings_of({"url": one.url}, {"url": two.url, "name": "vllm", "engine": "vllm-completions"}))
    assert [(service.name, service.dialect, service.engine) for service in found] == [
        ("vllm-2", "vllm", "vllm"),
        ("vllm", "vllm-completions", "vllm"),
    ]


def test_a_named_service_that_is_down_is_still_reported() -> None:
    found = find(
        settings_of({"url": f"http://127.0.0.1:{closed_port()}"}, {"url": "http://x.invalid", "engine": "tgi"})
    )
    assert [service.name for service in found] == ["service", "tgi"]
    assert not any(service.usable for service in found)
    assert {service.health.status for service in found} == {HealthStatus.UNREACHABLE}
    with pytest.raises(NoServiceError):
        to_endpoint(found[0], {})


def test_another_engine_than_configured_is_said_but_openai_fits_all() -> None:
    with serving(ollama_pages("m")) as server:
        wrong, right = find(settings_of({"url": server.url, "engine": "tgi"}, {"url": server.url, "engine": "openai"}))
    assert "configured as tgi, but it says that it is Ollama" in wrong.notes
    assert right.notes == ()


def test_the_local_ports_give_engines_and_nothing_else() -> None:
    with ExitStack() as stack:
        engine = stack.enter_context(serving(llama_server_pages()))
        web = stack.enter_context(serving({}, otherwise=HTML))
        log_in = stack.enter_context(serving({}, otherwise=Page(b"who?", 401, "text/html")))
        loading = stack.enter_context(serving({}, otherwise=LOADING, server_header="llama.cpp"))
        guarded = stack.enter_context(serving(vllm_pages(), key="sekret"))
        ports = [server.port for server in (engine, web, log_in, loading, guarded)]
        found = find_local(*ports, closed_port())
        with_key = find_local(*ports, by_service={"*": {"api_key_env": "KEY"}})
    assert [(service.name, service.health.status) for service in found] == [
        ("openai", HealthStatus.HEALTHY),
        ("service", HealthStatus.RESPONDING),
        ("service-2", HealthStatus.UNAUTHORISED),
    ]
    assert not any(service.named for service in found)
    assert found[0].source == f"local port {engine.port}"
    assert found[1].notes == ("its Server header says llama.cpp",)
    assert with_key[-1].name == "vllm"
    assert with_key[-1].usable


def test_what_the_command_line_says_of_a_service_by_name_reaches_it_once_it_is_found() -> None:
    with serving(vllm_pages(), key="sekret", guarded=("/v1", "/health")) as server:
        found = find_local(server.port, by_service={"service": {"api_key_env": "KEY", "model": "mine"}})
    assert found[0].usable
    assert (found[0].engine, found[0].model) == ("vllm", "mine")
    assert to_endpoint(found[0], {"KEY": "sekret"}).api_key == "sekret"


def test_names_that_nothing_has_are_refused() -> None:
    with serving(vllm_pages()) as server:
        settings = settings_of({"url": server.url})
        with pytest.raises(UsageError, match="--service names vlm"):
            find(settings, only=["vlm"])
        with pytest.raises(UsageError, match="--model or --api-key-env names ollama") as refused:
            find(settings, by_service={"ollama": {"model": "m"}, "*": {}})
    assert refused.value.hint == "the services are: vllm"


def test_only_the_services_asked_for_are_spoken_to() -> None:
    with serving(vllm_pages()) as one, serving(ollama_pages("m")) as two:
        settings = settings_of({"url": one.url, "engine": "vllm"}, {"url": two.url, "engine": "ollama"})
        found = find(settings, only=["ollama"])
        assert one.seen == []
    assert [service.name for service in found] == ["ollama"]


@pytest.mark.parametrize(
    ("wanted", "general", "model", "note"),
    [
        ("llama3", None, "llama3", None),
        ("llama3:latest", "other", "llama3:latest", None),
        ("absent", None, "absent", "does not list the model absent; it lists llama3:latest, qwen2.5:7b"),
        (None, "qwen2.5:7b", "qwen2.5:7b", None),
        (None, "llama3", "llama3:latest", None),
        (
            None,
            "Qwen/Qwen2.5-7B",
            "llama3:latest",
            "does not list the model Qwen/Qwen2.5-7B; llama3:latest is asked for",
        ),
        (None, None, "llama3:latest", "serves 2 models; llama3:latest is asked for"),
    ],
)
def test_the_model_is_the_endpoints_then_the_runs_then_the_servers(
    wanted: str | None, general: str | None, model: str, note: str | None
) -> None:
    with serving(ollama_pages("llama3:latest", "qwen2.5:7b")) as server:
        (found,) = find(settings_of({"url": server.url, "model": wanted}, model=general))
    assert found.model == model
    assert (note is None and found.notes == ()) or (note is not None and found.notes[0].startswith(note))


def test_an_adapter_is_not_taken_for_the_model() -> None:
    with serving(vllm_pages(adapters=("lora",))) as server:
        (found,) = find(settings_of({"url": server.url}))
        (asked,) = find(settings_of({"url": server.url, "model": "lora"}))
    assert (found.model, found.notes) == ("tiny-llama", ())
    assert (asked.model, asked.notes) == ("lora", ())


def test_tgi_is_asked_without_a_model_name_unless_it_is_an_adapters() -> None:
    with serving(tgi_pages("org/model")) as server:
        plain, adapter = find(
            settings_of({"url": server.url, "name": "a"}, {"url": server.url, "name": "b", "model": "x"})
        )
    assert (plain.model, to_endpoint(plain, {}).model) == ("org/model", None)
    assert to_endpoint(adapter, {}).model == "x"


def test_an_endpoint_carries_everything_and_shows_no_secret(tmp_path: Path) -> None:
    with serving(vllm_pages(), key="sekret") as server:
        settings = settings_of(
            {"url": server.url, "api_key_env": "KEY", "headers": {"X-Team": "blue", "X-Pass": "env:PASS"}}
        )
        environ = {"KEY": "sekret\n", "PASS": "hunter2"}
        (found,) = find(settings, environ)
        endpoint = to_endpoint(found, environ)
    assert (endpoint.name, endpoint.dialect, endpoint.model) == ("vllm", "vllm", "tiny-llama")
    assert endpoint.api_key == "sekret"
    assert endpoint.headers == (("X-Team", "blue"), ("X-Pass", "hunter2"))
    assert "sekret" not in repr(found) + repr(endpoint)
    assert "hunter2" not in repr(found) + repr(endpoint)


@pytest.mark.parametrize("environ", [{}, {"KEY": ""}, {"KEY": "  "}, {"KEY": "a\x00b"}, {"KEY": "clé"}])
def test_a_missing_or_unusable_secret_names_its_variable_and_asks_nobody(environ: dict[str, str]) -> None:
    with serving(vllm_pages()) as server:
        with pytest.raises(ConfigError, match="KEY") as refused:
            find(settings_of({"url": server.url, "api_key_env": "KEY"}), environ)
        assert server.seen == []
    assert environ.get("KEY", "").strip() == "" or environ["KEY"] not in refused.value.message


def test_a_key_pasted_where_a_variable_is_named_is_refused_and_not_repeated() -> None:
    with serving(vllm_pages()) as server, pytest.raises(BenchError) as refused:
        find_local(server.port, by_service={"*": {"api_key_env": "sk-live-123"}})
    assert refused.value.exit_code == 2
    assert "sk-live-123" not in refused.value.message
