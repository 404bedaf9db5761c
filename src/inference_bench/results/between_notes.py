"""What makes two runs unlike each other: settings, servers, the machine. Notes; nothing here blocks a verdict.

Codes are stable: run_host, run_workload, run_simulated, run_seed, run_stamps, run_tool, run_nonce, same_run and
run_status; with their test run_rounds and run_ with a key of the load (run_concurrent_users, run_max_tokens, …); with
their services run_model, run_engine, run_version and run_url; of imported runs run_imported, and with their test
run_definition.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final, Literal

from inference_bench.results.between_sides import Chosen
from inference_bench.results.comparing_blocks import questions
from inference_bench.results.comparison import FairnessNote
from inference_bench.results.folder import Run, shown_status
from inference_bench.results.importing.between import import_notes
from inference_bench.results.manifest import Manifest, PlannedTest, ServiceFacts

Weight = Literal["note", "warning"]
_NONE: Final = "none"
_NOT_TOLD: Final = "not told"
# What a test asks for, in words. A difference in the first seven is another amount of work; the rest is how long it
# is measured, which changes how sure the figures are and hardly what they are.
_LOAD: Final[Mapping[str, tuple[str, Weight]]] = {
    "arrivals": ("arrivals", "warning"),
    "concurrent_users": ("users", "warning"),
    "rate": ("rate", "warning"),
    "think_time_seconds": ("think time", "warning"),
    "max_tokens": ("max_tokens", "warning"),
    "temperature": ("temperature", "warning"),
    "warmup_requests": ("warm-up requests", "note"),
    "duration_seconds": ("duration", "note"),
    "requests": ("requests", "note"),
    "iterations": ("iterations", "note"),
    "ramp_up_seconds": ("ramp", "note"),
}


def notes_between(
    a: Chosen, b: Chosen, tests: Sequence[str], services: Sequence[tuple[str, str]]
) -> tuple[FairnessNote, ...]:
    """Return what A's and B's runs differ in, warnings first."""
    found = [*_settings(a, b), *_shared(a, b)]
    for test in tests:
        found += _load(a, b, test)
    for pair in services:
        found += _servers(a, b, pair)
    found += _imported(a, b, tests)
    return tuple(sorted(dict.fromkeys(found), key=lambda note: note.weight != "warning"))


def _settings(a: Chosen, b: Chosen) -> Iterator[FairnessNote]:
    told: tuple[tuple[str, Weight, str, Callable[[Manifest], str]], ...] = (
        ("run_host", "warning", "the measuring host", _host),
        ("run_workload", "warning", "the workload", _workload),
        ("run_simulated", "warning", "what was measured", _simulated),
        ("run_seed", "note", "the seed, and so the prompts,", _seed),
        ("run_stamps", "note", "the source of the stamps", lambda manifest: manifest.stamp_source),
        ("run_tool", "note", "this program's version", lambda manifest: manifest.environment.tool_version),
    )
    for code, weight, what, read in told:
        said = _difference({side.letter: [read(run.manifest) for run in side.runs] for side in (a, b)})
        if said is not None:
            yield FairnessNote(code=code, weight=weight, text=f"{what} differs: {said}")


def _shared(a: Chosen, b: Chosen) -> Iterator[FairnessNote]:
    """Say what runs share that they should not, and which of them did not run to their end."""
    runs = {run.folder.path.resolve(): run for run in (*a.runs, *b.runs)}
    nonces = [run.manifest.nonce for run in runs.values()]
    if len(set(nonces)) < len(nonces):
        said = "runs share a nonce, and so their prompts' prefixes: a prefix cache may have answered in the later ones"
        yield FairnessNote(code="run_nonce", weight="warning", text=said)
    if len(runs) < len(a.runs) + len(b.runs):
        said = "a run stands on both sides: its own comparison is paired, and sharper"
        yield FairnessNote(code="same_run", text=said)
    for run in runs.values():
        status = shown_status(run.manifest)
        if status != "complete":
            said = f"{run.folder.test_id} is {status}: it did not run to its end"
            yield FairnessNote(code="run_status", weight="warning", text=said)


def _imported(a: Chosen, b: Chosen, tests: Sequence[str]) -> Iterator[FairnessNote]:
    """Say which runs other tools measured, and what of the compared metrics means another thing there."""
    manifests = {side.letter: [run.manifest for run in side.runs] for side in (a, b)}
    kinds = {test: _test(manifests["A"][0], test).kind for test in tests}
    metrics = {test: [question.metric for question in questions(kind)] for test, kind in kinds.items()}
    return import_notes(tests, metrics, manifests)


def _load(a: Chosen, b: Chosen, test: str) -> Iterator[FairnessNote]:
    asked: list[tuple[str, str, Weight, Callable[[Manifest], str]]] = [
        (f"run_{key}", what, weight, partial(_asked, test=test, key=key)) for key, (what, weight) in _LOAD.items()
    ]
    asked.append(("run_rounds", "number of rounds", "note", lambda manifest: str(_test(manifest, test).rounds)))
    for code, what, weight, read in asked:
        told = {side.letter: [read(run.manifest) for run in side.runs] for side in (a, b)}
        said = _difference(told)
        if said is not None and {value for values in told.values() for value in values} != {_NONE, _NOT_TOLD}:
            yield FairnessNote(code=code, weight=weight, test=test, text=f"{what}: {said}")


def _servers(a: Chosen, b: Chosen, services: tuple[str, str]) -> Iterator[FairnessNote]:
    told: tuple[tuple[str, Weight, str, Callable[[ServiceFacts], str | None]], ...] = (
        ("run_model", "warning", "model", lambda facts: facts.model),
        ("run_engine", "note", "engine", lambda facts: facts.engine),
        ("run_version", "note", "version", lambda facts: facts.version),
        ("run_url", "note", "address", lambda facts: facts.url),
    )
    names = (f"A/{services[0]}", f"B/{services[1]}")
    for code, weight, what, read in told:
        found = {
            side.letter: [read(_facts(run, service)) or _NOT_TOLD for run in side.runs]
            for side, service in zip((a, b), services, strict=True)
        }
        said = _difference(found)
        if said is not None:
            text = f"{what} of {names[0]} and {names[1]}: {said}"
            yield FairnessNote(code=code, weight=weight, services=names, text=text)


def _difference(told: Mapping[str, Sequence[str]]) -> str | None:
    """Return what each side says, when they do not say the same."""
    if len({frozenset(values) for values in told.values()}) == 1:
        return None
    return "; ".join(f"{letter} {', '.join(dict.fromkeys(values))}" for letter, values in told.items())


def _seed(manifest: Manifest) -> str:
    return str(manifest.seed) if manifest.imported is None else _NOT_TOLD


def _host(manifest: Manifest) -> str:
    if manifest.imported is not None:
        return _NOT_TOLD
    environment = manifest.environment
    return f"{environment.host} ({environment.cpu or 'unknown CPU'}, {environment.usable_cores} cores)"


def _simulated(manifest: Manifest) -> str:
    if manifest.imported is not None and not manifest.simulated:
        return _NOT_TOLD
    return "simulated engines" if manifest.simulated else "real engines"


def _workload(manifest: Manifest) -> str:
    if manifest.imported is not None:
        return _NOT_TOLD
    section = manifest.config.get("workload")
    told = section.items() if isinstance(section, dict) else ()
    return " ".join(f"{key} {value}" for key, value in told if value is not None) or _NONE


def _test(manifest: Manifest, name: str) -> PlannedTest:
    return next(test for test in manifest.plan if test.name == name)


def _asked(manifest: Manifest, *, test: str, key: str) -> str:
    value = getattr(_test(manifest, test).load, key)
    if value is None and manifest.imported is not None:
        return _NOT_TOLD
    return _NONE if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _facts(run: Run, name: str) -> ServiceFacts:
    return next(facts for facts in run.manifest.services if facts.name == name)
