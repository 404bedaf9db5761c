"""Loads that no machine could plan or send: each is refused in a line when the configuration is read."""

from dataclasses import replace
from pathlib import Path

import pytest

from inference_bench.cli.utils.known_words import known_words
from inference_bench.config.loader import load_settings
from inference_bench.errors import ConfigError

KNOWN = replace(known_words(), engines=("vllm",))

REFUSED = {
    "a rate of one request in an age": (
        "rate: 1.0e-300, requests: 5",
        "load_tests[0].rate: 5 requests at 1e-300/s take longer than 30 days: raise it, or ask for fewer requests",
    ),
    "the slowest of a sweep": ("rate: [1.0e-9, 1], requests: 5", "5 requests at 1e-09/s take longer than 30 days"),
    "more requests than memory": (
        "rate: 1000000, duration_seconds: 600",
        "load_tests[0].rate: about 600,000,000 requests would be due in this test; 100,000,000 are the most",
    ),
    "as many in steps": ("arrivals: steps, rate: [1000000, 500000], duration_seconds: 600", "about 450,000,000"),
    "as many while it builds up": ("rate: 1000000, duration_seconds: 1, ramp_up_seconds: 600", "about 301,000,000"),
    "as many by number": ("rate: 1000, requests: 200000000", "about 200,000,000 requests would be due"),
    "gaps that are nearly all 0": (
        "arrivals: gamma, rate: 5, burstiness: 1.0e-9, requests: 5",
        "load_tests[0].burstiness: must be at least 0.001, not 1e-09",
    ),
    "rounds without number": (
        "concurrent_users: 1, duration_seconds: 3, rounds: 1000000",
        "rounds: must be at most 10000",
    ),
    "no number": ("rate: .nan, requests: 5", "load_tests[0].rate: must be a finite number, not NaN"),
    "an empty sweep": ("concurrent_users: [], requests: 5", "concurrent_users: must have at least 1 entries, not 0"),
    "a sweep without end": (
        f"concurrent_users: {list(range(1, 70))}, requests: 5",
        "concurrent_users: must have at most 64 entries, not 69",
    ),
}


def refusal(test: str, folder: Path) -> str:
    (folder / "x.yaml").write_text(f"load_tests:\n  - {{name: a, {test}}}\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(Path("x.yaml"), overrides={}, environ={}, cwd=folder, known=KNOWN)
    return caught.value.message


@pytest.mark.parametrize(("test", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_an_impossible_load_is_refused(tmp_path: Path, test: str, said: str) -> None:
    message = refusal(test, tmp_path)
    assert message.startswith("x.yaml:2: load_tests[0].")
    assert said in message
    assert message.isprintable()


def test_a_wrong_entry_of_a_list_is_one_problem(tmp_path: Path) -> None:
    wanted = "x.yaml:2: load_tests[0].concurrent_users[0]: must be a whole number, not the text 'a'"
    assert refusal("concurrent_users: [a], requests: 5", tmp_path) == wanted


def test_what_is_large_and_possible_is_taken(tmp_path: Path) -> None:
    loads = (
        "rate: 1000, requests: 100000000",
        "rate: 0.01, requests: 25000",
        "concurrent_users: 9, requests: 1000000000",
    )
    for load in loads:
        (tmp_path / "x.yaml").write_text(f"load_tests:\n  - {{name: a, {load}}}\n")
        load_settings(Path("x.yaml"), overrides={}, environ={}, cwd=tmp_path, known=KNOWN)
