"""The simulator's own command: words to options, ready lines on stdout, errors on stderr, a clean end."""

import argparse
import asyncio
import gc
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from inference_bench import __version__
from inference_bench.errors import BenchError, UsageError
from inference_bench.simulator.faults import FAULTS
from inference_bench.simulator.options import SETTINGS, EngineOptions, build_options, parse_serve
from inference_bench.simulator.profile import PRESETS
from inference_bench.simulator.server import Simulator

EXAMPLES = """\
examples:
  python -m inference_bench.simulator --engine vllm --port 8000
      one vLLM with its preset speed
  python -m inference_bench.simulator --engine tgi --ttft-ms 80 --itl-ms 25 --truth-log truth.jsonl
      exact timing, and a log of when each token was really written
  python -m inference_bench.simulator --serve vllm:8000 --serve tgi:8080 --serve ollama:11434,slots=2
      three engines in one process, each on its port
  python -m inference_bench.simulator --engine openai --fault cut@0.1 --fault http-503/20
      a tenth of the streams is cut, every 20th request refused
  python -m inference_bench.simulator --serve vllm:8000 --serve tgi:8080 --drift 0.5
      a machine that slows down: after two minutes everything takes twice as long
  curl -H 'x-simulator-fault: stall:2' …
      a fault for one request

Each engine announces itself on stdout when it listens: {"name","engine","port","url","pid"}, one JSON line each.
The speeds of the presets are invented; they measure no real engine. Every answer says that it is simulated.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the simulator until it is stopped; return the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        engines = _engines(options)
        asyncio.run(_serve(engines, options.truth_log, exit_with_parent=options.exit_with_parent))
    except BenchError as error:
        sys.stderr.write(f"error: {error.message}" + (f" ({error.hint})" if error.hint else "") + "\n")
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    faults = "\n".join(f"  {name:<16} {meaning}" for name, meaning in FAULTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m inference_bench.simulator",
        description="Simulated inference engines: real HTTP servers on loopback, each speaking its engine's dialect.",
        epilog=f"faults, as NAME[:ARG][@SHARE | /N]:\n{faults}\n\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"inference-bench-simulator {__version__}")
    parser.add_argument("--engine", choices=tuple(PRESETS), help="the engine to simulate")
    parser.add_argument(
        "--serve",
        action="append",
        default=[],
        metavar="ENGINE[:PORT][,KEY=VALUE…]",
        help="one of several engines; keys are the options below without dashes in front; repeatable",
    )
    for name, setting in SETTINGS.items():
        parser.add_argument(f"--{name}", action="append", default=[], metavar=setting.metavar, help=setting.meaning)
    parser.add_argument(
        "--faults-everywhere", action="store_true", help="faults concern all routes, not only generation"
    )
    parser.add_argument("--truth-log", type=Path, metavar="FILE", help="JSONL file of when each token was written")
    parser.add_argument("--exit-with-parent", action="store_true", help="end when standard input closes")
    return parser


def _engines(options: argparse.Namespace) -> list[EngineOptions]:
    """Return one EngineOptions per engine: options given outside --serve hold for all, unless it says otherwise."""
    shared = [(name, text) for name in SETTINGS for text in getattr(options, name.replace("-", "_"))]
    wanted: list[tuple[str, list[tuple[str, str]]]] = [parse_serve(text) for text in options.serve]
    if options.engine is not None:
        wanted.insert(0, (options.engine, []))
    if not wanted:
        raise UsageError("simulator: no engine", hint="give --engine or --serve; --help shows examples")
    if len(wanted) > 1 and any(name in ("name", "port") for name, _ in shared):
        raise UsageError("simulator: --name and --port are for one engine", hint="put them into --serve")
    return [
        build_options(engine, [*shared, *pairs], faults_everywhere=options.faults_everywhere)
        for engine, pairs in wanted
    ]


async def _serve(engines: Sequence[EngineOptions], truth_log: Path | None, *, exit_with_parent: bool) -> None:
    """Serve until a signal, or until standard input closes."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    _raise_file_limit()
    async with Simulator(engines, truth_log=truth_log) as simulator:
        for served in simulator.served:
            line = {"name": served.name, "engine": served.engine, "port": served.port, "url": served.url}
            sys.stdout.write(json.dumps({**line, "pid": os.getpid()}) + "\n")
        sys.stdout.flush()
        if exit_with_parent:
            threading.Thread(target=_watch_stdin, args=(loop, stop), daemon=True).start()
        # Whatever lives now lives to the end: the collector need not look at it again while tokens are due.
        gc.collect()
        gc.freeze()
        await stop.wait()


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Wait for the end of standard input, then stop; a parent that dies closes it."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    try:
        loop.call_soon_threadsafe(stop.set)
    except RuntimeError:
        return  # the loop has ended already


def _raise_file_limit() -> None:
    """Allow as many open sockets as the system permits; each stream needs one."""
    import resource  # noqa: PLC0415 - POSIX only

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
