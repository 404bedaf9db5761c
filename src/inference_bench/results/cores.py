"""How many cores this process may really use: those it may run on, and no more than its container's quota pays for.

A quota is invisible to the scheduler's affinity; whoever starts a worker for each core that is seen is stopped for the
rest of every period. Sources: the kernel's documents on cgroup v2 (cpu.max) and v1 (cpu.cfs_quota_us).
"""

import os
from pathlib import Path, PurePosixPath

_CGROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def usable_cores(*, cgroups: Path = _CGROUPS, own: Path = _OWN) -> int | None:
    """Return whole cores, at least 1; None where the system does not tell."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = cpu_quota(cgroups=cgroups, own=own)
    if quota is None:
        return allowed
    return max(1, int(quota) if allowed is None else min(allowed, int(quota)))


def cpu_quota(*, cgroups: Path = _CGROUPS, own: Path = _OWN) -> float | None:
    """Return how many cores' time the tightest quota above this process allows, None without any."""
    quotas = [_quota(folder) for folder in _folders(cgroups, own)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _folders(cgroups: Path, own: Path) -> list[Path]:
    """Return the control groups this process is in, with those above them: a quota holds for all below it."""
    try:
        lines = own.read_text("utf-8").splitlines()
    except OSError:
        return []
    folders: list[Path] = []
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        root = cgroups if not controllers else cgroups / "cpu"
        if controllers and "cpu" not in controllers.split(","):
            continue
        inner = PurePosixPath(path.lstrip("/"))
        folders += [root / one for one in (inner, *inner.parents)]
    return folders


def _quota(folder: Path) -> float | None:
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text("ascii").split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text("ascii").strip()
            period = (folder / "cpu.cfs_period_us").read_text("ascii").strip()
        return float(quota) / float(period) if quota not in ("max", "-1") else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
