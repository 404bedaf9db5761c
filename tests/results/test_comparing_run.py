"""A run folder becomes a comparison: verdicts, blocks and slices, what is not comparable, who wins, what is written."""

import json
import math
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from compared_runs import SECONDS, SLOW, Speed, names, pair_of, stored_run, summary_of
from inference_bench.errors import RunFolderError
from inference_bench.metrics import MetricsCalculator
from inference_bench.results.comparing import compare_run, write_comparison_of
from inference_bench.results.comparing_blocks import MOST_SLICES, measured, split_alike
from inference_bench.results.comparison import published_json_schema, read_comparison
from inference_bench.results.summary import read_summary
from inference_bench.results.tables import load_chunks, load_requests
from inference_bench.results.values import value_of


def test_the_faster_service_is_better_and_wins(tmp_path: Path) -> None:
    folder = stored_run(tmp_path, names("ab", b=SLOW))
    found = compare_run(folder)
    ttft = pair_of(found, "ttft", "ttft_ms.p50")
    assert (ttft.primary, ttft.verdict, ttft.better, ttft.blocks) == (True, "better", "a", 40)
    assert ttft.ratio == pytest.approx(50 / 80, rel=0.03)
    assert ttft.ci_low is not None
    assert ttft.ci_high is not None
    assert ttft.ci_low < 50 / 80 < ttft.ci_high
    load = pair_of(found, "load", "ttft_ms.p95")
    assert (load.primary, load.verdict, load.better, load.blocks) == (True, "better", "a", 4)
    assert found.winners == {"ttft": "a", "load": "a", "overall": "a"}
    assert found.winner_reasons["overall"] == "better on both primary comparisons"
    assert [pair.test for pair in found.primary_pairs] == ["ttft", "load"]


def test_values_are_those_of_the_summary(tmp_path: Path) -> None:
    folder = stored_run(tmp_path, names("ab", b=SLOW))
    found = compare_run(folder)
    for service, side in (("a", "value_a"), ("b", "value_b")):
        figures = summary_of(folder, "load", service)
        assert getattr(pair_of(found, "load", "ttft_ms.p95"), side) == value_of(figures, "ttft_ms.p95")
        rates = figures.throughput
        assert getattr(pair_of(found, "load", "requests_per_s"), side) == rates.requests_per_s
    assert pair_of(found, "load", "requests_per_s").unit == "1/s"


def test_the_ratio_is_that_of_the_blocks(tmp_path: Path) -> None:
    folder = stored_run(tmp_path, names("ab", b=SLOW), blocks=9, rounds=None)
    per_block = []
    for name in "ab":
        rows = load_requests(folder, test="ttft", service=name)
        taken = (rows.column("first_token_ns").to_numpy() - rows.column("sent_ns").to_numpy()) / 1e6
        per_block.append(taken[np.argsort(rows.column("block").to_numpy())])
    ratio = pair_of(compare_run(folder), "ttft", "ttft_ms.p50").ratio
    assert ratio == pytest.approx(math.exp(np.mean(np.log(per_block[0] / per_block[1]))))


def test_equal_services_are_equivalent_and_nobody_wins(tmp_path: Path) -> None:
    found = compare_run(stored_run(tmp_path, names("ab")))
    assert {pair.verdict for pair in found.primary_pairs} == {"equivalent"}
    assert found.winners == {"ttft": None, "load": None, "overall": None}
    assert found.winner_reasons["overall"] == "equivalent"


def test_noise_shows_no_difference_and_says_what_it_would_take(tmp_path: Path) -> None:
    noisy = Speed(noise=0.4)
    found = compare_run(stored_run(tmp_path, {"a": noisy, "b": noisy}, blocks=12, rounds=None))
    pair = pair_of(found, "ttft", "ttft_ms.p50")
    assert (pair.verdict, pair.better) == ("no_difference_shown", None)
    assert pair.needed_n is not None
    assert pair.needed_n > 100
    assert found.winner_reasons["ttft"] == "no difference shown"


def test_three_services_are_compared_two_by_two_as_one_family(tmp_path: Path) -> None:
    found = compare_run(stored_run(tmp_path, names("abc", a=Speed(ttft=30, e2e=480), c=SLOW)))
    assert [(pair.test, pair.a, pair.b) for pair in found.primary_pairs] == [
        (test, a, b) for test in ("ttft", "load") for a, b in (("a", "b"), ("a", "c"), ("b", "c"))
    ]
    assert found.design["family"] == 6
    smallest = min(found.primary_pairs, key=lambda pair: pair.p or 0)
    assert smallest.p is not None
    assert smallest.p_adjusted == pytest.approx(6 * smallest.p)
    assert smallest.confidence == pytest.approx(1 - 0.05 / 6)
    for pair in found.pairs:
        if not pair.primary and pair.p is not None:
            assert pair.p_adjusted == pair.p
            assert pair.confidence == pytest.approx(0.95)
    assert found.winners == {"ttft": "a", "load": "a", "overall": "a"}


