"""Every state a service can be in is told apart, said in words, and tried again only where that can help."""

import asyncio
import random
import socket

import pytest

from engine_servers import (
    HTML,
    LOADING,
    Page,
    closed_port,
    llama_server_pages,
    ollama_pages,
    raw_server,
    serving,
    sglang_pages,
    tgi_pages,
    transformers_pages,
    vllm_pages,
)
from inference_bench.api.probe_http import ProbeLimits, ProbeOutcome, ProbeTarget
from inference_bench.discovery.health_checker import CheckUp, HealthPolicy, HealthStatus, check_health

ONCE = HealthPolicy(retries=0, limits=ProbeLimits(connect_seconds=2.0, total_seconds=1.0))
PATIENT = HealthPolicy(retries=3, first_wait_seconds=0.02)


def check(
    url: str, engine: str | None = None, model: str | None = None, policy: HealthPolicy = ONCE, key: str | None = None
) -> CheckUp:
    target = ProbeTarget(url, api_key=key)
    return asyncio.run(check_health(target, engine=engine, model=model, policy=policy, rng=random.Random(0)))


@pytest.mark.parametrize(
    ("pages", "path"),
    [
        (vllm_pages(), "/health"),
        (tgi_pages(), "/health"),
        (ollama_pages("m"), "/api/version"),
        (llama_server_pages(), "/health"),
        (sglang_pages(), "/health"),
    ],
)
def test_a_working_engine_is_healthy_by_its_own_route(pages: dict[str, Page], path: str) -> None:
    with serving(pages) as server:
        found = check(server.url)
    assert found.health.status is HealthStatus.HEALTHY
    assert found.health.detail.startswith(path)
    assert found.health.elapsed_ms is not None
    assert found.health.attempts == 1


def test_a_server_without_a_health_route_is_well_when_it_lists_models() -> None:
    with serving({"/v1/models": Page({"object": "list", "data": [{"id": "m", "owned_by": "me"}]})}) as server:
        health = check(server.url).health
    assert health.status is HealthStatus.HEALTHY
    assert health.detail == "/v1/models: HTTP 200 OK (no /health)"


def test_an_engine_whose_core_died_is_responding_but_not_ready() -> None:
    pages = vllm_pages() | {"/health": Page(b"", status=503)}
    with serving(pages) as server:
        health = check(server.url).health
    assert (health.status, health.cause) == (HealthStatus.RESPONDING, ProbeOutcome.NOT_READY)


def test_a_health_route_that_fails_is_unhealthy() -> None:
    with serving(tgi_pages() | {"/health": Page(b"", status=500)}) as server:
        assert check(server.url).health.status is HealthStatus.UNHEALTHY


def test_an_ollama_without_models_cannot_be_measured_and_says_what_to_do() -> None:
    with serving(ollama_pages()) as server:
        health = check(server.url).health
        asked = check(server.url, "ollama", "llama3").health
    assert health.status is asked.status is HealthStatus.RESPONDING
    assert "ollama pull NAME" in health.detail
    assert "ollama pull llama3" in asked.detail


def test_a_loading_llama_server_is_waited_for() -> None:
    with serving({}, otherwise=LOADING) as server:
        health = check(server.url, policy=PATIENT).health
    assert (health.status, health.attempts) == (HealthStatus.RESPONDING, 4)


def test_a_service_that_comes_up_while_it_is_retried_is_healthy() -> None:
    async def story() -> CheckUp:
        with serving({}, otherwise=LOADING) as server:
            policy = HealthPolicy(retries=20, first_wait_seconds=0.001, deadline_seconds=60)
            checking = asyncio.ensure_future(check_health(ProbeTarget(server.url), policy=policy))
            await asyncio.to_thread(server.asked.wait)
            server.pages.update(vllm_pages())
            return await checking

    found = asyncio.run(story())
    assert found.health.status is HealthStatus.HEALTHY
    assert found.identity is not None


