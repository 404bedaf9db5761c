"""A foreign result file as a run folder: manifest, tables, summary, comparison. It can be shown, drawn and compared.

Its validity is suspect, whatever it holds: nobody watched the client that measured.
"""

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from inference_bench.errors import UsageError
from inference_bench.results.comparing import write_comparison_of
from inference_bench.results.finalise import finalise, list_files
from inference_bench.results.folder import Run, RunFolder
from inference_bench.results.importing.detect import read_foreign
from inference_bench.results.importing.introducing import ImportAs, Imported, manifest_of
from inference_bench.results.importing.journaling import Journalist, Span
from inference_bench.results.importing.model import Foreign, ForeignTest
from inference_bench.results.importing.summing import summarise_import
from inference_bench.results.journal import JournalWriter
from inference_bench.results.manifest import Window

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_TEST: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


def import_file(path: Path, directory: Path, said: ImportAs | None = None) -> Run:
    """Make a run folder in `directory` of a result file of another tool, or of the folder it was written into.

    Several tests of a file are called NAME@VALUE, by their users or rates, as the points of a sweep are.

    Raises:
        UsageError: there is no such file, it is too large, no known tool wrote it, or a name is none.
        ConfigError: the file is broken (with line and column), or a value is not of the kind it should be.
        RunFolderError: the directory cannot be written to.
    """
    said = said or ImportAs()
    _check(said)
    foreign = read_foreign(path)
    imported = Imported(foreign, _named(foreign, said.test), said, foreign.started or datetime.now(UTC))
    folder = RunFolder.create(directory, said.name or f"{foreign.tool} {foreign.path.stem}", imported.when)
    try:
        _fill(folder, imported)
    except BaseException:
        shutil.rmtree(folder.path, ignore_errors=True)
        raise
    return Run(folder, folder.read_manifest())


def _check(said: ImportAs) -> None:
    if said.engine is not None and _NAME.fullmatch(said.engine) is None:
        raise UsageError(f"{said.engine!r} is no engine's name", hint="Such as vllm, tgi, ollama: a-z, 0-9, hyphens.")
    if _TEST.fullmatch(said.test) is None:
        raise UsageError(f"{said.test!r} is no test's name", hint="Letters, digits, and - _ . between them.")


def _named(foreign: Foreign, base: str) -> dict[str, ForeignTest]:
    """Return the tests by names that differ."""
    if len(foreign.tests) == 1:
        return {base: foreign.tests[0]}
    found: dict[str, ForeignTest] = {}
    for position, test in enumerate(foreign.tests, 1):
        value = re.sub(r"[^A-Za-z0-9_.-]+", "-", test.value or "")[:40] or f"test-{position}"
        name = f"{base}@{value}"
        found[name if name not in found else f"{name}-{position}"] = test
    return found


def _fill(folder: RunFolder, imported: Imported) -> None:
    tests, service = imported.tests, imported.service
    simulated = bool(imported.foreign.simulated)
    with JournalWriter(folder.journal) as journal:
        writer = Journalist(journal, service=service, engine=imported.engine, simulated=simulated)
        spans = {
            name: writer.write(name, test.exchanges()) for name, test in tests.items() if test.exchanges is not None
        }
    windows = {name: {service: found} for name, span in spans.items() if (found := _window(writer, tests[name], span))}
    folder.write_manifest(manifest_of(folder, imported, windows, spans))
    finalise(
        folder,
        status="complete",
        save_raw_data=bool(windows),
        summarise=lambda written: summarise_import(written, imported),
    )
    write_comparison_of(folder)
    list_files(folder)


def _window(writer: Journalist, test: ForeignTest, span: Span) -> tuple[Window, ...]:
    first, last = test.window or (span.first, span.last)
    start, end = writer.ns(first), writer.ns(last)
    return () if start is None or end is None else (Window(round=0, start_ns=start, end_ns=max(end, start) + 1),)
