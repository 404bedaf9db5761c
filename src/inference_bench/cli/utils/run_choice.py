"""Which run a command line means: its id, the beginning of it, or the path of its folder; and where runs are kept."""

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

if TYPE_CHECKING:
    from inference_bench.results.folder import Run

TEST_ID = click.argument("test_id", metavar="TEST_ID")
runs_directory_option = click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder that holds the runs. Default: the configuration's output.directory.",
)


def found_run(directory: Path | None, test_id: str) -> "Run":
    """Return the run; without a directory, a path is looked at before the configured one.

    Raises:
        RunFolderError: there is no such run, several begin like that, or it cannot be read.
    """
    from inference_bench.results.folder import MANIFEST, Run, RunFolder, find_run  # noqa: PLC0415

    if directory is None and (Path(test_id) / MANIFEST).is_file():
        folder = RunFolder(Path(test_id))
        return Run(folder, folder.read_manifest())
    return find_run(runs_directory(directory), test_id)


def runs_directory(directory: Path | None) -> Path:
    """Return where runs are: the given folder, else the configuration's output.directory."""
    if directory is not None:
        return directory
    import os  # noqa: PLC0415

    from inference_bench.config.loader import load_settings  # noqa: PLC0415

    loaded = load_settings(None, overrides={}, environ=os.environ, cwd=Path.cwd())
    return Path(loaded.settings.output.directory)
