"""A file that is to be written is refused early: when it is there already, or has no folder to be in."""

from pathlib import Path

from inference_bench.errors import UsageError


def check_new(path: Path | None) -> None:
    """Refuse a file that is there, or a folder that is not, before anything is measured."""
    if path is None:
        return
    try:
        there = path.exists() or path.is_symlink()
    except OSError as error:  # a name too long, a folder that may not be looked into
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error
    if there:
        raise UsageError(f"{path} already exists; nothing was written", hint="give another name, or remove it")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent} to write {path.name} in")
