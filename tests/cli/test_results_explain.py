"""`results explain`, as a user runs it: every word has a meaning, and the limits told are those judged by."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from inference_bench.api.protocols import ErrorClass
from inference_bench.cli.main import run
from inference_bench.metrics import METRICS
from inference_bench.results.values import VALUES
from inference_bench.testing.validity import Facts, judge

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Command:
    """Run `results …` in tmp_path, 80 columns, nobody to ask; return exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def call(*args: str) -> tuple[int, str, str]:
        capfdbinary.readouterr()
        code = run(["results", *args])
        sys.stdout.flush()
        shown = capfdbinary.readouterr()
        return code, shown.out.decode(), shown.err.decode()

    return call


def test_every_value_metric_and_sign_is_explained(command: Command) -> None:
    names = [
        *METRICS,
        *VALUES,
        "send_lag",
        "rate",
        "merged_reads",
        "worker_wait",
        "clock_step",
        "window",
        "stall",
        "unstamped",
        "turn_wait",
        "turn_lag",
    ]
    names += ["better", "equivalent", "no_difference_shown", "not_comparable", "needed_n", "garbled", "short"]
    names += ["phases", "calibration", "omission", "near", "not_watched", "capacity"]
    names += ["running", "waiting", "kv_use", "prefix_hit_share", "preemptions", "parts", "first_token"]
    names += [f"errors.{kind}" for kind in ErrorClass]
    for name in names:
        code, out, err = command("explain", name, "--json")
        assert (code, err) == (0, ""), name
        found = json.loads(out)
        assert found["name"] == name.partition(".")[0] if name.partition(".")[0] in METRICS else name
        assert found["words"]


def test_a_metric_is_explained_in_words_formula_unit_and_what_makes_it_missing(command: Command) -> None:
    code, out, _ = command("explain", "tpot_ms")
    said = " ".join(out.split())
    assert code == 0
    assert "time per output token of one request" in said
    assert "(last_token - first_token) / (output_tokens" in said
    assert "fewer than 2 tokens" in said
    assert "less is better" in said
    assert re.search(r"p99 +99 % of the values are at or below it +100 +368", said)
    assert max(map(len, out.splitlines())) <= 80
    one = " ".join(command("explain", "OUTPUT_TOK_PER_S_USER.p1")[1].split())
    assert "more is better" in one
    assert "p1 " in one
    assert "p50" not in one


def test_everything_is_listed_without_a_name(command: Command) -> None:
    code, out, _ = command("explain")
    assert code == 0
    assert {"ttft_ms", "success_rate", "needed_n", "worker_wait", "errors.timeout"} <= {
        line.split()[0] for line in out.splitlines() if line.split()
    }
    assert len(json.loads(command("explain", "--json")[1])) > 60


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ttft", "did you mean ttft_ms?"),
        ("sucess_rate", "did you mean success_rate?"),
        ("ttft_ms.p1", "ttft_ms has no statistic 'p1'"),
        ("zzz", "there is nothing called 'zzz'"),
        ("", "there is nothing called ''"),
    ],
)
def test_an_unknown_name_is_2_with_what_was_meant(command: Command, name: str, said: str) -> None:
    code, out, err = command("explain", name)
    assert (code, out) == (2, "")
    assert said in err


# Each sign with a fact just over its first limit, and just over its second, as its explanation states them.
LIMITS = {
    "send_lag": ("over 2 ms", "over 10 ms", {"send_lag_p99_ms": (2.1, 10.1)}),
    "rate": ("under 0.99", "under 0.95", {"rate_sent_over_asked": (0.985, 0.945)}),
    "merged_reads": ("over 1 %", "over 5 %", {"merged_first_token_share": (0.011, 0.051)}),
    "worker_wait": ("over 2 %", "over 10 %", {"worker_wait_share": (0.021, 0.101)}),
    "clock_step": ("over 1 ms", "over 10 ms", {"clock_step_ms": (1.1, 10.1)}),
    "window": ("under 80 %", "under 50 %", {"window_over_asked": (0.79, 0.49)}),
    "stall": ("over 100 ms", "over 500 ms", {"longest_stall_ms": (101.0, 501.0)}),
    "unstamped": ("over 1 %", "over 5 %", {"unstamped_share": (0.011, 0.051)}),
    "turn_wait": ("over 2 %", "over 10 %", {"turn_wait_share": (0.021, 0.101)}),
    "turn_lag": ("over 100 ms", "over 500 ms", {"longest_turn_lag_ms": (101.0, 501.0)}),
}


@pytest.mark.parametrize("sign", LIMITS)
def test_the_limits_told_are_the_limits_judged_by(command: Command, sign: str) -> None:
    suspect, invalid, facts = LIMITS[sign]
    said = json.loads(command("explain", sign, "--json")[1])["formula"]
    assert f"suspect: {suspect}" in said
    assert f"invalid: {invalid}" in said
    ((fact, (first, second)),) = facts.items()
    for value, verdict in ((first, "suspect"), (second, "invalid")):
        (finding,) = judge(Facts(**{fact: value})).findings
        assert (finding.sign, finding.level) == (sign, verdict)
