"""What the benchmark scripts share: where they are, the machine they ran on, quantiles."""

import contextlib
import os
import resource
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parent.parent


def quantiles(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return p50 and p99."""
    return float(np.percentile(values, 50)), float(np.percentile(values, 99))


def machine() -> str:
    """Return a line about this machine."""
    model = "unknown CPU"
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    python = ".".join(map(str, sys.version_info[:3]))
    return f"{model}, {os.cpu_count()} cores, Python {python}, {os.uname().sysname} {os.uname().release}"


def more_files() -> None:
    """Raise the soft limit on open files: the scripts open a connection per stream."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
