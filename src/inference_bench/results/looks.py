"""At which level a run that goes on until it is decided is judged, and which of its tests are decided."""

from typing import Final, NamedTuple

from inference_bench.metrics.sequential import alpha_at_look
from inference_bench.results.comparison import Comparison, Pair
from inference_bench.results.design import Look, StopReason
from inference_bench.results.manifest import Manifest

# How every reason ends that says there is too little as yet: "2 blocks with values; 3 are needed".
_TOO_FEW: Final = " needed"


class Standing(NamedTuple):
    """Which tests are not decided, and which of them further blocks could decide; in the order of the plan."""

    undecided: tuple[str, ...]
    decidable: tuple[str, ...]


def alpha_of(manifest: Manifest) -> float | None:
    """Return the level at which a run's primary pairs are judged; None where the configured confidence says it.

    A run that went on until it was decided is judged at the level of its last look. One that ended before the next
    look was due is judged as if that look were taken now, so that the levels still add up.
    """
    sequential = None if manifest.design is None else manifest.design.sequential
    if sequential is None:
        return None
    if sequential.stopped is not None:
        return sequential.looks[-1].alpha
    return alpha_at_look(len(sequential.looks) + 1, sequential.alpha)


def standing(comparison: Comparison) -> Standing:
    """Return which tests the comparison leaves open."""
    open_pairs = [pair for pair in comparison.primary_pairs if not pair.decided]
    undecided = dict.fromkeys(pair.test for pair in open_pairs)
    decidable = dict.fromkeys(pair.test for pair in open_pairs if more_would_help(pair))
    return Standing(tuple(undecided), tuple(decidable))


def more_would_help(pair: Pair) -> bool:
    """Return whether further blocks could decide a pair: not where it is not comparable for another reason than too
    few of them.
    """
    return pair.verdict != "not_comparable" or (pair.reason or "").split(":")[0].endswith(_TOO_FEW)


def with_look(manifest: Manifest, look: Look) -> Manifest:
    """Return the manifest with one more look, or with the last one in its final form when it has that number."""
    design = manifest.design
    assert design is not None
    assert design.sequential is not None
    kept = tuple(one for one in design.sequential.looks if one.look != look.look)
    sequential = design.sequential.model_copy(update={"looks": (*kept, look)})
    return manifest.model_copy(update={"design": design.model_copy(update={"sequential": sequential})})


def ended_early(manifest: Manifest, comparison: Comparison) -> Manifest:
    """Return the manifest of a run that was to go on, but ended: what there is was judged as its next look."""
    alpha = alpha_of(manifest)
    assert manifest.design is not None
    assert manifest.design.sequential is not None
    assert alpha is not None
    number = len(manifest.design.sequential.looks) + 1
    return with_look(manifest, look_at(manifest, number, alpha, comparison, stopped="interrupted"))


def look_at(
    manifest: Manifest,
    number: int,
    alpha: float,
    comparison: Comparison,
    *,
    seconds: float | None = None,
    stopped: StopReason | None = None,
) -> Look:
    """Return the record of a look."""
    return Look(
        look=number,
        alpha=alpha,
        seconds=seconds,
        blocks=_blocks(manifest),
        undecided=standing(comparison).undecided,
        stopped=stopped,
    )


def _blocks(manifest: Manifest) -> dict[str, int]:
    assert manifest.design is not None
    return {name: test.run for name, test in manifest.design.tests.items()}
