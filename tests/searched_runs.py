"""Stored runs with a sweep, and with a search for capacity in which each service has a load of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drawn_runs import drawn_run, opened
from inference_bench.results.capacity import CapacityFacts, ProbeFacts, ServiceCapacity
from inference_bench.results.folder import Run
from inference_bench.results.manifest import Manifest, PlannedTest
from inference_bench.results.summary import Summary, TestSummary, Validity, read_summary, write_summary

SERVICES = ("vllm", "tgi")
SLO = {"slo": {"per_request": {"ttft_ms": 100.0}, "attainment": 0.9}}


def probe(load: float, *, kept: bool | None, round_no: int = 0, **fields: object) -> ProbeFacts:
    """Return a probe with figures that tell its load and round apart from others'."""
    told: dict[str, object] = {
        "why": () if kept else ("goodput.attainment 0.5",),
        "sent": 40,
        "attainment": 1.0 if kept else 0.5,
        "requests_per_s": load + round_no,
        "output_tokens_per_s": 10 * load,
        "ttft_p50_ms": 50.0 + round_no,
    }
    return ProbeFacts.model_validate({"load": load, "round": round_no, "kept": kept, **told, **fields})


def capacity(value: float | None, low: float | None, high: float | None, *probes: ProbeFacts) -> ServiceCapacity:
    """Return an answer; one without an upper end is at least so much."""
    return ServiceCapacity(
        value=value, low=low, high=high, at_least=high is None and value is not None, probes=tuple(probes)
    )


def facts(services: dict[str, ServiceCapacity], **fields: object) -> CapacityFacts:
    """Return a finished search of the test `knee`."""
    told: dict[str, object] = {
        "test": "knee",
        "unit": "users",
        "promise": ("ttft_ms at most 100 for 0.9 of the requests",),
        "rule": "the rule",
        "complete": True,
    }
    return CapacityFacts.model_validate({**told, "services": services, **fields})


FOUND = facts(
    {
        "vllm": capacity(
            8.0,
            8.0,
            9.0,
            probe(4, kept=True),
            probe(8, kept=True),
            probe(8, kept=None, round_no=1, why=("a worker waited",), requests_per_s=99.0),
            probe(8, kept=True, round_no=2),
            probe(9, kept=False),
        ),
        "tgi": capacity(2.0, 2.0, 4.0, probe(4, kept=False), probe(2, kept=True)),
    }
)


def searched_run(
    directory: Path, found: CapacityFacts = FOUND, *, config: Mapping[str, object] | None = None, **fields: Any
) -> Run:
    """Make a run that did nothing but search: tgi's answer is the load `few` (2 users), vllm's `many` (8)."""
    run = drawn_run(directory, services=SERVICES, blocks=0, requests=12, config={**SLO, **(config or {})}, **fields)
    alone = {"few": ("tgi",), "many": ("vllm",)}

    def planned(test: PlannedTest) -> PlannedTest:
        return test.model_copy(update={"sweep": "knee", "probe": True, "services": alone[test.name]})

    def tested(test: TestSummary) -> TestSummary:
        services = {name: test.services[name] for name in alone[test.name]}
        return test.model_copy(update={"sweep": "knee", "probe": True, "services": services})

    def put(manifest: Manifest) -> Manifest:
        return manifest.model_copy(update={"plan": tuple(map(planned, manifest.plan)), "capacity": (found,)})

    run.folder.update(put)
    summary = _summary(run)
    update = {"tests": tuple(map(tested, summary.tests)), "capacity": (found,)}
    write_summary(run.folder, summary.model_copy(update=update))
    return opened(run.folder)


def swept_run(directory: Path, *, many: Validity) -> Run:
    """Make a run of a TTFT test and a sweep `curve` of two loads, `few` and `many`; the latter of this validity."""
    run = drawn_run(directory, services=SERVICES, blocks=12, requests=12, config=SLO)
    points: Sequence[str] = ("few", "many")

    def put(manifest: Manifest) -> Manifest:
        plan = (test.model_copy(update={"sweep": "curve"}) if test.name in points else test for test in manifest.plan)
        return manifest.model_copy(update={"plan": tuple(plan)})

    run.folder.update(put)
    summary = _summary(run)

    def tested(test: TestSummary) -> TestSummary:
        services = test.services
        if test.name == "many":
            services = {name: one.model_copy(update={"validity": many}) for name, one in services.items()}
            return test.model_copy(update={"sweep": "curve", "validity": many, "services": services})
        return test.model_copy(update={"sweep": "curve"}) if test.name in points else test

    write_summary(run.folder, summary.model_copy(update={"tests": tuple(map(tested, summary.tests))}))
    return opened(run.folder)


def _summary(run: Run) -> Summary:
    found = read_summary(run.folder)
    assert found is not None
    return found
