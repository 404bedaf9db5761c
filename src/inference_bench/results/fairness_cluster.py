"""The notes on what a cluster said of services: by which way they are reached, how many they are, on what they run.

Only what was told is compared; a service outside the cluster told nothing of this.
"""

import re
from collections.abc import Iterator, Sequence

from inference_bench.results.comparison import FairnessNote
from inference_bench.results.fairness_words import by_value, joined, note, number, word
from inference_bench.results.manifest import ServiceFacts

_FORWARDED = "port-forward"
_UNITS = {
    "": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40,
}  # fmt: skip
_QUANTITY = re.compile(rf"(\d+(?:\.\d+)?)({'|'.join(_UNITS)})")
_RESOURCES = (("cpu_limit", "CPU limits"), ("memory_limit", "memory limits"))


def cluster_notes(services: Sequence[ServiceFacts]) -> Iterator[FairnessNote]:
    """Yield the notes on ways, replicas, accelerators, limits, and nodes that are shared."""
    yield from _ways(services)
    yield from _replicas(services)
    yield from _accelerators(services)
    for key, words in _RESOURCES:
        told = _told(services, key)
        if len({_amount(value) for value in told.values()}) > 1:
            yield note(key, told, f"{words} differ: {by_value(told)}")
    yield from _nodes(services)


def _ways(services: Sequence[ServiceFacts]) -> Iterator[FairnessNote]:
    """Say who is reached by another way than its rivals, and what a port-forward is."""
    told = _told(services, "reached_by")
    if len(set(told.values())) > 1:
        yield note("way", told, f"the ways to the services differ: {by_value(told)}", "warning")
    forwarded = [name for name, way in told.items() if way == _FORWARDED]
    if forwarded:
        be, their = ("is", "its") if len(forwarded) == 1 else ("are", "their")
        said = f"{joined(forwarded)} {be} reached by a port-forward: every byte goes through the cluster's API server"
        yield note("port_forward", forwarded, f"{said}, and {their} times hold what that adds", "warning")


def _replicas(services: Sequence[ServiceFacts]) -> Iterator[FairnessNote]:
    told = {one.name: count for one in services if (count := number(one.said.get("replicas_ready"))) is not None}
    # A port-forward leads to one pod, however many there are.
    told |= {one.name: 1 for one in services if one.name in told and word(one.said.get("reached_by")) == _FORWARDED}
    if len(set(told.values())) > 1:
        shown = {name: f"{count:,}" for name, count in told.items()}
        yield note("replicas", told, f"replicas that take requests: {by_value(shown)}", "warning")


def _accelerators(services: Sequence[ServiceFacts]) -> Iterator[FairnessNote]:
    told: dict[str, str] = {}
    for one in services:
        if "workload" not in one.said and "image" not in one.said:
            continue  # no pod of it was seen
        kind, count = word(one.said.get("gpu")), number(one.said.get("gpus_per_replica"))
        told[one.name] = f"{count or 1} × {kind}" if kind is not None else "none asked for"
    if len(set(told.values())) > 1:
        yield note("accelerators", told, f"accelerators of a replica differ: {by_value(told)}", "warning")


def _nodes(services: Sequence[ServiceFacts]) -> Iterator[FairnessNote]:
    by_node: dict[str, list[str]] = {}
    for one in services:
        nodes = one.said.get("nodes")
        for name in nodes if isinstance(nodes, list) else ():
            if (shown := word(name)) is not None:
                by_node.setdefault(shown, []).append(one.name)
    sharing: dict[tuple[str, ...], list[str]] = {}
    for node, names in by_node.items():
        if len(names) > 1:
            sharing.setdefault(tuple(dict.fromkeys(names)), []).append(node)
    for together, shared in sharing.items():
        if len(together) > 1:
            which = "a node" if len(shared) == 1 else f"{len(shared)} nodes"
            yield note("shared_node", together, f"{joined(together)} run on {which} together ({joined(shared[:4])})")


def _amount(quantity: str) -> float | str:
    """Return what a Kubernetes quantity comes to: 4 and 4000m are alike, 16Gi and 17179869184 too."""
    match = _QUANTITY.fullmatch(quantity)
    return float(match.group(1)) * _UNITS[match.group(2)] if match is not None else quantity


def _told(services: Sequence[ServiceFacts], key: str) -> dict[str, str]:
    return {one.name: text for one in services if (text := word(one.said.get(key))) is not None}
