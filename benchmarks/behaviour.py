"""That the simulated engines behave like engines: streams against cadence, throughput, TTFT and queue, with a knee.

Computed on the model's own virtual clock; nothing is served and nobody waits.

    python benchmarks/behaviour.py
"""

from inference_bench.simulator.behaviour import behaviour_table, format_table
from inference_bench.simulator.profile import PRESETS

STREAMS = {"vllm": (1, 16, 64, 128, 256, 384), "tgi": (1, 8, 32, 64, 128, 192), "ollama": (1, 2, 4, 8, 16)}


def main() -> None:
    """Entry point."""
    for engine, streams in STREAMS.items():
        print(f"\n{engine}\n")
        print(format_table(behaviour_table(PRESETS[engine], streams)))


if __name__ == "__main__":
    main()