def test_nothing_listening_is_unreachable_after_every_retry() -> None:
    health = check(f"http://127.0.0.1:{closed_port()}", policy=PATIENT).health
    assert (health.status, health.cause, health.attempts) == (HealthStatus.UNREACHABLE, ProbeOutcome.REFUSED, 4)
    assert health.elapsed_ms is None


def test_an_unknown_name_is_unreachable_by_dns() -> None:
    policy = HealthPolicy(retries=0, limits=ProbeLimits(connect_seconds=3.0))
    health = check("http://no-such-host.invalid", policy=policy).health
    assert (health.status, health.cause) == (HealthStatus.UNREACHABLE, ProbeOutcome.DNS)


def test_the_deadline_ends_a_check_up_whatever_the_retries() -> None:
    def silent(sock: socket.socket) -> None:
        sock.recv(1)

    policy = HealthPolicy(retries=100, deadline_seconds=0.3, limits=ProbeLimits(total_seconds=60))
    with raw_server(silent) as url:
        health = check(url, policy=policy).health
    assert (health.status, health.cause) == (HealthStatus.UNREACHABLE, ProbeOutcome.TIMEOUT)
    assert health.detail == "no answer within 0.3 s"


def test_a_server_that_is_slow_is_unreachable_by_time_out() -> None:
    with serving({}, otherwise=Page(b"{}", delay=3.0)) as server:
        health = check(server.url, policy=HealthPolicy(retries=0, limits=ProbeLimits(total_seconds=0.2))).health
    assert (health.status, health.cause) == (HealthStatus.UNREACHABLE, ProbeOutcome.TIMEOUT)


def test_a_missing_key_is_not_tried_again() -> None:
    with serving(vllm_pages(), key="sekret") as server:
        without = check(server.url, policy=PATIENT).health
        right = check(server.url, policy=PATIENT, key="sekret").health
    assert (without.status, without.attempts) == (HealthStatus.UNAUTHORISED, 1)
    assert right.status is HealthStatus.HEALTHY


@pytest.mark.parametrize(
    "otherwise",
    [HTML, Page(b"", status=302, headers=(("location", "https://sso.example/"),)), Page(b"{}"), Page(b"", status=404)],
)
def test_what_is_no_engine_is_unhealthy_at_once(otherwise: Page) -> None:
    with serving({}, otherwise=otherwise) as server:
        health = check(server.url, policy=PATIENT).health
    assert (health.status, health.attempts) == (HealthStatus.UNHEALTHY, 1)


def test_transformers_serve_is_taken_on_trust_when_the_user_says_what_it_is() -> None:
    with serving(transformers_pages()) as server:
        alone = check(server.url).health
        told = check(server.url, "openai", "models/tiny-llama").health
        nameless = check(server.url, "openai").health
    assert alone.status is nameless.status is HealthStatus.UNHEALTHY
    assert told.status is HealthStatus.HEALTHY
    assert told.detail.startswith("taken on trust as openai: /v1/models gave HTTP 500")


def test_a_bare_gateway_is_taken_on_trust_but_a_web_server_is_not() -> None:
    with serving({}) as gateway, serving({}, otherwise=Page(HTML.raw, 404, "text/html")) as web:
        assert check(gateway.url, "openai", "m").health.status is HealthStatus.HEALTHY
        assert check(web.url, "openai", "m").health.status is HealthStatus.UNHEALTHY


def test_a_server_that_hangs_up_is_unhealthy_and_tried_again() -> None:
    with raw_server(lambda _: None) as url:
        health = check(url, policy=PATIENT).health
    assert (health.status, health.cause, health.attempts) == (HealthStatus.UNHEALTHY, ProbeOutcome.RESET, 4)


def test_garbage_is_unhealthy_and_not_tried_again() -> None:
    with raw_server(lambda sock: sock.sendall(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")) as url:
        health = check(url, policy=PATIENT).health
    assert (health.status, health.cause, health.attempts) == (HealthStatus.UNHEALTHY, ProbeOutcome.MALFORMED, 1)
