"""Deleting stored runs: what would go, and how it goes. Only a run's own folder, never through a link, never a run
that is still being written.

A folder is renamed first, to a name that no listing takes for a run, and emptied then: a kill in the middle leaves
nothing that looks like a run with half of its files.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inference_bench.errors import RunFolderError
from inference_bench.results.folder import MANIFEST, Run, RunFolder, shown_status
from inference_bench.results.journal import wait_for_writer

DELETED: Final = ".deleted-"
PREFIX: Final = "test_"


@dataclass(frozen=True, slots=True)
class Deletion:
    """One run that can be deleted: its files (all of the folder's, however deep) and their bytes."""

    run: Run
    files: int
    bytes: int


def plan_deletion(runs: Sequence[Run]) -> tuple[Deletion, ...]:
    """Return what deleting these runs would remove, each once; nothing is touched.

    Raises:
        RunFolderError: one of them is running, or is reached through a symbolic link.
    """
    chosen = {run.folder.path.absolute(): run for run in runs}
    return tuple(_planned(run) for run in chosen.values())


def delete(planned: Deletion) -> None:
    """Delete a run; its folder is gone from every listing at once.

    Raises:
        RunFolderError: it began to be written meanwhile, or the file system refuses; what is left is said.
    """
    _planned(planned.run)
    path = planned.run.folder.path.absolute()
    aside = _aside(path)
    try:
        path.rename(aside)
    except OSError as error:
        raise RunFolderError(f"cannot delete {path}: {error.strerror}") from error
    try:
        shutil.rmtree(aside)
    except OSError as error:
        raise RunFolderError(
            f"deleted {planned.run.folder.test_id}, but some of its files stay in {aside}: {error.strerror}",
            hint="Remove that folder by hand; it is no run any more.",
        ) from error


def _planned(run: Run) -> Deletion:
    folder = run.folder
    path = folder.path
    if path.is_symlink():
        raise RunFolderError(
            f"{path} is a symbolic link; links are not followed", hint="Name the folder that it points to."
        )
    if not path.name.startswith(PREFIX):
        raise RunFolderError(
            f"{path} is not named as run folders are ({PREFIX}…); it is left alone", hint="Remove it by hand."
        )
    if not (path / MANIFEST).is_file() or (path / MANIFEST).is_symlink():
        raise RunFolderError(f"{path} is not a run folder: no {MANIFEST}")
    _check_ended(folder)
    files = size = 0
    for directory, _, names in os.walk(path, followlinks=False):
        for name in names:
            files += 1
            size += (Path(directory) / name).lstat().st_size
    return Deletion(run, files, size)


def _check_ended(folder: RunFolder) -> None:
    """Refuse a run that is being written; its manifest is read again, for it may be old news."""
    running = shown_status(folder.read_manifest()) == "running"
    if running or (folder.journal.is_dir() and not wait_for_writer(folder.journal, seconds=0)):
        raise RunFolderError(
            f"{folder.test_id} is still running and cannot be deleted", hint="Wait for its end, or stop it first."
        )


def _aside(path: Path) -> Path:
    """Return a free name beside the folder that no listing takes for a run."""
    number = 0
    while (aside := path.with_name(f"{DELETED}{path.name}{f'-{number}' if number else ''}")).exists():
        number += 1
    return aside
