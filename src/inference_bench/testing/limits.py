"""What this machine must carry for a plan, checked before the run: open files, local ports, the rate. No hidden caps.

What a plan needs of memory, buffers and disk stands in `burden`.
"""

import resource
from collections.abc import Iterable
from dataclasses import dataclass

from inference_bench.config.models import LoadTestSettings
from inference_bench.errors import ResourceLimitError
from inference_bench.testing.machine import local_ports, ports_in_time_wait
from inference_bench.testing.plan import LoadPlan, TtftPlan

SPARE_FILES = 64  # pipes, libraries, journal
NEAR = 0.8
# A worker spends about 85 us of one core on a short request (3,000 a second took a quarter of a core). Beyond 10,000 a
# second it has no time for them even when nothing else goes on.
MOST_PER_WORKER = 10_000


@dataclass(frozen=True, slots=True)
class Need:
    """Connections one test may hold open at once to one service, over all workers, and the largest share of one worker;
    the requests per second that are due of all workers in the busiest second (0 in a closed loop).
    """

    test: str
    connections: int
    per_worker: int
    rate: float = 0.0
    workers: int = 1


def needs(plan: TtftPlan | LoadPlan, services: int, workers: int, total_timeout_seconds: float) -> Need:
    """Return what a test may need. An open loop may, at worst, have every request of a time-out's length in flight."""
    if isinstance(plan, TtftPlan):
        return Need(plan.name, services, services)
    if plan.open_loop:
        most = max((len(offsets) for offsets in plan.offsets), default=0)
        connections = min(most, int(plan.peak_rate * total_timeout_seconds) + 1, plan.settings.max_in_flight or most)
    else:
        connections = plan.users or 1
    return Need(plan.name, connections, -(-connections // workers), plan.peak_rate if plan.open_loop else 0.0, workers)


def check_limits(wanted: list[Need]) -> list[str]:
    """Raise the soft limit on open files as far as needed; return notes on limits that are near.

    Raises ResourceLimitError when the plan cannot be carried.
    """
    return [note for need in wanted for note in (*_rate(need), *_files(need), *_ports(need))]


def check_rates(tests: Iterable[LoadTestSettings], workers: int) -> None:
    """Refuse, before any of their times are drawn, rates that so many workers could not send.

    Raises ResourceLimitError.
    """
    for test in tests:
        rates = test.rate if isinstance(test.rate, tuple) else (test.rate or 0.0,)
        _rate(Need(test.name, 0, 0, max(rates), workers))


def _rate(need: Need) -> list[str]:
    bound = MOST_PER_WORKER * need.workers
    who = "one worker" if need.workers == 1 else f"{need.workers} workers"
    if need.rate > bound:
        gap = 1e6 * need.workers / need.rate
        raise ResourceLimitError(
            f"test {need.test} asks for {need.rate:,.0f} requests/s: {who} would have {gap:.0f} us for each, and need "
            f"{1e6 / MOST_PER_WORKER:.0f} us",
            hint=f"ask for at most {bound:,} requests/s, or use more --workers on a machine with more cores",
        )
    if need.rate > NEAR * bound:
        return [f"{need.test}: {need.rate:,.0f} requests/s is near the {bound:,} that {who} can send at most"]
    return []


def _files(need: Need) -> list[str]:
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
        return [f"{need.test}: up to {files} open files in one worker, near the limit of {hard}"]
    return []


def _ports(need: Need) -> list[str]:
    ports = local_ports()
    if ports is None:
        return []
    if need.connections > ports:
        raise ResourceLimitError(
            f"test {need.test} needs up to {need.connections} connections, this machine has {ports} local ports",
            hint="widen net.ipv4.ip_local_port_range or lower the load",
        )
    if need.connections > NEAR * ports:
        return [f"{need.test}: up to {need.connections} connections, near the {ports} local ports"]
    held = ports_in_time_wait() or 0
    if need.connections + held > NEAR * ports:
        return [
            f"{need.test}: up to {need.connections} connections, and {held} of the {ports} local ports are still held "
            "by closed ones (TIME_WAIT): wait a minute, or widen net.ipv4.ip_local_port_range"
        ]
    return []
