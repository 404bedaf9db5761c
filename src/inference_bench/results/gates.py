"""Gates: what fails a run. The promises of `slo` and the expressions of --fail-if, held against its summary.

The result is gates.json in the run folder, written when the run has any gate. A condition whose value is missing
counts as true: a gate that cannot be judged trips, and says what is missing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from inference_bench.config.promise_models import SloSettings
from inference_bench.config.schema import closest
from inference_bench.config.vocabulary import name_problem
from inference_bench.errors import UsageError
from inference_bench.results.atomic import write_atomically
from inference_bench.results.folder import RunFolder
from inference_bench.results.gate_expression import (
    OPERATORS,
    Condition,
    GateExpression,
    Operator,
    gate_problem,
    number_text,
    parse_gate,
)
from inference_bench.results.json_model import read_model
from inference_bench.results.schema import SCHEMA_VERSION
from inference_bench.results.slo import slo_of
from inference_bench.results.summary import Summary, TestSummary, read_summary
from inference_bench.results.values import LIMITED, VALUES, better_of, missing_reason, value_of

GATES_JSON: Final = "gates.json"
GateSource = Literal["slo", "fail_if"]
_MODEL = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class GateCondition(BaseModel):
    """One comparison of a gate. `holds` when `value` stands `op` to `limit`, or is missing (`reason` says why)."""

    model_config = _MODEL

    test: str
    service: str
    name: str
    op: Operator
    limit: float
    value: float | None
    holds: bool
    reason: str | None = None


class GateResult(BaseModel):
    """One gate in one test, or over several (`test` null) where its conditions name them.

    `expression` is what the user wrote: of `fail_if` what must not be true, of `slo` what must. The conditions are
    those that fail the run when they hold: for `fail_if` joined as the expression says, for `slo` a single one.
    """

    model_config = _MODEL

    source: GateSource
    expression: str
    test: str | None
    failed: bool
    conditions: tuple[GateCondition, ...]

    @property
    def causes(self) -> tuple[GateCondition, ...]:
        """The conditions that hold."""
        return tuple(condition for condition in self.conditions if condition.holds)


class Gates(BaseModel):
    """gates.json."""

    model_config = _MODEL

    schema_version: int = SCHEMA_VERSION
    test_id: str
    simulated: bool
    results: tuple[GateResult, ...]

    @property
    def failed(self) -> tuple[GateResult, ...]:
        """The gates that tripped."""
        return tuple(result for result in self.results if result.failed)


def parse_gates(texts: Iterable[str]) -> tuple[GateExpression, ...]:
    """Read expressions and check that their values exist. Raises UsageError."""
    expressions = tuple(parse_gate(text) for text in texts)
    for expression in expressions:
        for condition in expression.conditions:
            problem = name_problem(condition.value, VALUES)
            if problem is not None:
                raise gate_problem(expression.text, condition.column, f"{condition.value}: {problem}")
    return expressions


def check_tests(expressions: Iterable[GateExpression], tests: Mapping[str, SloSettings | None]) -> None:
    """Refuse tests that will not run, and goodput where nothing is promised. Raises UsageError.

    `tests` are those that will run, with their promises.
    """
    for expression in expressions:
        for condition in expression.conditions:
            if condition.test is not None:
                _check_name(expression, condition, "test", condition.test, tuple(tests))
            asked = [condition.test] if condition.test is not None else list(tests)
            bare = [name for name in asked if (slo := tests[name]) is None or not slo.has_request_limits]
            if condition.value.startswith("goodput.") and bare:
                problem = f"{condition.value}: there is no goodput in {', '.join(bare)}, which has no slo.per_request"
                raise gate_problem(expression.text, condition.column, f"{problem}; name a test that has one")


def check_services(expressions: Iterable[GateExpression], services: Sequence[str]) -> None:
    """Refuse services that are not measured. Raises UsageError."""
    for expression in expressions:
        for condition in expression.conditions:
            _check_name(expression, condition, "service", condition.service, services)


def evaluate(
    expressions: Iterable[GateExpression], summary: Summary, config: Mapping[str, object]
) -> tuple[GateResult, ...]:
    """Return what became of every gate: the promises in `config` first, then the expressions.

    An expression that names no test somewhere is judged once per test; where all its conditions name one, once. The
    loads that a search for capacity tried are no tests here. Raises UsageError for a name that the summary does not
    have.
    """
    tests = {test.name: test for test in summary.tests if not test.probe}
    # The points of a sweep, and the loads a search tried, are there to find where a promise breaks: it fails nothing.
    fixed = [test for test in summary.tests if test.sweep is None]
    results = [result for test in fixed for result in promises_of(slo_of(config, test.name), test)]
    for expression in expressions:
        check_tests([expression], {name: slo_of(config, name) for name in tests})
        check_services([expression], tuple(dict.fromkeys(name for test in summary.tests for name in test.services)))
        if all(condition.test is not None for condition in expression.conditions):
            results.append(_judged(expression, None, tests))
        else:
            results += [_judged(expression, test, tests) for test in tests.values()]
    return tuple(results)


def write_gates_of(folder: RunFolder, expressions: Iterable[GateExpression] = ()) -> Gates | None:
    """Judge a finished run by its summary, write gates.json, and return it; None, and no file, without any gate.

    Raises:
        RunFolderError: the run has no summary that can be read.
        UsageError: an expression names what the run does not have.
    """
    summary = read_summary(folder)
    if summary is None:
        return None
    results = evaluate(expressions, summary, folder.read_manifest().config)
    if not results:
        return None
    gates = Gates(test_id=folder.test_id, simulated=summary.simulated, results=results)
    write_atomically(folder.file(GATES_JSON), gates.model_dump_json(indent=2).encode() + b"\n")
    return gates


def read_gates(folder: RunFolder) -> Gates | None:
    """Return the run's gates; None when it has none. Raises RunFolderError when the file is damaged or newer."""
    path: Path = folder.file(GATES_JSON)
    return read_model(path, Gates) if path.is_file() else None


