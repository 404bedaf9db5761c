"""An interrupted run goes on from here: what its manifest says of it from now on.

Windows of what was cut go, the clock of the new part is tied to that of the first one, and people are told when and
after what the run went on.
"""

import time
from dataclasses import replace
from datetime import UTC, datetime

from inference_bench.errors import UsageError
from inference_bench.orchestration.resumed_search import cut_before, with_searches
from inference_bench.orchestration.resuming import Interrupted
from inference_bench.orchestration.run_plan import RunPlan
from inference_bench.results.design import Design, TestDesign
from inference_bench.results.liveness import boot_id, this_process
from inference_bench.results.manifest import Resumption
from inference_bench.results.progress import kept_windows, removed_by

_LEAST_PAUSE_NS = 1_000_000_000  # between two parts on the run's clock, whatever the wall clock says


def begin_again(run: Interrupted, plan: RunPlan, *, calibrate: bool = False) -> Resumption:
    """Write into the manifest that the run goes on from here, and return what was written.

    Windows of what was cut go; the records of it stay in the tables until those of the new part take their place. What
    is asked to `calibrate` now, and is cut before it is, will be when it goes on again.
    Raises UsageError when the run has changed since it was looked at.
    """
    if run.folder.read_manifest() != run.manifest:
        raise UsageError(f"{run.folder.test_id} has changed meanwhile", hint="somebody else may have resumed it")
    removed, ends = removed_by(run.folder, run.manifest, run.cut, run.cut_turns)
    shift = _shift_ns(run)
    began = time.monotonic_ns() + shift
    resumption = Resumption(
        at=datetime.now(UTC),
        began_ns=began,
        pause_seconds=(began - run.progress.last_ns) / 1e9 if run.progress.last_ns else 0.0,
        after_requests=run.progress.requests - removed,
        removed_requests=removed,
        first_seq=run.progress.next_seq,
        first_worker=run.progress.next_worker,
        shifted_ns=shift,
        cut=run.cut,
        cut_turns=run.cut_turns,
    )
    changes = {
        "status": "running",
        "process": this_process(),
        "calibrate": run.manifest.calibrate or calibrate,
        "windows": kept_windows(run.manifest, run.cut, ends, run.cut_turns),
        "design": _design(run, plan),
        "resumed": (*(run.manifest.resumed or ()), resumption),
        "notes": (*run.manifest.notes, _note(run, resumption)),
        **with_searches(run.manifest, run.searches),
    }
    run.folder.write_manifest(run.manifest.model_copy(update=changes))
    return resumption


def _shift_ns(run: Interrupted) -> int:
    """Return what to add to this start's monotonic clock so that it goes on as that of the run's first start.

    0 on the same start of the machine. Else both clocks are tied together by the wall clock, as far as that goes
    forward: no part may lie before the end of the one before it.
    """
    anchor = run.manifest.clock
    if anchor.boot_id is not None and anchor.boot_id == boot_id():
        return 0
    wall, monotonic = time.time_ns(), time.monotonic_ns()
    shift = anchor.monotonic_ns + (wall - anchor.wall_ns) - monotonic
    return max(shift, run.progress.last_ns + _LEAST_PAUSE_NS - monotonic)


def _note(run: Interrupted, resumption: Resumption) -> str:
    """Return what people must know of a run in several parts."""
    text = (
        f"resumed at {resumption.at:%Y-%m-%d %H:%M:%S} UTC, {resumption.pause_seconds:,.0f} s after its last answer, "
        f"with {resumption.after_requests:,} requests kept"
        if run.progress.requests
        else f"resumed at {resumption.at:%Y-%m-%d %H:%M:%S} UTC; it held no request before"
    )
    if resumption.removed_requests:
        where = [f"{name} from {run.unit(name)} {first + 1} on" for name, first in resumption.cut.items()]
        where += [f"probe {turn.round + 1} of {turn.service} at {turn.test}" for turn in resumption.cut_turns]
        gone = f"{resumption.removed_requests:,} of its requests removed ({', '.join(where)})"
        text += f"; what was cut is measured anew, {gone}"
    for left in run.searches:
        text += f"; the search of {left.test.name} went on after {left.made}"
    if resumption.shifted_ns:
        text += "; the machine was started again in between: its clocks are tied together by the time of day"
    return text


def _design(run: Interrupted, plan: RunPlan) -> Design:
    """Return the experiment with what is whole of each test, and where prefixes are new."""
    design = run.manifest.design
    assert design is not None  # kept by every version that can resume
    tests: dict[str, TestDesign] = {}
    for name, test in design.tests.items():
        tests[name] = test.model_copy(update={"run": run.progress.completed[name]})
    prefix = dict(design.prefix)
    for left in plan.tests:
        shape = plan.shapes[left.name]
        if shape.unique and shape.again:
            rule = prefix[left.name]
            prefix[left.name] = f"{rule}; from round number {left.first} on the test's name in it is {shape.scope}"
    for search in run.searches:
        name = search.test.name
        shape = plan.shapes[name]
        for turn in search.cut if shape.unique else ():
            again = cut_before(run.manifest, turn.test, turn.service, turn.round) + 1
            scope = replace(shape, name=turn.test, again=again).scope
            where = f"round number {turn.round} of {turn.test} for {turn.service}"
            prefix[name] = f"{prefix[name]}; in {where} the test's name in it is {scope}"
    sequential = design.sequential
    if sequential is not None and sequential.looks:
        # It was looked at when it was cut; its end will be the next look, at that look's level.
        last = sequential.looks[-1].model_copy(update={"stopped": None})
        sequential = sequential.model_copy(update={"looks": (*sequential.looks[:-1], last)})
    return design.model_copy(update={"tests": tests, "prefix": prefix, "sequential": sequential})
