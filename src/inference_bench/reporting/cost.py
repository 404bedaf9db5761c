"""What tokens cost and how many users a replica serves within its promises. Without a price there is neither.

A replica is one service endpoint. Nothing is extrapolated: the users served are those of the largest closed-loop load
test that kept every promise of its slo, and null, with the reason, where there is no such test.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inference_bench.metrics.throughput import cost_per_million_tokens
from inference_bench.reporting.text import count
from inference_bench.reporting.view import Cell, CostView, Head, Row, Table
from inference_bench.results.capacity import capacity_words
from inference_bench.results.gates import GateResult, promises_of
from inference_bench.results.slo import slo_of
from inference_bench.results.summary import Summary, TestSummary
from inference_bench.results.summary_view import MISSING, number
from inference_bench.results.sweep_rows import measured_tests

Config = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Price:
    """What an hour of a service costs."""

    currency: str
    per_hour: float


@dataclass(frozen=True, slots=True)
class UsersServed:
    """The most users that a replica served within its slo; None with the reason. `test` is where that was seen."""

    users: int | None
    test: str | None = None
    reason: str | None = None


def prices(config: Config) -> dict[str, Price]:
    """Return the prices that were given, by service."""
    pricing = config.get("pricing")
    pricing = pricing if isinstance(pricing, Mapping) else {}
    currency, per_hour = pricing.get("currency"), pricing.get("per_hour")
    if not isinstance(currency, str) or not isinstance(per_hour, Mapping):
        return {}
    return {
        str(name): Price(currency, float(value)) for name, value in per_hour.items() if isinstance(value, int | float)
    }


def users_served(service: str, summary: Summary, config: Config) -> UsersServed:
    """Return the most users of a closed-loop load test whose slo a service kept."""
    searched = _searched(service, summary)
    if searched is not None:
        return searched
    closed = [
        test for test in measured_tests(summary) if test.load.concurrent_users is not None and service in test.services
    ]
    if not closed:
        return UsersServed(None, reason="no closed-loop load test was made")
    valid = [test for test in closed if test.validity.verdict != "invalid"]
    if not valid:
        return UsersServed(None, reason="every closed-loop load test is invalid")
    results = _promises(summary, config)
    judged = {test.name: [result for result in results if _is_about(result, test.name, service)] for test in valid}
    promised = [test for test in valid if judged[test.name]]
    if not promised:
        bare = any((slo := slo_of(config, test.name)) is not None and slo.has_request_limits for test in valid)
        reason = "slo.per_request has no attainment to hold it against" if bare else "no slo was set"
        return UsersServed(None, reason=reason)
    kept = [test for test in promised if not any(result.failed for result in judged[test.name])]
    if not kept:
        fewest = min(test.load.concurrent_users or 0 for test in promised)
        return UsersServed(None, reason=f"the slo was missed with {count(fewest, 'user')} already")
    best = max(kept, key=lambda test: test.load.concurrent_users or 0)
    return UsersServed(best.load.concurrent_users, best.name)


def _searched(service: str, summary: Summary) -> UsersServed | None:
    """Return what a search for capacity in a closed loop found; None where there was none, or it did not end."""
    for facts in summary.capacity:
        found = facts.services.get(service)
        if found is not None and facts.complete and facts.unit == "users":
            if found.value is None:
                return UsersServed(None, reason=capacity_words(found, facts.unit))
            least = ", at least" if found.at_least else ""
            return UsersServed(int(found.value), f"the search of {facts.test}{least}")
    return None


def _promises(summary: Summary, config: Config) -> Sequence[GateResult]:
    """Return what became of the promises of every test: those of a sweep's points too, which fail no run."""
    return [result for test in measured_tests(summary) for result in promises_of(slo_of(config, test.name), test)]


def _is_about(result: GateResult, test: str, service: str) -> bool:
    return result.test == test and any(condition.service == service for condition in result.conditions)


def cost_view(summary: Summary, config: Config, numbers: Mapping[str, int]) -> CostView | None:
    """Return costs and users served; None when no measured service has a price."""
    given = prices(config)
    services = list(dict.fromkeys(name for test in summary.tests for name in test.services))
    if not any(name in given for name in services):
        return None
    rows = [Row("Price of an hour", tuple(_price(given.get(name)) for name in services))]
    for test in summary.tests:
        if test.kind == "load":  # the loads at the capacities too: there a token costs least
            rows += _token_rows(test, services, given)
    served = {name: users_served(name, summary, config) for name in services}
    most = max((test.load.concurrent_users or 0 for test in summary.tests), default=0)
    cells = tuple(_users(served[name], most) if name in given else _unpriced() for name in services)
    rows += [Row("At the promises (slo)"), Row("Users served by one replica", cells)]
    heads = (Head("Cost"), *(Head(name, numbers.get(name)) for name in services))
    return CostView(Table("Cost of a million tokens and users served, by service", heads, tuple(rows)), _NOTES)


_NOTES = (
    "A million tokens cost the price of an hour divided by what the service produced in an hour at the measured rate "
    "of that test; a service that was not saturated could have been cheaper per token.",
    "A replica is one service endpoint as it was measured. Users served are those of the search for its capacity, "
    "else of the largest closed-loop load test that kept every promise of its slo; nothing is said about loads that "
    "were not tried.",
)


def _token_rows(test: TestSummary, services: Sequence[str], given: Mapping[str, Price]) -> list[Row]:
    def cells(read: str) -> tuple[Cell, ...]:
        return tuple(_cost(test, name, given.get(name), read) for name in services)

    return [
        Row(test.name),
        Row("1M output tokens", cells("output_tokens_per_s")),
        Row("1M tokens, prompt and output", cells("total_tokens_per_s")),
    ]


def _cost(test: TestSummary, name: str, price: Price | None, rate_name: str) -> Cell:
    if price is None:
        return _unpriced()
    if name not in test.services:
        return Cell(MISSING, "not measured", "muted")
    rate: float | None = getattr(test.services[name].throughput, rate_name)
    cost = cost_per_million_tokens(price.per_hour, rate)
    if cost is None:
        return Cell(MISSING, "token rate unknown" if rate is None else "no tokens", "muted")
    return Cell(f"{number(cost)} {price.currency}", f"at {number(rate)} tokens/s")


def _price(price: Price | None) -> Cell:
    return _unpriced() if price is None else Cell(f"{number(price.per_hour)} {price.currency}")


def _unpriced() -> Cell:
    return Cell(MISSING, "no price given", "muted")


def _users(served: UsersServed, most: int) -> Cell:
    if served.users is None:
        return Cell(MISSING, served.reason or "", "muted")
    largest = ", the largest tried" if served.users == most else ""
    return Cell(number(served.users), f"in {served.test}{largest}")
