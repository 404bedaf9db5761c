"""The run folder: its name, its manifest, finding one again, listing them. What the files hold is said elsewhere.

`<output>/test_<slug>_<YYYYMMDD_HHMMSS>[_N]/`, times in UTC.
"""

import json
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple, Self

from pydantic import ValidationError

from inference_bench.errors import RunFolderError
from inference_bench.results.atomic import write_atomically
from inference_bench.results.json_model import first_problem
from inference_bench.results.liveness import is_alive
from inference_bench.results.manifest import Manifest, RunStatus
from inference_bench.results.schema import SCHEMA_VERSION

MANIFEST: Final = "test_manifest.json"
_LONGEST_SLUG: Final = 40


def slug(name: str) -> str:
    """Return a run's name as folder names can carry it: lower case, digits, hyphens; "run" when nothing is left."""
    plain = unicodedata.normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:_LONGEST_SLUG].strip("-") or "run"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run on disk. Its last path component is the test id."""

    path: Path

    @classmethod
    def create(cls, directory: Path, name: str, when: datetime) -> Self:
        """Make a new, empty run folder that nobody else has; write its manifest next.

        Raises:
            RunFolderError: the directory cannot be written to.
            ValueError: `when` has no time zone.
        """
        if when.tzinfo is None:
            raise ValueError("the time of a run needs a time zone")
        base = f"test_{slug(name)}_{when.astimezone(UTC):%Y%m%d_%H%M%S}"
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for number in count(1):
                path = directory / (base if number == 1 else f"{base}_{number}")
                try:
                    path.mkdir()
                except FileExistsError:
                    continue
                return cls(path)
        except OSError as error:
            raise RunFolderError(
                f"cannot write to {directory}: {error.strerror}",
                hint="Choose another place with -o/--output-dir, or with --dir of `results import`.",
            ) from error
        raise AssertionError("count() has no end")

    @classmethod
    def open(cls, path: Path) -> Self:
        """Return the run at `path`.

        Raises:
            RunFolderError: there is no run, or its manifest cannot be read.
        """
        folder = cls(path)
        folder.read_manifest()
        return folder

    @property
    def test_id(self) -> str:
        """The run's name to the user: the folder's."""
        return self.path.resolve().name

    @property
    def journal(self) -> Path:
        """Where the journal is while the run goes on."""
        return self.path / "journal"

    def file(self, name: str) -> Path:
        """Return the path of one of the run's files."""
        return self.path / name

    def read_manifest(self) -> Manifest:
        """Return the manifest as it stands on disk.

        Raises:
            RunFolderError: it is missing, damaged, or of a later schema version.
        """
        path = self.file(MANIFEST)
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise RunFolderError(f"{self.path} is not a run folder: no {MANIFEST}") from error
        try:
            data = json.loads(raw)
            version = data.get("schema_version") if isinstance(data, dict) else None
            if isinstance(version, int) and version > SCHEMA_VERSION:
                raise RunFolderError(
                    f"{path} has schema version {version}; this program reads up to {SCHEMA_VERSION}",
                    hint="Update vllm-benchmark.",
                )
            return Manifest.model_validate(data)
        except ValidationError as error:
            raise RunFolderError(f"{path} is damaged: {first_problem(error)}") from error
        except ValueError as error:
            raise RunFolderError(f"{path} is damaged: it is not JSON") from error

    def write_manifest(self, manifest: Manifest) -> None:
        """Replace the manifest, whole or not at all. Raises RunFolderError when the folder cannot be written to."""
        try:
            write_atomically(self.file(MANIFEST), manifest.model_dump_json(indent=2).encode() + b"\n")
        except OSError as error:
            raise RunFolderError(
                f"cannot write to {self.path}: {error.strerror or error}",
                hint="The folder must be yours to write, and its disk must have room.",
            ) from error

    def update(self, change: Callable[[Manifest], Manifest]) -> Manifest:
        """Read, change and write the manifest; return the new one."""
        manifest = change(self.read_manifest())
        self.write_manifest(manifest)
        return manifest


def shown_status(manifest: Manifest) -> RunStatus:
    """Return a run's status as it really is: one whose process died in the middle is partial."""
    if manifest.status != "running" or (manifest.process is not None and is_alive(manifest.process)):
        return manifest.status
    return "partial"


class Run(NamedTuple):
    """A folder with its manifest."""

    folder: RunFolder
    manifest: Manifest


class Listing(NamedTuple):
    """The runs of a directory, newest first, and folders that should be runs but cannot be read (path, why)."""

    runs: tuple[Run, ...]
    damaged: tuple[tuple[Path, str], ...]


def list_runs(directory: Path) -> Listing:
    """Return the runs in `directory`; one that does not exist has none."""
    runs: list[Run] = []
    damaged: list[tuple[Path, str]] = []
    for path in sorted(directory.glob("test_*")):
        if not path.is_dir():
            continue
        folder = RunFolder(path)
        try:
            runs.append(Run(folder, folder.read_manifest()))
        except RunFolderError as error:
            damaged.append((path, error.message))
    runs.sort(key=lambda run: (run.manifest.created, run.folder.test_id), reverse=True)
    return Listing(tuple(runs), tuple(damaged))


def find_run(directory: Path, text: str) -> Run:
    """Return the run that `text` names: a path, a test id, or the beginning of one that no other shares.

    Raises:
        RunFolderError: no run is called so, several are, or it cannot be read.
    """
    for path in (directory / text, Path(text)):
        if (path / MANIFEST).is_file():
            folder = RunFolder(path)
            return Run(folder, folder.read_manifest())
    listing = list_runs(directory)
    named = [run for run in listing.runs if run.folder.test_id.startswith(text)]
    if len(named) == 1:
        return named[0]
    if not named:
        for path, reason in listing.damaged:
            if path.name.startswith(text):
                raise RunFolderError(reason)
        raise RunFolderError(
            f"no run {text!r} in {directory}", hint="`results` lists what there is; --dir names another directory."
        )
    shown = ", ".join(run.folder.test_id for run in named[:3]) + (", …" if len(named) > 3 else "")
    raise RunFolderError(f"{text!r} is the beginning of {len(named)} runs: {shown}", hint="Give more of the name.")
