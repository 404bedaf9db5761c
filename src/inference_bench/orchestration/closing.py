"""How a run is closed: its figures, its comparison, its gates, its documents. The same for a run that was rescued.

What was measured does not depend on any of it: figures and verdicts are made from the tables, and what cannot be made
is said, with the way to make it later.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from inference_bench.errors import BenchError
from inference_bench.results.comparing import compare_run
from inference_bench.results.comparison import Comparison, write_comparison
from inference_bench.results.finalise import FinalStatus, finalise, list_files, recover
from inference_bench.results.folder import Run, RunFolder
from inference_bench.results.gate_expression import GateExpression
from inference_bench.results.gates import write_gates_of
from inference_bench.results.looks import alpha_of, ended_early
from inference_bench.results.manifest import Manifest
from inference_bench.testing.analyzers import write_summaries


class Documents(NamedTuple):
    """The files that were made for people, and what could not be made, each with the way to try again."""

    paths: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()


class Ended(NamedTuple):
    """A run that was closed: its manifest, its documents, and what went wrong while it was summed up, if anything."""

    manifest: Manifest
    documents: Documents
    failure: BenchError | None


def end_run(
    folder: RunFolder, *, status: FinalStatus, save_raw_data: bool, fail_if: Sequence[GateExpression] = ()
) -> Ended:
    """Turn the journal of a run that has ended into tables, figures, verdicts and documents.

    Raises RunFolderError when there is no journal, or the folder cannot be written to.
    """
    return _ended(folder, partial(finalise, folder, status=status, save_raw_data=save_raw_data), fail_if=fail_if)


def recover_run(folder: RunFolder, *, documents: bool = True) -> Ended:
    """Rescue what a killed run had measured, and sum it up as a whole one. Without `documents` none are made: it goes
    on at once. Raises as `finalise.recover`.
    """
    return _ended(folder, partial(recover, folder), documents=documents)


def _ended(
    folder: RunFolder,
    tables: Callable[..., Manifest],
    *,
    fail_if: Sequence[GateExpression] = (),
    documents: bool = True,
) -> Ended:
    """Let `tables` make the tables and close the run, sum it up meanwhile, and write its documents afterwards."""
    problems: list[BenchError | None] = []
    manifest = tables(summarise=lambda ended: problems.append(close_run(ended, fail_if=fail_if)))
    if not problems:  # there was nothing to rescue
        return Ended(manifest, Documents(), None)
    made = write_documents_of(folder) if documents else Documents()
    return Ended(folder.read_manifest(), made, problems[-1])


def close_run(folder: RunFolder, *, fail_if: Sequence[GateExpression] = ()) -> BenchError | None:
    """Write summary, comparison and gates of a run whose tables are written.

    A comparison that cannot be made is returned as an error: it must not keep a measured run from being closed.

    Raises:
        RunFolderError: the tables are damaged.
        UsageError: a gate names what the run does not have.
    """
    write_summaries(folder)
    problem: BenchError | None = None
    try:
        compare(folder)
    except Exception as error:  # noqa: BLE001 - a defect in the comparing must not cost the run its end
        problem = BenchError(f"the run is saved, but could not be compared: {_said(error)}")
        problem.__cause__ = error
    write_gates_of(folder, fail_if)
    return problem


def compare(folder: RunFolder) -> Comparison:
    """Compare a run's services and write comparison.json, at the level its looks leave when it had some.

    A run that was to go on until it was decided, and ended before its next look was due, is looked at now: its
    manifest says so.
    """
    manifest = folder.read_manifest()
    comparison = compare_run(folder, alpha=alpha_of(manifest))
    sequential = None if manifest.design is None else manifest.design.sequential
    if sequential is not None and sequential.stopped is None:
        looked = folder.update(lambda so_far: ended_early(so_far, comparison)).design
        assert looked is not None
        assert looked.sequential is not None
        # It was judged at the level of this very look: all that is new is the look itself. Comparing is the longest
        # part of closing a run, and who has pressed Ctrl-C waits for it.
        told = {**comparison.design, "sequential": looked.sequential.model_dump(mode="json")}
        comparison = comparison.model_copy(update={"design": told})
    write_comparison(folder, comparison)
    return comparison


def write_documents_of(folder: RunFolder) -> Documents:
    """Write the report and the charts that a closed run's configuration asks for, and list them in its manifest.

    The run is measured and closed: whatever goes wrong here is told as a warning and can be done again.
    """
    manifest = folder.read_manifest()
    charts, report = _asked(manifest, "generate_charts"), _asked(manifest, "generate_report")
    if not charts and not report:
        return Documents()
    try:
        from inference_bench.reporting.documents import write_documents  # noqa: PLC0415 - heavy, and not always asked

        paths = write_documents(Run(folder, manifest), charts=charts, report=report)
        list_files(folder)
    except Exception as error:  # noqa: BLE001 - a defect in a picture must not cost a measured run its end
        with suppress(OSError, BenchError):
            list_files(folder)  # some may have been written
        problem = f"the run is saved, but not its documents: {_said(error)}"
        return Documents(warnings=(f"{problem}; try again with: visualize {folder.test_id}",))
    return Documents(tuple(paths))


def _asked(manifest: Manifest, key: str) -> bool:
    output = manifest.config.get("output")
    return isinstance(output, dict) and output.get(key) is True


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
