"""The metrics pages: readable by Prometheus' own parser, named as the recorded servers name them, and counting."""

from prometheus_client.parser import text_string_to_metric_families
from simulator_talk import Talk, native_body
from transcripts import DATA

Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]


def samples(text: str) -> Samples:
    """Return all samples by name and labels."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def recorded(name: str) -> Samples:
    """Return the samples of a recorded page."""
    lines = (DATA / "captures" / name).read_text("utf-8").splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("# HELP "))
    return samples("\n".join(lines[start:]) + "\n")


def asked(talk: Talk, engine: str) -> Samples:
    """Let an engine generate something, and return its metrics."""
    path, body = native_body(engine, tokens=5)
    assert talk.post(engine, path, body).status_code == 200
    return samples(talk.get(engine, "/metrics").text)


def test_vllm_has_the_names_and_labels_of_the_recorded_server(talk: Talk) -> None:
    ours, theirs = asked(talk, "vllm"), recorded("vllm-metrics.txt")
    missing = sorted(name for name in ours if name not in theirs)
    assert not missing
    for name, by_labels in ours.items():
        their_labels = {tuple(label for label, _ in labels) for labels in theirs[name]}
        assert {tuple(label for label, _ in labels) for labels in by_labels} <= their_labels, name


def test_vllm_has_the_recorded_buckets_of_its_times(talk: Talk) -> None:
    ours, theirs = asked(talk, "vllm"), recorded("vllm-metrics.txt")
    for name in (
        "vllm:time_to_first_token_seconds",
        "vllm:inter_token_latency_seconds",
        "vllm:e2e_request_latency_seconds",
    ):
        buckets = [{dict(labels)["le"] for labels in page[f"{name}_bucket"]} for page in (ours, theirs)]
        assert buckets[0] == buckets[1], name


def test_vllm_counts_tokens_and_requests(talk: Talk) -> None:
    def total(page: Samples, name: str) -> float:
        return sum(page.get(name, {}).values())

    before = asked(talk, "vllm")
    after = asked(talk, "vllm")
    assert total(after, "vllm:generation_tokens_total") - total(before, "vllm:generation_tokens_total") == 5
    gained = total(after, "vllm:inter_token_latency_seconds_count") - total(
        before, "vllm:inter_token_latency_seconds_count"
    )
    assert gained == 4
    assert total(after, "vllm:num_requests_running") == 0
    success = after["vllm:request_success_total"]
    assert any(dict(labels)["finished_reason"] == "length" and value > 0 for labels, value in success.items())


def test_tgi_has_no_totals_no_model_and_no_help(talk: Talk) -> None:
    page = asked(talk, "tgi")
    text = talk.get("tgi", "/metrics").text
    assert "# HELP" not in text
    assert "\ntgi_request_count " in text
    assert "_total " not in text, "the parser adds it to counters, TGI does not"
    assert {"tgi_queue_size", "tgi_batch_current_size", "tgi_request_duration_bucket"} <= set(page)
    assert sum(page["tgi_request_generated_tokens_sum"].values()) > 0
    assert not any("model" in dict(labels) for by_labels in page.values() for labels in by_labels)
    assert {dict(labels)["method"] for labels in page["tgi_batch_forward_duration_count"]} == {"prefill", "decode"}


def test_llama_server_has_the_recorded_names(talk: Talk) -> None:
    ours, theirs = asked(talk, "openai"), recorded("llama-server-metrics.txt")
    assert set(ours) <= set(theirs)
    assert ours["llamacpp:tokens_predicted_total"][()] >= 5
    assert ours["llamacpp:requests_processing"][()] == 0
