"""This tool and the installed peers on the same server of known timing: how exact, how cheap, how soon.

    python benchmarks/peers.py --streams 64,256,512,1000
    python benchmarks/peers.py --guidellm ~/guidellm/bin/guidellm --aiperf … --vllm … --tokenizer ~/models/tiny

Every tool puts a closed loop of so many streams on the server, all begun at once, each answer 64 tokens at 10 tokens/s
after 200 ms. Truth is the server's stamp immediately before each write. The TTFT error is |measured - true| per
request, matched by id, where the true TTFT runs from the tool's own start mark to that write: what the tool was late
in seeing. Counted from when the server had read the request instead, it also holds the way there: connecting, where a
tool has that inside its TTFT, and on a shared machine the server's own turn. The percentiles that a tool's users see
stand beside those of that truth. CPU is that of all processes of a tool; two run lengths are subtracted, so that
start-up and end do not count. Memory is that of the short run, where watching it disturbs no figure. A peer that is
not installed is named and left out. Its program can also be named by the environment: PEER_GUIDELLM, PEER_AIPERF,
PEER_VLLM, PEER_TOKENIZER.
"""

import argparse
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness import machine, more_files, quantiles
from known import Known, Truth, bare_reader, known_server
from peer_tools import Figures, Load, Tool, tools
from watched import Cost, run_watched

