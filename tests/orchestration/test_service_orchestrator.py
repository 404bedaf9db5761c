"""The rules by which a story with services goes on or stops, and one question to all of them."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import pytest

from engine_servers import HTML, LOADING, Page, closed_port, ollama_pages, serving, vllm_pages
from inference_bench.api.probe_http import ProbeTarget
from inference_bench.api.protocols import ChatRequest, ErrorClass, Message
from inference_bench.api.unified_client import Answer
from inference_bench.config.loader import LoadedSettings
from inference_bench.config.models import Settings
from inference_bench.discovery.health_checker import HealthPolicy, HealthStatus, check_health
from inference_bench.errors import NoServiceError
from inference_bench.orchestration.service_orchestrator import (
    OpenServices,
    ask_everyone,
    found_services,
    open_services,
    proxy_notes,
    timeouts_of,
)


def loaded(*urls: str, discovery: bool = True, **endpoint: object) -> LoadedSettings:
    endpoints = [{"url": url, **endpoint} for url in urls]
    services = {"endpoints": endpoints, "health_check_retries": 0, "discovery": discovery}
    return LoadedSettings(Settings.model_validate({"services": services}), "a test", {})


def opened(
    settings: LoadedSettings, *, skip: bool = False, only: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> OpenServices:
    async def story() -> OpenServices:
        async with open_services(settings, environ=environ or {}, only=only, skip_unhealthy=skip) as services:
            return services

    return asyncio.run(story())


def test_healthy_services_are_opened_in_order_with_their_endpoints() -> None:
    with serving(vllm_pages()) as one, serving(ollama_pages("a", "b")) as two:
        services = opened(loaded(one.url, two.url))
    assert [service.name for service in services.services] == ["vllm", "ollama"]
    assert [(point.name, point.url) for point in services.endpoints] == [("vllm", one.url), ("ollama", two.url)]
    assert services.left_out == ()
    assert services.notes == ("ollama: serves 2 models; a is asked for (of a, b), choose with --model",)
    assert not services.simulated


def test_a_simulator_is_marked_however_it_was_reached() -> None:
    with serving(vllm_pages(), headers=(("x-simulated-engine", "vllm"),)) as server:
        assert opened(loaded(server.url)).simulated


def test_simulated_engines_live_as_long_as_the_block_and_say_what_they_are() -> None:
    settings = LoadedSettings(Settings.model_validate({"services": {"simulate": True}}), "a test", {})

    async def story() -> tuple[OpenServices, list[HealthStatus]]:
        async with open_services(settings, environ={}) as services:
            pass
        gone = [await check_health(ProbeTarget(one.url), policy=HealthPolicy(retries=0)) for one in services.services]
        return services, [check.health.status for check in gone]

    services, afterwards = asyncio.run(story())
    assert [(one.name, one.engine, one.source) for one in services.services] == [
        ("vllm", "vllm", "simulated"),
        ("tgi", "tgi", "simulated"),
        ("ollama", "ollama", "simulated"),
    ]
    assert services.simulated
    assert all(one.simulated and "simulat" in str(one.identity and one.identity.version) for one in services.services)
    assert afterwards == [HealthStatus.UNREACHABLE] * 3


def test_a_named_service_that_is_down_stops_the_story_unless_it_is_skipped() -> None:
    gone = f"http://127.0.0.1:{closed_port()}"
    with serving(vllm_pages()) as server:
        settings = loaded(server.url, gone)
        with pytest.raises(NoServiceError) as stopped:
            opened(settings)
        services = opened(settings, skip=True)
    assert stopped.value.exit_code == 3
    assert f"({gone}) is unreachable: nothing listens at" in stopped.value.message
    assert stopped.value.hint is not None and "--skip-unhealthy" in stopped.value.hint
    assert [service.name for service in services.services] == ["vllm"]
    assert [service.url for service in services.left_out] == [gone]


def test_when_none_is_left_skipping_does_not_help() -> None:
    with pytest.raises(NoServiceError, match="no service can be measured") as stopped:
        opened(loaded(f"http://127.0.0.1:{closed_port()}"), skip=True)
    assert stopped.value.hint == "start it, or correct its URL"


@pytest.mark.parametrize(
    ("otherwise", "hint"),
    [
        (LOADING, "wait until it is ready"),
        (HTML, "is it the right URL?"),
        (Page({"error": "Unauthorized"}, status=401), "--api-key-env VARIABLE"),
    ],
)
def test_every_reason_has_its_advice(otherwise: Page, hint: str) -> None:
    with serving({}, otherwise=otherwise) as server, pytest.raises(NoServiceError) as stopped:
        opened(loaded(server.url))
    assert stopped.value.hint is not None and hint in stopped.value.hint


def test_a_missing_or_refused_key_is_said_with_the_name_of_its_variable() -> None:
    with serving(vllm_pages(), key="sekret") as server:
        with pytest.raises(NoServiceError) as without:
            opened(loaded(server.url, engine="vllm"))
        with pytest.raises(NoServiceError) as wrong:
            opened(loaded(server.url, engine="vllm", api_key_env="MY_KEY"), environ={"MY_KEY": "guess"})
    assert without.value.hint == "name the variable that holds its key: --api-key-env vllm=VARIABLE"
    assert wrong.value.hint == "vllm refuses the key in MY_KEY: check it"
    assert "guess" not in f"{wrong.value.message}{wrong.value.hint}"


def test_nothing_configured_and_no_discovery_is_said() -> None:
    with pytest.raises(NoServiceError, match=r"services.discovery is off") as stopped:
        opened(loaded(discovery=False))
    assert stopped.value.hint is not None and "--simulate" in stopped.value.hint


def test_a_proxy_that_is_not_used_is_noted_for_services_elsewhere_only() -> None:
    environ = {"HTTPS_PROXY": "http://proxy:3128"}

    async def notes(url: str) -> int:
        async with found_services(loaded(url), environ=environ) as found:
            return len(proxy_notes(found.services, environ))

    with serving(vllm_pages()) as server:
        assert asyncio.run(notes(server.url)) == 0
    assert asyncio.run(notes("http://no-such-host.invalid")) == 1


def ask(settings: LoadedSettings, *, stopped: bool = False) -> dict[str, Answer]:
    request = ChatRequest(messages=(Message("user", "Hello"),), max_tokens=8, exact_length=False)

    async def story() -> dict[str, Answer]:
        stop = asyncio.Event()
        async with open_services(settings, environ={}) as services:
            if stopped:
                asyncio.get_running_loop().call_later(0.2, stop.set)
            return await ask_everyone(services, request, timeouts=timeouts_of(settings.settings.services), stop=stop)

    return asyncio.run(story())


STREAM = Page(
    b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"content":"Hello"}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"content":" you"},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}\n\n'
    b"data: [DONE]\n\n",
    content_type="text/event-stream",
)


def test_everyone_is_asked_and_one_failure_is_nobody_elses() -> None:
    chat = "/v1/chat/completions"
    with ExitStack() as stack:
        good = stack.enter_context(serving(vllm_pages() | {chat: STREAM}))
        bad = stack.enter_context(serving(vllm_pages() | {chat: Page({"error": "overloaded"}, status=503)}))
        answers = ask(loaded(good.url, bad.url))
    assert list(answers) == ["vllm", "vllm-2"]
    assert (answers["vllm"].ok, answers["vllm"].text, answers["vllm"].usage.output_tokens) == (True, "Hello you", 2)
    assert answers["vllm"].ttft_ms is not None
    error = answers["vllm-2"].error
    assert error is not None and error.error_class is ErrorClass.OVERLOADED


def test_a_stop_gives_up_what_is_in_flight() -> None:
    slow = Page(STREAM.raw, content_type="text/event-stream", delay=15)
    with serving(vllm_pages() | {"/v1/chat/completions": slow}) as server:
        answers = ask(loaded(server.url), stopped=True)
    error = answers["vllm"].error
    assert error is not None and error.error_class is ErrorClass.INTERRUPTED
