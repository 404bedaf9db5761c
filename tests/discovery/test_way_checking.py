"""Asking by one way after another: who is asked how often and with what, within which bounds, and what is said."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from engine_servers import Page, closed_port, self_signed, serving, transformers_pages, vllm_pages
from inference_bench.config.models import Settings
from inference_bench.config.service_models import EndpointSettings
from inference_bench.discovery import checking
from inference_bench.discovery.checking import Checked, check_all
from inference_bench.discovery.health_checker import HealthStatus
from inference_bench.discovery.service_finder import find_services
from inference_bench.discovery.services import ClusterFacts, FoundService
from inference_bench.discovery.sources import Candidate
from inference_bench.discovery.url_resolver import Rule, Way, in_order, is_before
from inference_bench.errors import ConfigError, NoServiceError

FACTS = ClusterFacts("vLLM", ("image x",), {"namespace": "team"}, {"namespace": "Deployment chat"})
# As patient as a check-up may be: whoever does not answer here refuses at once, and a busy machine answers late.
PATIENT = {"connect_timeout_seconds": 2.0, "timeout_seconds": 4.0, "idle_timeout_seconds": 4.0}


def settings(**services: object) -> Settings:
    return Settings.model_validate({"services": {"health_check_retries": 0, **PATIENT, **services}})


def candidate(*ways: Way, endpoint: Mapping[str, object] | None = None, **more: Any) -> Candidate:
    """Return a service of a cluster, called chat, with these ways."""
    told = {"name": "chat", "url": "https://chat.team.svc", **(endpoint or {})}
    own: dict[str, Any] = {"certain": True, "hint": "vllm", "cluster": FACTS, **more}
    return Candidate(EndpointSettings.model_validate(told), source="team: image x", named=False, ways=ways, **own)


def check(one: Candidate, environ: Mapping[str, str] | None = None, **services: object) -> Checked:
    (checked,) = asyncio.run(check_all([one], settings(**services), environ or {}))
    return checked


def nowhere(rule: Rule = Rule.ROUTE, through: str = "Route chat") -> Way:
    return Way(rule, f"http://127.0.0.1:{closed_port()}", through)


def opens(way: Way | Exception, calls: list[int]) -> Callable[[], Awaitable[Way]]:
    async def opened() -> Way:
        calls.append(1)
        if isinstance(way, Exception):
            raise way
        return way

    return opened


def test_the_order_of_rules() -> None:
    assert [rule.value for rule in Rule] == [
        "manual URL", "Route", "KServe URL", "HTTPRoute", "Ingress", "LoadBalancer", "NodePort", "cluster DNS",
        "port-forward",
    ]  # fmt: skip
    assert is_before(Rule.ROUTE, Rule.INGRESS)
    assert not is_before(Rule.ROUTE, Rule.ROUTE)


def test_ways_come_in_order_and_each_url_once_by_its_best_rule() -> None:
    ways = [Way(rule, url, "") for rule, url in ((Rule.NODE_PORT, "a"), (Rule.INGRESS, "b"), (Rule.ROUTE, "b"))]
    ways += [Way(Rule.ROUTE, "c", "")]
    assert [(way.rule, way.url) for way in in_order(ways)] == [
        (Rule.ROUTE, "b"), (Rule.ROUTE, "c"), (Rule.NODE_PORT, "a"),
    ]  # fmt: skip


def test_a_way_that_does_not_answer_is_asked_at_most_twice() -> None:
    """A named service is tried longer; where there is another way, patience is for that one."""
    checked = check(candidate(nowhere()), health_check_retries=5)
    assert (checked.check.health.status, checked.check.health.attempts) == (HealthStatus.UNREACHABLE, 2)


def test_the_notes_of_the_way_that_is_used_stand_beside_why_others_were_left() -> None:
    first = nowhere()
    with serving(vllm_pages()) as server:
        used = Way(Rule.INGRESS, server.url, "Ingress chat", ("a note of it",))
        checked = check(candidate(first, used, notes=("before",)))
    before, left, own = checked.candidate.notes
    assert (before, own) == ("before", "a note of it")
    assert left.startswith(f"Route chat ({first.url}) does not answer: ")
    assert checked.way == used
    assert checked.candidate.endpoint.url == server.url


def test_a_key_and_headers_go_with_each_way_that_is_asked() -> None:
    with serving(vllm_pages(), key="sesame") as server:
        ways = (nowhere(), Way(Rule.INGRESS, server.url, "Ingress chat"))
        endpoint = {"api_key_env": "KEY"}
        checked = check(candidate(*ways, endpoint=endpoint), {"KEY": "sesame"})
        assert ("/v1/models", "Bearer sesame") in server.seen
    assert checked.check.health.status is HealthStatus.HEALTHY


def test_a_secret_that_is_missing_is_said_before_anybody_is_asked() -> None:
    with serving(vllm_pages()) as server:
        one = candidate(Way(Rule.INGRESS, server.url, "Ingress chat"), endpoint={"api_key_env": "KEY"})
        with pytest.raises(ConfigError, match="KEY"):
            check(one)
        assert server.seen == []


def test_certificates_that_a_way_tells_are_trusted_and_those_a_user_names_before_them(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    context, trusted = self_signed(tmp_path)
    _, other = self_signed(tmp_path / "other")
    with serving(vllm_pages(), context=context) as server:
        plain = Way(Rule.CLUSTER_DNS, server.url, "Service chat")
        told = Way(Rule.CLUSTER_DNS, server.url, "Service chat", ca_file=str(trusted))
        health = [
            check(candidate(way, endpoint=endpoint)).check.health
            for way, endpoint in (
                (plain, {}),
                (told, {}),
                (told, {"ca_file": str(other)}),
                (plain, {"ca_file": str(trusted)}),
                (plain, {"insecure_skip_verify": True}),
            )
        ]
    assert [one.status is HealthStatus.HEALTHY for one in health] == [False, True, False, True, True]
    assert "certificate" in health[0].detail


def test_what_is_said_of_certificates_holds_for_https_alone(tmp_path: Path) -> None:
    _, trusted = self_signed(tmp_path)
    with serving(vllm_pages()) as server:
        way = Way(Rule.INGRESS, server.url, "Ingress chat")
        checked = check(candidate(way, endpoint={"ca_file": str(trusted)}))
    assert checked.check.health.status is HealthStatus.HEALTHY
    assert checked.candidate.endpoint.ca_file is None


def test_all_ways_together_have_a_bound_and_those_beyond_it_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checking._LAST_TURN_SECONDS <= checking._WAY_SECONDS <= checking._ALL_WAYS_SECONDS < 10
    monkeypatch.setattr(checking, "_ALL_WAYS_SECONDS", 0.0)
    last = nowhere()
    with serving(vllm_pages()) as server:
        checked = check(candidate(nowhere(), Way(Rule.INGRESS, server.url, "Ingress chat"), last))
        assert server.seen == []
    assert checked.check.health.status is HealthStatus.UNREACHABLE
    assert f"Ingress chat ({server.url}) was not tried any more" in checked.candidate.notes
    assert checked.way is not None
    assert checked.way.rule is Rule.ROUTE


def test_the_last_way_always_has_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "_ALL_WAYS_SECONDS", 0.0)
    with serving(vllm_pages()) as server:
        checked = check(candidate(nowhere(), nowhere(), Way(Rule.CLUSTER_DNS, server.url, "Service chat")))
    assert checked.check.health.status is HealthStatus.HEALTHY
    assert checked.way is not None
    assert checked.way.rule is Rule.CLUSTER_DNS


@pytest.mark.parametrize(
    "router",
    [
        Page(b"<!doctype html><h1>Application is not available</h1>", status=503, content_type="text/html"),
        Page(b"<html>404</html>", status=404, content_type="text/html"),
        Page(b"", status=302, headers=(("location", "https://sso.example/"),)),
    ],
)
def test_a_router_s_own_word_is_not_the_service_s(router: Page) -> None:
    with serving({}, otherwise=router) as first, serving(vllm_pages()) as second:
        ways = (Way(Rule.ROUTE, first.url, "Route chat"), Way(Rule.LOAD_BALANCER, second.url, "Service chat"))
        checked = check(candidate(*ways))
    assert checked.check.health.status is HealthStatus.HEALTHY
    assert checked.way == ways[1]
    assert any(
        note.startswith(f"Route chat ({first.url}) is answered by something else") for note in checked.candidate.notes
    )


def test_where_nothing_better_comes_the_router_s_word_is_what_is_shown() -> None:
    page = Page(b"<html>no</html>", status=503, content_type="text/html")
    with serving({}, otherwise=page) as server:
        checked = check(candidate(nowhere(), Way(Rule.INGRESS, server.url, "Ingress chat"), nowhere()))
    assert checked.check.health.status is not HealthStatus.UNREACHABLE
    assert checked.way is not None
    assert checked.way.rule is Rule.INGRESS


def test_a_way_that_is_slow_gives_its_place_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "_WAY_SECONDS", 1.0)
    slow = {path: Page(page.body, delay=5.0) for path, page in vllm_pages().items()}
    with serving(slow, otherwise=Page(delay=5.0)) as first, serving(vllm_pages()) as second:
        checked = check(candidate(Way(Rule.ROUTE, first.url, "Route chat"), Way(Rule.INGRESS, second.url, "Ingress")))
    assert checked.check.health.status is HealthStatus.HEALTHY
    assert checked.candidate.notes == (f"Route chat ({first.url}) does not answer: no answer within 1 s",)


def test_the_last_way_is_opened_once_and_only_where_no_other_answers() -> None:
    calls: list[int] = []
    with serving(vllm_pages()) as server:
        last = opens(Way(Rule.PORT_FORWARD, server.url, "Pod chat-1, port 8000"), calls)
        answered = check(candidate(Way(Rule.INGRESS, server.url, "Ingress chat"), last_way=last))
        assert (answered.way and answered.way.rule, calls) == (Rule.INGRESS, [])
        forwarded = check(candidate(nowhere(), nowhere(Rule.INGRESS, "Ingress chat"), last_way=last))
        alone = check(candidate(last_way=last, no_way="no Service leads to it"))
    assert calls == [1, 1]
    assert forwarded.way is not None
    assert forwarded.way.rule is Rule.PORT_FORWARD
    assert [note.split(" (", 1)[0] for note in forwarded.candidate.notes] == ["Route chat", "Ingress chat"]
    assert alone.check.health.status is HealthStatus.HEALTHY
    assert alone.candidate.notes == ()


def test_a_port_forward_that_does_not_start_leaves_what_was_known_before() -> None:
    last = opens(NoServiceError("the port-forward does not start: no rights"), [])
    alone = check(candidate(last_way=last))
    assert alone.check.health.status is HealthStatus.UNREACHABLE
    assert alone.check.health.detail == "the port-forward does not start: no rights"
    beside = check(candidate(nowhere(), last_way=last))
    assert "refused" in beside.check.health.detail
    assert beside.candidate.notes == ("the port-forward does not start: no rights",)


def test_why_there_is_no_way_is_the_detail_and_nobody_is_asked() -> None:
    with serving(vllm_pages()) as server:
        checked = check(candidate(endpoint={"url": server.url}, no_way="its pod is not ready (CrashLoopBackOff)"))
        assert server.seen == []
    assert (checked.check.health.status, checked.way) == (HealthStatus.UNREACHABLE, None)
    assert checked.check.health.detail == "its pod is not ready (CrashLoopBackOff)"


class Told:
    """A source with candidates of the test."""

    def __init__(self, *candidates: Candidate) -> None:
        self._candidates = candidates

    async def candidates(self) -> Sequence[Candidate]:
        return self._candidates


def found(*candidates: Candidate, model: str | None = None) -> tuple[FoundService, ...]:
    told = settings().model_copy(update={"benchmark": settings().benchmark.model_copy(update={"model": model})})
    return asyncio.run(find_services(told, environ={}, sources=[Told(*candidates)]))


def test_the_image_is_a_hint_where_a_server_lists_nothing() -> None:
    with serving(transformers_pages()) as server:
        way = Way(Rule.INGRESS, server.url, "Ingress chat")
        (trusted,) = found(candidate(way), model="m")
        (untold,) = found(candidate(way, hint=None), model="m")
    assert (trusted.usable, trusted.engine, trusted.model) == (True, "vllm", "m")
    assert not untold.usable


def test_what_only_seems_to_be_an_engine_is_kept_for_its_answer_alone() -> None:
    perhaps: dict[str, Any] = {"certain": False, "hint": None}
    with serving(vllm_pages()) as engine, serving({}, otherwise=Page(b"hello", content_type="text/html")) as web:
        ways = {one.url: Way(Rule.INGRESS, one.url, "Ingress chat") for one in (engine, web)}
        (kept,) = found(candidate(ways[engine.url], **perhaps), candidate(ways[web.url], **perhaps))
        (certain,) = found(candidate(ways[web.url]))
    assert (kept.url, kept.usable) == (engine.url, True)
    assert (certain.url, certain.usable) == (web.url, False)
    (unasked,) = found(candidate(nowhere(), **perhaps))  # what could not be asked may be one
    assert not unasked.usable


def test_at_most_so_many_are_checked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    running, peak = 0, 0
    monkeypatch.setattr(checking, "MOST_CHECKED_AT_ONCE", 3)

    async def counted() -> Way:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(0.01)
        running -= 1
        raise NoServiceError("no")

    candidates = [candidate(last_way=counted) for _ in range(12)]
    checked = asyncio.run(check_all(candidates, settings(), {}))
    assert (len(checked), peak) == (12, 3)
