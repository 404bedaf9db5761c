"""Which runs can go on, and the words for those that cannot."""

import platform
import shlex
from pathlib import Path

from inference_bench import __version__
from inference_bench.errors import RunFolderError, UsageError
from inference_bench.results.finalise import CHUNKS, REQUESTS
from inference_bench.results.folder import RunFolder, shown_status
from inference_bench.results.manifest import Manifest

_NEW_RUN = "begin a new run"


def resume_command(folder: RunFolder) -> str | None:
    """Return the command that lets a run go on from the folder at hand; None for one that cannot."""
    try:
        check_can_resume(folder, folder.read_manifest())
    except (UsageError, RunFolderError):
        return None
    usual = folder.path.parent.resolve() == Path("results").resolve()
    where = folder.test_id if usual else shlex.quote(str(folder.path))
    return f"vllm-benchmark benchmark --resume {where}"


def check_can_resume(folder: RunFolder, manifest: Manifest) -> None:
    """Refuse a run that is still going on, or has no more to do, or cannot be gone on with.

    Raises RunFolderError for one that is still running, UsageError for the others.
    """
    name = folder.test_id
    status = shown_status(manifest)
    if status == "running":
        raise RunFolderError(f"{name} is still running", hint="wait for its end, or stop it first")
    if status == "complete":
        raise UsageError(f"{name} is complete: nothing of it is left to measure", hint=_NEW_RUN)
    if manifest.resumed is None or manifest.design is None:
        raise UsageError(f"{name} was made by a version that did not keep what resuming needs", hint=_NEW_RUN)
    tool, host = manifest.environment.tool_version, manifest.environment.host
    if tool != __version__:
        raise UsageError(f"{name} was begun by version {tool}, this is {__version__}", hint=f"resume it with {tool}")
    if host != platform.node():
        raise UsageError(f"{name} was measured on {host}, and this is {platform.node()}", hint=f"resume it on {host}")
    if any(test.probe for test in manifest.plan) and not manifest.searches:
        raise UsageError(
            f"{name} searched for a capacity, and was made by a version that did not keep what resuming a search needs",
            hint="what it measured is saved; begin a new search with --find-capacity",
        )
    if not folder.journal.is_dir() and folder.file(REQUESTS).is_file() and not folder.file(CHUNKS).is_file():
        raise UsageError(f"{name} has no {CHUNKS} any more: its gaps could not be counted", hint=_NEW_RUN)
    masked = _masked_headers(manifest)
    if masked:
        raise UsageError(
            f"{name} was given the value of the header {masked} in its configuration, and secrets are not kept",
            hint="write it as env:VARIABLE in the configuration of a new run",
        )


def _masked_headers(manifest: Manifest) -> str | None:
    """Return the first header whose value was not kept."""
    services = manifest.config.get("services")
    endpoints = services.get("endpoints") if isinstance(services, dict) else None
    for endpoint in endpoints if isinstance(endpoints, list) else ():
        headers = endpoint.get("headers") if isinstance(endpoint, dict) else None
        for header, value in headers.items() if isinstance(headers, dict) else ():
            if value == "***":
                return str(header)
    return None
