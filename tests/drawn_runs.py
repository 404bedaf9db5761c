"""Stored runs that have something of everything a chart can show. Nothing here draws."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inference_bench.results.finalise import finalise
from inference_bench.results.folder import Run, RunFolder
from inference_bench.results.journal import ServerJournal
from inference_bench.results.manifest import LoadShape, PlannedTest, ServiceFacts, Window
from inference_bench.testing.analyzers import write_summaries
from run_records import at, request, run_with_journal

SERVICES = ("vllm", "tgi", "ollama")
_TTFT_MS = {"vllm": 40.0, "tgi": 55.0, "ollama": 90.0}
_GAP_MS = 12.0
_TOKENS = 12
_TURN_MS = 6_000.0


class _Run:
    """Collects records; times grow with the services' order and wave a little, without chance."""

    def __init__(self, services: Sequence[str], failing: Sequence[str]) -> None:
        self.services = services
        self.failing = failing
        self.rows: list[dict[str, object]] = []
        self.streams: dict[int, list[int]] = {}
        self.windows: dict[str, dict[str, tuple[Window, ...]]] = {}
        self.now = 0.0

    def ask(self, service: str, sent: float, slow: float = 1.0, **fields: object) -> None:
        """Add a request: every ninth of tgi fails, as do all of services that are `failing`."""
        seq = len(self.rows)
        base = _TTFT_MS.get(service, 60.0) * slow * (1 + 0.2 * math.sin(seq))
        if service in self.failing or (service == "tgi" and seq % 9 == 0):
            kind = "timeout" if seq % 2 else "http_5xx"
            told: dict[str, object] = {"ok": False, "error_class": kind, "end_at": sent + 300}
        else:
            arrivals = [sent + base + _GAP_MS * number * (1 + 0.1 * math.cos(number)) for number in range(_TOKENS)]
            told = {
                "first_token_at": arrivals[0],
                "last_token_at": arrivals[-1],
                "end_at": arrivals[-1] + 1,
                "output_tokens": _TOKENS,
                "prompt_tokens": 20,
                "text_chunks": _TOKENS,
            }
            if service == "ollama":
                told |= {"server_load_ms": 1.0, "server_prefill_ms": base - 8, "server_decode_ms": _GAP_MS * _TOKENS}
            self.streams[seq] = [mark for mark in map(at, arrivals) if mark is not None]
        self.rows.append(request(seq, service=service, engine=service, sent_at=sent, **{**fields, **told}))

    def ttft(self, blocks: int) -> None:
        """Add an interleaved test."""
        start = self.now
        for block in range(blocks):
            for place, service in enumerate(self.services):
                self.ask(service, start + block * 2000 + place * 500, test="ttft", kind="ttft", block=block)
        self.now = start + blocks * 2000
        self.windows["ttft"] = dict.fromkeys(self.services, (_window(0, start, self.now),))

    def load(self, name: str, users: int, rounds: int, requests: int) -> None:
        """Add a load test in rounds."""
        windows: dict[str, list[Window]] = {service: [] for service in self.services}
        for number in range(rounds):
            for service in self.services:
                start, self.now = self.now, self.now + _TURN_MS
                windows[service].append(_window(number, start, start + 5000))
                for index in range(requests):
                    sent = start + 5000 * index / requests
                    self.ask(service, sent, 1 + users / 20, test=name, kind="load", round=number, user=index % users)
        self.windows[name] = {service: tuple(found) for service, found in windows.items()}


def drawn_run(
    directory: Path,
    *,
    services: Sequence[str] = SERVICES,
    blocks: int = 30,
    requests: int = 40,
    failing: Sequence[str] = (),
    config: Mapping[str, object] | None = None,
    **fields: Any,
) -> Run:
    """Make a complete run: a TTFT test, and load tests of 2 and 8 users in three rounds."""
    made = _Run(services, failing)
    plan: list[PlannedTest] = []
    if blocks:
        made.ttft(blocks)
        plan.append(_planned("ttft", "ttft", 1, iterations=blocks, target_ms=100.0))
    for name, users in (("few", 2), ("many", 8)) if requests else ():
        made.load(name, users, 3, requests)
        shape = {"arrivals": "closed", "concurrent_users": users, "duration_seconds": 15.0, "max_tokens": _TOKENS}
        plan.append(_planned(name, "load", 3, target_p95_ms=400.0, **shape))
    told: dict[str, Any] = {
        "plan": tuple(plan),
        "windows": made.windows,
        "services": tuple(
            ServiceFacts(name=name, engine=name, model="m", url=f"http://10.0.0.{place}:8000")
            for place, name in enumerate(services)
        ),
        "config": {"output": {"save_raw_data": True}, "comparison": {"primary": "ttft_ms.p50"}, **(config or {})},
        **fields,
    }
    folder = run_with_journal(directory, made.rows, made.streams, **told)
    if "vllm" in services:
        _tell(ServerJournal(folder.journal), made)
    finalise(folder, status="complete", save_raw_data=True, summarise=write_summaries)
    return opened(folder)


def _tell(journal: ServerJournal, made: _Run) -> None:
    """Let vllm tell its load each second, and at the ends of each turn what it counted: 3 ms less than we measured."""
    ok = [row for row in made.rows if row["service"] == "vllm" and row["ok"]]
    for second in range(int(made.now / 1000)):
        for name, value in (("running", second % 3), ("waiting", second % 2), ("kv_use", 0.25)):
            journal.add(("vllm", at(second * 1000), name, float(value), None, None))
    for test, windows in made.windows.items():
        for window in windows["vllm"]:
            drained = window.end_ns - 1000 if test == "ttft" else window.end_ns + 900_000_000
            for edge, moment in (("start", window.start_ns - 1000), ("end", drained)):
                mine = [row for row in ok if _mark(row, "sent_ns") < moment]
                spent = [(_mark(row, "last_token_ns") - _mark(row, "sent_ns")) / 1e9 - 0.003 for row in mine]
                for name, total in (("e2e_s", sum(spent)), ("queue_s", 0.002 * len(mine))):
                    journal.add(("vllm", moment, f"{name}_sum", total, test, edge))
                    journal.add(("vllm", moment, f"{name}_count", float(len(mine)), test, edge))
    journal.close()


def _mark(row: Mapping[str, object], name: str) -> int:
    value = row[name]
    assert isinstance(value, int)
    return value


def opened(folder: RunFolder) -> Run:
    """Return a folder with its manifest."""
    return Run(folder, folder.read_manifest())


def _planned(name: str, kind: str, rounds: int, **shape: Any) -> PlannedTest:
    return PlannedTest.model_validate({"name": name, "kind": kind, "rounds": rounds, "load": LoadShape(**shape)})


def _window(number: int, start: float, end: float) -> Window:
    opens, closes = at(start), at(end)
    assert opens is not None
    assert closes is not None
    return Window(round=number, start_ns=opens, end_ns=closes)
