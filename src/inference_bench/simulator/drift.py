"""A machine that gets slower: every service time grows in proportion to the time since the simulator began to listen.

The clock is one for all engines of a simulator process, as a machine that heats up has one for all that runs on it:
whoever is asked later is slower, whichever engine it is. Engines started in one process can be given unlike drifts.
"""

from dataclasses import dataclass

from inference_bench.simulator.profile import NS_PER_S

SECONDS_PER_MINUTE = 60


@dataclass(frozen=True, slots=True)
class Drift:
    """Service times are `1 + per_minute * minutes since epoch_ns` times as long as at the start."""

    per_minute: float = 0.0
    epoch_ns: int = 0

    def factor(self, now_ns: int) -> float:
        """Return how many times as long things take at this moment; 1 before the epoch."""
        minutes = max(0, now_ns - self.epoch_ns) / (NS_PER_S * SECONDS_PER_MINUTE)
        return 1.0 + self.per_minute * minutes


NO_DRIFT = Drift()
