"""A race as a JSON file: every heat's outcomes and places, the figures, the verdicts. Documented in docs/demo.md."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import orjson

from inference_bench import __version__
from inference_bench.errors import UsageError
from inference_bench.live.feeling import READING_SOURCE, SOURCE, wait_words
from inference_bench.metrics.distribution import Distribution
from inference_bench.orchestration.demo_orchestrator import Show
from inference_bench.orchestration.race_orchestrator import RaceHeat, RaceInput
from inference_bench.orchestration.race_statistics import CrowdEffect, RacerFigures, RaceStatistics
from inference_bench.results.atomic import write_atomically

SCHEMA_VERSION: Final = 1


def race_document(show: Show, given: RaceInput, heats: Sequence[RaceHeat], found: RaceStatistics) -> dict[str, object]:
    """Return the race as plain data; a value that is missing is None.

    Keys: schema_version, kind, created, program, simulated, stamp_source, nonce, runs, max_tokens, crowd, rule,
    services [{name, engine, told, simulated}], heats [{number, run, title, prompt, crowd, interrupted, late_ms,
    tokens, tolerance_ms, lanes: {name: {place, tied, finish_ms, estimated, doubt_ms, reason, ttft_ms, e2e_ms, tpot_ms,
    and the outcome's own fields}}}], figures, verdicts (pairs as in comparison.json), crowd_effect, saving, sources.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "race",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "program": f"vllm-benchmark {__version__}",
        "simulated": show.simulated or any(one.simulated for heat in heats for one in heat.outcomes.values()),
        "stamp_source": "kernel" if show.session.kernel_stamps else "read",
        "nonce": given.nonce,
        "runs": given.runs,
        "max_tokens": given.max_tokens,
        "crowd": given.crowd,
        "services": [
            {"name": lane.name, "engine": lane.engine, "told": dict(lane.told), "simulated": lane.simulated}
            for lane in show.lanes
        ],
        "heats": [_heat(heat) for heat in heats],
        "figures": {one.name: _figures(one) for one in found.figures},
        "verdicts": [pair.model_dump(mode="json") for pair in found.comparison.pairs],
        "crowd_effect": {one.name: _crowd(one) for one in found.crowd},
        "saving": None if found.saving is None else {"seconds": found.saving.seconds, "words": found.saving.words},
        "sources": [SOURCE, READING_SOURCE],
    }


def save_race(path: Path, document: dict[str, object]) -> None:
    """Write the document whole or not at all. Raises UsageError."""
    try:
        write_atomically(path, orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error


def _heat(heat: RaceHeat) -> dict[str, object]:
    coming = heat.coming
    return {
        "number": coming.number,
        "run": coming.run,
        "title": coming.question.title,
        "prompt": coming.question.prompt,
        "crowd": coming.crowd,
        "interrupted": heat.interrupted,
        "late_ms": heat.late_ms,
        "tokens": heat.podium.tokens,
        "tolerance_ms": heat.podium.tolerance_ms,
        "rule": heat.podium.rule,
        "lanes": {lane.name: _lane(heat, number, lane.name) for number, lane in enumerate(heat.lanes)},
    }


def _lane(heat: RaceHeat, number: int, name: str) -> dict[str, object]:
    finish = heat.podium.of(number)
    outcome = heat.outcomes.get(name)
    placed: dict[str, object] = {
        "place": finish.place,
        "tied": finish.tied,
        "finish_ms": finish.to_tokens_ms,
        "estimated": finish.estimated,
        "doubt_ms": finish.doubt_ms,
        "reason": finish.reason,
    }
    if outcome is None:
        return placed
    times = {"ttft_ms": outcome.ttft_ms, "e2e_ms": outcome.e2e_ms, "tpot_ms": outcome.tpot_ms}
    return {**placed, **times, **asdict(outcome)}


def _figures(one: RacerFigures) -> dict[str, object]:
    return {
        "ok": one.ok,
        "failed": one.failed,
        "ttft_ms": _distribution(one.ttft),
        "finish_ms": _distribution(one.finish),
        "output_tok_per_s_user": _distribution(one.tokens_per_second),
        "validity": {"verdict": one.validity.verdict, "reasons": one.validity.reasons},
        "wait_in_words": None if one.ttft.mean is None else wait_words(one.ttft.mean),
    }


def _distribution(found: Distribution) -> dict[str, object]:
    return {
        "n": found.n,
        "missing": found.missing,
        "mean": found.mean,
        "std": found.std,
        "min": found.min,
        "max": found.max,
        "p50": found.percentiles.get(50),
        "ci": {name: found.ci.get(name) for name in ("mean", "p50")},
    }


def _crowd(one: CrowdEffect) -> dict[str, object]:
    decision = one.decision
    return {
        "users": one.users,
        "ttft_alone_ms": one.alone_ms,
        "ttft_crowd_ms": one.crowd_ms,
        "ratio": None if decision is None else decision.ratio,
        "ci_low": None if decision is None else decision.ci_low,
        "ci_high": None if decision is None else decision.ci_high,
        "reason": one.reason,
        "background_answers": one.answers,
        "background_failures": one.failures,
        "unsettled_heats": one.unsettled,
        "validity": {"verdict": one.validity.verdict, "reasons": one.validity.reasons},
    }
