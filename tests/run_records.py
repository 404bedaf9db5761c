"""Records and runs made by hand, for tests: one request per call, times in ms from a common zero.

Nothing here computes what the code under test computes.
"""

import platform
from array import array
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from inference_bench.metrics.records import CHUNK_COLUMNS, REQUEST_COLUMNS
from inference_bench.results.environment import Environment
from inference_bench.results.folder import RunFolder
from inference_bench.results.journal import JournalWriter
from inference_bench.results.liveness import ProcessMark
from inference_bench.results.manifest import (
    ClockAnchor,
    LoadShape,
    Manifest,
    PlannedTest,
    RunStatus,
    ServiceFacts,
    Window,
)
from inference_bench.results.schema import journal_schema

ZERO_NS = 20_000_000_000_000_001  # 231 days after boot: past the ns that float64 holds exactly
WHEN = datetime(2026, 1, 2, 10, 15, 0, tzinfo=UTC)
DEAD_PROCESS = ProcessMark(pid=1, host=platform.node(), boot_id="another boot", started_ticks=None)

_DEFAULTS: Mapping[str, object] = {
    "service": "vllm",
    "engine": "vllm",
    "test": "load",
    "kind": "load",
    "round": 0,
    "worker": 0,
    "warmup": False,
    "request_id": "r",
    "ok": True,
    "max_tokens": 64,
    "text_chunks": 2,
    "text_chars": 10,
    "merged_reads": 0,
    "reused": True,
    "reconnected": False,
    "bytes_received": 100,
    "simulated": False,
}


def at(ms: float | None) -> int | None:
    """Return a mark, in ns."""
    return None if ms is None else ZERO_NS + round(ms * 1e6)


def request(seq: int, **fields: object) -> dict[str, object]:
    """Return one request record. Fields named `*_at` are marks in ms (`sent_at=3` sets sent_ns)."""
    row: dict[str, object] = {column.name: None for column in REQUEST_COLUMNS}
    row |= {**_DEFAULTS, "seq": seq, "index": seq}
    for name, value in fields.items():
        if name.endswith("_at"):
            assert value is None or isinstance(value, int | float)
            row[name.removesuffix("_at") + "_ns"] = at(value)
        else:
            row[name] = value
    unknown = set(row) - {column.name for column in REQUEST_COLUMNS}
    assert not unknown, unknown
    return row


def request_table(rows: Iterable[Mapping[str, object]]) -> pa.Table:
    """Return request records as the calculator takes them."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=journal_schema("requests"))


def chunk_table(streams: Mapping[int, Sequence[tuple[float, int | None]]]) -> pa.Table:
    """Return the chunks of requests: by request number, (arrival in ms, tokens) in stream order."""
    rows = [
        {"seq": seq, "arrival_ns": at(ms), "read_ns": at(ms), "size": 3, "tokens": tokens, "merged": False}
        for seq, chunks in streams.items()
        for ms, tokens in chunks
    ]
    return pa.Table.from_pylist(rows, schema=journal_schema("chunks"))


def row_values(row: Mapping[str, object]) -> tuple[object, ...]:
    """Return a record as the journal takes it."""
    return tuple(row[column.name] for column in REQUEST_COLUMNS)


def add_stream(journal: JournalWriter, seq: int, arrivals: Sequence[int], tokens: Sequence[int]) -> None:
    """Write chunks with these stamps (ns) and token counts (-1 unknown)."""
    stamps, rows = array("q", arrivals), len(arrivals)
    journal.add_chunks(seq, stamps, stamps, array("i", [3]) * rows, array("h", tokens), bytes(rows))


def manifest(test_id: str, *, status: RunStatus = "complete", simulated: bool = False, **fields: object) -> Manifest:
    """Return a manifest of a run with the services vllm and ollama and one load test."""
    environment = Environment(
        host="bench-1",
        os="Linux",
        kernel="6.1",
        architecture="x86_64",
        cpu="A CPU",
        cores=2,
        usable_cores=2,
        memory_bytes=1 << 34,
        python="CPython 3.11",
        tool_version="0.1.0",
        packages={"numpy": "2.0"},
        git=None,
    )
    window = Window(round=0, start_ns=ZERO_NS, end_ns=ZERO_NS + 1_000_000_000)
    data: dict[str, object] = {
        "test_id": test_id,
        "name": "default",
        "created": WHEN,
        "clock": ClockAnchor(wall_ns=1, monotonic_ns=2),
        "stamp_source": "kernel",
        "status": status,
        "simulated": simulated,
        "seed": 7,
        "nonce": "n",
        "config": {"output": {"save_raw_data": True}},
        "environment": environment,
        "services": (
            ServiceFacts(name="vllm", engine="vllm", version="0.9", model="m", url="http://127.0.0.1:8000"),
            ServiceFacts(name="ollama", engine="ollama", url="http://127.0.0.1:11434"),
        ),
        "plan": (PlannedTest(name="load", kind="load", rounds=1, load=LoadShape(concurrent_users=2)),),
        "windows": {"load": {"vllm": (window,), "ollama": (window,)}},
        **fields,
    }
    return Manifest.model_validate(data)


def run_with_journal(
    directory: Path,
    rows: Iterable[Mapping[str, object]],
    streams: Mapping[int, Sequence[int]] | None = None,
    **fields: object,
) -> RunFolder:
    """Make a run folder as a running (by default dead) benchmark leaves it: manifest and journal."""
    folder = RunFolder.create(directory, "default", WHEN)
    data: dict[str, Any] = {"status": "running", "process": DEAD_PROCESS, **fields}
    folder.write_manifest(manifest(folder.test_id, **data))
    with JournalWriter(folder.journal) as journal:
        for seq, arrivals in (streams or {}).items():
            add_stream(journal, seq, arrivals, [1] * len(arrivals))
        for row in rows:
            journal.add_request(row_values(row))
        journal.add_worker_sample((0, ZERO_NS, 5, 1, 2, 0, 0, 1, 1, 2, 0, 0))
    return folder


assert len(CHUNK_COLUMNS) == 6  # add_stream and chunk_table name them one by one
