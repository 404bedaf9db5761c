"""A load test whose users or rate is a list stands for several tests, one for each value: the points of a curve."""

from collections.abc import Sequence

from inference_bench.config.load_models import SWEPT
from inference_bench.config.models import LoadTestSettings, Settings


def expand(test: LoadTestSettings) -> tuple[LoadTestSettings, ...]:
    """Return the tests that a load test of the configuration stands for: itself, or one for each value of a sweep,
    called NAME@VALUE.
    """
    users, rate = test.concurrent_users, test.rate
    if isinstance(users, tuple):
        return tuple(at_load(test, value) for value in users)
    if isinstance(rate, tuple) and test.arrivals in SWEPT:
        return tuple(at_load(test, value) for value in rate)
    return (test,)


def at_load(test: LoadTestSettings, value: float) -> LoadTestSettings:
    """Return a load test at one load: so many users in a closed loop, this rate in an open one."""
    key = "concurrent_users" if test.arrivals == "closed" else "rate"
    # The copy is not validated again: the value was, and the name is not one a user may give.
    return test.model_copy(update={"name": point_name(test.name, value), key: value})


def point_name(test: str, value: float) -> str:
    """Return what a sweep's test at one load is called: `curve@16`, `curve@2.5`."""
    return f"{test}@{value:.10g}"


def selected_loads(settings: Settings, only: Sequence[str]) -> list[LoadTestSettings]:
    """Return the load tests of these names, all without a name. A sweep is chosen as a whole."""
    return [test for test in settings.load_tests if not only or test.name in only]


def planned_names(settings: Settings, *, ttft: bool, load: bool, only: Sequence[str] = ()) -> list[str]:
    """Return the names of the tests that will run, in order, without planning them."""
    found = ["ttft"] if ttft and settings.ttft_test.enabled and (not only or "ttft" in only) else []
    loads = selected_loads(settings, only) if load else []
    return found + [point.name for test in loads for point in expand(test)]
