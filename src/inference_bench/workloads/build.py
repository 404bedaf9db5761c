"""From settings to a workload: one builder for each kind, in a registry of one line each."""

from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from inference_bench.errors import ConfigError
from inference_bench.workloads.builtin import MIXED, categories
from inference_bench.workloads.choices import did_you_mean, normalised, shown
from inference_bench.workloads.items import PooledWorkload, WorkItem, Workload
from inference_bench.workloads.prompt_file import read_prompt_file
from inference_bench.workloads.record_file import Selected
from inference_bench.workloads.session_sources import composed_sessions, recorded_sessions, scripted_sessions
from inference_bench.workloads.sharegpt import sharegpt_workload
from inference_bench.workloads.synthetic import synthetic_workload
from inference_bench.workloads.tokens import FileTokenCounter, TokenCounter

if TYPE_CHECKING:
    from inference_bench.config.models import WorkloadSettings

_CATEGORIES_SHOWN = 20


def build_workload(settings: "WorkloadSettings", *, seed: int, counter: TokenCounter | None = None) -> Workload:
    """Return the workload that `settings` describe; equal settings and seed give equal work for every index.

    `counter` counts tokens where lengths matter (`counts_tokens` says whether they do); a tokenizer file that the
    settings name goes first. Without either, lengths are approximate, and the workload's notes say so.

    ConfigError when the category does not exist, or when a file cannot be read or holds something else.
    """
    if settings.tokenizer is not None:
        counter = FileTokenCounter(Path(settings.tokenizer))
    return _BUILDERS[settings.kind](settings, seed, counter)


def counts_tokens(settings: "WorkloadSettings") -> bool:
    """Whether a workload of these settings asks somebody to count tokens, and no tokenizer file was named for it."""
    composed = settings.kind in ("synthetic", "trace") or settings.prompt_tokens is not None
    answers = settings.kind == "sharegpt" and settings.output_tokens is None
    return settings.tokenizer is None and (composed or answers)


def _built_in(settings: "WorkloadSettings", seed: int, _counter: TokenCounter | None) -> Workload:
    known = categories()
    wanted = normalised(settings.category or MIXED)
    if wanted not in known:
        raise _no_category(settings.category or MIXED, known, "the built-in prompts have")
    name = "built-in" if wanted == MIXED else f"built-in/{wanted}"
    return PooledWorkload(name=name, items=known[wanted], seed=seed)


def _from_file(settings: "WorkloadSettings", seed: int, _counter: TokenCounter | None) -> Workload:
    path = _path(settings)
    items = read_prompt_file(path, prompt_column=settings.prompt_column)
    name = f"file {path.name}"
    if settings.category is not None:
        wanted = normalised(settings.category)
        items = _of_category(items, settings.category, path)
        name = f"{name}/{wanted}"
    return PooledWorkload(name=name, items=items, seed=seed, notes=(f"{len(items):,} prompts in the file",))


def _sessions(settings: "WorkloadSettings", seed: int, counter: TokenCounter | None) -> Workload:
    if settings.path is not None:
        return recorded_sessions(settings, Path(settings.path), seed)
    if settings.prompt_tokens is not None:
        return composed_sessions(settings, seed, counter)
    return scripted_sessions(settings, seed)


def _sharegpt(settings: "WorkloadSettings", seed: int, counter: TokenCounter | None) -> Workload:
    return sharegpt_workload(settings, _path(settings), seed, counter)


def _synthetic(settings: "WorkloadSettings", seed: int, counter: TokenCounter | None) -> Workload:
    return synthetic_workload(settings, seed, counter)


def _trace(settings: "WorkloadSettings", seed: int, counter: TokenCounter | None) -> Workload:
    from inference_bench.workloads.traces import trace_workload  # noqa: PLC0415 - brings NumPy and PyArrow along

    return trace_workload(_path(settings), seed, counter, unique=settings.cache == "unique")


def _path(settings: "WorkloadSettings") -> Path:
    if settings.path is None:
        raise ConfigError(f"workload.path: is needed by the workload kind {settings.kind}", key="workload.path")
    return Path(settings.path)


def _of_category(items: Sequence[WorkItem], category: str, path: Path) -> Sequence[WorkItem]:
    wanted, known = normalised(category), dict[str, None]()
    places = array("q")
    for place, item in enumerate(items):
        found = normalised(item.category)
        known[found] = None
        if found == wanted:
            places.append(place)
    if not places:
        raise _no_category(category, known, f"{path} has", file=path)
    return Selected(items, places)


def _no_category(wanted: str, known: Mapping[str, object], whose: str, *, file: Path | None = None) -> ConfigError:
    names = list(known)
    listed = ", ".join(names[:_CATEGORIES_SHOWN]) + (", …" if len(names) > _CATEGORIES_SHOWN else "")
    return ConfigError(
        f"workload.category: there are no prompts of category {shown(wanted)}{did_you_mean(wanted, known)}",
        file=file,
        key="workload.category",
        hint=f"{whose} the categories {listed}",
    )


_BUILDERS: Mapping[str, Callable[["WorkloadSettings", int, TokenCounter | None], Workload]] = {
    "built-in": _built_in,
    "file": _from_file,
    "sessions": _sessions,
    "sharegpt": _sharegpt,
    "synthetic": _synthetic,
    "trace": _trace,
}
