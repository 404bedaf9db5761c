"""The search for the highest load at which each service still keeps its promises: probe, judge, go on.

Every service gets the same plan: equal rounds of a load are equal prompts at equal times. Each service's own outcomes
decide which load it is offered next; services take turns, so that what drifts meets all of them.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from inference_bench.config.models import LoadTestSettings
from inference_bench.config.promise_models import SloSettings
from inference_bench.errors import ResourceLimitError
from inference_bench.metrics.capacity import REPEATS, RESOLUTION
from inference_bench.orchestration.capacity_plan import probe_plan, promise_of, unit_of
from inference_bench.orchestration.resumed_search import cut_before, resumed_search
from inference_bench.orchestration.run_plan import RunPlan, planned_test
from inference_bench.orchestration.search_state import SearchState, ServiceSearch
from inference_bench.results.capacity import RULE, CapacityFacts, ProbeFacts, capacity_words
from inference_bench.results.capacity_rows import load_text
from inference_bench.results.finalise import probe_run, remove_interim
from inference_bench.results.folder import RunFolder
from inference_bench.results.gates import promises_of
from inference_bench.results.manifest import Manifest
from inference_bench.results.summary import ServiceSummary, TestSummary
from inference_bench.results.values import missing_reason, value_of
from inference_bench.testing.analyzers import summarise_run
from inference_bench.testing.context import RunContext
from inference_bench.testing.limits import check_limits, needs
from inference_bench.testing.load_runner import run_load
from inference_bench.testing.plan import LoadPlan

_NO_CONNECTION: Final = "connect"  # the class of errors of requests that were never sent, for want of a connection


class FindCapacity:
    """The searches of one run. `tell` takes a line about each probe."""

    def __init__(self, context: RunContext, plan: RunPlan, folder: RunFolder, tell: Callable[[str], None]) -> None:
        self._context = context
        self._plan = plan
        self._folder = folder
        self._tell = tell

    async def run(self) -> bool:
        """Search every test; return whether the run was interrupted. Raises WorkerDiedError."""
        for test in self._plan.searches:
            if await self._search(test):
                return True
        return False

    async def _search(self, test: LoadTestSettings) -> bool:
        manifest = self._folder.read_manifest()
        promise = promise_of(test, manifest.config)
        state = resumed_search(test, manifest)
        while (found := state.next_probe()) is not None:
            one, load = found
            if self._context.stop.is_set() or await self._probe(test, one, load, promise):
                self._keep(test, promise, state, complete=False)
                return True
            state.done()
            self._keep(test, promise, state, complete=False)
        self._keep(test, promise, state, complete=True)
        self._folder.update(partial(_without_other_probes, test=test.name))
        for one in state.services:
            self._tell(f"{test.name}: capacity of {one.name}: {capacity_words(one.facts(), unit_of(test))}")
        return False

    async def _probe(self, test: LoadTestSettings, one: ServiceSearch, load: float, promise: SloSettings) -> bool:
        """Offer a load to one service and note what became of it; return whether interrupted."""
        round_no = one.round_of(load)
        plan = probe_plan(test, load, one.position, self._plan.settings.benchmark.seed, round_no)
        if not self._was_made(plan, one.name):
            try:
                seconds = self._plan.settings.services.timeout_seconds
                check_limits([needs(plan, 1, self._plan.workers, seconds)])
            except ResourceLimitError as error:
                one.refuse(load, str(error))
                return False
            self._folder.update(partial(_with_probe, plan=plan, service=one.name))
            again = cut_before(self._folder.read_manifest(), plan.name, one.name, round_no)
            shape = replace(self._plan.shapes[test.name], name=plan.name, again=again)
            if (await run_load(self._context, plan, shape)).interrupted:
                return True
        await self._context.pool.written_out()
        # In a thread, so that Ctrl-C is heard; no request is under way, so nothing measured can be disturbed.
        measured = await asyncio.to_thread(_measured, self._folder, plan)
        probe = judge_probe(measured, one.name, promise, load, round_no)
        one.note(probe)
        self._tell(f"{test.name}: {one.name} at {load_text(load, unit_of(test))}: {_outcome(probe)}")
        return False

    def _was_made(self, plan: LoadPlan, service: str) -> bool:
        """Whether an earlier part of the run made this probe, and was cut before it was judged: of what was cut, no
        window is kept.
        """
        windows = self._folder.read_manifest().windows.get(plan.name, {}).get(service, ())
        return any(window.round == plan.first for window in windows)

    def _keep(self, test: LoadTestSettings, promise: SloSettings, state: SearchState, *, complete: bool) -> None:
        """Write what is known into the manifest: a run that dies later still has it."""
        facts = CapacityFacts(
            test=test.name,
            unit=unit_of(test),
            promise=tuple(_promise_words(promise)),
            rule=RULE.format(resolution=RESOLUTION, repeats=REPEATS),
            complete=complete,
            services={one.name: one.facts() for one in state.services},
        )

        def put(manifest: Manifest) -> Manifest:
            others = tuple(found for found in manifest.capacity if found.test != test.name)
            return manifest.model_copy(update={"capacity": (*others, facts)})

        self._folder.update(put)


def _measured(folder: RunFolder, plan: LoadPlan) -> TestSummary:
    """Sum up one probe from the journal, in a folder of its own that goes again."""
    interim = probe_run(folder, plan.name, plan.first)
    try:
        return summarise_run(interim).tests[0]
    finally:
        remove_interim(folder)


def judge_probe(test: TestSummary, name: str, promise: SloSettings, load: float, round_no: int) -> ProbeFacts:
    """Return what a probe of one service says; others may have been offered the same load in the same round.

    One that the client spoiled says nothing, and so does one with too few requests for a percentile, if nothing else
    was broken. A promise that cannot be judged for want of answers is broken, but where no request got a connection,
    the service is gone: that is no load it was slow at.
    """
    service = test.services[name]
    causes = [cause for result in promises_of(promise, test) for cause in result.causes]
    broken = [cause for cause in causes if cause.service == name]
    invalid = service.validity.verdict == "invalid"
    few = bool(broken) and all(_too_few(service, cause.name) for cause in broken)
    unreachable = 0 < service.requests.sent == service.requests.errors.get(_NO_CONNECTION, 0)
    said = [_failures(service)] if unreachable else _said(service, [cause.name for cause in broken])
    why = tuple(service.validity.reasons) if invalid and not unreachable else tuple(said)
    found = service.metrics
    return ProbeFacts(
        load=load,
        round=round_no,
        kept=None if invalid or few or unreachable else not broken,
        too_few=few and not invalid and not unreachable,
        unreachable=unreachable,
        why=why,
        sent=service.requests.sent,
        attainment=None if service.goodput is None else service.goodput.attainment,
        success_rate=service.requests.success_rate,
        requests_per_s=service.throughput.requests_per_s,
        output_tokens_per_s=service.throughput.output_tokens_per_s,
        ttft_p50_ms=found["ttft_ms"].p50 if "ttft_ms" in found else None,
        e2e_p50_ms=found["e2e_ms"].p50 if "e2e_ms" in found else None,
    )


def _too_few(service: ServiceSummary, name: str) -> bool:
    """Whether a value is missing because nothing was sent, or a percentile because fewer requests were sent than it
    needs, however they fared.
    """
    if service.requests.sent == 0:
        return True
    metric, _, statistic = name.partition(".")
    found = service.metrics.get(metric)
    needed = None if found is None else found.needed_n.get(statistic)
    return needed is not None and service.requests.sent < needed


def _said(service: ServiceSummary, broken: Sequence[str]) -> list[str]:
    """Say which promises were broken, and how many requests failed and how: first where that is half of them or more,
    for a load at which a service dies is not one that it was slow at.
    """
    said = [_cause_words(service, name) for name in broken]
    requests = service.requests
    if not said or not requests.failed:
        return said
    failures = _failures(service)
    return [failures, *said] if 2 * requests.failed >= requests.sent else [*said, failures]


def _failures(service: ServiceSummary) -> str:
    requests = service.requests
    kinds = sorted(requests.errors, key=lambda kind: (-requests.errors[kind], kind))
    return f"{requests.failed:,} of {requests.sent:,} requests failed: {', '.join(kinds)}"


def _cause_words(service: ServiceSummary, name: str) -> str:
    value = value_of(service, name)
    return f"{name} {value:.4g}" if value is not None else f"{name} is missing: {missing_reason(service, name)}"


def _promise_words(slo: SloSettings) -> list[str]:
    limits = slo.per_request.model_dump(exclude_none=True)
    said = [f"{name} at most {limit:g}" for name, limit in limits.items()]
    said = [f"{' and '.join(said)} for {slo.attainment:.4g} of the requests"] if said else []
    said += [f"success_rate at least {slo.success_rate:g}"] if slo.success_rate is not None else []
    return said + [f"{name}: {limit:g}" for name, limit in slo.limits.items()]


def _outcome(probe: ProbeFacts) -> str:
    share = "" if probe.attainment is None else f" ({probe.attainment:.1%} of {probe.sent:,} requests)"
    if probe.kept is None:
        because = "too few requests" if probe.too_few else "the client could not be trusted"
        because = "the service could not be reached" if probe.unreachable else because
        return f"says nothing, {because}: {'; '.join(probe.why)}"
    return f"kept{share}" if probe.kept else f"broken{share}: {'; '.join(probe.why)}"


def _with_probe(manifest: Manifest, plan: LoadPlan, service: str) -> Manifest:
    """Return the manifest with one turn more of one service at this load."""
    known = next((test for test in manifest.plan if test.name == plan.name), None)
    if known is None:
        return manifest.model_copy(update={"plan": (*manifest.plan, planned_test(plan, (service,)))})
    asked = tuple(dict.fromkeys((*(known.services or ()), service)))
    test = known.model_copy(update={"services": asked, "rounds": max(known.rounds, plan.first + 1)})
    return manifest.model_copy(
        update={"plan": tuple(test if other.name == test.name else other for other in manifest.plan)}
    )


def _without_other_probes(manifest: Manifest, test: str) -> Manifest:
    """Return the manifest with those probes as tests that were the answer for a service, for that service; the others
    stay among the probes of its capacity, and their records in the tables.
    """
    facts = next(found for found in manifest.capacity if found.test == test)
    answers: dict[str, list[str]] = {}
    for name, found in facts.services.items():
        tried = [probe.load for probe in found.probes if probe.kept is not None]
        load = found.value if found.value is not None else min(tried, default=None)
        if load is not None:
            answers.setdefault(f"{test}@{load:.10g}", []).append(name)
    plan = tuple(
        planned.model_copy(update={"services": tuple(answers[planned.name])}) if planned.sweep == test else planned
        for planned in manifest.plan
        if planned.sweep != test or planned.name in answers
    )
    return manifest.model_copy(update={"plan": plan})
