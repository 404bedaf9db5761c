"""The design of a comparison: the settings it is made with, and what comparison.json says of how it came about."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from pydantic import JsonValue

from inference_bench.results.comparison import Pair
from inference_bench.results.comparison_words import NO_RUN_TO_RUN
from inference_bench.results.fairness import unique_prompts
from inference_bench.results.manifest import Manifest, PlannedTest
from inference_bench.results.values import PRIMARIES

_MIN_EFFECT: Final = 0.05
_CONFIDENCE: Final = 0.95
_ORDER: Final = {
    "ttft": "every block asks each service once, in seeded random order",
    "load": "services take turns, and their order rotates from round to round",
}


class CompareSettings(NamedTuple):
    """What the configuration says about comparing; `primary` None means each test's own."""

    primary: str | None = None
    min_effect: float = _MIN_EFFECT
    confidence: float = _CONFIDENCE

    @property
    def problem(self) -> str | None:
        """What is wrong with the primary metric, when it is none that can decide."""
        if self.primary is None or self.primary in PRIMARIES:
            return None
        return f"comparison.primary is {self.primary!r}, which is no metric that can decide"


def settings_of(config: Mapping[str, JsonValue]) -> CompareSettings:
    """Return the settings in a manifest's configuration; runs of older versions may lack some."""
    section = config.get("comparison")
    section = section if isinstance(section, dict) else {}
    primary, effect, confidence = (section.get(key) for key in ("primary", "min_effect", "confidence"))
    return CompareSettings(
        primary if isinstance(primary, str) else None,
        float(effect) if isinstance(effect, int | float) else _MIN_EFFECT,
        float(confidence) if isinstance(confidence, int | float) else _CONFIDENCE,
    )


def design_of_run(
    manifest: Manifest, pairs: Sequence[Pair], units: Mapping[str, str], settings: CompareSettings
) -> dict[str, JsonValue]:
    """Return the design of a comparison within one run. `units`: what the blocks of each test are."""
    sequential = None if manifest.design is None else manifest.design.sequential
    found: dict[str, JsonValue] = {
        **design_of_verdicts(pairs, settings),
        "seed": manifest.seed,
        "nonce": manifest.nonce,
        "run_to_run": False,
        "reach": f"the intervals' reach is this run: it {NO_RUN_TO_RUN}",
        "tests": {test.name: _of_test(manifest, test, pairs, units) for test in manifest.plan},
    }
    return found if sequential is None else {**found, "sequential": sequential.model_dump(mode="json")}


def design_of_verdicts(pairs: Sequence[Pair], settings: CompareSettings) -> dict[str, JsonValue]:
    """Return what holds for every comparison: the thresholds, the correction and the methods that were used."""
    tested = [pair for pair in pairs if pair.primary and pair.p is not None]
    methods: dict[str, JsonValue] = {}
    for pair in tested:
        if pair.method is not None:
            methods[pair.test] = pair.method
    return {
        "min_effect": settings.min_effect,
        "confidence": settings.confidence,
        "multiplicity": "holm",
        "family": len(tested),
        "family_is": "every pair of services on the primary metric of every test",
        "methods": methods,
    }


def _of_test(
    manifest: Manifest, test: PlannedTest, pairs: Sequence[Pair], units: Mapping[str, str]
) -> dict[str, JsonValue]:
    deciding = [pair for pair in pairs if pair.primary and pair.test == test.name]
    unit = units.get(test.name, "block" if test.kind == "ttft" else "round")
    kept = None if manifest.design is None else manifest.design.tests.get(test.name)
    name = None
    if deciding:
        first = deciding[0]
        name = first.metric if first.statistic is None else f"{first.metric}.{first.statistic}"
    return {
        "kind": test.kind,
        "primary": name,
        "unit": unit,
        "blocks": min((pair.blocks for pair in deciding), default=0),
        "rounds": manifest.rounds_of(test),
        "order": _ORDER[test.kind] if kept is None else kept.rule,
        "prompts": "a prefix of its own for each" if unique_prompts(manifest, test.name) else "shared",
        "within_run_only": unit == "slice",
    }
