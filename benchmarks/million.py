"""Very many short requests in one run of our command: memory, losses, and how soon the summary is there.

python benchmarks/million.py --requests 1000000
"""

import argparse
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

from harness import machine, more_files
from known import known_server
from ours import run_ours


def main() -> None:
    """Run once and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=2)
    parser.add_argument("--ttft-ms", type=float, default=2.0)
    parser.add_argument("--gap-ms", type=float, default=2.0)
    parser.add_argument("--workers", default="auto")
    given = parser.parse_args()
    more_files()
    load = {"concurrent_users": given.streams, "requests": given.requests, "max_tokens": given.tokens}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        timing = {"ttft_ms": given.ttft_ms, "gap_ms": given.gap_ms}
        with known_server(folder, keep_truth=False, **timing) as server:
            run = run_ours(server.url, load, folder=folder, memory=True, options=("--workers", given.workers))
        offset = time.time_ns() - time.monotonic_ns()
        ends = pq.read_table(run.folder / "requests.parquet", columns=["end_ns", "sent_ns"])
        last = int(ends.column("end_ns").to_numpy().max())
        first = int(ends.column("sent_ns").drop_null().to_numpy().min())
        # The tables are begun when the last answer is decoded; the workers' samples are the second of them.
        tables = (run.folder / "worker_samples.parquet").stat().st_mtime_ns - offset
        summary = ((run.folder / "summary.json").stat().st_mtime_ns - offset - last) / 1e9
        end = run.cost.seconds - (last - run.cost.began_ns) / 1e9
        counts, verdict, reasons = run.service["requests"], run.verdict, "; ".join(run.reasons)
        size = sum(file.stat().st_size for file in run.folder.rglob("*") if file.is_file()) / 2**20
    seconds = (last - first) / 1e9
    peaks = [run.cost.peak_pss_mib(0, last), run.cost.peak_pss_mib(last, tables), run.cost.peak_pss_mib(tables)]
    memory = " / ".join("-" if peak is None else f"{peak:.0f}" for peak in peaks)
    print(f"{machine()}; {given.streams} streams, {given.tokens} tokens, TTFT {given.ttft_ms:g} ms\n")
    print("| requests | the server's count | ok | failed | rows | load, s | requests/s | summary after, s "
          "| command's end after, s | CPU, s | CPU per request, us "
          "| peak summed PSS, MiB: load / decoding the rest / closing | run folder, MiB | verdict |")  # fmt: skip
    print(f"|{'---|' * 14}")
    print(f"| {given.requests:,} | {server.report['requests']:,} | {counts['ok']:,} | {counts['failed']:,} "
          f"| {ends.num_rows:,} | {seconds:.0f} | {given.requests / seconds:,.0f} | {summary:.1f} | {end:.1f} "
          f"| {run.cost.cpu_seconds:.0f} | {run.cost.cpu_seconds / given.requests * 1e6:.0f} "
          f"| {memory} | {size:.0f} | {verdict}: {reasons} |")  # fmt: skip


if __name__ == "__main__":
    main()
