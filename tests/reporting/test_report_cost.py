"""Costs and users served: only with a price, never extrapolated, null with the reason."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_runs import PRICED, judge, small_run, summary_of

from drawn_runs import drawn_run
from inference_bench.metrics.throughput import cost_per_million_tokens
from inference_bench.reporting.cost import cost_view, prices, users_served
from inference_bench.results.folder import Run
from inference_bench.results.summary import Validity

NUMBERS = {"vllm": 0, "tgi": 1, "ollama": 2}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return small_run(tmp_path_factory.mktemp("cost"), config=PRICED)


@given(price=st.floats(0.01, 1e4), rate=st.floats(0.01, 1e7))
def test_what_an_hour_of_tokens_costs_is_the_price_of_an_hour(price: float, rate: float) -> None:
    cost = cost_per_million_tokens(price, rate)
    assert cost is not None
    assert cost * rate * 3600 / 1e6 == pytest.approx(price)


def test_without_a_price_there_is_no_cost_and_no_users_served(run: Run) -> None:
    assert cost_view(summary_of(run), {**PRICED, "pricing": {}}, NUMBERS) is None
    assert cost_view(summary_of(run), {"pricing": {"currency": "EUR", "per_hour": {"other": 1.0}}}, NUMBERS) is None
    assert prices({}) == {}


def test_a_million_tokens_at_the_measured_rate(run: Run) -> None:
    view, summary = cost_view(summary_of(run), run.manifest.config, NUMBERS), summary_of(run)
    assert view is not None
    labels = [row.label for row in view.table.rows]
    assert "ttft" not in labels  # one request at a time says nothing of what tokens cost
    few = view.table.rows[labels.index("few") + 1]
    rate = summary.tests[1].services["vllm"].throughput.output_tokens_per_s
    assert rate is not None
    assert few.label == "1M output tokens"
    assert few.cells[0].text.endswith(" EUR")
    assert float(few.cells[0].text.split()[0]) == pytest.approx(3.6 / 3600 / rate * 1e6, rel=0.01)
    assert few.cells[2].text == "–"
    assert few.cells[2].below == "no price given"


@pytest.mark.parametrize(
    ("slo", "service", "users", "words"),
    [
        ({"per_request": {"ttft_ms": 500.0}, "attainment": 0.9}, "vllm", 8, "many"),
        ({"per_request": {"ttft_ms": 58.0}, "attainment": 0.9}, "vllm", 2, "few"),
        ({"per_request": {"ttft_ms": 50.0}, "attainment": 0.9}, "ollama", None, "missed with 2 users already"),
        ({"per_request": {"ttft_ms": 500.0}}, "vllm", None, "no attainment"),
        ({"success_rate": 0.99}, "vllm", 8, "many"),
        ({"limits": {"ttft_ms.p50": 1.0}}, "vllm", None, "missed"),
        (None, "vllm", None, "no slo was set"),
    ],
)
def test_users_served_are_those_of_the_largest_test_that_kept_its_promises(
    tmp_path: Path, slo: Mapping[str, object] | None, service: str, users: int | None, words: str
) -> None:
    made = drawn_run(tmp_path, blocks=0, requests=12, config={"slo": slo})
    served = users_served(service, summary_of(made), made.manifest.config)
    assert served.users == users
    assert words in (served.test or served.reason or "")


def test_open_loops_and_invalid_tests_serve_no_users(tmp_path: Path) -> None:
    made = small_run(tmp_path, requests=0, config=PRICED)
    served = users_served("vllm", summary_of(made), made.manifest.config)
    assert (served.users, served.reason) == (None, "no closed-loop load test was made")
    loaded = small_run(tmp_path / "loaded", config=PRICED)
    judge(loaded, Validity(verdict="invalid"))
    served = users_served("vllm", summary_of(loaded), loaded.manifest.config)
    assert (served.users, served.reason) == (None, "every closed-loop load test is invalid")
