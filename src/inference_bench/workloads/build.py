"""From settings to a workload: one builder for each kind, in a registry of one line each."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from inference_bench.errors import ConfigError
from inference_bench.workloads.builtin import MIXED, categories
from inference_bench.workloads.choices import did_you_mean, normalised, shown
from inference_bench.workloads.items import PooledWorkload, WorkItem, Workload
from inference_bench.workloads.prompt_file import read_prompt_file
from inference_bench.workloads.session_sources import scripted_sessions

if TYPE_CHECKING:
    from inference_bench.config.models import WorkloadSettings

_CATEGORIES_SHOWN = 20


def build_workload(settings: "WorkloadSettings", *, seed: int) -> Workload:
    """Return the workload that `settings` describe; equal settings and seed give equal work for every index.

    ConfigError when the category does not exist, or when a prompt file cannot be read or holds something else.
    """
    return _BUILDERS[settings.kind](settings, seed)


def _built_in(settings: "WorkloadSettings", seed: int) -> Workload:
    known = categories()
    wanted = normalised(settings.category or MIXED)
    if wanted not in known:
        raise _no_category(settings.category or MIXED, known, "the built-in prompts have")
    name = "built-in" if wanted == MIXED else f"built-in/{wanted}"
    return PooledWorkload(name=name, items=known[wanted], seed=seed)


def _from_file(settings: "WorkloadSettings", seed: int) -> Workload:
    if settings.path is None:
        raise ConfigError("workload.path: is needed by the workload kind file", key="workload.path")
    path = Path(settings.path)
    items = read_prompt_file(path)
    name = f"file {path.name}"
    if settings.category is not None:
        by_category = _by_category(items)
        wanted = normalised(settings.category)
        if wanted not in by_category:
            raise _no_category(settings.category, by_category, f"{path} has", file=path)
        items, name = tuple(by_category[wanted]), f"{name}/{wanted}"
    return PooledWorkload(name=name, items=items, seed=seed)


def _sessions(settings: "WorkloadSettings", seed: int) -> Workload:
    return scripted_sessions(settings, seed)


def _by_category(items: Sequence[WorkItem]) -> dict[str, list[WorkItem]]:
    found: dict[str, list[WorkItem]] = {}
    for item in items:
        found.setdefault(normalised(item.category), []).append(item)
    return found


def _no_category(wanted: str, known: Mapping[str, object], whose: str, *, file: Path | None = None) -> ConfigError:
    names = list(known)
    listed = ", ".join(names[:_CATEGORIES_SHOWN]) + (", …" if len(names) > _CATEGORIES_SHOWN else "")
    return ConfigError(
        f"workload.category: there are no prompts of category {shown(wanted)}{did_you_mean(wanted, known)}",
        file=file,
        key="workload.category",
        hint=f"{whose} the categories {listed}",
    )


_BUILDERS: Mapping[str, Callable[["WorkloadSettings", int], Workload]] = {
    "built-in": _built_in,
    "file": _from_file,
    "sessions": _sessions,
}
