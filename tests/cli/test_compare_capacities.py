"""`results compare` of two runs that searched capacities: the screen at two widths, JSON, the gate, the report."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import pytest

from inference_bench.cli.main import run
from inference_bench.results.comparison import published_json_schema
from searched_runs import capacity, facts, searched_run

SHAPE = {"name": "knee", "arrivals": "closed", "concurrent_users": 4, "duration_seconds": 60.0, "rounds": 3}
Command = Callable[..., tuple[int, str, str]]


class Searches(NamedTuple):
    """Five runs: one before, one after a loss, one that asks for other lengths, one with a hostile name of a test, one
    that keeps its promises at no load.
    """

    before: str
    after: str
    other: str
    hostile: str
    none: str


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Searches:
    directory = tmp_path_factory.mktemp("searches")

    def made(nonce: str, vllm: Any, tgi: Any, *, max_tokens: int = 64, test: str = "knee") -> str:
        config = {"load_tests": [{**SHAPE, "name": test, "max_tokens": max_tokens}]}
        found = facts({"vllm": vllm, "tgi": tgi}, test=test)
        return str(searched_run(directory, found, config=config, nonce=nonce * 16).folder.path)

    before, after = capacity(40, 40, 42), capacity(30, 30, 31)
    alike = capacity(8, 7, 9), capacity(9, 8, 10)
    return Searches(
        made("1", before, alike[0]),
        made("2", after, alike[1]),
        made("3", after, alike[1], max_tokens=256),
        made("4", before, alike[0], test="[bold]kn\x1b[31mee"),
        made("5", capacity(None, None, 1), alike[1]),
    )


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run a command at a width; return exit code, stdout, stderr."""
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def call(*args: str, columns: int = 80) -> tuple[int, str, str]:
        monkeypatch.setenv("COLUMNS", str(columns))
        capfd.readouterr()
        code = run([*args])
        sys.stdout.flush()
        return code, *capfd.readouterr()

    return call


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("columns", [80, 160])
def test_both_answers_the_change_and_the_verdict_are_shown(command: Command, stored: Searches, columns: int) -> None:
    code, out, _ = command("results", "compare", stored.before, stored.after, columns=columns)
    assert code == 0
    assert max(map(len, out.splitlines())) <= max(columns, len(stored.before) + 3)
    said = words(out)
    assert (
        "knee: B/vllm carries less than A/vllm: 30 users (30 to 31) against 40 users (40 to 42); "
        "change -25 % (-26.8 to -25); does not include run-to-run change."
    ) in said
    assert "knee: the capacities of A/tgi and B/tgi are not told apart: 8 users (7 to 9) against 9 users" in said
    assert "A change of capacity is claimed only where the intervals do not overlap." in said
    if columns == 160:
        assert "knee vllm 40 users (40 to 42) 30 users (30 to 31) -25 % (-26.8 to -25) B less" in said


def test_a_loss_beyond_the_limit_is_a_regression_and_ends_with_4(command: Command, stored: Searches) -> None:
    code, out, err = command("results", "compare", stored.before, stored.after, "--fail-on-regression", "20")
    assert code == 4
    assert "knee B/vllm capacity 1.33x 1.33 – 1.37 1.2x" in words(out)
    assert "regression of more than 20 % in knee" in err
    assert command("results", "compare", stored.before, stored.after, "--fail-on-regression", "34")[0] == 0
    assert command("results", "compare", stored.after, stored.before, "--fail-on-regression", "0")[0] == 0


def test_json_holds_the_pairs_and_what_the_gate_said(command: Command, stored: Searches) -> None:
    code, out, _ = command("results", "compare", stored.before, stored.after, "--json", "--fail-on-regression", "20")
    assert code == 4
    data = json.loads(out)
    jsonschema.validate(data, published_json_schema(), jsonschema.Draft202012Validator)
    vllm, tgi = data["capacities"]
    assert (vllm["verdict"], vllm["better"], vllm["change_percent"]) == ("better", "A/vllm", -25)
    assert (vllm["found_b"]["low"], vllm["found_b"]["high"], tgi["verdict"]) == (30, 31, "not_told_apart")
    outcomes = data["design"]["fail_on_regression"]["outcomes"]
    assert [(one["what"], one["a"], one["outcome"]) for one in outcomes] == [
        ("capacity", "A/vllm", "failed"),
        ("capacity", "A/tgi", "held"),
    ]


def test_other_load_tests_are_not_compared_and_the_gate_says_that_it_could_not_judge(
    command: Command, stored: Searches
) -> None:
    code, out, err = command("results", "compare", stored.before, stored.other, "--fail-on-regression", "20")
    assert code == 4
    assert "are not comparable: the load tests differ: max_tokens (A 64, B 256)." in words(out)
    assert "not held against the limit: knee capacity" in words(err)
    assert "no test could be held against --fail-on-regression 20 Hint: Search again, to the end" in words(err)


def test_a_service_that_carries_nothing_any_more_has_lost_its_capacity(command: Command, stored: Searches) -> None:
    code, out, err = command("results", "compare", stored.before, stored.none, "--fail-on-regression", "900")
    assert code == 4
    assert "B/vllm carries less than A/vllm: not even 1 user against 40 users (40 to 42)" in words(out)
    assert "knee B/vllm capacity carries none 10x" in words(out)
    assert "regression of more than 900 % in knee" in words(err)


def test_what_a_file_calls_its_search_is_shown_as_text(command: Command, stored: Searches) -> None:
    code, out, _ = command("results", "compare", stored.before, stored.hostile, columns=160)
    assert code == 0
    assert "\x1b" not in out
    assert "[bold]kn" in out
    assert "holds no search of knee" in words(out)


def test_a_saved_comparison_of_capacities_is_a_report(command: Command, stored: Searches, tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    assert command("results", "compare", stored.before, stored.after, "--save", str(file))[0] == 0
    assert command("visualize", str(file))[0] == 0
    for name in ("c_report.html", "c_report.md"):
        shown = (tmp_path / name).read_text()
        assert "B carries less in 1 of 2 capacities" in shown
        assert "knee: B/vllm carries less than A/vllm" in shown
        assert "Intervals hold within these runs: the comparison" in shown
        # What is said of metrics, their ratios and p values, says nothing of capacities.
        assert not any(words in shown for words in ("Ratio:", "adjusted p", "The log of the ratio"))
