"""How much memory a long run takes: the peak of the summed PSS of all our processes, the simulator left out.

python benchmarks/memory.py --requests 100000 --streams 500
"""

import argparse
import tempfile
import time
from pathlib import Path

from harness import engine, machine, more_files, run_ours


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--itl-ms", type=float, default=25)
    arguments = parser.parse_args()
    more_files()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began = time.monotonic()
        with engine(ttft_ms=100, itl_ms=arguments.itl_ms, folder=folder) as running:
            run = run_ours(
                running.url,
                folder=folder,
                users=arguments.streams,
                tokens=arguments.tokens,
                ramp=0,
                requests=arguments.requests,
                watch_memory=True,
            )
        took = time.monotonic() - began
        print(f"{machine()}")
        print(f"{arguments.requests:,} requests, {run.chunks:,} chunks, {took:.0f} s, CPU {run.cpu_seconds:.0f} s")
        print(f"peak summed PSS of all our processes: {run.peak_pss_mib:.0f} MiB")


if __name__ == "__main__":
    main()
