"""Whether the process that writes a run is still there: its number alone does not tell, numbers are used again."""

import os
import platform
from pathlib import Path

from pydantic import BaseModel, ConfigDict

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class ProcessMark(BaseModel):
    """A process, so that it can be told from a later one with the same number. Unknown parts are None.

    `started_ticks` is the kernel's start time of the process (proc(5), stat field 22), in ticks since boot.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pid: int
    host: str
    boot_id: str | None
    started_ticks: int | None


def this_process() -> ProcessMark:
    """Return the mark of the calling process."""
    pid = os.getpid()
    return ProcessMark(pid=pid, host=platform.node(), boot_id=boot_id(), started_ticks=_started_ticks(pid))


def is_alive(mark: ProcessMark) -> bool:
    """Return whether that process still runs. One on another host cannot be seen from here: taken as running."""
    if mark.host != platform.node():
        return True
    if mark.boot_id is not None and mark.boot_id != boot_id():
        return False
    try:
        os.kill(mark.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is there, and somebody else's
    return mark.started_ticks is None or mark.started_ticks == _started_ticks(mark.pid)


def boot_id() -> str | None:
    """Return what names this start of the machine; None where the system does not say."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return None


def _started_ticks(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field is the command in brackets and may hold anything; the fields after it are plain. Field 3 is the
    # state: a zombie has ended.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])
