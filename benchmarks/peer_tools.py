"""The tools that are held against each other: how each is told to put the same load on a server, and how it is read.

The load is a closed loop: so many streams at once, all begun at once, so many requests in all, each with an answer of
the same length. Tools that need a tokenizer get a local one; nothing is fetched.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import yaml

from harness import ROOT
from known import MODEL


@dataclass(frozen=True, slots=True)
class Figure:
    """What a tool measured of one request: when it says it was sent (ns, monotonic), and its TTFT and TPOT."""

    sent_ns: float
    ttft_ms: float
    tpot_ms: float | None


Figures = dict[str, Figure]  # by request id
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of a tool."""

    url: str
    streams: int
    requests: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool; `program` and `tokenizer` are paths of this machine."""

    name: str
    program: Path
    command: Callable[["Tool", Load, Path], list[str]]
    read: Callable[[Path], Figures]
    tokenizer: Path | None = None
    matched_by: str = "x-request-id"

    @property
    def missing(self) -> str | None:
        """Why it cannot take part, or None."""
        if not self.program.exists():
            return f"{self.program} does not exist"
        if self.tokenizer is not None and not self.tokenizer.is_dir():
            return f"{self.name} needs a tokenizer, and {self.tokenizer} does not exist"
        return None

    def environment(self, folder: Path) -> dict[str, str]:
        """Return its environment: offline, with a cache of its own in which the tokenizer is `local/tokenizer`."""
        if self.tokenizer is None:
            return dict(os.environ)
        model = folder / "hub" / "models--local--tokenizer"
        (model / "snapshots" / "0").mkdir(parents=True, exist_ok=True)
        (model / "refs").mkdir(exist_ok=True)
        (model / "refs" / "main").write_text("0")
        for file in self.tokenizer.iterdir():
            link = model / "snapshots" / "0" / file.name
            if not link.exists():
                link.symlink_to(file)
        return {**os.environ, **OFFLINE, "HF_HOME": str(folder), "COLUMNS": "120"}


def tools(places: Mapping[str, Path], tokenizer: Path) -> list[Tool]:
    """Return ours and the peers; `places` are their programs by name."""
    return [
        Tool("vllm-benchmark", Path(sys.executable), _ours, _read_ours),
        Tool("vllm bench serve", places["vllm"], _vllm, _read_vllm, tokenizer),
        Tool("GuideLLM", places["guidellm"], _guidellm, _read_guidellm, tokenizer, matched_by="the answer's id"),
        Tool("AIPerf", places["aiperf"], _aiperf, _read_aiperf, tokenizer),
    ]


def _ours(tool: Tool, load: Load, folder: Path) -> list[str]:
    test = {
        "name": "load",
        "concurrent_users": load.streams,
        "requests": load.requests,
        "rounds": 1,
        "warmup_requests": 0,
        "max_tokens": load.tokens,
    }
    config = folder / "config.yaml"
    settings = {"ttft_test": {"enabled": False}, "output": {"directory": str(folder)}, "load_tests": [test]}
    config.write_text(yaml.safe_dump(settings))
    command = [str(tool.program), str(ROOT / "vllm_benchmark.py"), "--quiet", "benchmark", "-c", str(config), "--yes"]
    return [*command, "--url", f"openai={load.url}"]


def _read_ours(folder: Path) -> Figures:
    (run,) = folder.glob("test_*")
    names = ("request_id", "sent_ns", "first_token_ns", "last_token_ns", "output_tokens", "ok")
    table = pq.read_table(run / "requests.parquet", columns=list(names))
    rows = zip(*(table.column(name).to_pylist() for name in names), strict=True)
    return {
        name: Figure(sent, (first - sent) / 1e6, (last - first) / (tokens - 1) / 1e6 if tokens > 1 else None)
        for name, sent, first, last, tokens, ok in rows
        if ok
    }


def _vllm(tool: Tool, load: Load, folder: Path) -> list[str]:
    lengths = ["--random-input-len", "16", "--random-output-len", str(load.tokens), "--ignore-eos"]
    return [
        *(str(tool.program), "bench", "serve", "--backend", "openai-chat", "--endpoint", "/v1/chat/completions"),
        *("--base-url", load.url, "--model", MODEL, "--tokenizer", str(tool.tokenizer), "--dataset-name", "random"),
        *(*lengths, "--num-prompts", str(load.requests), "--max-concurrency", str(load.streams), "--disable-tqdm"),
        *("--save-result", "--save-detailed", "--result-dir", str(folder), "--result-filename", "vllm.json"),
        *("--request-id-prefix", "bench-"),
    ]


def _read_vllm(folder: Path) -> Figures:
    found = json.loads((folder / "vllm.json").read_text())
    names = ("start_times", "ttfts", "latencies", "output_lens", "errors")
    rows = zip(*(found[name] for name in names), strict=True)
    return {
        f"bench-{number}": Figure(
            start * 1e9, ttft * 1e3, (latency - ttft) / (tokens - 1) * 1e3 if tokens > 1 else None
        )
        for number, (start, ttft, latency, tokens, error) in enumerate(rows)
        if not error
    }


def _guidellm(tool: Tool, load: Load, folder: Path) -> list[str]:
    return [
        *(str(tool.program), "run", "--backend", f"kind=openai_http,target={load.url},model={MODEL}"),
        *("--profile", f"kind=concurrent,streams={load.streams}", "--disable-console"),
        *("--constraint", f"kind=max_requests,count={load.requests}"),
        *("--data", f"kind=synthetic_text,prompt_tokens=16,output_tokens={load.tokens}"),
        *("--tokenizer", f"kind=huggingface_auto,model={tool.tokenizer}"),
        *("--output", f"kind=json,path={folder / 'guidellm.json'}"),
    ]


def _read_guidellm(folder: Path) -> Figures:
    found = json.loads((folder / "guidellm.json").read_text())
    (run,) = found["benchmarks"]
    offset = wall_offset_ns()
    figures: Figures = {}
    for request in run["requests"]["successful"]:
        times = request["info"]["timings"]
        first, last = times["first_token_iteration"], times["last_token_iteration"]
        tokens = times["token_iterations"]
        tpot = (last - first) / (tokens - 1) * 1e3 if tokens > 1 else None
        start = times["request_start"]
        name = request["response_id"].removeprefix("chatcmpl-")
        figures[name] = Figure(start * 1e9 - offset, (first - start) * 1e3, tpot)
    return figures


def wall_offset_ns() -> int:
    """Return the wall clock less the monotonic one: what puts other tools' wall times on our clock."""
    return time.time_ns() - time.monotonic_ns()


def _aiperf(tool: Tool, load: Load, folder: Path) -> list[str]:
    return [
        *(str(tool.program), "profile", "-m", MODEL, "--url", load.url, "--endpoint-type", "chat", "--streaming"),
        *("--concurrency", str(load.streams), "--request-count", str(load.requests), "--tokenizer", "local/tokenizer"),
        *("--synthetic-input-tokens-mean", "16", "--output-tokens-mean", str(load.tokens), "--ui", "none"),
        *("--use-server-token-count", "--artifact-dir", str(folder)),
    ]


def _read_aiperf(folder: Path) -> Figures:
    offset = wall_offset_ns()
    figures: Figures = {}
    for line in (folder / "profile_export.jsonl").read_text().splitlines():
        record = json.loads(line)
        metrics = record["metrics"]
        if record["metadata"]["benchmark_phase"] != "profiling" or "time_to_first_token" not in metrics:
            continue
        gap = metrics.get("inter_token_latency")
        figures[record["metadata"]["x_request_id"]] = Figure(
            record["metadata"]["request_start_ns"] - offset,
            float(metrics["time_to_first_token"]["value"]),
            float(gap["value"]) if gap else None,
        )
    return figures
