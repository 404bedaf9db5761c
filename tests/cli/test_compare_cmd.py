"""`results compare` as a user runs it, and a comparison on the screen: words first, exit codes, 80 and 160 columns."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from compared_runs import SLOW, Speed, names, stored_run
from inference_bench.cli.main import run
from inference_bench.cli.utils.comparison_view import print_comparison
from inference_bench.results.comparing import compare_run
from inference_bench.results.comparison import (
    Comparison,
    FairnessNote,
    Pair,
    ServiceScore,
    load_comparison,
    published_json_schema,
)
from inference_bench.results.folder import RunFolder

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Command:
    """Run `results compare …` in tmp_path; return exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def call(*args: str) -> tuple[int, str, str]:
        capfdbinary.readouterr()
        code = run(["results", "compare", *args])
        sys.stdout.flush()
        shown = capfdbinary.readouterr()
        return code, shown.out.decode(), shown.err.decode()

    return call


def two_runs(directory: Path, second: Speed = SLOW) -> tuple[RunFolder, RunFolder]:
    first = stored_run(directory / "results", names("ab"))
    return first, stored_run(directory / "results", names("ab", a=second), seed=8, later=10)


def words(text: str) -> str:
    """Return what was printed with every gap as one space, so that wrapping does not matter."""
    return " ".join(text.split())


def test_a_regression_is_told_and_ends_with_4(command: Command, tmp_path: Path) -> None:
    before, after = two_runs(tmp_path)
    code, out, err = command(f"{before.test_id}/a", f"{after.test_id}/a", "--fail-on-regression", "10")
    assert code == 4
    assert "A/a is 1.60x faster than B/a on TTFT p50" in words(out)
    assert "does not include run-to-run change" in words(out)
    assert f"A {before.test_id}/a B {after.test_id}/a" in words(out)
    failed = out[out.index("Failed") :]
    assert re.search(r"ttft +B/a +TTFT p50 +1\.\d+x +1\.\d+ – 1\.\d+ +1\.1x", failed)
    assert re.search(r"load +B/a +TTFT p95", failed)
    assert "Error: regression of more than 10 % in ttft, load" in err


def test_no_regression_ends_with_0(command: Command, tmp_path: Path) -> None:
    before, after = two_runs(tmp_path, Speed())
    code, out, _ = command(before.test_id, after.test_id, "--fail-on-regression", "10")
    assert code == 0
    assert "No regression of more than 10 % is shown." in out


def test_an_improvement_is_no_regression(command: Command, tmp_path: Path) -> None:
    before, after = two_runs(tmp_path)
    code, out, _ = command(f"{after.test_id}/a", f"{before.test_id}/a", "--fail-on-regression", "5")
    assert code == 0
    assert "B/a is 1.60x faster than A/a on TTFT p50" in words(out)


def test_without_the_gate_a_regression_is_an_answer(command: Command, tmp_path: Path) -> None:
    before, after = two_runs(tmp_path)
    code, out, err = command(before.test_id, after.test_id)
    assert code == 0
    assert "regression" not in words(out + err)


def test_another_metric_decides(command: Command, tmp_path: Path) -> None:
    before, after = two_runs(tmp_path)
    code, out, _ = command(
        before.test_id, after.test_id, "--metric", "e2e_ms.p50", "--fail-on-regression", "10", "--json"
    )
    assert code == 0  # e2e differs by 6 %
    deciding = [pair for pair in json.loads(out)["pairs"] if pair["primary"]]
    assert {(pair["metric"], pair["statistic"]) for pair in deciding} == {("e2e_ms", "p50")}
    code, _, err = command(before.test_id, after.test_id, "--metric", "ttft_ms.p42")
    assert code == 2
    assert "ttft_ms has no 'p42'" in err


def test_json_is_the_comparison_and_says_what_the_gate_said(command: Command, tmp_path: Path) -> None:
    before, after = two_runs(tmp_path)
    code, out, err = command(before.test_id, after.test_id, "--json", "--fail-on-regression", "10")
    assert code == 4
    data = json.loads(out)
    jsonschema.validate(data, published_json_schema(), jsonschema.Draft202012Validator)
    gate = data["design"]["fail_on_regression"]
    assert gate["percent"] == 10
    outcomes = {(one["test"], one["a"]): one["outcome"] for one in gate["outcomes"]}
    assert outcomes == {
        ("ttft", "A/a"): "failed", ("ttft", "A/b"): "held", ("load", "A/a"): "failed", ("load", "A/b"): "held",
    }  # fmt: skip
    assert "Error: regression" in err


def test_what_is_saved_can_be_read_again(command: Command, tmp_path: Path) -> None:
    before, after = two_runs(tmp_path)
    code, out, err = command(before.test_id, after.test_id, "--json", "--save", "c.json")
    assert code == 0
    found = load_comparison(tmp_path / "c.json")
    assert found.scope == "between_runs"
    assert json.loads(out) == found.model_dump(mode="json")
    assert "visualize c.json" in err
    code, _, err = command(before.test_id, after.test_id, "--save", "no/such/folder/c.json")
    assert code == 2
    assert "cannot write no/such/folder/c.json" in err