def cause_text(condition: GateCondition) -> str:
    """Return a condition that holds as a sentence: the value against the limit, or what is missing."""
    where = f"{condition.service} in {condition.test}"
    if condition.value is None:
        return f"{condition.name} of {where} is missing: {condition.reason}"
    return f"{condition.name} of {where} is {condition.value:.6g}, {condition.op} {number_text(condition.limit)}"


def _check_name(expression: GateExpression, condition: Condition, what: str, name: str, known: Sequence[str]) -> None:
    if name in known:
        return
    near = closest(name, known, cutoff=0.7)
    meant = f"; did you mean {near}?" if near is not None else "."
    problem = f"there is no {what} {name!r} in this run{meant} The {what}s are: {', '.join(known)}"
    raise gate_problem(expression.text, condition.column, problem)


def _judged(expression: GateExpression, test: TestSummary | None, tests: Mapping[str, TestSummary]) -> GateResult:
    """Judge an expression in one test; `test` None where every condition names its own."""

    def judged(condition: Condition) -> GateCondition:
        of = test if condition.test is None else tests[condition.test]
        assert of is not None  # only an expression whose conditions all name a test is judged without one
        return _compared(of, condition.service, condition.value, condition.op, condition.number)

    groups = [[judged(condition) for condition in group] for group in expression.alternatives]
    conditions = tuple(condition for group in groups for condition in group)
    named = {condition.test for condition in conditions}
    return GateResult(
        source="fail_if",
        expression=str(expression),
        test=next(iter(named)) if len(named) == 1 else test.name if test is not None else None,
        failed=any(all(condition.holds for condition in group) for group in groups),
        conditions=conditions,
    )


def promises_of(slo: SloSettings | None, test: TestSummary) -> Iterator[GateResult]:
    """Yield a result per service for each promise that is no per-request limit."""
    if slo is None:
        return
    wanted = {"goodput.attainment": slo.attainment, "success_rate": slo.success_rate}
    promises = [(name, limit) for name, limit in wanted.items() if limit is not None] + list(slo.limits.items())
    for name, limit in promises:
        problem = name_problem(name, LIMITED)
        if problem is not None:
            raise UsageError(f"slo.limits.{name}: {problem}")
        least = better_of(name) == "more"
        for service in test.services:
            broken = _compared(test, service, name, "<" if least else ">", limit)
            yield GateResult(
                source="slo",
                expression=f"{service}.{name} {'>=' if least else '<='} {number_text(limit)}",
                test=test.name,
                failed=broken.holds,
                conditions=(broken,),
            )


def _compared(test: TestSummary, service: str, name: str, op: Operator, limit: float) -> GateCondition:
    found = test.services[service]
    value = value_of(found, name)
    return GateCondition(
        test=test.name,
        service=service,
        name=name,
        op=op,
        limit=limit,
        value=value,
        holds=value is None or OPERATORS[op](value, limit),
        reason=missing_reason(found, name) if value is None else None,
    )
