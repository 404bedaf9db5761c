"""Lengths: drawn as the formulas say, within their bounds, equal for equal seed; impossible ones refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from inference_bench.config.length_models import LengthSettings
from inference_bench.config.loader import load_settings
from inference_bench.config.models import WorkloadSettings
from inference_bench.errors import ConfigError
from inference_bench.workloads.lengths import LengthLaw, uniform_draw

DRAWS = 4000


def law(value: object) -> LengthLaw:
    return LengthLaw(LengthSettings.model_validate(value), "prompt_tokens")


def draws(value: object, count: int = DRAWS) -> list[int]:
    one = law(value)
    return [one.draw(7, "prompt", index) for index in range(count)]


def test_a_number_is_a_constant_length() -> None:
    assert set(draws(512, 50)) == {512}
    assert law(512).in_words() == "512"


def test_uniform_lengths_are_each_as_likely() -> None:
    found = draws({"distribution": "uniform", "min": 10, "max": 19})
    assert set(found) == set(range(10, 20))
    assert stats.chisquare([found.count(length) for length in range(10, 20)]).pvalue > 0.001


def test_normal_and_lognormal_lengths_follow_their_law() -> None:
    normal = draws({"distribution": "normal", "mean": 5000, "stdev": 800})
    assert stats.kstest(normal, stats.norm(5000, 800).cdf).pvalue > 0.001
    lognormal = draws({"distribution": "lognormal", "mean": 5000, "stdev": 2500})
    sigma = 0.4723807270  # sqrt(ln(1 + 0.5²))
    median = 5000 / 1.25**0.5
    assert stats.kstest(lognormal, stats.lognorm(sigma, scale=median).cdf).pvalue > 0.001
    assert sum(lognormal) / DRAWS == pytest.approx(5000, rel=0.03)


def test_a_cut_normal_keeps_its_shape_between_the_bounds() -> None:
    found = draws({"distribution": "normal", "mean": 1000, "stdev": 500, "min": 800, "max": 1600})
    inside = stats.truncnorm((799.5 - 1000) / 500, (1600.5 - 1000) / 500, loc=1000, scale=500)
    assert stats.kstest(found, inside.cdf).pvalue > 0.001


@given(
    kind=st.sampled_from(["uniform", "normal", "lognormal"]),
    mean=st.floats(50, 2000),
    stdev=st.floats(1, 3000),
    low=st.integers(1, 40),
    width=st.integers(20, 5000),
    index=st.integers(0, 10**12),
)
def test_every_length_is_within_its_bounds(
    *, kind: str, mean: float, stdev: float, low: int, width: int, index: int
) -> None:
    value: dict[str, object] = {"distribution": kind, "min": low, "max": low + width}
    if kind != "uniform":
        value |= {"mean": min(mean, low + width), "stdev": stdev}
    one = law(value)
    assert low <= one.draw(3, "prompt", index) <= low + width
    assert one.draw(3, "prompt", index) == law(value).draw(3, "prompt", index)


def test_draws_are_the_same_for_ever() -> None:
    assert [round(uniform_draw(42, "prompt", index), 6) for index in range(3)] == [0.560423, 0.273319, 0.197121]


def test_a_distribution_outside_its_bounds_is_refused() -> None:
    with pytest.raises(ConfigError, match="hardly any length of this distribution lies between its bounds"):
        law({"distribution": "normal", "mean": 10_000, "stdev": 5, "max": 100})


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (0, "must be from 1 to 1,000,000 tokens, not 0"),
        (True, "must be a number of tokens, or a distribution"),
        ("512", "must be a number of tokens, or a distribution"),
        ({"distribution": "uniform", "min": 4}, "is needed by the distribution uniform"),
        ({"distribution": "uniform", "max": 4, "mean": 3}, "is used by constant, normal and lognormal"),
        ({"distribution": "normal", "mean": 4}, "is needed by the distribution normal"),
        ({"distribution": "normal", "mean": 4, "stdev": 0}, "greater than 0"),
        ({"mean": 4, "stdev": 1}, "is used by normal and lognormal, not by constant"),
        ({"mean": 4.5}, "a constant length is a whole number"),
        ({"mean": 4, "max": 9}, "is used by a distribution that varies"),
        ({"distribution": "uniform", "min": 9, "max": 4}, "must not be below min, which is 9"),
        ({"distribution": "zipf"}, "Input should be"),
    ],
)
def test_a_wrong_length_is_refused(value: object, problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        WorkloadSettings.model_validate({"kind": "synthetic", "prompt_tokens": value})
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("turns", "problem"),
    [
        (0, "must be from 1 to 1,000,000 turns, not 0"),
        ("two", "must be a number of turns, or a distribution such as {distribution: uniform, min: 2, max: 8}"),
        ({"mean": 2.5}, "a constant length is a whole number of turns"),
    ],
)
def test_a_wrong_number_of_turns_is_refused_as_one_of_turns(turns: object, problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        WorkloadSettings.model_validate({"kind": "sessions", "turns": turns})
    assert problem in str(caught.value)
    assert "tokens" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"kind": "trace"}, "is needed by the workload kind trace"),
        ({"turns": 3}, "is used by the workload kind sessions, not by built-in"),
        ({"kind": "synthetic", "prompt_tokens": 5, "path": "a"}, "not by synthetic"),
        ({"kind": "sessions", "prompt_tokens": 5}, "is needed by sessions that are composed"),
        ({"kind": "sessions", "prompt_tokens": 5, "turns": 2, "path": "a"}, "is used by sessions without a path"),
        ({"kind": "sessions", "tokenizer": "a"}, "is used by sessions that are composed"),
        ({"kind": "sharegpt", "path": "a", "tokenizer": "a", "output_tokens": 5}, "which output_tokens replaces"),
        ({"kind": "synthetic", "prompt_tokens": 9, "shared_prefix": {"share": 0.5, "tokens": 9}}, "must be below"),
        ({"kind": "synthetic", "prompt_tokens": 9, "shared_prefix": {"share": 1.5, "tokens": 3}}, "less than or equal"),
    ],
)
def test_keys_that_do_not_fit_are_refused(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        WorkloadSettings.model_validate(settings)
    assert problem in str(caught.value)


def test_a_number_in_a_file_has_its_origin(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("workload:\n  kind: synthetic\n  prompt_tokens: 512\n")
    loaded = load_settings(Path("x.yaml"), overrides={}, environ={}, cwd=tmp_path)
    assert str(loaded.provenance["workload.prompt_tokens.mean"]) == "x.yaml:3"
    assert str(loaded.provenance["workload.prompt_tokens.distribution"]) == "built-in"


def test_lengths_survive_being_written_down() -> None:
    value = {"kind": "synthetic", "prompt_tokens": 7, "output_tokens": {"distribution": "uniform", "min": 1, "max": 9}}
    settings = WorkloadSettings.model_validate(value)
    assert WorkloadSettings.model_validate_json(settings.model_dump_json()) == settings
