"""Chunks of every dialect, good ones and odd ones, for tests of the shortcuts that chunks which repeat are read by."""

import json

from hypothesis import strategies as st

ID = b'{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795464715,"model":"m 100%d",'
CHAT = ID + b'"choices":[{"index":0,"delta":{"content":TEXT},"logprobs":null,"finish_reason":null}],"by":"%d%"'
COMPLETION = ID + b'"choices":[{"index":0,"text":TEXT,"logprobs":null,"finish_reason":null}],"by":"%d%"'
USAGE = b',"usage":{"prompt_tokens":24,"total_tokens":TOTAL,"completion_tokens":COUNT}'
# The chunks of each dialect, with names where a chunk differs from the one before it.
CHUNKS = {
    "vllm": CHAT + USAGE + b"}",
    "vllm-completions": COMPLETION + USAGE + b"}",
    "openai": CHAT + b"}",
    "openai-completions": COMPLETION + b"}",
    "tgi-chat": CHAT + b',"usage":null}',
    "tgi": b'{"index":COUNT,"token":{"id":5,"text":TEXT,"logprob":-0.5,"special":false},"generated_text":null}',
    "ollama": b'{"model":"m","created_at":"2026-11-23T10:00:0COUNTZ","message":{"content":TEXT},"done":false}',
    "ollama-generate": b'{"model":"m","created_at":"2026-11-23T10:00:0COUNTZ","response":TEXT,"done":false}',
}
SHORT = [name for name, chunk in CHUNKS.items() if chunk.startswith(ID)]
FORMS = sorted({*CHUNKS.values(), CHAT + b',"usage":null}', COMPLETION + b"}", CHAT + b"}"})

NASTY_TEXTS = [
    b'""', b'"', b'"""', b'"a"b"', b'"\\"', b'"\\\\"', b'"\\u00e9\\ud83e\\udd99"', b'"\\ud83e"', b'"\\ud800\\u0041"',
    b'"\\x"', b'"\\u12"', b'"a\\"},\\"b\\":{\\""', b'"}]}"', b'"{{[["', b'"\x00"', b'"\x1f"', b'"\x7f"', b'"\t"',
    b'"\n"', b'"\r"', b'"a\r\n\r\nb"', b'"a\n\ndata: {}\n\n"', b'"\xff"', b'"\xc3"', b'"\xc3\xa9"', b'"\xed\xa0\x80"',
    b'"\xf0\x9f\xa6\x99"', b'"\xc0\x80"', b'"\xef\xbb\xbf"', b'"\xe2\x80\xa8"', b"null", b"5", b"true", b"[]", b"{}",
    b'{"a":"b"}', b' "a"', b'"a" ', b'\n"a"', b"", b"'a'", b'"a","content":"b"', b'"a","content":null',
    b'"a","text":"b"', b'"a","reasoning":"b"', b'"a","reasoning_content":"b"', b'"a","role":"assistant"',
    b'"a"},"delta":{"content":"b"', b'"a"}],"choices":[{"delta":{"content":"b"}', b'"a","x":"b"', b'"a"/**/', b'"a"}',
    b'"a",', b'"another text"', b'"id"', b'"content"', b'"m 100%d"', b'"%d"', b'"%s%"', b'"delta"', b'"TEXT"',
]  # fmt: skip
NASTY_NUMBERS = [
    b"0", b"00", b"01", b"-0", b"-1", b"+1", b" 7", b"7 ", b"7\n", b"1_0", b"1e1", b"7.0", b"7.", b".7", b"0x7", b"",
    b"null", b"true", b'"7"', b"9", b"10", b"999999999999999", b"1000000000000000", b"9223372036854775808",
    b"18446744073709551616", b"1" * 400, b"\xd9\xa7", b"7,7", b'7,"completion_tokens":8', b'7},"x":{"y":7', b"[7]",
    b"{}", b"NaN", b"7}", b"7}}",
]  # fmt: skip
EDITS = [
    (b'"finish_reason":null', b'"finish_reason":"length"'), (b'"finish_reason":null', b'"finish_reason":7'),
    (b'"finish_reason":null', b'"finish_reason":""'), (b'"index":0', b'"index":1'), (b"TOTAL", b"COUNT"),
    (USAGE, b""), (USAGE, b',"usage":null'), (USAGE, b',"usage":[]'), (USAGE, b',"usage":{}'),
    (USAGE, USAGE + b',"usage":null'), (USAGE, USAGE + USAGE), (USAGE, b',"x":{"a":1' + USAGE + b"}"),
    (USAGE, b',"x":"' + USAGE + b'"'), (USAGE, b',"x":"\\"' + USAGE), (b",", b" ,\t"), (b":", b": "), (b"}", b" }"),
    (b"{", b"\r{"), (b'"usage"', b'"Usage"'), (b'"usage"', b'"\\u0075sage"'), (b'"content"', b'"reasoning"'),
    (b'"content"', b'"reasoning_content"'), (b'"content":', b'"content":"b","content":'),
    (b'"logprobs":null', b'"error":{"message":"a"}'), (b'"logprobs":null', b'"text":"b"'),
    (b'"logprobs":null', b'"delta":{"content":"b"}'), (b'"choices":[', b'"choices":[{},'),
    (b'"choices":[', b'"error":"b","choices":['), (b'"prompt_tokens":24', b'"prompt_tokens":25'),
    (b"chatcmpl-1", b"chatcmpl-2"), (b'"created":1795464715', b'"created":TEXT'), (b'"done":false', b'"done":true'),
    (b'"id"', b'\xef\xbb\xbf"id"'), (b'"m 100%d"', b"TEXT"), (b"TEXT", b'TEXT,"tool_calls":[]'), (b"}", b"}\n"),
    (b"{", b"data: {"), (b'"special":false', b'"special":true'),
]  # fmt: skip

