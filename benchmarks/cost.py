"""What a streamed chunk costs the client: CPU (user + system, all processes), two run lengths subtracted.

Ours includes decoding, journal and Parquet. The aiohttp client decodes each event with orjson and keeps two stamps.

    python benchmarks/cost.py --streams 256,500 --short 5 --long 25 --repeat 3
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from harness import engine, machine, more_files, run_aiohttp, run_ours


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", default="256,500")
    parser.add_argument("--short", type=float, default=5)
    parser.add_argument("--long", type=float, default=25)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--itl-ms", type=float, default=50)
    parser.add_argument("--tokens", type=int, default=64)
    arguments = parser.parse_args()
    more_files()
    print(f"{machine()}; {1000 / arguments.itl_ms:g} tokens/s a stream, {arguments.tokens} tokens an answer\n")
    print("| streams | vllm-benchmark, us per chunk | aiohttp, us per chunk | ratio |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for streams in map(int, arguments.streams.split(",")):
            pairs = [one_pair(streams, arguments, folder) for _ in range(arguments.repeat)]
            for ours, ordinary in pairs:
                print(f"| {streams} | {ours:.1f} | {ordinary:.1f} | {ours / ordinary:.2f} |", flush=True)
            middle = [statistics.median(column) for column in zip(*pairs, strict=True)]
            ratio = statistics.median(ours / ordinary for ours, ordinary in pairs)
            print(f"| {streams}, median | {middle[0]:.1f} | {middle[1]:.1f} | {ratio:.2f} |", flush=True)


def one_pair(streams: int, arguments: argparse.Namespace, folder: Path) -> tuple[float, float]:
    """Return microseconds per chunk of both clients, measured one after the other."""
    ramp = (200 + arguments.itl_ms * arguments.tokens) / 1000
    load = {"users": streams, "tokens": arguments.tokens, "ramp": ramp}
    with engine(ttft_ms=200, itl_ms=arguments.itl_ms, folder=folder) as running:
        runs = [run_ours(running.url, folder=folder, seconds=s, **load) for s in (arguments.short, arguments.long)]
        ours = (runs[1].cpu_seconds - runs[0].cpu_seconds) / (runs[1].chunks - runs[0].chunks)
        others = [run_aiohttp(running.url, seconds=s, **load) for s in (arguments.short, arguments.long)]
        ordinary = (others[1].cpu_seconds - others[0].cpu_seconds) / (others[1].chunks - others[0].chunks)
    return ours * 1e6, ordinary * 1e6


if __name__ == "__main__":
    main()
