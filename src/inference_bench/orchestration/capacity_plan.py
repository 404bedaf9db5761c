"""What a search for capacity is going to do: which load test it varies, what must be kept, what it may take."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from inference_bench.config.models import LoadTestSettings, Settings
from inference_bench.config.promise_models import SloSettings
from inference_bench.errors import ConfigError, UsageError
from inference_bench.results.slo import slo_of
from inference_bench.testing.estimates import Estimate, estimate
from inference_bench.testing.plan import LoadPlan, plan_probe
from inference_bench.testing.sweeps import at_load, selected_loads

ATTAINMENT: Final = 0.95  # where the promises do not say how many requests must meet the limits per request
SEARCHED: Final = ("closed", "constant", "poisson", "gamma")
USUAL_PROBES: Final = 14  # of a service: what searches over a factor of ten take


def searches_of(settings: Settings, only: Sequence[str]) -> tuple[LoadTestSettings, ...]:
    """Return the load test whose capacity is searched.

    Raises UsageError when there is not exactly one, or when it has no single load to vary; ConfigError when it
    promises nothing.
    """
    tests = selected_loads(settings, only)
    if len(tests) != 1:
        names = ", ".join(test.name for test in settings.load_tests) or "none"
        raise UsageError(
            f"--find-capacity varies one load test, and {len(tests)} are selected",
            hint=f"choose one with --test; load tests: {names}",
        )
    promise_of(tests[0], settings.model_dump(mode="json"))
    return (tests[0],)


def promise_of(test: LoadTestSettings, config: Mapping[str, object]) -> SloSettings:
    """Return what a load of this test must keep, with an attainment where limits per request need one.

    Raises ConfigError when nothing is promised, UsageError for arrivals that have no single load, and
    for a load that is not kept for a time.
    """
    if test.arrivals not in SEARCHED:
        raise UsageError(
            f"--find-capacity varies users or a rate, and {test.name} has {test.arrivals} arrivals",
            hint=f"arrivals it can search: {', '.join(SEARCHED)}",
        )
    if test.duration_seconds is None:
        # The same number of requests at a higher rate is over sooner: in a few ms no server breaks a promise. And of
        # more users than there are requests, most never ask: any number of them would be kept.
        what = "users" if test.arrivals == "closed" else "rate"
        raise UsageError(
            f"--find-capacity varies the {what} of {test.name}, which ends after a number of requests",
            hint="set duration_seconds instead of requests: each load is then tried for as long",
        )
    slo = slo_of(config, test.name)
    if slo is None:
        raise ConfigError(
            f"--find-capacity needs promises to keep, and nothing is promised in {test.name}",
            key="slo",
            hint="set slo, such as slo: {per_request: {ttft_ms: 500, tpot_ms: 50}, attainment: 0.95}",
        )
    if slo.has_request_limits and slo.attainment is None:
        return slo.model_copy(update={"attainment": ATTAINMENT})
    return slo


def unit_of(test: LoadTestSettings) -> str:
    """Return what the search varies."""
    return "users" if test.arrivals == "closed" else "requests/s"


def first_load(test: LoadTestSettings) -> float:
    """Return the load a search begins with: the test's own, the first of a list."""
    given = test.concurrent_users if test.arrivals == "closed" else test.rate
    return float(given[0] if isinstance(given, tuple) else given or 1)


def probe_plan(test: LoadTestSettings, load: float, service: int, seed: int, round_no: int) -> LoadPlan:
    """Return one turn of one service at one load."""
    value = int(load) if test.arrivals == "closed" else load
    return plan_probe(at_load(test, value), service, seed, round_no=round_no, sweep=test.name)


def probable(test: LoadTestSettings, services: int, seed: int, *, made: int = 0, over: bool = False) -> Estimate:
    """Return what a search may take: a usual number of probes, at the load it begins with, less those that were
    `made`; nothing for one that is `over`.
    """
    one = estimate(probe_plan(test, first_load(test), 0, seed, 0), 1)
    times = 0 if over else max(services, USUAL_PROBES * services - made)
    return replace(
        one,
        test=test.name,
        seconds=one.seconds * times,
        requests=one.requests * times,
        output_tokens=one.output_tokens * times,
        guessed=True,
    )