NOWHERE = Path("not-given")
HEAD = (
    "streams",
    "tool",
    "requests",
    "TTFT error p50 / p99, ms",
    "from the server's side",
    "TPOT error p50 / p99, ms",
    "TTFT p50 / p99, ms (truth)",
    "tokens/s of the possible",
    "CPU per chunk, us",
    "peak PSS, MiB",
    "first request after, s",
    "server late p99, ms",
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of one tool, and the truth of it."""

    cost: Cost
    figures: Figures
    truth: dict[str, Truth]
    server: Known
    verdict: str | None  # what the tool itself says of its run; ours does

    @property
    def chunks(self) -> int:
        """Chunks with text that the server wrote."""
        return sum(len(one.written) for one in self.truth.values())


def main() -> None:
    """Entry point."""
    arguments = parsed()
    more_files()
    print(f"{machine()}; true TTFT {arguments.ttft_ms:g} ms, {1000 / arguments.gap_ms:g} tokens/s a stream, "
          f"{arguments.tokens} tokens, {arguments.short} and {arguments.long} or more requests a stream\n")  # fmt: skip
    places = {name: getattr(arguments, name) for name in ("guidellm", "aiperf", "vllm")}
    wanted = []
    for tool in tools(places, arguments.tokenizer):
        if arguments.only and tool.name not in arguments.only:
            continue
        if tool.missing:
            print(f"Left out: {tool.name}: {tool.missing}.\n")
        else:
            wanted.append(tool)
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}", flush=True)
    least = arguments.long
    for streams in map(int, arguments.streams.split(",")):
        # Of few chunks the start-up's own variation would be the larger part of the difference.
        arguments.long = max(least, -(-arguments.chunks // (streams * arguments.tokens)))
        for tool in wanted:
            row_of(tool, streams, arguments)
        floor(streams, arguments)


def parsed() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", default="64,256,512,1000")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--ttft-ms", type=float, default=200)
    parser.add_argument("--gap-ms", type=float, default=100)
    parser.add_argument("--short", type=int, default=1, help="requests of each stream in the short run")
    parser.add_argument("--long", type=int, default=4, help="and in the long one")
    parser.add_argument(
        "--chunks", type=int, default=60_000, help="more requests, until it has at least so many chunks"
    )
    parser.add_argument("--only", action="append", help="only the tool of this name (repeatable)")
    for name in ("guidellm", "aiperf", "vllm"):
        given = Path(os.environ.get(f"PEER_{name.upper()}", NOWHERE))
        parser.add_argument(f"--{name}", type=Path, default=given, help="path of its program")
    parser.add_argument("--tokenizer", type=Path, default=Path(os.environ.get("PEER_TOKENIZER", NOWHERE)))
    found: argparse.Namespace = parser.parse_args()
    return found


def measure(tool: Tool, streams: int, each: int, arguments: argparse.Namespace, *, memory: bool) -> Measured:
    """Run one tool once; RuntimeError with the end of its output when it fails."""
    with tempfile.TemporaryDirectory() as name:
        folder, cache = Path(name) / "results", Path(name) / "cache"
        folder.mkdir()
        with known_server(Path(name), ttft_ms=arguments.ttft_ms, gap_ms=arguments.gap_ms) as server:
            command = tool.command(tool, Load(server.url, streams, streams * each, arguments.tokens), folder)
            cost = run_watched(
                command, environment=tool.environment(cache), memory=memory, log=Path(name) / "output.log"
            )
        if cost.exit_code != 0:
            raise RuntimeError(f"{tool.name} failed with {cost.exit_code}: {cost.output[-1500:]}")
        return Measured(cost, tool.read(folder), server.truth(), server, verdict_in(folder))


def verdict_in(folder: Path) -> str | None:
    """Return our own verdict on the run in a folder, None for the run of another tool."""
    for file in folder.glob("test_*/summary.json"):
        (test,) = json.loads(file.read_text())["tests"]
        return str(test["validity"]["verdict"])
    return None


def row_of(tool: Tool, streams: int, arguments: argparse.Namespace) -> None:
    """Run one tool for both lengths and print its row."""
    try:
        short = measure(tool, streams, arguments.short, arguments, memory=True)
        run = measure(tool, streams, arguments.long, arguments, memory=False)
    except (RuntimeError, OSError, ValueError) as error:
        print(f"| {streams} | {tool.name} | failed: {str(error)[-300:]!r} |", flush=True)
        return
    per_chunk = (run.cost.cpu_seconds - short.cost.cpu_seconds) / (run.chunks - short.chunks) * 1e6
    matched = [(run.figures[name], run.truth[name]) for name in run.figures if name in run.truth]
    own = np.asarray([mine.ttft_ms - (true.written[0] - mine.sent_ns) / 1e6 for mine, true in matched])
    ttft = np.asarray([mine.ttft_ms - true.ttft_ms for mine, true in matched])
    tpot = np.asarray([mine.tpot_ms - true.tpot_ms for mine, true in matched if mine.tpot_ms is not None])
    seen = quantiles(np.asarray([mine.ttft_ms for mine, _ in matched]))
    truth = quantiles(np.asarray([true.ttft_ms for _, true in matched]))
    first = (min(one.received for one in short.truth.values()) - short.cost.began_ns) / 1e9
    cells = [
        f"{len(matched)} of {streams * arguments.long}",
        pair(np.abs(own), 3),
        pair(np.abs(ttft), 2),
        pair(np.abs(tpot), 4),
        f"{seen[0]:.1f} / {seen[1]:.1f} ({truth[0]:.1f} / {truth[1]:.1f})",
        f"{achieved(run, streams, arguments):.1%}",
        f"{per_chunk:.1f}",
        f"{short.cost.peak_pss_mib() or 0:.0f}",
        f"{first:.2f}",
        f"{run.server.report['late_p99_ms']:.2f}",
    ]
    name = f"{tool.name} ({run.verdict})" if run.verdict else tool.name
    print(f"| {streams} | {name} | {' | '.join(cells)} |", flush=True)


def pair(values: "np.ndarray[tuple[int], np.dtype[np.float64]]", digits: int) -> str:
    """Write p50 / p99."""
    middle, high = quantiles(values)
    return f"{middle:.{digits}f} / {high:.{digits}f}"


def achieved(run: Measured, streams: int, arguments: argparse.Namespace) -> float:
    """Tokens a second over those of streams that never pause between two answers, from first request to last token."""
    whole = [one for one in run.truth.values() if one.whole and len(one.written) == arguments.tokens]
    span = max(int(one.written[-1]) for one in whole) - min(one.received for one in whole)
    ideal = arguments.long * (arguments.ttft_ms + arguments.gap_ms * (arguments.tokens - 1))
    return float(len(whole) / (streams * arguments.long) * ideal / (span / 1e6))


def floor(streams: int, arguments: argparse.Namespace) -> None:
    """Print the row of the bare C reader, on the same server for about the same times."""
    answer = (arguments.ttft_ms + arguments.gap_ms * (arguments.tokens - 1)) / 1000
    with tempfile.TemporaryDirectory() as name:
        found = []
        for each in (arguments.short, arguments.long):
            with known_server(Path(name), ttft_ms=arguments.ttft_ms, gap_ms=arguments.gap_ms, keep_truth=False) as one:
                found.append(
                    bare_reader(one.port, streams=streams, tokens=arguments.tokens, seconds=answer * (each - 0.5))
                )
    less, more = found
    per_chunk = (more["cpu_seconds"] - less["cpu_seconds"]) / (more["chunks"] - less["chunks"]) * 1e6
    size = more["chunks"] / more["reads"]
    print(f"| {streams} | bare C reader | {more['requests']:.0f}, {size:.2f} chunks a read | | | | | | {per_chunk:.1f} "
          f"| {more['peak_mib']:.0f} | | {one.report['late_p99_ms']:.2f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
