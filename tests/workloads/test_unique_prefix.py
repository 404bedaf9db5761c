"""The prefix is the same for every service and never the same twice; it parts from others at its first word."""

import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.api.protocols import Message
from inference_bench.workloads.packaged import packaged_text
from inference_bench.workloads.prefix import PREFIX_LENGTH, new_nonce, unique_prefix, with_prefix

text = st.text(max_size=12)
number = st.integers(min_value=-3, max_value=2**40)
identity = st.tuples(text, text, number, number)


@given(identity)
def test_equal_work_gets_the_equal_prefix_of_the_one_length(parts: tuple[str, str, int, int]) -> None:
    prefix = unique_prefix(*parts)
    assert prefix == unique_prefix(*parts)
    assert len(prefix) == PREFIX_LENGTH
    assert prefix.isascii()


@given(identity, identity)
def test_different_work_gets_different_prefixes(one: tuple[str, str, int, int], two: tuple[str, str, int, int]) -> None:
    assert (unique_prefix(*one) == unique_prefix(*two)) == (one == two)


def test_parts_cannot_be_mistaken_for_one_another() -> None:
    quadruples = [("a", "1:b", 2, 3), ("a1:", "b", 2, 3), ("a", "b", 12, 3), ("a", "b", 1, 23), ("a", "b", 3, 12)]
    assert len({unique_prefix(*quadruple) for quadruple in quadruples}) == len(quadruples)


def test_a_hundred_thousand_prefixes_never_repeat_and_part_at_the_first_word() -> None:
    prefixes = [
        unique_prefix(nonce, test, round_no, index)
        for nonce in ("k3dq5x7a", "k3dq5x7b")
        for test in ("ttft", "load-25")
        for round_no in range(5)
        for index in range(5_000)
    ]
    assert len(set(prefixes)) == len(prefixes) == 100_000
    first_words = Counter(prefix.split()[0] for prefix in prefixes)
    assert len(first_words) == 512
    # Each of 512 words is expected 195 times; ten standard deviations away would be a broken digest, not chance.
    assert max(first_words.values()) < 195 + 140
    # Half a prefix is already enough, so no two share a 16-token block in practice.
    assert len({" ".join(prefix.split()[:4]) for prefix in prefixes[:5_000]}) == 5_000


def test_a_nonce_given_again_brings_the_prefixes_of_its_run_back() -> None:
    assert unique_prefix("k3dq5x7a", "ttft", 0, 0) == "join firm case very mail self auto skip\n\n"
    assert unique_prefix("k3dq5x7a", "ttft", 0, 1) == "come link blue wise dual wave lake icon\n\n"


def test_the_words_are_512_different_ones_of_four_letters() -> None:
    lines = packaged_text("prefix_words.txt").splitlines()
    words = [word for line in lines if not line.startswith("#") for word in line.split()]
    assert len(words) == len(set(words)) == 512
    assert all(len(word) == 4 and word.isascii() and word.islower() for word in words)


def test_the_prefix_stands_before_everything_even_a_system_prompt() -> None:
    messages = (Message("system", "You are brief."), Message("user", "Hello"))
    prefixed = with_prefix(messages, "word word\n\n")
    assert prefixed == (Message("system", "word word\n\nYou are brief."), Message("user", "Hello"))
    assert messages[0].content == "You are brief."


def test_a_nonce_is_short_plain_and_fresh() -> None:
    nonces = {new_nonce() for _ in range(1_000)}
    assert len(nonces) == 1_000
    assert all(len(nonce) == 8 and nonce.isascii() and nonce.isalnum() and nonce.islower() for nonce in nonces)


def test_a_prefix_needs_no_heavy_module() -> None:
    program = (
        "import sys\n"
        "from inference_bench.workloads.prefix import unique_prefix\n"
        "unique_prefix('n', 't', 0, 0)\n"
        "print([name for name in ('yaml', 'pydantic', 'numpy', 'orjson') if name in sys.modules])\n"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"


def test_a_prefix_needs_a_message() -> None:
    with pytest.raises(ValueError, match="a message"):
        with_prefix((), "word word\n\n")
