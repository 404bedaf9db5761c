"""The commented configuration files that ship with the package, and writing them for a user to change."""

import os
import tempfile
from importlib import resources
from pathlib import Path

from inference_bench.errors import UsageError

SHIPPED_FILES = ("default.yaml", "quick-test.yaml", "stress-test.yaml")


def shipped_text(name: str) -> str:
    """Return the text of one of SHIPPED_FILES."""
    return resources.files("inference_bench.config").joinpath("templates", name).read_text(encoding="utf-8")


def with_endpoints(text: str, endpoints: str) -> str:
    """Return a shipped file's text with these services named in it; `endpoints` is YAML of that key alone."""
    block = "".join(f"  {line}\n" for line in endpoints.splitlines())
    lines = text.splitlines(keepends=True)
    empty = next((place for place, line in enumerate(lines) if line.startswith("  endpoints: []")), None)
    if empty is not None:
        comment = lines[empty].partition("#")[2].strip()
        return "".join((*lines[:empty], f"  # {comment}\n" if comment else "", block, *lines[empty + 1 :]))
    head = next((place for place, line in enumerate(lines) if line.startswith("services:")), None)
    if head is None:
        return f"{text.rstrip()}\n\nservices:\n{block}"
    return "".join((*lines[: head + 1], block, *lines[head + 1 :]))


def write_shipped(directory: Path, *, force: bool, endpoints: str = "") -> list[Path]:
    """Write the files to `directory`/config and return their paths; all of them or, without `force`, none.

    With `endpoints` (YAML of that key) the services are named in each. Each file appears whole or not at all. Raises
    UsageError when a file exists and `force` is not given, or when the folder cannot be written.
    """
    folder = directory / "config"
    targets = [folder / name for name in SHIPPED_FILES]
    there = [target for target in targets if target.exists() or target.is_symlink()]
    if there and not force:
        names = ", ".join(str(target) for target in there)
        verb = "exists" if len(there) == 1 else "exist"
        raise UsageError(f"{names} already {verb}; nothing was written", hint="--force overwrites them")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for target in targets:
            text = shipped_text(target.name)
            write_whole(target, with_endpoints(text, endpoints) if endpoints else text)
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from error
    return targets


def write_whole(target: Path, text: str) -> None:
    """Write beside the target, then put it in its place, with the rights a new file would have."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
