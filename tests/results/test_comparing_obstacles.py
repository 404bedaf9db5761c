"""What is not comparable, with its reason; and what withholds a `better` although the figures are."""

from pathlib import Path

from compared_runs import SLOW, Speed, changed_summary, make_invalid, names, pair_of, stored_run, summary_of
from inference_bench.results.comparing import compare_run
from inference_bench.results.summary_parts import RequestFacts, SanityFacts


def test_too_few_blocks_say_how_many_are_needed(tmp_path: Path) -> None:
    found = compare_run(stored_run(tmp_path, names("ab"), blocks=2, rounds=None))
    pair = pair_of(found, "ttft", "ttft_ms.p50")
    assert (pair.verdict, pair.better, pair.p) == ("not_comparable", None, None)
    assert pair.reason == "2 blocks with values; 3 are needed"
    assert found.winner_reasons["ttft"] == "not comparable"


def test_too_few_values_for_a_tail_say_how_many_are_needed(tmp_path: Path) -> None:
    found = compare_run(stored_run(tmp_path, names("ab"), blocks=None, rounds=3, requests=20))
    pair = pair_of(found, "load", "ttft_ms.p95")
    assert pair.verdict == "not_comparable"
    assert pair.reason is not None
    assert "73 are needed" in pair.reason
    assert pair_of(found, "load", "ttft_ms.p50").verdict == "equivalent"


def test_an_invalid_test_names_no_winner(tmp_path: Path) -> None:
    folder = stored_run(tmp_path, names("ab", b=SLOW))
    make_invalid(folder, "load")
    found = compare_run(folder)
    for pair in found.pairs:
        if pair.test == "load":
            assert (pair.verdict, pair.better, pair.ratio) == ("not_comparable", None, None)
            assert pair.reason == "the test is invalid: send lag p99 is 12 ms"
    assert found.winners == {"ttft": "a", "load": None, "overall": None}
    assert found.winner_reasons["load"] == "the test is invalid"
    assert found.winner_reasons["overall"] == "load is invalid"
    assert found.design["family"] == 1


def test_a_service_that_fails_more_often_is_not_better_on_latency(tmp_path: Path) -> None:
    folder = stored_run(tmp_path, names("ab", b=SLOW))
    figures = summary_of(folder, "load", "a")
    fewer = RequestFacts(sent=240, ok=235, failed=5, interrupted=0, success_rate=235 / 240, errors={"timeout": 5})
    changed_summary(folder, "load", "a", requests=fewer)
    found = compare_run(folder)
    pair = pair_of(found, "load", "ttft_ms.p95")
    assert (pair.verdict, pair.better) == ("not_comparable", None)
    assert pair.reason == "a has the better figures, and fewer requests succeeded: 97.92 % against 100 %"
    assert pair.ratio is not None
    assert pair_of(found, "ttft", "ttft_ms.p50").better == "a"
    # The slower one may still be better where it is: the rule only withholds.
    assert pair_of(found, "load", "tpot_ms.p50").verdict == "equivalent"
    changed_summary(folder, "load", "a", requests=figures.requests)
    assert pair_of(compare_run(folder), "load", "ttft_ms.p95").better == "a"


def test_a_point_less_success_is_still_comparable(tmp_path: Path) -> None:
    folder = stored_run(tmp_path, names("ab", b=SLOW), blocks=None)
    edge = RequestFacts(sent=200, ok=198, failed=2, interrupted=0, success_rate=0.99, errors={"timeout": 2})
    changed_summary(folder, "load", "a", requests=edge)
    assert pair_of(compare_run(folder), "load", "ttft_ms.p95").better == "a"


def test_a_fast_wrong_engine_cannot_win(tmp_path: Path) -> None:
    folder = stored_run(tmp_path, names("ab", b=SLOW))
    sound = SanityFacts(
        checked=240, sound=240, garbled=0, kinds={}, short=0, paired=0, empty=0, truncated=0,
        sound_rate=1.0, flagged=False, reason=None,
    )  # fmt: skip
    garbled = sound.model_copy(update={"sound": 216, "garbled": 24, "sound_rate": 0.9, "flagged": True})
    changed_summary(folder, "load", "a", sanity=garbled)
    changed_summary(folder, "load", "b", sanity=sound)
    found = compare_run(folder)
    pair = pair_of(found, "load", "ttft_ms.p95")
    assert (pair.verdict, pair.better) == ("not_comparable", None)
    assert pair.reason == "a has the better figures, and fewer of its answers are sound: 90 % against 100 %"
    assert found.winners["load"] is None


def test_only_what_depends_on_the_length_is_lost_when_lengths_differ(tmp_path: Path) -> None:
    found = compare_run(stored_run(tmp_path, names("ab", b=Speed(ttft=80, e2e=1000, tokens=20))))
    lost = {(pair.test, pair.metric) for pair in found.pairs if "output length" in (pair.reason or "")}
    assert lost == {("ttft", "e2e_ms"), ("load", "e2e_ms"), ("load", "requests_per_s")}
    reason = pair_of(found, "load", "e2e_ms.p50").reason
    assert reason == "it depends on the output length, and the medians differ: a 11 tokens, b 20"
    assert found.winners["overall"] == "a"
    assert any(note.code == "output_length" for note in found.fairness)


def test_a_service_that_answered_nothing(tmp_path: Path) -> None:
    found = compare_run(stored_run(tmp_path, names("ab", b=Speed(failing=100))))
    for pair in found.primary_pairs:
        assert (pair.verdict, pair.better, pair.value_b) == ("not_comparable", None, None)
        assert pair.reason == "b answered no request in the steady window"
    assert found.winners["overall"] is None


def test_a_metric_that_one_service_does_not_tell(tmp_path: Path) -> None:
    config = {"comparison": {"primary": "tpot_ms.p50"}}
    found = compare_run(stored_run(tmp_path, names("ab", b=Speed(tokens=None)), config=config))
    pair = pair_of(found, "ttft", "tpot_ms.p50")
    assert pair.verdict == "not_comparable"
    assert pair.reason is not None
    assert pair.reason.startswith("b has no tpot_ms: ")


def test_a_primary_metric_nobody_has_is_said(tmp_path: Path) -> None:
    config = {"comparison": {"primary": "server_ttft_ms.p50"}}
    pair = pair_of(compare_run(stored_run(tmp_path, names("ab"), config=config)), "load", "server_ttft_ms.p50")
    assert (pair.primary, pair.verdict) == (True, "not_comparable")
    assert pair.reason == "a has no server_ttft_ms: not reported"


def test_a_rate_decides_a_load_test_and_no_ttft_test(tmp_path: Path) -> None:
    config = {"comparison": {"primary": "requests_per_s"}}
    found = compare_run(stored_run(tmp_path, names("ab"), config=config))
    assert pair_of(found, "load", "requests_per_s").primary
    assert pair_of(found, "load", "requests_per_s").verdict == "equivalent"
    reason = pair_of(found, "ttft", "requests_per_s").reason
    assert reason == "a TTFT test has no rates: one request is sent at a time"


def test_a_metric_that_cannot_decide_is_named(tmp_path: Path) -> None:
    config = {"comparison": {"primary": "happiness.p50"}}
    found = compare_run(stored_run(tmp_path, names("ab"), config=config))
    assert {pair.verdict for pair in found.primary_pairs} == {"not_comparable"}
    assert "happiness.p50" in (found.primary_pairs[0].reason or "")
