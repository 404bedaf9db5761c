"""The parts of `inspect`: secrets that are never seen again, words found by experiment, prompts that are too long."""

import json
from array import array
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.api.clients import client_names, get_client
from inference_bench.api.exchange import Job, RawExchange
from inference_bench.api.identity import Identity, ModelFacts
from inference_bench.api.probe_http import ProbeOutcome
from inference_bench.api.protocols import ChatRequest, Endpoint, Message
from inference_bench.api.targets import resolve
from inference_bench.config.service_models import EndpointSettings
from inference_bench.discovery.health_checker import HealthReport, HealthStatus
from inference_bench.discovery.services import FoundService
from inference_bench.orchestration.inspect_differences import CANNOT, differences
from inference_bench.orchestration.inspect_orchestrator import MOST_WORDS, UNTOLD_WORDS, over_long
from inference_bench.orchestration.repeated_secrets import Secrets
from inference_bench.testing.rendering import ServiceUnderTest

KEY = 'sk-"odd"\\key-é'
URL = "http://127.0.0.1:9"
REQUEST = ChatRequest((Message("user", "Hello"),), 16, seed=7, request_id="0" * 32)


def secrets_of(key: str) -> Secrets:
    settings = EndpointSettings(url=URL, api_key_env="KEY")
    return Secrets.of(settings, Endpoint("a", "openai", URL, api_key=key))


def exchange(body: bytes, cuts: Sequence[int]) -> RawExchange:
    raw = RawExchange(Job(0, 0, b""))
    places = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    raw.pieces = [body[start:end] for start, end in pairwise(places)]
    raw.arrivals = array("q", range(len(raw.pieces)))
    raw.reads = array("q", range(len(raw.pieces)))
    raw.status, raw.sent_ns = 200, 5
    return raw


@given(st.lists(st.integers(0, 10_000), max_size=12), st.integers(1, 3), st.booleans())
def test_a_secret_is_hidden_however_the_body_was_cut(cuts: list[int], times: int, as_json: bool) -> None:
    form = json.dumps(KEY)[1:-1] if as_json else KEY
    body = (f'{{"error": "{form} is wrong"}} ' * times).encode()
    raw = exchange(body, cuts)
    sizes = [len(piece) for piece in raw.pieces]
    scrubbed, places = secrets_of(KEY).scrub(raw)
    whole = b"".join(scrubbed.pieces)
    assert places == times
    assert form.encode() not in whole
    assert whole == body.replace(form.encode(), b"*" * len(form.encode()))
    assert [len(piece) for piece in scrubbed.pieces] == sizes
    assert (scrubbed.status, scrubbed.sent_ns, scrubbed.arrivals) == (200, 5, raw.arrivals)
    assert b"".join(raw.pieces) == body  # what was measured is not touched


def test_an_answer_without_a_secret_is_the_very_same() -> None:
    raw = exchange(b"nothing here", [3])
    assert secrets_of(KEY).scrub(raw) == (raw, 0)


def test_the_repr_of_secrets_holds_none() -> None:
    assert KEY not in repr(secrets_of(KEY))
    assert "odd" not in repr(secrets_of(KEY))


def services_of(names: Sequence[str]) -> list[ServiceUnderTest]:
    endpoints = [Endpoint(name, name, URL, model="m") for name in names]
    return [ServiceUnderTest.of(endpoint, resolve(endpoint, timeout_seconds=0.1)) for endpoint in endpoints]


def test_every_field_that_any_dialect_sends_is_named_in_some_aspect() -> None:
    services = services_of(client_names())
    aspects = differences(services, REQUEST)
    for service in services:
        said = " ".join(aspect.words[service.name] for aspect in aspects)
        for key in json.loads(service.client.render(REQUEST, "m").body):
            if key not in ("messages", "parameters", "options", "stream_options"):
                assert key in said, (service.name, key)


@pytest.mark.parametrize("name", client_names())
def test_exact_length_is_lacking_where_the_dialect_says_so(name: str) -> None:
    aspects = {aspect.name: aspect for aspect in differences(services_of([name]), REQUEST)}
    exact = aspects["exactly 16 tokens"]
    assert (exact.words[name] == CANNOT) is not get_client(name).exact_length
    assert (name in exact.lacking) is not get_client(name).exact_length
    assert aspects["seed"].words[name] != CANNOT
    assert ": 7" in aspects["seed"].words[name]


def test_alike_is_said_only_of_what_is_alike() -> None:
    twice = differences(services_of(["vllm", "openai"]), REQUEST)
    assert {aspect.name: aspect.same for aspect in twice}["prompt goes into"]
    assert not {aspect.name: aspect.same for aspect in twice}["exactly 16 tokens"]
    assert all(aspect.same for aspect in differences(services_of(["vllm"]), REQUEST))


def found(identity: Identity | None) -> FoundService:
    return FoundService(
        name="a",
        dialect="openai",
        engine="openai",
        model="m",
        identity=identity,
        health=HealthReport(HealthStatus.HEALTHY, "", ProbeOutcome.OK),
        source="configured",
        named=True,
        endpoint=EndpointSettings(url=URL),
    )


def told(context: int | None = None, longest: int | None = None, prompt: int | None = None) -> Identity:
    model = ModelFacts("m", context_length=context, max_context_length=longest)
    return Identity("openai", "x", None, (model,), max_input_tokens=prompt)


def test_a_prompt_is_too_long_by_what_the_server_told_first() -> None:
    words, remark = over_long(found(told(context=1000, longest=9000, prompt=500)))
    assert words is not None
    assert 1000 < words < 1100
    assert "1,000" in remark
    assert (over_long(found(told(longest=2000, prompt=500)))[0] or 0) < 600  # a limit in force, not what could be
    assert (over_long(found(told(longest=2000)))[0] or 0) > 2000
    assert over_long(found(told()))[0] == over_long(found(None))[0] == UNTOLD_WORDS
    assert over_long(found(told(context=MOST_WORDS)))[0] is None
