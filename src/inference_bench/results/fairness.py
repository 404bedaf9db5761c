"""Apples and oranges: what makes the services of a run unlike each other. Pure; nothing here asks or measures.

`notes_before` reads what the servers said of themselves, `notes_after` what a finished run shows. Nothing blocks a
verdict: a note says what a reader must know, a warning what may explain the result. Codes are stable.

Before a run: model_names, model_size, quantisation, dtype, kv_cache_dtype, context_length, slots, slots_untold,
admission, prefix_caching, exact_length, chat_template, network_path, tls, same_address, shared_host, client_host,
way, port_forward, replicas, accelerators, cpu_limit, memory_limit, shared_node, simulated_mix, version, protocol,
untold. After it, each with its test: output_length, output_tokens_untold,
length_not_exact, prompt_tokens, truncated, success_rate, cached_prompts, cold_start, others_served.
"""

from collections.abc import Mapping, Sequence

from inference_bench.results.comparison import FairnessNote
from inference_bench.results.fairness_observed import lengths_differ, observed_notes
from inference_bench.results.fairness_told import Plan, told_notes
from inference_bench.results.manifest import Manifest, ServiceFacts
from inference_bench.results.observed import Observations
from inference_bench.results.slo import configured_name
from inference_bench.results.summary import Summary

__all__ = ["lengths_differ", "notes_after", "notes_before", "notes_of"]


def notes_before(
    services: Sequence[ServiceFacts],
    *,
    declared_model: str | None = None,
    users: int = 0,
    unique_prompts: bool = True,
) -> tuple[FairnessNote, ...]:
    """Return what makes services unlike each other by what they said and how they are reached, warnings first.

    Args:
        services: the services of the run; fewer than two cannot be unlike.
        declared_model: the model the user declared for the whole run (`benchmark.model`, --model).
        users: the users of the run's busiest closed loop, 0 when there is none.
        unique_prompts: whether every prompt starts with a prefix of its own.
    """
    if len(services) < 2:
        return ()
    return _in_order(told_notes(services, Plan(declared_model, users, unique_prompts)))


def notes_of(manifest: Manifest) -> tuple[FairnessNote, ...]:
    """Return `notes_before` of a run that has been made."""
    benchmark = _mapping(manifest.config.get("benchmark"))
    declared = benchmark.get("model")
    return notes_before(
        manifest.services,
        declared_model=declared if isinstance(declared, str) else None,
        users=max((test.load.concurrent_users or 0 for test in manifest.plan), default=0),
        unique_prompts=all(unique_prompts(manifest, test.name) for test in manifest.plan),
    )


def notes_after(manifest: Manifest, summary: Summary, observed: Observations | None = None) -> tuple[FairnessNote, ...]:
    """Return what the finished run shows of its services' unlikeness, warnings first within each test.

    `observed` (`results.observed.observe(folder)`) is what the summary does not hold; without it there are no notes
    on exact lengths and cached prompts.
    """
    notes: list[FairnessNote] = []
    for test in summary.tests:
        found = observed_notes(manifest, test, observed or {}, unique=unique_prompts(manifest, test.name))
        notes += _in_order(found)
    return tuple(notes)


def unique_prompts(manifest: Manifest, test: str) -> bool:
    """Return whether each prompt of a test started with a prefix of its own, by the run's configuration."""
    load_tests = manifest.config.get("load_tests")
    entries = [_mapping(entry) for entry in load_tests] if isinstance(load_tests, list) else []
    own = next((_mapping(entry.get("workload")) for entry in entries if entry.get("name") == configured_name(test)), {})
    workload = own or _mapping(manifest.config.get("workload"))
    return workload.get("cache", "unique") == "unique"


def _in_order(notes: Sequence[FairnessNote]) -> tuple[FairnessNote, ...]:
    """Return the notes, each once, warnings first."""
    return tuple(sorted(dict.fromkeys(notes), key=lambda note: note.weight != "warning"))


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
