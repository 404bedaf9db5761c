"""What a cluster told of a service, in the words of a report."""

from inference_bench.reporting.services import service_view
from inference_bench.results.manifest import ServiceFacts


def test_what_a_cluster_told_reads_as_people_write_it() -> None:
    said = {"gpu": "H100", "gpus_per_replica": 2, "cpu_limit": "8", "start_flags": ["--model", "x", "--api-key", "…"]}
    facts = ServiceFacts(name="chat", engine="vllm", url="http://h:8000", said=said)  # type: ignore[arg-type]  # JSON
    told = {point.label: point.text for point in service_view(facts, None).told}
    assert told == {
        "GPU": "H100",
        "GPUs of a replica": "2",
        "CPU limit": "8",
        "Start flags": "--model x --api-key …",
    }
