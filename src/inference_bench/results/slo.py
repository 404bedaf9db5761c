"""Which promises a run made for which test: read from the configuration as the manifest keeps it."""

from collections.abc import Mapping, Sequence
from typing import Final

from inference_bench.config.promise_models import SloSettings

TTFT_TEST: Final = "ttft"


def configured_name(test: str) -> str:
    """Return the name that a test has in the configuration: `curve` of `curve@16`, a point of its sweep."""
    return test.partition("@")[0]


def slo_of(config: Mapping[str, object], test: str) -> SloSettings | None:
    """Return the promises of a test: its own, else the run's; None of none.

    `config` is the effective configuration as plain values. A test's own promises stand in the place of the run's as
    a whole; none of the run's are added to them.
    """
    chosen = _own(config, test) or config.get("slo")
    return SloSettings.model_validate(chosen) if isinstance(chosen, Mapping) else None


def _own(config: Mapping[str, object], test: str) -> object:
    if test == TTFT_TEST:
        section = config.get("ttft_test")
        return section.get("slo") if isinstance(section, Mapping) else None
    load_tests = config.get("load_tests")
    if not isinstance(load_tests, Sequence):
        return None
    name = configured_name(test)
    return next((one.get("slo") for one in load_tests if isinstance(one, Mapping) and one.get("name") == name), None)
