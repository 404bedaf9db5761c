"""How exact we are: TTFT, TPOT and E2E of every request against the simulator's truth log, beside an aiohttp client.

Truth is the simulator's stamp immediately before the write of a token, on the same clock, matched by request id; never
a configured value. The simulator's own lateness stands beside it: where it is over 5 ms at p99, a row is no evidence.

    python benchmarks/truth.py --streams 1,64,256 --seconds 15
"""

import argparse
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from harness import Aiohttp, Engine, Ours, engine, machine, more_files, quantiles, run_aiohttp, run_ours
from inference_bench.simulator.truth import TruthRecord

MS = 1e6
Observed = tuple[str, int, int, int]  # request id, sent, first token, last token


def observed_by_us(run: Ours) -> list[Observed]:
    """Return our marks of good requests in the steady window."""
    table = pq.read_table(run.folder / "requests.parquet")
    columns = ("request_id", "sent_ns", "first_token_ns", "last_token_ns", "ok", "in_window")
    rows = zip(*(table.column(name).to_pylist() for name in columns), strict=True)
    return [(str(name), sent, first, last) for name, sent, first, last, ok, inside in rows if ok and inside]


def observed_by_aiohttp(run: Aiohttp) -> list[Observed]:
    """Return the ordinary client's marks."""
    return [(str(row[0]), int(str(row[1])), int(str(row[2])), int(str(row[3]))) for row in run.rows]


def errors(
    rows: Iterable[Observed], truth: dict[str, TruthRecord]
) -> dict[str, "np.ndarray[tuple[int], np.dtype[np.float64]]"]:
    """Return |measured - true| in ms for TTFT, TPOT and E2E, and the simulator's lateness, per request."""
    found: dict[str, list[float]] = {"ttft": [], "tpot": [], "e2e": [], "late": []}
    for name, sent, first, last in rows:
        record = truth[name]
        written = record.written_ns[: record.text_tokens]
        later = len(written) - 1
        found["ttft"].append(abs((first - sent) - (written[0] - sent)) / MS)
        found["e2e"].append(abs((last - sent) - (written[-1] - sent)) / MS)
        found["tpot"].append(abs((last - first) - (written[-1] - written[0])) / later / MS)
        found["late"].extend(late / MS for late in record.lateness_ns)
    return {name: np.asarray(values) for name, values in found.items()}


def report(client: str, streams: int, rows: list[Observed], truth: dict[str, TruthRecord]) -> None:
    """Print one row of the table."""
    found = errors(rows, truth)
    cells = [f"{quantiles(found[name])[0]:.3f} / {quantiles(found[name])[1]:.3f}" for name in ("ttft", "tpot", "e2e")]
    late = quantiles(found["late"])[1]
    verdict = "" if late <= 5 else " (no evidence)"
    print(f"| {streams} | {client} | {len(rows)} | {' | '.join(cells)} | {late:.2f}{verdict} |", flush=True)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", default="1,64,256")
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--ttft-ms", type=float, default=200)
    parser.add_argument("--itl-ms", type=float, default=50)
    parser.add_argument("--tokens", type=int, default=64)
    arguments = parser.parse_args()
    more_files()
    print(f"{machine()}; true TTFT {arguments.ttft_ms:g} ms, ITL {arguments.itl_ms:g} ms, {arguments.tokens} tokens\n")
    print("| streams | client | requests | TTFT error p50 / p99, ms | TPOT error p50 / p99, ms "
          "| E2E error p50 / p99, ms | simulator late p99, ms |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for streams in map(int, arguments.streams.split(",")):
            ramp = (arguments.ttft_ms + arguments.itl_ms * arguments.tokens) / 1000
            load = {"users": streams, "tokens": arguments.tokens, "ramp": ramp, "seconds": arguments.seconds}
            timing = {"ttft_ms": arguments.ttft_ms, "itl_ms": arguments.itl_ms, "folder": folder}
            with engine(**timing) as running:
                ours = run_ours(running.url, folder=folder, **load)
            report("vllm-benchmark", streams, observed_by_us(ours), truth_of(running))
            with engine(**timing) as running:
                ordinary = run_aiohttp(running.url, **load)
            report("aiohttp", streams, observed_by_aiohttp(ordinary), truth_of(running))


def truth_of(running: Engine) -> dict[str, TruthRecord]:
    """Return the truth log of an engine that has ended."""
    return running.truth()


if __name__ == "__main__":
    main()
