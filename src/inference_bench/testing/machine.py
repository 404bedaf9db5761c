"""What this machine has left, as Linux tells it: memory, ports, socket buffers, pipes, disk. None where not told.

Sources: the kernel's documents on /proc (proc_meminfo, ip-sysctl, fs sysctl) and on cgroup v2 (memory.max).
"""

import os
import shutil
from pathlib import Path, PurePosixPath

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")


def _numbers(path: Path) -> list[int] | None:
    """Return the whole numbers of a one-line file."""
    try:
        return [int(word) for word in path.read_text("ascii").split()]
    except (OSError, ValueError):
        return None


def memory_available(*, proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int | None:
    """Return the bytes that can still be had: of the machine, and of every control group this process is in."""
    found = [_memory_of_machine(proc), *(_memory_of_group(folder) for folder in _groups(proc, cgroups))]
    return min((size for size in found if size is not None), default=None)


def _memory_of_machine(proc: Path) -> int | None:
    try:
        lines = (proc / "meminfo").read_text("ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def _groups(proc: Path, cgroups: Path) -> list[Path]:
    """Return this process's groups of cgroup v2, its own first: a limit holds for all below it."""
    try:
        lines = (proc / "self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return []
    path = next((line[3:] for line in lines if line.startswith("0::")), None)
    if path is None:
        return []
    inner = PurePosixPath(path.lstrip("/"))
    return [cgroups / one for one in (inner, *inner.parents)]


def _memory_of_group(folder: Path) -> int | None:
    limit, used = _numbers(folder / "memory.max"), _numbers(folder / "memory.current")
    if not limit or not used:
        return None  # "max" is no number: no limit
    # What files were read is counted too, and given back when memory is wanted.
    return max(0, limit[0] - used[0] + _reclaimable(folder))


def _reclaimable(folder: Path) -> int:
    try:
        lines = (folder / "memory.stat").read_text("ascii").splitlines()
    except OSError:
        return 0
    found = [line.split() for line in lines]
    return sum(int(words[1]) for words in found if words and words[0] in ("inactive_file", "active_file"))


def local_ports(*, proc: Path = _PROC) -> int | None:
    """Return how many local ports there are for outgoing connections to one address."""
    found = _numbers(proc / "sys/net/ipv4/ip_local_port_range")
    return found[1] - found[0] + 1 if found and len(found) == 2 else None


def ports_in_time_wait(*, proc: Path = _PROC) -> int | None:
    """Return how many ports closed connections still hold (TIME_WAIT), to whatever address."""
    try:
        lines = (proc / "net/sockstat").read_text("ascii").splitlines()
        words = next(line.split() for line in lines if line.startswith("TCP:"))
        return int(words[words.index("tw") + 1])
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def receive_buffer(*, proc: Path = _PROC) -> int | None:
    """Return the most bytes a TCP connection may hold unread (tcp_rmem)."""
    found = _numbers(proc / "sys/net/ipv4/tcp_rmem")
    return found[2] if found and len(found) == 3 else None


def socket_memory(*, proc: Path = _PROC) -> tuple[int, int] | None:
    """Return from how many bytes on all TCP buffers together are kept small, and how many there may be (tcp_mem)."""
    found = _numbers(proc / "sys/net/ipv4/tcp_mem")
    page = os.sysconf("SC_PAGE_SIZE")
    return (found[1] * page, found[2] * page) if found and len(found) == 3 else None


def pipe_limits(*, proc: Path = _PROC) -> tuple[int, int] | None:
    """Return the largest pipe a user may ask for, and how many bytes of pipes before they get small ones (0: any)."""
    largest, pages = _numbers(proc / "sys/fs/pipe-max-size"), _numbers(proc / "sys/fs/pipe-user-pages-soft")
    return (largest[0], pages[0] * os.sysconf("SC_PAGE_SIZE")) if largest and pages else None


def disk_free(directory: Path) -> int | None:
    """Return the bytes a user may still write where this directory is, or will be made."""
    for place in (directory.absolute(), *directory.absolute().parents):
        try:
            return shutil.disk_usage(place).free
        except OSError:
            continue
    return None


def process_memory(pid: int) -> tuple[int, int] | None:
    """Return a process's own memory and the pages it shares with files, in bytes. Reading it stops nobody."""
    found = _numbers(_PROC / str(pid) / "statm")
    page = os.sysconf("SC_PAGE_SIZE")
    return ((found[1] - found[2]) * page, found[2] * page) if found else None


def open_files(pid: int) -> int | None:
    """Return how many files a process has open."""
    try:
        return sum(1 for _ in (_PROC / str(pid) / "fd").iterdir())
    except OSError:
        return None
