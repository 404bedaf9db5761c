"""A secret in the text of several events is found in the bytes, wherever it was cut and however JSON writes it."""

import json
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from inference_bench.api.clients import get_client
from inference_bench.orchestration.scattered_secrets import without_scattered

LETTERS = 'abcontede"\\/+=é漢😀_-0123456789'
EVENTS: dict[str, Callable[[str], dict[str, object]]] = {
    "openai": lambda text: {"choices": [{"index": 0, "delta": {"role": "assistant", "content": text}}]},
    "tgi": lambda text: {"index": 1, "token": {"id": 3, "text": text, "logprob": -1, "special": False}},
    "ollama": lambda text: {"model": "m", "message": {"role": "assistant", "content": text}, "done": False},
}


@pytest.mark.parametrize("dialect", EVENTS)
@given(
    secret=st.text(LETTERS, min_size=6, max_size=40),
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=8),
    escaped=st.booleans(),
)
def test_asterisks_stand_where_the_secret_stood_and_nowhere_else(
    dialect: str, secret: str, sizes: list[int], escaped: bool
) -> None:
    before, after = "content choices ", " token!"
    assume(secret not in before)
    said = before + secret + after
    deltas: list[str] = []
    while said:
        size = sizes[len(deltas) % len(sizes)]
        deltas.append(said[:size])
        said = said[size:]
    form = "{}\n" if dialect == "ollama" else "data: {}\n\n"
    body = "".join(form.format(json.dumps(EVENTS[dialect](delta), ensure_ascii=escaped)) for delta in deltas).encode()
    hidden, places = without_scattered(body, get_client(dialect).decoder(stream=True), [secret])
    assert (len(hidden), places) == (len(body), 1)
    text = "".join(event.text for event in get_client(dialect).decoder(stream=True).feed(hidden))
    assert text.startswith(before)
    assert text.endswith(after)
    assert set(text[len(before) : -len(after)]) == {"*"}