def test_several_runs_a_side(command: Command, tmp_path: Path) -> None:
    results = tmp_path / "results"
    ids = [
        [stored_run(results, names("ab", a=speed), seed=seed, blocks=9, rounds=None).test_id for seed in seeds]
        for speed, seeds in ((Speed(), (1, 2, 3)), (SLOW, (4, 5, 6)))
    ]
    code, out, _ = command(f"{','.join(ids[0])}/a", f"{','.join(ids[1])}/a", "--fail-on-regression", "20")
    assert code == 4
    assert "Blocks: ttft 3 runs" in words(out)
    assert "does not include" not in words(out)


def test_a_gate_that_cannot_be_judged_trips(command: Command, tmp_path: Path) -> None:
    results = tmp_path / "results"
    ids = [stored_run(results, names("a"), seed=seed, blocks=2, rounds=None).test_id for seed in (1, 2)]
    code, _, err = command(*ids, "--fail-on-regression", "10")
    assert code == 4
    assert "not held against the limit: ttft: 2 blocks on a side; 3 are needed" in err
    assert "no test could be held against" in err


def test_paths_and_another_directory(command: Command, tmp_path: Path) -> None:
    before, after = two_runs(tmp_path)
    assert command(f"results/{before.test_id}/b", str(after.path))[0] == 0
    (tmp_path / "results").rename(tmp_path / "elsewhere")
    assert command(before.test_id, after.test_id)[0] == 2
    assert command(before.test_id, after.test_id, "--dir", "elsewhere")[0] == 0


def test_what_cannot_be_compared_is_one_clear_line(command: Command, tmp_path: Path) -> None:
    before, after = two_runs(tmp_path)
    silent = stored_run(tmp_path / "results", names("a", a=Speed(failing=100)), seed=9, later=20)
    other = stored_run(tmp_path / "results", names("ab"), blocks=None, seed=9, later=30)
    ttft = stored_run(tmp_path / "results", names("ab"), rounds=None, seed=9, later=40)
    for args, code, said in (
        (("nothing", after.test_id), 2, "no run 'nothing'"),
        ((f"{before.test_id}/x", after.test_id), 2, "has no service 'x'"),
        ((other.test_id, ttft.test_id), 2, "no test in common"),
        ((before.test_id, before.test_id), 2, "the same measurement"),
        ((f"{before.test_id}/a", silent.test_id), 3, "a answered no request"),
        ((before.test_id, after.test_id, "--fail-on-regression", "-1"), 2, "-1"),
    ):
        got, out, err = command(*args)
        assert (got, out) == (code, ""), err
        assert said in err
        assert sum(line.startswith("Error: ") for line in err.splitlines()) == 1


# --- on the screen ---


def shown(
    comparison: Comparison, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.delenv("NO_COLOR", raising=False)
    print_comparison(comparison)
    return capsys.readouterr().out


@pytest.mark.parametrize("columns", [80, 160])
@pytest.mark.parametrize("colour", [False, True])
def test_it_fits_the_screen(
    columns: int, colour: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if colour:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm-256color")
    else:
        monkeypatch.delenv("FORCE_COLOR", raising=False)
    found = compare_run(stored_run(tmp_path, names(["vllm-production", "tgi", "ollama"], ollama=SLOW), simulated=True))
    out = shown(found, columns, monkeypatch, capsys)
    assert ("\x1b[" in out) == colour
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out)
    assert max(len(line) for line in plain.splitlines()) <= columns
    text = words(plain)
    assert "SIMULATED" in text
    order = ["is 1.6", "verall winner", "Ratio", "* decides", "Fairness"]
    assert [text.index(part) for part in order] == sorted(text.index(part) for part in order)
    assert "within this run" not in text
    assert "equivalent within 5 % on TTFT p50" in text


def test_scores_and_their_absence_are_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = ServiceScore(latency=1.0, throughput=0.5, reliability=0.99, overall=0.847)
    part = ServiceScore(latency=0.25, reliability=1.0, reason="no reference for throughput")
    made = Comparison(
        test_id="t", simulated=False, scores={"load": {"a": whole, "b": part}}, winners={"overall": None},
        winner_reasons={"overall": "one service: there is nothing to compare it with"},
    )  # fmt: skip
    out = shown(made, 100, monkeypatch, capsys)
    rows = [line.split() for line in out.splitlines()]
    assert ["load", "a", "1.00", "0.50", "0.99", "0.85"] in rows
    assert ["b", "0.25", "–", "1.00", "–"] in rows
    assert "no reference for throughput" in out
    assert "No overall winner: one service: there is nothing to compare it with." in out


def test_what_servers_said_is_shown_and_never_obeyed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nasty = "[bold]x[/bold]\x1b[31m\x07<script>\u202e"
    pair = Pair(test=nasty, metric="ttft_ms", statistic="p50", primary=True, a=nasty, b="b", verdict="not_comparable",
                reason=nasty)  # fmt: skip
    made = Comparison(
        test_id="t", simulated=False, pairs=(pair, pair.model_copy(update={"primary": False})),
        winners={"overall": nasty}, scores={nasty: {nasty: ServiceScore(reason=nasty)}},
        fairness=(FairnessNote(code="x", weight="warning", test=nasty, text=nasty),),
    )  # fmt: skip
    out = shown(made, 160, monkeypatch, capsys)
    assert "[bold]x[/bold]" in out
    assert "<script>" in out
    assert not set("\x1b\x07\u202e") & set(out)


def test_a_comparison_of_nothing_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    made = Comparison(test_id="t", simulated=False, winners={"overall": None})
    assert words(shown(made, 80, monkeypatch, capsys)) == "Comparison No overall winner."
