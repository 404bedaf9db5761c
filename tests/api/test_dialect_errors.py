"""Answers that are not 200: every documented shape, classified, with a bounded and clean message."""

import json

import pytest

from inference_bench.api.clients import client_names, get_client
from inference_bench.api.protocols import ErrorClass, StreamError

JSON_HEADERS = {"content-type": "application/json"}


def read(status: int, body: object, headers: dict[str, str] = JSON_HEADERS) -> StreamError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    errors = {get_client(name).read_error(status, headers, raw) for name in client_names()}
    assert len(errors) == 1
    return errors.pop()


@pytest.mark.parametrize(
    ("status", "body", "error_class", "message"),
    [
        (400, {"error": {"message": "too long", "type": "BadRequestError", "code": 400}}, "http_4xx", "too long"),
        (401, {"error": "Unauthorized"}, "http_4xx", "Unauthorized"),
        (404, {"error": "model 'x' not found"}, "http_4xx", "model 'x' not found"),
        (404, {"object": "error", "message": "no such model", "code": 404}, "http_4xx", "no such model"),
        (422, {"error": "Input validation error", "error_type": "validation"}, "http_4xx", "Input validation error"),
        (
            422,
            {"error": {"message": "Model is overloaded", "http_status_code": 422}},
            "overloaded",
            "Model is overloaded",
        ),
        (424, {"error": "Request failed", "error_type": "generation"}, "http_4xx", "Request failed"),
        (429, {"error": "Model is overloaded", "error_type": "overloaded"}, "overloaded", "Model is overloaded"),
        (
            500,
            {"error": "Incomplete generation", "error_type": "incomplete_generation"},
            "http_5xx",
            "Incomplete generation",
        ),
        (500, {"error": {"message": "slow down", "type": "overloaded_error"}}, "overloaded", "slow down"),
        (
            503,
            {"error": "server busy, please try again.  maximum pending requests exceeded"},
            "overloaded",
            "server busy",
        ),
        (503, {"error": {"message": "queue full", "code": 503}}, "overloaded", "queue full"),
        (400, {"detail": "Not so"}, "http_4xx", "Not so"),
        (400, {"error": {"code": "x", "param": None}}, "http_4xx", '{"code":"x","param":null}'),
        (400, {"error": {"detail": ["a"]}}, "http_4xx", '["a"]'),
        (400, [{"error": "in a list"}], "http_4xx", "in a list"),
        (400, {"detail": {"reason": "other"}}, "http_4xx", '{"reason":"other"}'),
        (400, {"detail": ["a", "b"]}, "http_4xx", '["a","b"]'),
        (400, {"nothing": "known"}, "http_4xx", '{"nothing": "known"}'),
        (499, {"error": "request canceled"}, "http_4xx", "request canceled"),
        (502, b"Bad Gateway", "http_5xx", "Bad Gateway"),
        (401, b"", "http_4xx", "no message"),
        (204, b"", "malformed", "no message"),
    ],
)
def test_shapes(status: int, body: object, error_class: str, message: str) -> None:
    error = read(status, body)
    assert error.error_class == error_class
    assert error.message.startswith(f"HTTP {status}: {message}")


def test_fastapi_validation_names_the_place_and_not_the_prompt() -> None:
    places = [{"loc": ["body", "messages", n], "msg": "Field required", "input": "the prompt"} for n in range(5)]
    assert read(422, {"detail": places}).message == (
        "HTTP 422: body.messages.0: Field required; body.messages.1: Field required; body.messages.2: Field required"
    )
    assert read(422, {"detail": [{"loc": "body", "msg": "bad"}]}).message == "HTTP 422: body: bad"


@pytest.mark.parametrize("headers", [{}, {"content-type": "text/html; charset=utf-8"}])
def test_html_is_told_by_its_title(headers: dict[str, str]) -> None:
    page = b"<html><head>\n<title>502 Bad\r\nGateway</title></head><body><h1>502</h1>nginx</body></html>"
    assert read(502, page, headers) == (ErrorClass.HTTP_5XX, "HTTP 502: 502 Bad Gateway")
    assert read(403, b"<h1>Go <b>away</b></h1>", headers).message == "HTTP 403: Go away"


def test_a_redirect_names_its_target_without_the_query() -> None:
    error = read(302, b"", {"location": "https://login.example/start?token=abc"})
    assert error == (ErrorClass.MALFORMED, "HTTP 302: redirected to https://login.example/start")
    assert read(301, b"", {}).message == "HTTP 301: redirected to nowhere"


def test_messages_are_bounded_and_carry_no_control_characters() -> None:
    error = read(400, {"error": "\x1b[31mred\x00\r\n\u202ereversed\x9b" + "x" * 5000})
    assert error.message.startswith("HTTP 400: [31mred reversed xxx")
    assert len(error.message) == 300
    assert error.message.endswith("…")
    assert read(400, b"\x1b]0;title\x07\xff\xfe" + b"y" * 10_000_000, {}).message.isprintable()


def test_a_prompt_that_speaks_of_overload_is_none() -> None:
    error = read(400, {"error": {"message": "invalid prompt: 'Model is overloaded'", "type": "BadRequestError"}})
    assert error.error_class is ErrorClass.HTTP_4XX