# What may stand between two chunks, so that the second is not what its bytes say.
BETWEEN = [
    b'data: {"a', b"event: error\n", b"event: x\n", b"data: x\n", b"data", b": ping\n\n", b": ping\n", b"\n", b"\r",
    b"\xef\xbb\xbf", b"data: [DONE]\n\n", b"<html>\n", b"<html>", b"{}\n", b'{"done":true}\n', b"{", b" ", b"",
]  # fmt: skip


@st.composite
def payloads(draw: st.DrawFn, form: bytes) -> bytes:
    """A chunk of this form, most often a good one."""
    kind = draw(st.integers(0, 9))
    text = json.dumps(draw(st.text(max_size=6)), ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    number = draw(st.integers(0, 120))
    total, count = b"%d" % (number + 24), b"%d" % number
    if kind == 0:
        text = draw(st.sampled_from(NASTY_TEXTS) | st.binary(max_size=8).map(lambda inner: b'"' + inner + b'"'))
    elif kind == 1:
        total = draw(st.sampled_from(NASTY_NUMBERS))
    elif kind == 2:
        count = draw(st.sampled_from(NASTY_NUMBERS))
    elif kind == 3:
        old, new = draw(st.sampled_from(EDITS))
        form = form.replace(old, new, draw(st.sampled_from([1, -1])))
    payload = form.replace(b"TEXT", text).replace(b"TOTAL", total).replace(b"COUNT", count)
    if kind == 4:
        start, end = sorted((draw(st.integers(0, len(payload))), draw(st.integers(0, len(payload)))))
        payload = payload[:start] + draw(st.binary(max_size=3) | st.just(payload[start:end] * 2)) + payload[end:]
    return payload


def framed(dialect: str, payload: bytes) -> bytes:
    return payload + b"\n" if dialect.startswith("ollama") else b"data: " + payload + b"\n\n"


def regular(
    dialect: str, count: int, text: bytes = b'" word"', *, step: int = 1, edit: tuple[bytes, bytes] = (b"", b"")
) -> list[bytes]:
    """A stream of `count` chunks of `step` tokens each, one per piece; good ones, unless their form is edited."""
    form = CHUNKS[dialect].replace(*edit) if edit[0] else CHUNKS[dialect]
    form = form.replace(b"TEXT", text)
    numbers = [step * number for number in range(1, count + 1)]
    return [framed(dialect, form.replace(b"TOTAL", b"%d" % (24 + n)).replace(b"COUNT", b"%d" % n)) for n in numbers]
