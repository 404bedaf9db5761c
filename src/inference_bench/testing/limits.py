"""What this machine must carry for a plan, checked before the run: open files, local ports. No hidden caps."""

import resource
from dataclasses import dataclass
from pathlib import Path

from inference_bench.errors import ResourceLimitError
from inference_bench.testing.plan import LoadPlan, TtftPlan

SPARE_FILES = 64  # pipes, libraries, journal
NEAR = 0.8
_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


@dataclass(frozen=True, slots=True)
class Need:
    """Connections one test may hold open at once, over all workers, and the largest share of one worker."""

    test: str
    connections: int
    per_worker: int


def needs(plan: TtftPlan | LoadPlan, services: int, workers: int, total_timeout_seconds: float) -> Need:
    """Return what a test may need. An open loop may, at worst, have every request of a time-out's length in flight."""
    if isinstance(plan, TtftPlan):
        return Need(plan.name, services, services)
    if plan.open_loop:
        most = max((len(offsets) for offsets in plan.offsets), default=0)
        connections = min(most, int(plan.peak_rate * total_timeout_seconds) + 1, plan.settings.max_in_flight or most)
    else:
        connections = plan.users or 1
    return Need(plan.name, connections, -(-connections // workers))


def check_limits(wanted: list[Need]) -> list[str]:
    """Raise the soft limit on open files as far as needed; return notes on limits that are near.

    Raises ResourceLimitError when the plan cannot be carried.
    """
    notes: list[str] = []
    for need in wanted:
        files = need.per_worker + SPARE_FILES
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and files > hard:
            raise ResourceLimitError(
                f"test {need.test} needs up to {files} open files in one worker, this machine allows {hard}",
                hint="raise the limit (ulimit -Hn), use more --workers, or lower the load",
            )
        if soft != resource.RLIM_INFINITY and files > soft:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files if hard == resource.RLIM_INFINITY else hard, hard))
        if hard != resource.RLIM_INFINITY and files > NEAR * hard:
            notes.append(f"{need.test}: up to {files} open files in one worker, near the limit of {hard}")
        ports = local_ports()
        if ports is not None and need.connections > ports:
            raise ResourceLimitError(
                f"test {need.test} needs up to {need.connections} connections, this machine has {ports} local ports",
                hint="widen net.ipv4.ip_local_port_range or lower the load",
            )
        if ports is not None and need.connections > NEAR * ports:
            notes.append(f"{need.test}: up to {need.connections} connections, near the {ports} local ports")
    return notes


def local_ports() -> int | None:
    """Return how many local ports there are for outgoing connections to one address; None where not told."""
    try:
        low, high = map(int, _PORT_RANGE.read_text().split())
    except (OSError, ValueError):
        return None
    return high - low + 1
