"""Imported runs in a comparison: what stands between them and others, and the notes on the metrics compared.

Two runs of the same tool, kept in the same way, are defined alike: nothing is said about those.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

from inference_bench.results.comparison import FairnessNote
from inference_bench.results.importing.definitions import Basis, Definition, definition_of, imported_words, title_of
from inference_bench.results.manifest import Manifest

Sides = Mapping[str, Sequence[Manifest]]  # by letter
_OURS: Final = "ours"


def import_obstacle(metric: str, test: str, sides: Sides) -> str | None:
    """Return why a metric of a test cannot be compared because of how a run was imported; None when it can."""
    for letter, manifests in sides.items():
        for manifest in manifests:
            if manifest.imported is not None and _basis(manifest, test) == "reported":
                return (
                    f"{letter}'s {test} was imported from {title_of(manifest.imported.tool)} as figures, without its "
                    "requests: they are shown, and nothing tells how sure they are"
                )
    for letter, found in _differing(metric, test, sides):
        if found.material:
            return f"it is not the same in {letter}, imported from {title_of(found.tool)}: {found.words}"
    return None


def import_notes(tests: Sequence[str], metrics: Mapping[str, Sequence[str]], sides: Sides) -> Iterator[FairnessNote]:
    """Yield what must be known of imported runs: that they are, and each compared metric that means another thing.

    `metrics` are those compared, by test. A difference that forbids a verdict is a warning, any other a note.
    """
    for letter, manifests in sides.items():
        for manifest in manifests:
            if manifest.imported is not None:
                text = (
                    f"{letter} was {imported_words(manifest.imported)}: another client, its lateness not watched, and "
                )
                yield FairnessNote(code="run_imported", weight="warning", text=f"{text}not the same prompts")
    for test in tests:
        for metric in dict.fromkeys(metrics[test]):
            for letter, found in _differing(metric, test, sides):
                weight: Literal["note", "warning"] = "warning" if found.material else "note"
                text = f"{letter}, from {title_of(found.tool)}: {found.words}"
                yield FairnessNote(code="run_definition", weight=weight, test=test, text=text)


def _differing(metric: str, test: str, sides: Sides) -> Iterator[tuple[str, Definition]]:
    """Yield (letter, definition) where a side's metric is not ours, unless all runs have the same of it."""
    ways = {_way(manifest, test) for manifests in sides.values() for manifest in manifests}
    if len(ways) == 1:
        return
    for letter, manifests in sides.items():
        for tool, basis in dict.fromkeys(_way(manifest, test) for manifest in manifests):
            found = None if basis == _OURS else definition_of(tool, metric, basis)
            if found is not None:
                yield letter, found


def _way(manifest: Manifest, test: str) -> tuple[str, Basis | Literal["ours"]]:
    """Return whose formulas and marks a test's figures are of."""
    return (_OURS, _OURS) if manifest.imported is None else (manifest.imported.tool, _basis(manifest, test))


def _basis(manifest: Manifest, test: str) -> Basis:
    kept = manifest.imported is not None and test in manifest.imported.with_requests
    return "marks" if kept else "reported"
