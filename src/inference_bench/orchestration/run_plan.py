"""What a benchmark is going to do: services resolved, tests planned, limits checked; nothing measured yet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from inference_bench.config.models import LoadTestSettings, Settings
from inference_bench.discovery.services import FoundService, here
from inference_bench.errors import UsageError
from inference_bench.orchestration.asked_lengths import with_lengths
from inference_bench.orchestration.capacity_plan import first_load, probable, probe_plan, searches_of
from inference_bench.orchestration.context_notes import context_notes
from inference_bench.orchestration.service_facts import samples_of, service_facts
from inference_bench.orchestration.service_orchestrator import OpenServices, services_under_test
from inference_bench.orchestration.session_notes import session_note, with_turns
from inference_bench.orchestration.test_shapes import Shapes
from inference_bench.results.comparison import FairnessNote
from inference_bench.results.cores import usable_cores
from inference_bench.results.fairness import notes_before
from inference_bench.results.manifest import LoadShape, PlannedTest, ServiceFacts
from inference_bench.testing.burden import burden_of, check_burden
from inference_bench.testing.estimates import Estimate, estimate
from inference_bench.testing.limits import check_limits, check_rates, needs
from inference_bench.testing.plan import LoadPlan, TtftPlan, make_plans
from inference_bench.testing.rendering import ServiceUnderTest, TestShape
from inference_bench.testing.sweeps import planned_names

STREAMS_PER_WORKER = 256  # beyond, a further worker is worth its process
TTFT = "ttft"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which tests of the configuration are wanted; `only` names tests, empty for all."""

    ttft: bool = True
    load: bool = True
    only: tuple[str, ...] = ()
    find_capacity: bool = False  # search the load tests' capacity instead of running them

    @property
    def loads(self) -> tuple[str, ...]:
        """The names of the load tests that are wanted; empty for all."""
        return tuple(name for name in self.only if name != TTFT)


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Everything that is decided before the first request. `searches` are the load tests whose capacity is searched.

    `facts` says what is known of each service, in their order; `fairness` what makes them unlike each other.
    """

    settings: Settings
    services: tuple[ServiceUnderTest, ...]
    tests: tuple[TtftPlan | LoadPlan, ...]
    shapes: Mapping[str, TestShape]
    estimates: tuple[Estimate, ...]
    workers: int
    notes: tuple[str, ...]
    facts: tuple[ServiceFacts, ...]
    found: tuple[FoundService, ...]
    fairness: tuple[FairnessNote, ...]
    searches: tuple[LoadTestSettings, ...] = ()

    @property
    def requests(self) -> int:
        """Estimated requests over all tests and services."""
        return sum(one.requests for one in self.estimates)

    @property
    def seconds(self) -> float:
        """Estimated duration."""
        return sum(one.seconds for one in self.estimates)

    @property
    def loopback(self) -> bool:
        """Whether every service is on this machine; the end of a port-forward is, and what it leads to is not."""
        return all(here(service) for service in self.found)


def check_selection(settings: Settings, selection: Selection) -> None:
    """Refuse test names that do not exist and selections that hold no test. Raises UsageError."""
    names = [TTFT, *(test.name for test in settings.load_tests)]
    for name in selection.only:
        if name not in names:
            raise UsageError(f"there is no test {name!r}", hint=f"tests: {', '.join(names)}")
    if selection.find_capacity:
        searches_of(settings, selection.loads)
    elif not planned_names(settings, ttft=selection.ttft, load=selection.load, only=selection.only):
        raise UsageError("no test is left to run", hint="see --test, --ttft-only, --load-only and the configuration")


def make_run_plan(
    opened: OpenServices, settings: Settings, selection: Selection, *, workers: int | None = None
) -> RunPlan:
    """Resolve the services, plan the tests, check this machine's limits.

    Raises UsageError for a selection that holds no test, NoServiceError for a name that cannot be resolved,
    ConfigError for a workload that cannot be built, ResourceLimitError when this machine cannot carry the plan.
    """
    check_selection(settings, selection)
    services = services_under_test(opened, settings)
    if selection.load:
        asked = (test for test in settings.load_tests if not selection.only or test.name in selection.only)
        check_rates(asked, workers or _most_workers())
    shapes_of = Shapes(settings, services)
    plans = make_plans(
        settings,
        len(services),
        ttft=selection.ttft,
        load=selection.load and not selection.find_capacity,
        only=selection.only,
        times_of=shapes_of.times_of,
    )
    seed = settings.benchmark.seed
    searches = searches_of(settings, selection.loads) if selection.find_capacity else ()
    beginnings = {test.name: probe_plan(test, first_load(test), 0, seed, 0) for test in searches}
    # A search ends where the service does, not where the client does: it gets all the workers there may be.
    count = workers or (_most_workers() if searches else _auto_workers(plans))
    notes = [f"{plan.name}: {text}" for plan in plans for text in (_rounds_note(plan), _requests_note(plan)) if text]
    wanted = [needs(plan, len(services), count, settings.services.timeout_seconds) for plan in plans]
    notes += check_limits(wanted)
    shapes = {plan.name: shapes_of.shape(plan) for plan in plans}
    notes += [note for plan in plans if (note := session_note(plan, shapes[plan.name])) is not None]
    estimates = [with_turns(estimate(plan, len(services)), plan, shapes[plan.name]) for plan in plans]
    burdens = [
        burden_of(plan, need, one, shapes[plan.name]) for plan, need, one in zip(plans, wanted, estimates, strict=True)
    ]
    notes += check_burden(burdens, workers=count, directory=Path(settings.output.directory))
    shapes |= {name: replace(shapes_of.shape(plan), name=name) for name, plan in beginnings.items()}
    notes += shapes_of.notes
    samples = samples_of(shapes)
    facts = tuple(
        service_facts(found, service, samples) for found, service in zip(opened.services, services, strict=True)
    )
    notes += context_notes(shapes, facts, {one.test: one.requests // max(1, len(services)) for one in estimates})
    return RunPlan(
        settings=settings,
        services=tuple(services),
        tests=tuple(plans),
        shapes=shapes,
        estimates=(
            *estimates,
            *(with_lengths(probable(test, len(services), seed), shapes[test.name]) for test in searches),
        ),
        workers=count,
        notes=tuple(notes),
        facts=facts,
        found=opened.services,
        searches=searches,
        fairness=notes_before(
            facts,
            declared_model=settings.benchmark.model,
            users=max((plan.users or 0 for plan in plans if isinstance(plan, LoadPlan)), default=0),
            unique_prompts=all(shape.unique for shape in shapes.values()),
        ),
    )


def _auto_workers(plans: Sequence[TtftPlan | LoadPlan]) -> int:
    """As many workers as the busiest test can use, leaving a core for the decoder and the screen."""
    streams = 1
    for plan in plans:
        if isinstance(plan, LoadPlan):
            # An open loop's streams are not known before; a request a second is taken for two streams.
            streams = max(streams, plan.users or round(2 * plan.peak_rate))
    return min(_most_workers(), max(1, -(-streams // STREAMS_PER_WORKER)))


def _most_workers() -> int:
    """Return how many workers this machine can run beside the decoder and the screen."""
    return max(1, (usable_cores() or 1) - 1)


def _rounds_note(plan: TtftPlan | LoadPlan) -> str:
    if isinstance(plan, LoadPlan) and plan.rounds != plan.asked_rounds:
        change = "raised" if plan.rounds > plan.asked_rounds else "lowered"
        return f"rounds {change} from {plan.asked_rounds} to {plan.rounds}, a multiple of the number of services"
    return ""


def _requests_note(plan: TtftPlan | LoadPlan) -> str:
    """Return what a number of requests leaves unknown in a closed loop."""
    if not isinstance(plan, LoadPlan) or plan.open_loop or plan.settings.requests is None:
        return ""
    users, ramp = plan.users or 1, plan.settings.ramp_up_seconds
    if all((turn.requests or 0) <= users for turn in plan.turns):
        lost = "all are sent in the ramp, and nothing is measured" if ramp else "no rate can be told"
        return f"no user asks twice in a round of {plan.turns[0].requests} requests: {lost}"
    return f"requests that are sent in the ramp of {ramp:g} s are not measured, and count among those asked" * (
        ramp > 0
    )


def planned_test(plan: TtftPlan | LoadPlan, services: tuple[str, ...] | None = None) -> PlannedTest:
    """Return the test as the manifest keeps it; `services` are those it asks, None for all."""
    if isinstance(plan, TtftPlan):
        ttft = plan.settings
        shape = LoadShape(
            iterations=ttft.iterations,
            warmup_requests=ttft.warmup_requests,
            max_tokens=ttft.max_tokens,
            temperature=ttft.temperature,
            target_ms=ttft.target_ms,
        )
        return PlannedTest(name=plan.name, kind="ttft", rounds=1, load=shape)
    wanted = set(LoadShape.model_fields) & set(LoadTestSettings.model_fields)
    asked = plan.settings.model_dump(include=wanted)
    if isinstance(plan.settings.rate, tuple):
        asked |= {"rate": None, "rates": plan.settings.rate}
    elif plan.slices:
        asked |= {"duration_seconds": sum(part.seconds for part in plan.slices)}
    shape = LoadShape.model_validate(asked)
    return PlannedTest(
        name=plan.name,
        kind="load",
        rounds=plan.rounds,
        load=shape,
        sweep=plan.sweep,
        probe=plan.probe,
        services=services,
    )
