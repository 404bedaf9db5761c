"""The experiment of a run as its manifest keeps it: made from the plan, kept up as blocks are completed or added."""

from inference_bench.orchestration.run_plan import RunPlan
from inference_bench.results.design import (
    BLOCKS_RULE,
    PREFIX_RULE,
    PREFIX_SHARED,
    ROUNDS_RULE,
    Design,
    Sequential,
    TestDesign,
    pack_order,
)
from inference_bench.results.manifest import Manifest
from inference_bench.testing.plan import LoadPlan, TtftPlan


def design_of(plan: RunPlan, nonce: str, *, budget_seconds: float | None) -> Design:
    """Return the design of a planned run; with a budget, of one that goes on until it is decided."""
    settings = plan.settings
    sequential = None
    if budget_seconds is not None:
        sequential = Sequential(alpha=1 - settings.comparison.confidence, budget_seconds=budget_seconds)
    return Design(
        seed=settings.benchmark.seed,
        nonce=nonce,
        services=tuple(service.name for service in plan.services),
        prefix={name: PREFIX_RULE if shape.unique else PREFIX_SHARED for name, shape in plan.shapes.items()},
        tests={test.name: _design_of_test(test) for test in plan.tests},
        sequential=sequential,
    )


def with_completed(manifest: Manifest, test: str, completed: int) -> Manifest:
    """Return the manifest with so many blocks or rounds more of a test completed."""
    of_test = _of_test(manifest, test)
    return _with_test(manifest, test, of_test.model_copy(update={"run": of_test.run + completed}))


def with_further(manifest: Manifest, plan: TtftPlan | LoadPlan) -> Manifest:
    """Return the manifest with the order of further blocks or rounds from the plan's first on; those that were
    planned for a stretch and not reached give way to them.
    """
    of_test = _of_test(manifest, plan.name)
    order = " ".join([*of_test.order.split()[: plan.first], _order(plan)])
    return _with_test(manifest, plan.name, of_test.model_copy(update={"order": order}))


def _of_test(manifest: Manifest, test: str) -> TestDesign:
    assert manifest.design is not None
    return manifest.design.tests[test]


def _with_test(manifest: Manifest, name: str, test: TestDesign) -> Manifest:
    assert manifest.design is not None
    design = manifest.design.model_copy(update={"tests": {**manifest.design.tests, name: test}})
    return manifest.model_copy(update={"design": design})


def _design_of_test(plan: TtftPlan | LoadPlan) -> TestDesign:
    if isinstance(plan, TtftPlan):
        return TestDesign(
            unit="block",
            rule=BLOCKS_RULE,
            asked=plan.settings.iterations,
            planned=plan.blocks,
            order=_order(plan),
        )
    return TestDesign(unit="round", rule=ROUNDS_RULE, asked=plan.asked_rounds, planned=plan.rounds, order=_order(plan))


def _order(plan: TtftPlan | LoadPlan) -> str:
    if isinstance(plan, TtftPlan):
        return pack_order(plan.order.tolist())
    services = len(plan.turns) // plan.rounds
    places = [turn.service for turn in plan.turns]
    return pack_order([places[start : start + services] for start in range(0, len(places), services)])
