"""What each engine says in its own way: tokens, reasoning, ends, server times, errors inside a 200 stream."""

import json

import pytest
from api_recordings import (
    OLLAMA_GENERATE_STREAM,
    OLLAMA_STREAM,
    TGI_CHAT_STREAM,
    TGI_STREAM,
    Decoded,
    decode,
    ndjson,
    sse,
)

from inference_bench.api.clients import client_names, get_client
from inference_bench.api.protocols import ErrorClass, ServerTimes, StreamError, StreamEvent, Usage

SSE_DIALECTS = [name for name in client_names() if not name.startswith("ollama")]


def delta(text: str | None = None, running: int | None = None, **more: object) -> dict[str, object]:
    """One chat chunk; `running` is the running completion count."""
    part = {key: value for key, value in {"content": text, **more}.items() if value is not None}
    finish = part.pop("finish_reason", None)
    chunk: dict[str, object] = {"choices": [{"index": 0, "delta": part, "finish_reason": finish}]}
    if running is not None:
        chunk["usage"] = {"prompt_tokens": 9, "total_tokens": 9 + running, "completion_tokens": running}
    return chunk


def usage_chunk(output: int, **more: object) -> dict[str, object]:
    return {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": output, **more}}


def read(dialect: str, body: bytes, *, stream: bool = True) -> Decoded:
    return decode(get_client(dialect).decoder(stream=stream), [body])


class TestVllm:
    def test_a_chunk_of_several_tokens_and_a_chunk_without_text(self) -> None:
        chunks = [delta("", 0), delta("a", 1), delta("bcd", 4), delta("", 5), delta("e", 6), delta("", 7)]
        decoded = read("vllm", sse(*chunks, usage_chunk(8), done=True))
        assert decoded.tokens == [0, 1, 3, 1, 1, 1, 1, None]
        assert decoded.events[-2].usage == Usage(9, 8)

    def test_a_text_chunk_without_count_makes_the_next_difference_unknown(self) -> None:
        decoded = read("vllm", sse(delta("a", 1), delta("b"), delta("c", 4), delta("d", 5), done=True))
        assert decoded.tokens == [1, None, None, 1, None]

    def test_a_count_that_runs_backwards_is_unknown(self) -> None:
        decoded = read("vllm", sse(delta("a", 3), delta("b", 2), delta("c", 3), done=True))
        assert decoded.tokens == [3, None, 1, None]

    def test_running_usage_is_told_as_usage_only_from_the_finish_reason_on(self) -> None:
        decoded = read("vllm", sse(delta("a", 1), delta("b", 2, finish_reason="stop"), usage_chunk(2), done=True))
        assert [event.usage for event in decoded.events] == [None, Usage(9, 2), Usage(9, 2), None]

    @pytest.mark.parametrize("key", ["reasoning", "reasoning_content"])
    def test_reasoning_under_both_names(self, key: str) -> None:
        decoded = read(
            "vllm", sse(delta(None, 1, **{key: "hm"}), delta("", 2, **{key: "m"}), delta("yes", 3), done=True)
        )
        assert (decoded.reasoning, decoded.text) == ("hmm", "yes")
        assert decoded.tokens == [1, 1, 1, None]
        whole = {"choices": [{"message": {"content": "yes", key: "hmm"}, "finish_reason": "stop"}]}
        (event,) = read("vllm", json.dumps(whole).encode(), stream=False).events
        assert (event.reasoning, event.text, event.tokens) == ("hmm", "yes", None)

    def test_details_of_usage_and_the_servers_own_times(self) -> None:
        last = usage_chunk(
            4, prompt_tokens_details={"cached_tokens": 3}, completion_tokens_details={"reasoning_tokens": 2}
        )
        last["metrics"] = {
            "time_to_first_token_ms": 85.5,
            "generation_time_ms": 1240,
            "queue_time_ms": 12.25,
            "mean_itl_ms": None,
        }
        event = read("vllm", sse(delta("a"), last, done=True)).events[1]
        assert event.usage == Usage(9, 4, 3, 2)
        assert event.server_times == ServerTimes(ttft_ms=85.5, queue_ms=12.25, decode_ms=1240.0)

    def test_an_error_inside_the_stream(self) -> None:
        error = {"error": {"message": "EngineCore died", "type": "InternalServerError", "param": None, "code": 500}}
        decoded = read("vllm", sse(delta("a"), error, done=True))
        assert decoded.errors == ["stream_error: EngineCore died"]
        assert decoded.text == "a"
        assert decoded.ended

    def test_a_full_queue_inside_the_stream(self) -> None:
        error = {"error": {"message": "queue full", "type": "ServiceUnavailable", "code": 503}}
        assert read("vllm", sse(error, done=True)).errors == ["overloaded: queue full"]

    def test_no_done_is_truncated_even_after_a_finish_reason(self) -> None:
        assert not read("vllm", sse(delta("a", finish_reason="length"), usage_chunk(1))).ended

    def test_nothing_after_done_is_read(self) -> None:
        decoded = read("vllm", sse(delta("a"), done=True) + sse(delta("b"), {"error": "late"}))
        assert (decoded.text, decoded.errors, decoded.ended) == ("a", [], True)


class TestOpenAi:
    def test_placeholder_usage_of_zeros_is_no_count(self) -> None:
        zeros = {"choices": [{"text": "a"}], "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}}
        decoded = read("openai-completions", sse(zeros, zeros, usage_chunk(2), done=True))
        assert [event.usage for event in decoded.events] == [None, None, Usage(9, 2), None]
        assert set(decoded.tokens) == {None}

    def test_usage_beside_a_choice_without_finish_reason(self) -> None:
        assert read("openai", sse(delta("a", 1))).events[0].usage == Usage(9, 1)

    def test_a_finish_reason_and_the_end_of_the_body_is_a_proper_end(self) -> None:
        body = sse(delta("a"), delta(finish_reason="stop"))
        assert read("openai", body).ended
        assert read("openai", body.rstrip(b"\n")).ended
        assert not read("openai", sse(delta("a"))).ended

    @pytest.mark.parametrize(
        "rest", [b"data: {", b'data: {"choices": []', b"da", b"data:", b"data: [DO", b"event: x", b"data: {}\ndat"]
    )
    def test_a_body_cut_inside_an_event_is_truncated_even_after_a_finish_reason(self, rest: bytes) -> None:
        decoded = read("openai", sse(delta("a"), delta(finish_reason="stop")) + rest)
        assert decoded.ended is (rest.startswith(b"data: {}"))

    def test_a_chunk_of_a_content_filter_is_an_event_without_text(self) -> None:
        assert read("openai", sse({"choices": [], "prompt_filter_results": []})).events == (StreamEvent(),)

    def test_a_tool_call_is_an_event_without_text(self) -> None:
        chunk = {"choices": [{"delta": {"tool_calls": [{"index": 0}]}, "finish_reason": None}]}
        assert read("openai", sse(chunk)).events == (StreamEvent(),)

    def test_an_event_of_type_error(self) -> None:
        assert read("openai", b"event: error\ndata: it broke\n\n").errors == ["stream_error: it broke"]
        assert read("openai", b'event: error\ndata: {"message": "slow down", "code": 429}\n\n').errors == [
            "overloaded: slow down"
        ]
        assert read("openai", b'event: error\ndata: {"a": 1}\n\n').errors == ['stream_error: {"a": 1}']
        assert read("openai", b"event: error\ndata:\n\n").errors == ["stream_error: no message"]

    def test_an_empty_event_is_skipped(self) -> None:
        assert read("openai", b"data:\n\ndata: \n\n").events == ()


class TestTgi:
    def test_the_native_stream(self) -> None:
        decoded = read("tgi", TGI_STREAM)
        assert (decoded.text, decoded.tokens, decoded.ended) == ("Hello world", [1, 1, 1], True)
        last = decoded.events[-1]
        assert last == StreamEvent(tokens=1, finish_reason="eos_token", usage=Usage(2, 3), done=True)

    def test_older_releases_write_no_space_after_data(self) -> None:
        assert read("tgi", TGI_STREAM.replace(b"data: ", b"data:")) == read("tgi", TGI_STREAM)

    def test_the_last_token_may_be_text(self) -> None:
        token = {
            "index": 1,
            "token": {"id": 1, "text": "Hi", "special": False},
            "generated_text": "Hi",
            "details": None,
        }
        assert read("tgi", sse(token)).events == (StreamEvent("Hi", tokens=1, done=True),)

    def test_a_stream_without_its_last_event_is_truncated(self) -> None:
        assert not read("tgi", TGI_STREAM[: TGI_STREAM.rindex(b"data:")]).ended

    def test_a_whole_answer(self) -> None:
        details = {"finish_reason": "length", "generated_tokens": 3, "seed": None, "prefill": [], "tokens": []}
        decoded = read("tgi", json.dumps({"generated_text": "a b c", "details": details}).encode(), stream=False)
        assert decoded.events == (StreamEvent("a b c", "", 3, "length", Usage(None, 3), True),)
        assert decoded.ended

    def test_the_chat_stream(self) -> None:
        decoded = read("tgi-chat", TGI_CHAT_STREAM)
        assert (decoded.text, decoded.tokens, decoded.finish_reason) == ("Hi you", [1, 1, 1, None, None], "stop")
        assert decoded.events[-2].usage == Usage(11, 3)
        assert decoded.ended
        assert not read("tgi-chat", TGI_CHAT_STREAM.replace(b"data: [DONE]\n\n", b"")).ended

    @pytest.mark.parametrize(
        ("kind", "text", "expected"),
        [
            ("overloaded", "Model is overloaded", ErrorClass.OVERLOADED),
            ("validation", "Input validation error: `inputs` cannot be empty", ErrorClass.STREAM_ERROR),
            ("generation", "Request failed during generation: CUDA", ErrorClass.STREAM_ERROR),
            ("incomplete_generation_stream", "Incomplete generation stream", ErrorClass.STREAM_ERROR),
        ],
    )
    def test_errors_inside_a_200(self, kind: str, text: str, expected: ErrorClass) -> None:
        native = read("tgi", sse({"error": text, "error_type": kind}))
        assert native.events == (StreamEvent(error=StreamError(expected, text)),)
        assert not native.ended
        # The chat route says 422 whatever it was; the words decide.
        chat = read("tgi-chat", sse({"error": {"message": text, "http_status_code": 422}}, done=True))
        assert chat.events == (StreamEvent(error=StreamError(expected, text)), StreamEvent(done=True))


class TestOllama:
    @pytest.mark.parametrize(
        ("dialect", "body"), [("ollama", OLLAMA_STREAM), ("ollama-generate", OLLAMA_GENERATE_STREAM)]
    )
    def test_the_stream(self, dialect: str, body: bytes) -> None:
        decoded = read(dialect, body)
        assert (decoded.text, decoded.finish_reason, decoded.ended) == ("Hello", "stop", True)
        assert decoded.tokens == [None, None, None]
        last = decoded.events[-1]
        assert last.usage == Usage(11, 3)
        assert last.server_times is not None
        assert last.server_times == pytest.approx((None, None, 13.074791, 52.479709, 174.560334, 101.397084))

    def test_thinking(self) -> None:
        chat = ndjson({"message": {"content": "", "thinking": "hm"}, "done": False}, {"message": {"content": "ok"}})
        assert read("ollama", chat).events == (StreamEvent("", "hm"), StreamEvent("ok"))
        generate = ndjson({"response": "", "thinking": "hm", "done": False})
        assert read("ollama-generate", generate).events == (StreamEvent("", "hm"),)

    def test_absent_counts_and_durations_are_unknown(self) -> None:
        decoded = read("ollama", ndjson({"message": {"content": "a"}, "done": True, "eval_count": 1}))
        assert decoded.events == (StreamEvent("a", usage=Usage(None, 1), done=True),)

    def test_an_end_without_the_last_record_is_truncated(self) -> None:
        assert not read("ollama", OLLAMA_STREAM[: OLLAMA_STREAM.rindex(b'{"model"')]).ended

    def test_the_last_record_without_its_newline(self) -> None:
        assert read("ollama", OLLAMA_STREAM.rstrip()).ended
        assert read("ollama", OLLAMA_STREAM.rstrip()[:-1]) == read(
            "ollama", OLLAMA_STREAM[: OLLAMA_STREAM.rindex(b"{")]
        )

    def test_an_error_line(self) -> None:
        decoded = read("ollama", OLLAMA_STREAM.splitlines(True)[0] + ndjson({"error": "llama runner terminated"}))
        assert decoded.errors == ["stream_error: llama runner terminated"]
        assert (decoded.text, decoded.ended) == ("Hel", False)
        busy = {"error": "server busy, please try again.  maximum pending requests exceeded"}
        assert read("ollama", ndjson(busy)).errors[0].startswith("overloaded: server busy")

    @pytest.mark.parametrize("dialect", ["ollama", "ollama-generate"])
    def test_a_whole_answer(self, dialect: str) -> None:
        text = {"message": {"role": "assistant", "content": "Hello"}} if dialect == "ollama" else {"response": "Hello"}
        answer = {**text, "done": True, "done_reason": "length", "eval_count": 2, "prompt_eval_count": 5}
        decoded = read(dialect, json.dumps(answer).encode(), stream=False)
        assert decoded.events == (StreamEvent("Hello", "", 2, "length", Usage(5, 2), True),)


class TestEveryDialect:
    @pytest.mark.parametrize("dialect", client_names())
    @pytest.mark.parametrize("stream", [True, False])
    def test_a_page_of_html_is_malformed_and_told_once(self, dialect: str, stream: bool) -> None:
        page = (
            b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head>\n<body>\nplease\x1b[31m\n</body></html>\n" * 3
        )
        decoded = read(dialect, page, stream=stream)
        (event,) = decoded.events
        assert event.error is not None
        assert event.error.error_class is ErrorClass.MALFORMED
        assert "<!DOCTYPE html>" in event.error.message
        assert not decoded.ended

    @pytest.mark.parametrize("dialect", client_names())
    def test_an_empty_body_is_neither_an_error_nor_an_end(self, dialect: str) -> None:
        for stream in (True, False):
            assert read(dialect, b"", stream=stream) == Decoded((), False)

    @pytest.mark.parametrize("dialect", SSE_DIALECTS)
    def test_an_error_as_plain_json_inside_a_200(self, dialect: str) -> None:
        assert read(dialect, b'{"error": {"message": "no such model"}}').errors == ["stream_error: no such model"]
        assert read(dialect, b'{"object": "chat.completion"}').errors[0].startswith("malformed: not an event stream: {")

    @pytest.mark.parametrize("dialect", client_names())
    def test_a_whole_answer_cut_short_is_truncated(self, dialect: str) -> None:
        assert read(dialect, b'{"choices": [{"mess', stream=False) == Decoded((), False)

    @pytest.mark.parametrize("dialect", client_names())
    def test_an_answer_without_bounds_is_bounded(self, dialect: str) -> None:
        for stream in (True, False):
            decoder = get_client(dialect).decoder(stream=stream)
            decoded = decode(decoder, [b"x" * 1024 * 1024] * 9)
            (error,) = decoded.errors
            assert error.startswith("malformed: ")
            assert "longer than 8388608 bytes" in error

    @pytest.mark.parametrize("dialect", client_names())
    def test_text_of_the_wrong_type_is_malformed(self, dialect: str) -> None:
        choice = {"text": 1, "delta": {"content": [1]}, "message": {"content": 1}, "finish_reason": None}
        wrong = {"choices": [choice], "token": {"text": 1, "special": False}, "message": {"content": 1}, "response": 1}
        body = sse(wrong) if dialect in SSE_DIALECTS else ndjson(wrong)
        assert [error.split(":")[0] for error in read(dialect, body).errors] == ["malformed"]
