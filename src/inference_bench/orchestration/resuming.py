"""An interrupted run goes on: what is whole is kept, what was cut is measured anew, what is missing is measured.

Same folder, nonce, seed and configuration, those of the manifest. The orders of the services and the times of the
arrivals are those of the original plan; only the prefixes of a round that was begun before are new, so that no prefix
cache answers for an engine. One part is told from another by `Manifest.resumed`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from pydantic import ValidationError

from inference_bench.config.loader import LoadedSettings
from inference_bench.config.models import Settings
from inference_bench.errors import NoServiceError, RunFolderError, UsageError
from inference_bench.orchestration.asked_lengths import with_lengths
from inference_bench.orchestration.capacity_plan import probable, searches_of
from inference_bench.orchestration.closing import recover_run
from inference_bench.orchestration.resumable import check_can_resume
from inference_bench.orchestration.resumed_search import SearchLeft, search_left
from inference_bench.orchestration.run_plan import RunPlan, Selection, planned_test
from inference_bench.orchestration.service_orchestrator import OpenServices
from inference_bench.orchestration.session_notes import with_turns
from inference_bench.orchestration.work_digest import work_digests
from inference_bench.results.finalise import REQUESTS
from inference_bench.results.folder import RunFolder
from inference_bench.results.json_model import first_problem
from inference_bench.results.manifest import CutTurn, Manifest, PlannedTest, ServiceFacts
from inference_bench.results.progress import Progress, planned_units, progress_of
from inference_bench.testing.estimates import estimate
from inference_bench.testing.plan import LoadPlan, TtftPlan

_SAME = ("engine", "dialect", "product", "version", "model", "simulated")


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A run that can go on: its folder, its manifest as it was read, its configuration, and how far it had come, its
    searches for a capacity too.
    """

    folder: RunFolder
    manifest: Manifest
    settings: Settings
    progress: Progress
    searches: tuple[SearchLeft, ...] = ()

    @property
    def services(self) -> tuple[str, ...]:
        """The names of its services, in the order of its plan."""
        return tuple(service.name for service in self.manifest.services)

    @property
    def selection(self) -> Selection:
        """The tests of its plan, in the words of the configuration."""
        kinds = {test.kind for test in self.manifest.plan}
        only = dict.fromkeys(test.sweep or test.name for test in self.manifest.plan) | dict.fromkeys(
            self.manifest.searches
        )
        return Selection(
            ttft="ttft" in kinds,
            load="load" in kinds,
            only=tuple(only),
            find_capacity=bool(self.manifest.searches),
        )

    @property
    def was_to_go_on(self) -> bool:
        """Whether it was to go on after its plan until it is decided."""
        return self.manifest.design is not None and self.manifest.design.sequential is not None

    @property
    def planned(self) -> tuple[tuple[PlannedTest, int], ...]:
        """Its tests, each with how many rounds or blocks it was planned with; the probes of a search are no tests."""
        return tuple((test, planned_units(test)) for test in self.manifest.plan if not test.probe)

    @property
    def workers(self) -> int | None:
        """How many processes measured in its last part; None when that is not known."""
        before = self.manifest.resumed[-1].first_worker if self.manifest.resumed else 0
        return self.progress.next_worker - before or None

    def unit(self, test: str) -> str:
        """What a test is counted in: rounds or blocks."""
        return "block" if _planned(self.manifest, test).kind == "ttft" else "round"

    @property
    def under_way(self) -> str | None:
        """The first of its tests that is not whole. Of a run that was killed the last moments are lost: this test may
        have been begun though nothing tells of it, and a prefix cache may know its next prompts.
        """
        done = self.progress.completed
        return next((test.name for test, planned in self.planned if done[test.name] < planned), None)

    @property
    def cut(self) -> dict[str, int]:
        """From which round or block on the tests that are not whole are measured, by test; of those that were begun, or
        may have been.
        """
        done = self.progress.completed
        return {
            test.name: done[test.name]
            for test, planned in self.planned
            if (test.name in self.progress.begun or test.name == self.under_way) and done[test.name] < planned
        }

    @property
    def searches_over(self) -> bool:
        """Whether no search has anything left to measure."""
        return all(left.over for left in self.searches)

    @property
    def cut_turns(self) -> tuple[CutTurn, ...]:
        """The probes of its searches that give way."""
        return tuple(turn for left in self.searches for turn in left.cut)

    def loaded(self, api_key_envs: Mapping[str, str]) -> LoadedSettings:
        """Return its configuration as a command loads one; `api_key_envs` names the variables of keys by service."""
        by_service: dict[str, dict[str, object]] = {}
        for service in self.manifest.services:
            if service.model is not None:
                by_service[service.name] = {"model": service.model}
        for name, variable in api_key_envs.items():
            by_service.setdefault(name, {})["api_key_env"] = variable
        return LoadedSettings(self.settings, f"that of {self.folder.test_id}", {}, by_service)