def test_a_service_that_is_beaten_somewhere_does_not_win_the_run(tmp_path: Path) -> None:
    folder = stored_run(tmp_path, names("ab", b=SLOW))
    found = compare_run(folder)
    assert found.winners["overall"] == "a"
    mixed = stored_run(tmp_path, names("ab", b=SLOW), config={"comparison": {"primary": "tpot_ms.p50"}})
    found = compare_run(mixed)
    assert all(pair.metric == "tpot_ms" for pair in found.primary_pairs)
    assert len(found.primary_pairs) == 2


def test_a_run_of_one_service_says_so(tmp_path: Path) -> None:
    folder = stored_run(tmp_path, names("a"))
    found = write_comparison_of(folder)
    assert found.pairs == ()
    assert found.winners == {"ttft": None, "load": None, "overall": None}
    assert "one service" in found.winner_reasons["overall"]
    assert read_comparison(folder) == found


def test_exploratory_figures_name_no_winner(tmp_path: Path) -> None:
    """e2e and ttft of c are far better; only the primary metric, on which they are equal, decides."""
    config = {"comparison": {"primary": "tpot_ms.p50"}}
    same_pace = names("ab", a=Speed(ttft=50, e2e=500), b=Speed(ttft=150, e2e=600))
    found = compare_run(stored_run(tmp_path, same_pace, config=config))
    assert pair_of(found, "ttft", "ttft_ms.p50").better == "a"
    assert not pair_of(found, "ttft", "ttft_ms.p50").primary
    assert found.winners["overall"] is None


# --- blocks ---


