"""What a report says in which state of a run: the verdict, what must be known before it, the figures behind it."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from report_runs import PRICED, hostile_run, judge, small_run, summary_of

from drawn_runs import SERVICES, drawn_run, opened
from inference_bench.reporting.facts import read_stored, run_report
from inference_bench.reporting.view import Report, Table
from inference_bench.results.comparing import write_comparison_of
from inference_bench.results.comparison import (
    Comparison,
    FairnessNote,
    Pair,
    PairVerdict,
    ServiceScore,
    write_comparison,
)
from inference_bench.results.design import Design, Look, Sequential
from inference_bench.results.finalise import REQUESTS
from inference_bench.results.folder import Run
from inference_bench.results.gates import parse_gates, write_gates_of
from inference_bench.results.summary import Validity
from inference_bench.results.summary_parts import UpperTail

BAD = Validity(verdict="invalid", reasons=("vllm: send lag p99 was 14 ms, over 10 ms",))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return drawn_run(tmp_path_factory.mktemp("whole"), simulated=True, config=PRICED)


@pytest.fixture
def small(tmp_path: Path) -> Run:
    return small_run(tmp_path)


def said(report: Report) -> str:
    return " ".join(report.verdict.sentences)


def banner(report: Report, words: str) -> str:
    return next(one.text for one in report.banners if words in one.title)


def compared(run: Run, *pairs: Pair, winner: str | None = None, reason: str = "because", **more: object) -> Report:
    """Return the report of a run that has this comparison."""
    found = Comparison(
        test_id=run.folder.test_id,
        simulated=False,
        pairs=pairs,
        winners={"overall": winner},
        winner_reasons={"overall": reason},
        design={"min_effect": 0.05, "confidence": 0.95, "tests": {"ttft": {"unit": "block"}}},
        **more,  # type: ignore[arg-type]
    )
    write_comparison(run.folder, found)
    return run_report(run)


def pair(verdict: PairVerdict, *, low: float, ratio: float, high: float, **fields: object) -> Pair:
    data: dict[str, object] = {"test": "ttft", "metric": "ttft_ms", "statistic": "p50", "primary": True}
    data |= {"a": "vllm", "b": "tgi", "ratio": ratio, "ci_low": low, "ci_high": high, "confidence": 0.975}
    data |= {"p": 0.01, "p_adjusted": 0.02, "verdict": verdict, "blocks": 12}
    return Pair.model_validate(data | fields)


def cells(table: Table | None, label: str) -> list[str]:
    assert table is not None
    return next([cell.text for cell in row.cells] for row in table.rows if row.label == label and row.cells)


def test_a_winner_is_named_in_two_sentences_with_how_sure_that_is(whole: Run) -> None:
    report = run_report(whole)
    assert report.verdict.headline == "vllm is better"
    assert report.verdict.winner == 0
    assert len(report.verdict.sentences) == 2
    assert "Overall winner: vllm" in said(report)
    assert "CI" in said(report)
    assert all(sentence.endswith(".") for sentence in report.verdict.sentences)
    labels = [point.label for point in report.verdict.sure]
    assert labels[:3] == ["Evidence", "Decided", "Error rate"]
    assert "does not include run-to-run change" in report.verdict.sure[-1].text


def test_simulated_stands_first(whole: Run) -> None:
    report = run_report(whole)
    assert report.simulated
    assert report.banners[0].tone == "simulated"


@pytest.mark.parametrize(
    ("verdict", "ends", "headline", "words"),
    [
        ("better", (0.5, 0.6, 0.7), "No overall winner", "1.67x faster than tgi"),
        ("equivalent", (0.98, 1.0, 1.02), "The services are equivalent", "equivalent within 5 %"),
        ("no_difference_shown", (0.8, 0.95, 1.2), "No difference shown", "about 90 more blocks"),
    ],
)
def test_without_a_winner_the_verdict_says_which_answer_there_is(
    small: Run, verdict: PairVerdict, ends: tuple[float, float, float], headline: str, words: str
) -> None:
    low, ratio, high = ends
    needed = 90 if verdict == "no_difference_shown" else None
    better = "vllm" if verdict == "better" else None
    report = compared(small, pair(verdict, low=low, ratio=ratio, high=high, needed_n=needed, better=better))
    assert report.verdict.headline == headline
    assert report.verdict.winner is None
    assert words in said(report)
    assert any("90 more blocks" in point.text for point in report.verdict.sure) == (needed is not None)


def test_intervals_are_drawn_towards_the_better_service(small: Run) -> None:
    faster = pair("better", low=0.5, ratio=0.6, high=0.7, better="vllm")
    slower = pair("better", low=1.5, ratio=2.0, high=3.0, better="tgi")
    more = pair(
        "better", low=1.5, ratio=2.0, high=3.0, better="vllm", metric="requests_per_s", statistic=None, test="few"
    )
    report = compared(small, faster, slower, more)
    places = [contest.interval for contest in report.contests]
    assert report.axis is not None
    for place, left in zip(places, (True, False, True), strict=True):
        assert place is not None
        assert 0 <= place.low <= place.middle <= place.high <= 100
        assert (place.high < report.axis.band[0]) is left
        assert (place.low > report.axis.band[1]) is not left


def test_an_invalid_run_names_no_winner_anywhere(whole: Run, tmp_path: Path) -> None:
    run = small_run(tmp_path)
    judge(run, BAD)
    write_comparison_of(run.folder)
    report = run_report(run)
    assert report.verdict.headline == "No verdict: the run is invalid"
    assert "send lag" in banner(report, "Invalid")
    assert report.verdict.winner is None
    assert not any(contest.kind == "better" for contest in report.contests)
    assert {"invalid"} == {test.validity for test in report.tests}
    assert run_report(whole).contests[0].kind == "better"


def test_one_invalid_test_leaves_no_overall_winner(small: Run) -> None:
    judge(small, BAD, ["few"])
    report = run_report(small)
    assert "few" in next(one.title for one in report.banners if one.title.startswith("Invalid"))
    assert report.verdict.winner is None
    assert "few is invalid" in said(report)


def test_a_service_without_a_good_answer_is_said_and_has_its_errors(tmp_path: Path) -> None:
    report = run_report(small_run(tmp_path, failing=["tgi"]))
    assert report.verdict.headline == "tgi did not answer"
    assert "Not one of the" in said(report)
    assert "vllm" in said(report)
    for test in report.tests:
        assert any("tgi answered not one" in words for words in test.silent)
        assert test.errors is not None
        assert {row.label for row in test.errors.rows} <= {"timeout", "http_5xx"}
        assert cells(test.figures, "TTFT p50, ms")[1] == "–"


def test_a_run_that_nobody_answered_is_told_too(tmp_path: Path) -> None:
    report = run_report(small_run(tmp_path, failing=SERVICES))
    assert report.verdict.headline == "No service answered"
    assert report.bars == ()


def test_one_service_has_figures_and_nothing_to_compare_with(tmp_path: Path) -> None:
    report = run_report(small_run(tmp_path, services=["vllm"]))
    assert report.verdict.headline == "One service was measured"
    assert "ms (n 12)" in said(report)
    assert report.contests == ()
    assert report.bars
    assert "interleaved" not in report.tests[0].load


def test_a_run_without_a_test_says_so(tmp_path: Path) -> None:
    report = run_report(small_run(tmp_path, blocks=0, requests=0))
    assert report.verdict.headline == "Nothing was measured"
    assert report.services
    assert report.tests == ()


@pytest.mark.parametrize(
    ("status", "title"),
    [("partial", "did not run to its end"), ("failed", "failed"), ("running", "did not run to its")],
)
def test_the_status_stands_above_the_figures(small: Run, status: str, title: str) -> None:
    small.folder.update(lambda manifest: manifest.model_copy(update={"status": status}))
    assert banner(run_report(opened(small.folder)), title)
    assert any(title in one.title for one in run_report(opened(small.folder)).banners)


def test_a_planned_test_without_results_is_named(small: Run) -> None:
    planned = small.manifest.plan[0].model_copy(update={"name": "later"})
    run = Run(small.folder, small.manifest.model_copy(update={"plan": (*small.manifest.plan, planned)}))
    assert "later" in banner(run_report(run), "Not measured")


def test_an_older_run_is_compared_from_its_records_and_nothing_is_written(small: Run) -> None:
    assert not small.folder.file("comparison.json").exists()
    assert run_report(small).contests
    assert not small.folder.file("comparison.json").exists()
    small.folder.file(REQUESTS).unlink()
    report = run_report(small)
    assert report.contests == ()
    assert REQUESTS in banner(report, "No comparison")
    assert report.tests[0].figures is not None


def test_figures_are_those_of_the_summary_with_n_and_interval(whole: Run) -> None:
    report, summary = run_report(whole), summary_of(whole)
    for test, found in zip(report.tests, summary.tests, strict=True):
        assert test.figures is not None
        row = next(row for row in test.figures.rows if row.label == "TTFT p50, ms" and row.cells)
        for cell, service in zip(row.cells, found.services.values(), strict=True):
            figures = service.metrics["ttft_ms"]
            assert isinstance(figures, UpperTail)
            assert figures.p50 is not None
            assert float(cell.text.replace(",", "")) == pytest.approx(figures.p50, rel=0.01)
            assert f"n {figures.n:,}" in cell.below
            assert " – " in cell.below


def test_a_missing_figure_says_why(whole: Run) -> None:
    row = next(
        row for row in (run_report(whole).tests[0].figures or Table("", (), ())).rows if row.label == "TTFT p99, ms"
    )
    assert {cell.text for cell in row.cells} == {"–"}
    assert all("needs n 100" in cell.below for cell in row.cells)


def test_targets_are_reported_and_promises_gate(tmp_path: Path) -> None:
    run = small_run(tmp_path, config=PRICED)
    write_gates_of(run.folder, parse_gates(["few:vllm.ttft_ms.p50 > 1", "tgi.success_rate < 0.01"]))
    report = run_report(run)
    assert "failed" in report.gates_said
    assert report.gates is not None
    assert any(row.label.startswith("few:vllm") and row.cells[0].text == "failed" for row in report.gates.rows)
    ttft = report.tests[0].promises
    assert cells(ttft, "vllm: TTFT p50 at most 100 ms")[0] == "met"
    few = report.tests[1].promises
    assert cells(few, "ollama: End to end p95 at most 400 ms")[0] in ("met", "missed")
    assert cells(few, "vllm.goodput.attainment >= 0.9")[0] == "held"
    assert cells(few, "ollama.goodput.attainment >= 0.9")[0] == "failed"


def test_scores_without_a_part_have_no_overall_and_say_why(small: Run) -> None:
    scores = {"ttft": {"vllm": ServiceScore(latency=0.5, reliability=1.0, reason="no reference for throughput")}}
    report = compared(small, scores=scores)
    assert cells(report.scores, "vllm") == ["0.50", "–", "1.00", "–"]
    assert report.score_notes == ("ttft: no reference for throughput",)


def test_fairness_warnings_stand_before_notes(small: Run) -> None:
    notes = (
        FairnessNote(code="a", text="A note."),
        FairnessNote(code="b", weight="warning", text="A warning.", test="ttft"),
    )
    assert [note.weight for note in compared(small, fairness=notes).fairness] == ["warning", "note"]


def test_only_what_decides_names_a_winner(whole: Run) -> None:
    for test in run_report(whole).tests:
        assert test.comparison is not None
        for row in test.comparison.rows:
            if row.cells and not row.strong:
                assert not any(name in row.cells[0].text for name in SERVICES), row


def test_texts_of_others_are_one_bounded_line(tmp_path: Path) -> None:
    report = run_report(hostile_run(tmp_path))
    texts = [report.title, *(point.text for one in report.services for point in (*one.rows, *one.told))]
    texts += [point.label for one in report.services for point in one.told]
    texts += [point.text for point in report.method] + [one.text for one in report.banners]
    assert any("owned" in text for text in texts)
    for text in texts:
        assert text.isprintable(), text
        assert len(text) <= 1500


def test_facts_of_a_server_are_bounded_in_number(small: Run) -> None:
    facts = small.manifest.services[0].model_copy(update={"said": {f"k{number}": "x" * 5000 for number in range(300)}})
    run = Run(small.folder, small.manifest.model_copy(update={"services": (facts, *small.manifest.services[1:])}))
    told = run_report(run, read_stored(small)).services[0].told
    assert len(told) == 41
    assert "260 more" in told[-1].text
    assert all(len(point.text) < 400 for point in told)


def test_a_run_that_went_on_until_it_was_decided_tells_its_looks_and_its_error_rate(small: Run) -> None:
    looks = (
        Look(look=1, alpha=0.025, blocks={"ttft": 12}, undecided=("ttft",)),
        Look(look=2, alpha=0.0083, blocks={"ttft": 24}, stopped="decided"),
    )
    sequential = Sequential(alpha=0.05, budget_seconds=60.0, looks=looks)
    design = Design(seed=1, nonce="n", services=SERVICES, sequential=sequential)
    small.folder.update(lambda manifest: manifest.model_copy(update={"design": design}))
    report = run_report(opened(small.folder))
    points = {point.label: point.text for point in report.method}
    assert "Lan and DeMets" in points["Until decided"]
    assert "undecided: ttft" in points["Look 1"]
    assert "(decided)" in points["Look 2"]
    assert any("5 % false verdicts over all comparisons and all 2 looks" in one.text for one in report.verdict.sure)


def sections(report: Report) -> Sequence[str]:
    return [point.label for point in report.method]


def test_the_method_says_seed_nonce_stamps_and_how_it_was_decided(whole: Run) -> None:
    report = run_report(whole)
    text = " ".join(point.text for point in report.method)
    assert f"seed {whole.manifest.seed}" in text
    assert whole.manifest.nonce in text
    assert "kernel" in text
    assert {"Verdicts", "Estimate", "Many questions"} <= set(sections(report))
    assert {"ttft_ms", "e2e_ms"} <= {one.id for one in report.definitions}
    assert any("run-to-run" in limit for limit in report.limits)