def interrupted_run(folder: RunFolder, *, rescue: bool) -> Interrupted:
    """Return a run that was interrupted, as it can go on.

    With `rescue` what its journal holds is turned into tables first, as `results recover` does; without it nothing on
    the disk changes. Raises UsageError for a run that cannot go on, with the way out; RunFolderError for one that is
    damaged or still going on.
    """
    manifest = folder.read_manifest()
    check_can_resume(folder, manifest)
    if rescue and (folder.journal.is_dir() or folder.file(REQUESTS).is_file()):
        # Summed up too: should going on fail for want of a service, the run is closed as any that was rescued.
        recover_run(folder, documents=False)
        manifest = folder.read_manifest()
    try:
        settings = Settings.model_validate(manifest.config)
    except ValidationError as error:
        hint = "It was made by another version, or changed since."
        raise RunFolderError(
            f"the configuration of {folder.test_id} cannot be used: {first_problem(error)}", hint=hint
        ) from error
    progress = progress_of(folder, manifest)
    searched = searches_of(settings, manifest.searches) if manifest.searches else ()
    searches = tuple(search_left(test, manifest, progress) for test in searched)
    found = Interrupted(folder, manifest, settings, progress, searches)
    if found.was_to_go_on and all(progress.completed[test.name] >= planned_units(test) for test in manifest.plan):
        raise UsageError(
            f"the planned part of {folder.test_id} is complete, and going on until it is decided cannot be resumed",
            hint="its figures and its comparison are saved; begin a new run with --until-decided",
        )
    return found


def in_their_order(opened: OpenServices, run: Interrupted) -> OpenServices:
    """Return the services in the order of the run's plan. Raises NoServiceError when one is not there."""
    found = {service.name: number for number, service in enumerate(opened.services)}
    missing = [name for name in run.services if name not in found]
    if missing:
        raise NoServiceError(
            f"{', '.join(missing)} cannot be reached, and the run measured it",
            hint="a run goes on with all of its services; start them again",
        )
    order = [found[name] for name in run.services]
    return replace(
        opened,
        services=tuple(opened.services[number] for number in order),
        endpoints=tuple(opened.endpoints[number] for number in order),
    )


def left_of(plan: RunPlan, run: Interrupted) -> RunPlan:
    """Return what is left of the run's plan, made anew from its configuration.

    Raises UsageError when the services are not the same as before, or the plan is not.
    """
    _check_services(run.manifest.services, plan.facts)
    _check_plan(run, plan)
    left = [_rest(test, run) for test in plan.tests]
    tests = tuple(test for test in left if test is not None)
    shapes = {
        test.name: replace(plan.shapes[test.name], again=_begun_before(run.manifest, test.name) + 1)
        if _is_begun(test, run)
        else plan.shapes[test.name]
        for test in tests
    }
    shapes |= {test.name: plan.shapes[test.name] for test in plan.searches}
    services, seed = len(plan.services), run.settings.benchmark.seed
    estimates = [with_turns(estimate(test, services), test, shapes[test.name]) for test in tests]
    estimates += [
        with_lengths(probable(left.test, services, seed, made=left.probes, over=left.over), plan.shapes[left.test.name])
        for left in run.searches
    ]
    return replace(plan, tests=tests, shapes=shapes, estimates=tuple(estimates), notes=())


def _planned(manifest: Manifest, name: str) -> PlannedTest:
    return next(test for test in manifest.plan if test.name == name)


def _rest(test: TtftPlan | LoadPlan, run: Interrupted) -> TtftPlan | LoadPlan | None:
    """Return the rounds or blocks of a test that are to be measured, numbered as planned; None when all are whole."""
    done = run.progress.completed[test.name]
    if isinstance(test, TtftPlan):
        if done >= test.blocks:
            return None
        stretch = run.progress.begun.get(test.name, 0)
        if test.name in run.cut:
            stretch = max(stretch, _begun_before(run.manifest, test.name) + 1)
        return replace(test, order=test.order[done:], first=done, stretch=stretch)
    if done >= test.rounds:
        return None
    turns = tuple(turn for turn in test.turns if turn.round_no >= done)
    return replace(test, rounds=test.rounds - done, turns=turns, offsets=test.offsets[done:], first=done)


def _is_begun(test: TtftPlan | LoadPlan, run: Interrupted) -> bool:
    """Return whether some of the next round may have been sent before. A TTFT test's new stretch has prompts of its
    own.
    """
    return isinstance(test, LoadPlan) and test.name in run.cut


def _begun_before(manifest: Manifest, test: str) -> int:
    """Return how often a round of this test was cut and begun anew before."""
    return sum(test in one.cut for one in manifest.resumed or ())


def _check_services(before: Sequence[ServiceFacts], now: Sequence[ServiceFacts]) -> None:
    for old, new in zip(before, now, strict=True):
        for name in _SAME:
            was, found = getattr(old, name), getattr(new, name)
            if was != found:
                raise UsageError(
                    f"{old.name} is not what was measured: its {name} was {_word(was)} and is {_word(found)}",
                    hint="two different services make no one run; begin a new run",
                )


def _word(value: object) -> str:
    return "not told" if value is None else str(value)[:100]


def _check_plan(run: Interrupted, plan: RunPlan) -> None:
    """Refuse when the configuration does not give the plan that the manifest holds (another version, another file)."""
    now = {test.name: planned_test(test) for test in plan.tests}
    before = [test for test, _ in run.planned]
    for test in before:
        if now.get(test.name) != test:
            raise UsageError(
                f"the test {test.name} would not be planned as it was", hint="a file that it reads may have changed"
            )
    names = [test.name for test in before]
    positions = [names.index(test.name) if test.name in names else -1 for test in plan.tests]
    searched = tuple(test.name for test in plan.searches)
    moved = -1 in positions or any(first > second for first, second in pairwise(positions))
    if moved or searched != run.manifest.searches:
        raise UsageError("the tests would not be planned as they were", hint="begin a new run")
    for name, work in work_digests(plan.shapes).items():
        if run.manifest.work.get(name, work) != work:
            hint = "a file that they come from has changed: put it back as it was, or begin a new run"
            raise UsageError(f"the prompts of {name} are not those that were asked before", hint=hint)
