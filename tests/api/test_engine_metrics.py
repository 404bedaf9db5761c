"""Metrics pages under one set of names: recorded ones, the names of other versions, hostile ones."""

import math
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from inference_bench.api.engine_metrics import LARGEST_PAGE, NAMES, read_engine_metrics

CAPTURES = Path(__file__).parents[1] / "data" / "captures"
# Of a recorded page, some names of ours and the samples they are made of.
RECORDED = {
    "vllm-metrics.txt": {
        "running": "vllm:num_requests_running",
        "prefix_queries_total": "vllm:prefix_cache_queries_total",
        "output_tokens_total": "vllm:generation_tokens_total",
        "ttft_s_sum": "vllm:time_to_first_token_seconds_sum",
        "queue_s_count": "vllm:request_queue_time_seconds_count",
        "decode_s_sum": "vllm:request_decode_time_seconds_sum",
        "e2e_s_sum": "vllm:e2e_request_latency_seconds_sum",
        "tpot_s_sum": "vllm:request_time_per_output_token_seconds_sum",
    },
    "llama-server-metrics.txt": {
        "running": "llamacpp:requests_processing",
        "waiting": "llamacpp:requests_deferred",
        "output_tokens_total": "llamacpp:tokens_predicted_total",
        "decode_s_sum": "llamacpp:tokens_predicted_seconds_total",
    },
}


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_page_is_read_as_the_official_parser_reads_it(name: str) -> None:
    text = (CAPTURES / name).read_text()
    samples = {
        sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples
    }
    told = read_engine_metrics(text.encode())
    for ours, theirs in RECORDED[name].items():
        assert told[ours] == pytest.approx(samples[theirs]), ours
    assert set(told) <= set(NAMES)


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("vllm:gpu_cache_usage_perc 0.5\n", {"kv_use": 0.5}),
        ("vllm:gpu_cache_usage_perc 0.5\nvllm:kv_cache_usage_perc 0.6\n", {"kv_use": 0.6}),
        ('vllm:num_requests_running{engine="0"} 3\nvllm:num_requests_running{engine="1"} 4\n', {"running": 7.0}),
        ('vllm:kv_cache_usage_perc{engine="0"} 0.2\nvllm:kv_cache_usage_perc{engine="1"} 0.4\n', {"kv_use": 0.3}),
        ("vllm:gpu_prefix_cache_hit_rate -1\n", {}),
        ("vllm:gpu_prefix_cache_hits_total 3\n", {"prefix_hits_total": 3.0}),
        (
            "vllm:time_per_output_token_seconds_sum 2\nvllm:time_per_output_token_seconds_count 4\n",
            {"tpot_s_sum": 2.0, "tpot_s_count": 4.0},
        ),
        ("vllm:time_to_first_token_seconds_sum 2\n", {}),  # half a histogram
        ("tgi_batch_current_max_tokens 30\ntgi_batch_max_total_tokens 120\n", {"kv_use": 0.25}),
        ("tgi_queue_size 2\ntgi_batch_current_size 5\n", {"waiting": 2.0, "running": 5.0}),
        ("sglang:token_usage 0.7\nsglang:cache_hit_rate 0.1\n", {"kv_use": 0.7, "prefix_hit_share": 0.1}),
        ("llamacpp:kv_cache_usage_ratio 0.3 1700000000000\n", {"kv_use": 0.3}),
        ('vllm:num_requests_running{model_name="a} 7 {b"} 2\n', {"running": 2.0}),
        ('vllm:num_requests_running{m="a\\"}"} 2 # {trace="x"} 0.4 1.5\n', {"running": 2.0}),  # an exemplar
        ('vllm:num_requests_running 2 # {trace="x"} 0.4\n', {"running": 2.0}),
        ('vllm:kv_cache_usage_perc{engine="0"} 0.2\nvllm:kv_cache_usage_perc{engine="1"} 40\n', {"kv_use": 0.2}),
    ],
)
def test_names_of_engines_and_versions(page: str, told: dict[str, float]) -> None:
    assert read_engine_metrics(page.encode()) == pytest.approx(told)


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "-3", "1e300", "seven", "", "0x10"])
def test_what_is_no_count_is_passed_over(value: str) -> None:
    page = f'vllm:num_requests_running{{model_name="m"}} {value}\nvllm:num_requests_waiting 4\n'
    assert read_engine_metrics(page.encode()) == {"waiting": 4.0}


def test_a_page_without_an_end_is_read_to_its_bound() -> None:
    line = b"vllm:num_requests_running 1\n"
    page = line + b"x" * LARGEST_PAGE + b"\nvllm:num_requests_waiting 1\n"
    assert read_engine_metrics(page) == {"running": 1.0}


@given(
    st.binary(max_size=400), st.lists(st.sampled_from(["vllm:num_requests_running", "{", "}", " ", "1e999", "\n", "="]))
)
@example(b"\xff\xfe{", ["vllm:num_requests_running", "{", " ", "1e999"])
def test_rubbish_tells_nothing_that_is_no_number(noise: bytes, words: list[str]) -> None:
    told = read_engine_metrics(noise + b"\n" + "".join(words).encode() + b"\n" + noise)
    assert all(math.isfinite(value) and value >= 0 for value in told.values())
