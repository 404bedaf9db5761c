"""Stored runs with known differences between services, for tests of comparisons. Nothing here compares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from inference_bench.results.comparison import Comparison, Pair
from inference_bench.results.finalise import finalise
from inference_bench.results.folder import RunFolder
from inference_bench.results.manifest import LoadShape, PlannedTest, ServiceFacts, Window
from inference_bench.results.summary import ServiceSummary, Summary, Validity, read_summary, write_summary
from inference_bench.testing.analyzers import write_summaries
from run_records import WHEN, at, request, run_with_journal

_BLOCK_MS = 5_000.0  # room for the requests of one interleaved block
_TURN_MS = 20_000.0
SECONDS = 10.0  # of a round's window


@dataclass(frozen=True)
class Speed:
    """How a service answers: milliseconds, tokens, the noise of its TTFT (log scale), how many of 100 fail."""

    ttft: float = 50.0
    e2e: float = 500.0
    tokens: int | None = 11
    noise: float = 0.02
    failing: int = 0


SLOW = Speed(ttft=80.0, e2e=530.0)
Services = Mapping[str, Speed]
Row = dict[str, object]


class _Maker:
    def __init__(self, services: Services, seed: int) -> None:
        self.services = services
        self.rng = np.random.default_rng(seed)
        self.rows: list[Row] = []
        self.streams: dict[int, list[int]] = {}
        self.windows: dict[str, dict[str, tuple[Window, ...]]] = {}
        self.plan: list[PlannedTest] = []
        self.now = 0.0

    def ask(self, name: str, sent: float, **fields: object) -> None:
        speed, seq = self.services[name], len(self.rows)
        failed = self.rng.integers(100) < speed.failing
        first = sent + speed.ttft * float(np.exp(self.rng.normal(0, speed.noise)))
        last = first + (speed.e2e - speed.ttft) * float(np.exp(self.rng.normal(0, 0.005)))
        told: dict[str, object] = {"ok": False, "error_class": "timeout", "end_at": sent + 100}
        if not failed:
            told = {"first_token_at": first, "last_token_at": last, "end_at": last + 1, "output_tokens": speed.tokens}
            marks = [at(first + (last - first) * part / 4) for part in range(5)]
            self.streams[seq] = [mark for mark in marks if mark is not None]
        self.rows.append(request(seq, service=name, engine=name, sent_at=sent, **told, **fields))

    def ttft(self, blocks: int) -> None:
        start = self.now
        for block in range(blocks):
            for place, name in enumerate(self.services):
                self.ask(name, start + block * _BLOCK_MS + place * 1000, test="ttft", kind="ttft", block=block)
        self.now = start + blocks * _BLOCK_MS
        windows = (_window(0, start, self.now),) if blocks else ()
        self.windows["ttft"] = dict.fromkeys(self.services, windows)
        self.plan.append(PlannedTest(name="ttft", kind="ttft", rounds=1, load=LoadShape(iterations=blocks)))

    def load(self, name: str, rounds: int, requests: int) -> None:
        windows: dict[str, list[Window]] = {service: [] for service in self.services}
        for number in range(rounds):
            for service in self.services:
                start, self.now = self.now, self.now + _TURN_MS
                end = start + SECONDS * 1000
                windows[service].append(_window(number, start, end))
                for index in range(requests):
                    sent = start + (end - start) * index / requests
                    self.ask(service, sent, test=name, kind="load", round=number)
                self.ask(service, start - 500, test=name, kind="load", round=number, warmup=True)
        self.windows[name] = {service: tuple(found) for service, found in windows.items()}
        shape = LoadShape(arrivals="closed", concurrent_users=3, duration_seconds=SECONDS * rounds, max_tokens=64)
        self.plan.append(PlannedTest(name=name, kind="load", rounds=rounds, load=shape))


def stored_run(
    directory: Path,
    services: Services,
    *,
    blocks: int | None = 40,
    rounds: int | None = 4,
    requests: int = 60,
    seed: int = 7,
    later: int = 0,
    config: Mapping[str, object] | None = None,
    facts: tuple[ServiceFacts, ...] | None = None,
    **fields: Any,
) -> RunFolder:
    """Make a complete run with a TTFT test (`blocks`) and a load test "load" (`rounds`), each None to leave it out."""
    maker = _Maker(services, seed)
    if blocks is not None:
        maker.ttft(blocks)
    if rounds is not None:
        maker.load("load", rounds, requests)
    told: dict[str, Any] = {
        "plan": tuple(maker.plan),
        "windows": maker.windows,
        "seed": seed,
        "nonce": f"n{seed}",
        "services": facts
        or tuple(
            ServiceFacts(name=name, engine=name, model="m", url=f"http://10.0.0.{place}:8000")
            for place, name in enumerate(services)
        ),
        "config": {"output": {"save_raw_data": True}, **(config or {})},
        "created": WHEN + timedelta(minutes=later),
        **fields,
    }
    folder = run_with_journal(directory, maker.rows, maker.streams, **told)
    finalise(folder, status="complete", save_raw_data=True, summarise=write_summaries)
    return folder


def changed_summary(folder: RunFolder, test: str, service: str, **changes: object) -> Summary:
    """Rewrite a service's summary, as if it had been measured so; return the whole one."""
    summary = read_summary(folder)
    assert summary is not None
    tests = []
    for one in summary.tests:
        found = dict(one.services)
        if one.name == test:
            found[service] = found[service].model_copy(update=changes)
        tests.append(one.model_copy(update={"services": found}))
    changed = summary.model_copy(update={"tests": tuple(tests)})
    write_summary(folder, changed)
    return changed


def make_invalid(folder: RunFolder, test: str, reason: str = "send lag p99 is 12 ms") -> None:
    """Let a test be invalid."""
    summary = read_summary(folder)
    assert summary is not None
    verdict = Validity(verdict="invalid", reasons=(reason,))
    tests = [one.model_copy(update={"validity": verdict}) if one.name == test else one for one in summary.tests]
    write_summary(folder, summary.model_copy(update={"tests": tuple(tests)}))


def names(services: Sequence[str], **speeds: Speed) -> dict[str, Speed]:
    """Return services that all answer alike but for those that are told apart."""
    return {name: speeds.get(name, Speed()) for name in services}


def _window(number: int, start: float, end: float) -> Window:
    first, last = at(start), at(end)
    assert first is not None
    assert last is not None
    return Window(round=number, start_ns=first, end_ns=last)


def pair_of(found: Comparison, test: str, name: str, a: str = "a", b: str = "b") -> Pair:
    metric, _, statistic = name.partition(".")
    chosen = [
        pair
        for pair in found.pairs
        if (pair.test, pair.metric, pair.statistic, pair.a, pair.b) == (test, metric, statistic or None, a, b)
    ]
    assert len(chosen) == 1, (test, name, a, b)
    return chosen[0]


def summary_of(folder: RunFolder, test: str, service: str) -> ServiceSummary:
    summary = read_summary(folder)
    assert summary is not None
    return next(one for one in summary.tests if one.name == test).services[service]