def test_a_single_round_is_cut_into_slices_and_says_so(tmp_path: Path) -> None:
    found = compare_run(stored_run(tmp_path, names("ab", b=SLOW), blocks=None, rounds=1, requests=100))
    pair = pair_of(found, "load", "ttft_ms.p95")
    # 10 s in slices of at least three median answers (0.53 s) of the slower one: six.
    assert (pair.verdict, pair.blocks) == ("better", int(SECONDS // (3 * 0.531)))
    assert pair.reason == "within this run only: 1 round cut into 6 slices"
    test = found.design["tests"]
    assert isinstance(test, dict)
    assert isinstance(test["load"], dict)
    assert (test["load"]["unit"], test["load"]["within_run_only"]) == ("slice", True)
    rate = pair_of(found, "load", "requests_per_s")
    assert rate.verdict == "not_comparable"
    assert rate.reason is not None
    assert rate.reason.endswith("1 of the 3 rounds needed")


def test_slices_are_paired_equal_and_hold_every_request_of_the_window(tmp_path: Path) -> None:
    folder = stored_run(tmp_path, names("ab", b=SLOW), blocks=None, rounds=2, requests=50)
    manifest, summary = folder.read_manifest(), read_summary(folder)
    assert summary is not None
    services = [
        measured(folder, manifest, manifest.plan[0], name, summary.tests[0].services[name]) for name in ("a", "b")
    ]
    split = split_alike(services[0], services[1])
    assert split[0].count == split[1].count == 12
    for service, blocks in zip(services, split, strict=True):
        inside = blocks.groups[blocks.groups >= 0]
        assert np.bincount(inside).sum() == 100
        lengths = {window.end_ns - window.start_ns for window in blocks.windows}
        assert max(lengths) - min(lengths) <= 1
        per_block = service.calculator.grouped("ttft_ms", blocks.groups, blocks.count)
        assert sorted(np.concatenate(per_block)) == sorted(service.calculator.values("ttft_ms"))


def test_a_long_window_is_not_cut_finer_than_is_of_use(tmp_path: Path) -> None:
    quick = Speed(ttft=5, e2e=20)
    found = compare_run(stored_run(tmp_path, {"a": quick, "b": quick}, blocks=None, rounds=1, requests=200))
    assert pair_of(found, "load", "ttft_ms.p95").blocks == MOST_SLICES


def test_a_window_too_short_for_slices_is_not_comparable(tmp_path: Path) -> None:
    slow = Speed(ttft=100, e2e=3000)
    found = compare_run(stored_run(tmp_path, {"a": slow, "b": slow}, blocks=None, rounds=1, requests=100))
    pair = pair_of(found, "load", "ttft_ms.p95")
    assert pair.verdict == "not_comparable"
    assert pair.reason is not None
    assert "in 1 round there is room for 1 slice of 3 median answers" in pair.reason
    assert "3 are needed" in pair.reason


def test_warm_ups_failures_and_what_lies_outside_the_window_do_not_count(tmp_path: Path) -> None:
    folder = stored_run(tmp_path, names("ab", a=Speed(failing=40), b=Speed(failing=40)), blocks=None, seed=3)
    manifest, summary = folder.read_manifest(), read_summary(folder)
    assert summary is not None
    service = measured(folder, manifest, manifest.plan[0], "a", summary.tests[0].services["a"])
    blocks = split_alike(service, service)[0]
    per_round = service.calculator.grouped("ttft_ms", blocks.groups, blocks.count)
    assert sum(part.size for part in per_round) == summary.tests[0].services["a"].requests.ok < 4 * 60


def test_gaps_are_grouped_by_the_request_they_belong_to(tmp_path: Path) -> None:
    folder = stored_run(tmp_path, names("ab"), blocks=None)
    manifest, summary = folder.read_manifest(), read_summary(folder)
    assert summary is not None
    service = measured(folder, manifest, manifest.plan[0], "a", summary.tests[0].services["a"])
    blocks = split_alike(service, service)[0]
    for metric in ("icl_ms", "itl_ms"):
        per_round = service.calculator.grouped(metric, blocks.groups, blocks.count)
        assert [part.size for part in per_round] == [60 * 4] * 4
        alone = []
        for window in service.windows:
            bounds = [(window.start_ns, window.end_ns)]
            rows = load_requests(folder, test="load", service="a")
            alone.append(MetricsCalculator(rows, load_chunks(folder, rows), windows=bounds).values(metric))
        for part, expected in zip(per_round, alone, strict=True):
            assert sorted(part) == sorted(expected)


# --- settings and files ---


def test_the_settings_are_used(tmp_path: Path) -> None:
    config = {"comparison": {"min_effect": 0.9, "confidence": 0.9, "primary": None}}
    found = compare_run(stored_run(tmp_path, names("ab", b=SLOW), rounds=None, config=config))
    pair = pair_of(found, "ttft", "ttft_ms.p50")
    assert pair.verdict == "equivalent"
    assert pair.confidence == pytest.approx(0.9)
    assert (found.design["min_effect"], found.design["confidence"]) == (0.9, 0.9)


def test_a_look_is_judged_at_its_own_level(tmp_path: Path) -> None:
    folder = stored_run(tmp_path, names("ab", b=SLOW), rounds=None)
    assert pair_of(compare_run(folder, alpha=0.025), "ttft", "ttft_ms.p50").confidence == pytest.approx(0.975)


def test_the_design_is_told(tmp_path: Path) -> None:
    design = compare_run(stored_run(tmp_path, names("ab"))).design
    assert (design["seed"], design["nonce"], design["multiplicity"], design["family"]) == (7, "n7", "holm", 2)
    assert design["run_to_run"] is False
    assert "does not include run-to-run change" in str(design["reach"])
    tests = design["tests"]
    assert isinstance(tests, dict)
    ttft, load = tests["ttft"], tests["load"]
    assert isinstance(ttft, dict)
    assert isinstance(load, dict)
    assert (ttft["unit"], ttft["blocks"], ttft["primary"]) == ("block", 40, "ttft_ms.p50")
    assert (load["unit"], load["blocks"], load["rounds"], load["primary"]) == ("round", 4, 4, "ttft_ms.p95")


def test_the_same_run_gives_the_same_comparison(tmp_path: Path) -> None:
    folder = stored_run(tmp_path, names("ab", b=SLOW))
    assert compare_run(folder) == compare_run(folder)


@pytest.mark.parametrize("services", [names("a"), names("ab", b=SLOW), names("abc", b=SLOW)])
def test_what_is_written_holds_to_the_published_schema(services: dict[str, Speed], tmp_path: Path) -> None:
    folder = stored_run(tmp_path, services, blocks=5, rounds=1)
    found = write_comparison_of(folder)
    data = json.loads(folder.file("comparison.json").read_text())
    jsonschema.validate(data, published_json_schema(), jsonschema.Draft202012Validator)
    assert read_comparison(folder) == found


def test_a_run_without_chunks_is_compared_by_all_else(tmp_path: Path) -> None:
    folder = stored_run(tmp_path, names("ab", b=SLOW), blocks=None)
    folder.file("chunks.parquet").unlink()
    found = compare_run(folder)
    assert found.winners["overall"] == "a"
    assert not any(pair.metric == "icl_ms" for pair in found.pairs)


def test_a_run_without_a_summary_is_refused(tmp_path: Path) -> None:
    folder = stored_run(tmp_path, names("ab"), blocks=3, rounds=None)
    folder.file("summary.json").unlink()
    with pytest.raises(RunFolderError, match="no summary"):
        compare_run(folder)


def test_simulated_is_kept(tmp_path: Path) -> None:
    assert compare_run(stored_run(tmp_path, names("ab"), blocks=3, rounds=None, simulated=True)).simulated
