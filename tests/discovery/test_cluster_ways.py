"""Every rule that makes a URL, alone: what it makes of each of its details, and why what looks like a way is none."""

from typing import Any

import pytest

from cluster_objects import (
    Searched,
    chat,
    gateway,
    http_route,
    inference,
    ingress,
    made,
    meta,
    node,
    path_prefix,
    pool,
    route,
    search,
    service,
    urls,
)
from kubernetes_api import Faults, Object

SHARED_80_20 = "it shares requests out: chat 80 %, chat-b 20 %"
TWO_PORTS = ({"name": "http", "port": 80, "targetPort": 8000}, {"name": "ui", "port": 81, "targetPort": 9000})
HEADER: dict[str, Any] = {"headers": [{"name": "x-model", "value": "a"}]}


def to(*destinations: tuple[str, int], **more: Any) -> list[Object]:
    """Return destinations with their weights."""
    return [{"kind": "Service", "name": name, "weight": weight, **more} for name, weight in destinations]


def tls(termination: str) -> Object:
    return {"tls": {"termination": termination}}


def only_way(found: Searched) -> tuple[str, tuple[str, ...]]:
    (way,) = found.only.ways
    return way.url, way.notes


ROUTES: dict[str, tuple[Object, str | None, str | None]] = {
    "edge": (route(**tls("edge")), "https://chat.apps.example.com", None),
    "passthrough": (route(**tls("passthrough")), "https://chat.apps.example.com", None),
    "reencrypt": (route(**tls("reencrypt")), "https://chat.apps.example.com", None),
    "no TLS": (route(), "http://chat.apps.example.com", None),
    "TLS of no kind": (route(tls={"insecureEdgeTerminationPolicy": "Allow"}), "https://chat.apps.example.com", None),
    "upper case": (route(host="Chat.Apps.Example.COM"), "http://chat.apps.example.com", None),
    "path": (
        route(path="/llm/"), "http://chat.apps.example.com/llm", "the Route passes its path /llm/ on to the server",
    ),
    "path rewritten": (
        route(path="/llm", annotations={"haproxy.router.openshift.io/rewrite-target": "/"}),
        "http://chat.apps.example.com/llm", None,
    ),
    "path of the API": (
        route(path="/v1"), "http://chat.apps.example.com",
        "the trailing /v1 of its URL was dropped: each dialect adds its own paths",
    ),
    "not told whether admitted": (route(admitted=None), "http://chat.apps.example.com", None),
    "target port by name": (route(port={"targetPort": "http"}), "http://chat.apps.example.com", None),
    "target port by number": (route(port={"targetPort": 8000}), "http://chat.apps.example.com", None),
    "no share for others": (
        route(alternateBackends=to(("chat-b", 0))), "http://chat.apps.example.com", None,
    ),
    "as the alternate": (
        route(to=to(("chat-b", 0))[0], alternateBackends=to(("chat", 5))), "http://chat.apps.example.com", None,
    ),
    "not admitted": (
        route(admitted="False", reason="HostAlreadyClaimed"), None, "the router refused it (HostAlreadyClaimed)",
    ),
    "not admitted, no reason": (route(admitted="False"), None, "the router refused it (not admitted)"),
    "shares": (
        route(to=to(("chat", 80))[0], alternateBackends=to(("chat-b", 20))), None, SHARED_80_20,
    ),
    "wildcard": (route(host="*.apps.example.com"), None, "it has no host"),
    "no host": (route(host=""), None, "it has no host"),
    "nothing for it": (route(to=to(("chat", 0))[0], alternateBackends=to(("chat-b", 5))), None, None),
    "another port": (route(port={"targetPort": "ui"}), None, None),
    "another port by number": (route(port={"targetPort": 9000}), None, None),
    "another Service": (route(to=to(("chat-b", 100))[0]), None, None),
    "host that cannot be one": (
        route(host="chat apps"), None, "Route chat, plain HTTP is not used: a service's URL is not a URL with a host",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ROUTES)
def test_routes(case: str) -> None:
    one, url, note = ROUTES[case]
    # A Route that names no port of several is said to do so; each detail here is tried with a Service of one port.
    found = search([*chat(*TWO_PORTS if "port" in one["spec"] else TWO_PORTS[:1]), one])
    check(found, "Route", [url] if url else [], note)


def test_a_route_that_names_none_of_several_ports_is_used_with_a_note() -> None:
    found = search([*chat(*TWO_PORTS), route()])
    none_named = "the Route names none of its Service's 2 ports: the router may send to any of them"
    assert only_way(found) == ("http://chat.apps.example.com", (none_named,))


def check(found: Searched, rule: str, expected: list[str], note: str | None) -> None:
    """Compare the ways of the only service; `note` is part of a note of its way, or of why there is none."""
    assert urls(found.only) == [(rule, url) for url in expected]
    told = [text for way in found.only.ways for text in way.notes] + list(found.only.notes)
    assert told == [] if note is None else any(note in text for text in told), told
    if not expected:
        assert found.only.no_way is not None
        assert found.only.no_way.endswith("; --port-forward reaches it through the API server")
        assert note is None or note in found.only.no_way


KSERVE: dict[str, tuple[Object, list[str], list[str]]] = {
    "for outside": (inference(url="https://chat.example.com"), ["https://chat.example.com"], []),
    "for inside": (
        inference(url="http://chat.team.svc.cluster.local", address={"url": "http://chat.team.svc:8080"}), [],
        ["http://chat.team.svc.cluster.local", "http://chat.team.svc:8080"],
    ),
    "both": (
        inference(url="http://a.example.com", address={"url": "http://chat-x.team.svc.cluster.local"}),
        ["http://a.example.com"], ["http://chat-x.team.svc.cluster.local"],
    ),
    "addresses": (
        inference(addresses=[
            {"name": "gateway-external", "url": "https://gw.example.com/team/chat"},
            {"name": "gateway-internal", "url": "http://10.0.0.9/team/chat"},
            {"name": "gateway-external-model-routing", "url": "https://gw.example.com/"},
            {"name": "none"}, None, "x",
        ]),
        ["https://gw.example.com/team/chat"], ["http://10.0.0.9/team/chat"],
    ),
    "told twice": (
        inference(url="http://a.example.com", addresses=[{"name": "x", "url": "http://a.example.com"}]),
        ["http://a.example.com"], [],
    ),
    "gRPC": (inference(url="grpc://a.example.com:9000"), [], []),
    "no URL": (inference(url="http://[broken"), [], []),
    "not yet": (inference(ready="False", reason="RevisionMissing"), [], []),
}  # fmt: skip


@pytest.mark.parametrize("case", KSERVE)
def test_urls_of_an_inference_service(case: str) -> None:
    one, outside, inside = KSERVE[case]
    labels = {"serving.kserve.io/inferenceservice": "chat"}
    objects = [*made("chat-predictor", labels=labels), one]
    objects += [service("chat-predictor", selector={"app": "chat-predictor"}, labels=labels, clusterIP="None")]
    found = search(objects)
    assert found.names == ["chat"]
    assert urls(found.only) == [("KServe URL", url) for url in outside]
    within = urls(search(objects, inside=True).only)
    own = ("cluster DNS", "http://chat-predictor.team.svc:8000")
    assert within == [*(("KServe URL", url) for url in outside), own, *(("cluster DNS", url) for url in inside)]


def https(**more: Any) -> Object:
    return {"name": "tls", "port": 443, "protocol": "HTTPS", **more}


def plain(**more: Any) -> Object:
    return {"name": "http", "port": 80, "protocol": "HTTP", **more}


HTTP_ROUTES: dict[str, tuple[list[Object], list[str], str | None]] = {
    "host": ([http_route(), gateway()], ["http://chat.example.com"], None),
    "hosts x listeners, TLS first": (
        [http_route(hostnames=["a.example.com", "b.example.com"]), gateway(plain(), https(port=8443))],
        ["https://a.example.com:8443", "https://b.example.com:8443", "http://a.example.com", "http://b.example.com"],
        None,
    ),
    "a section": (
        [http_route(parent={"sectionName": "http"}), gateway(plain(), https())], ["http://chat.example.com"], None,
    ),
    "a port": ([http_route(parent={"port": 8080}), gateway(plain(), plain(name="b", port=8080))],
               ["http://chat.example.com:8080"], None),
    "another protocol": (
        [http_route(), gateway(plain(), {"name": "t", "port": 9, "protocol": "TLS"})], ["http://chat.example.com"],
        None,
    ),
    "a listener's pattern": (
        [http_route(hostnames=["a.example.com", "b.example.org"]), gateway(https(hostname="*.example.com"))],
        ["https://a.example.com"], None,
    ),
    "no host it takes": (
        [http_route(hostnames=["b.example.org"]), gateway(https(hostname="*.example.com"))], [],
        "Gateway gw takes none of its hosts",
    ),
    "the listener's host": (
        [http_route(hostnames=[]), gateway(plain(hostname="gw.example.com"))], ["http://gw.example.com"], None,
    ),
    "a pattern met by the listener's host": (
        [http_route(hostnames=["*.example.com"]), gateway(plain(hostname="gw.example.com"))],
        ["http://gw.example.com"], None,
    ),
    "the address": ([http_route(hostnames=[]), gateway(plain(port=8080))], ["http://203.0.113.7:8080"], None),
    "an address of IPv6": (
        [http_route(hostnames=[]), gateway(addresses=["2001:db8::7"])], ["http://[2001:db8::7]"], None,
    ),
    "no address": (
        [http_route(hostnames=[]), gateway(addresses=[])], [], "Gateway gw has no address and names no host",
    ),
    "a pattern alone": ([http_route(hostnames=["*.example.com"]), gateway()], [], "takes none of its hosts"),
    "a listener for a pattern, no host": (
        [http_route(hostnames=[]), gateway(plain(hostname="*.example.com"))], [], "names no host",
    ),
    "a prefix that stays": (
        [http_route(path_prefix("/llm")), gateway()], ["http://chat.example.com/llm"], None,
    ),
    "a prefix that is replaced": (
        [http_route(path_prefix("/team/chat/", replacement="/")), gateway()], ["http://chat.example.com/team/chat"],
        None,
    ),
    "the API's own paths": (
        [http_route(path_prefix("/v1/chat/completions"), path_prefix("/v1/models")), gateway()],
        ["http://chat.example.com"], None,
    ),
    "refused": (
        [http_route(accepted={"status": "False", "reason": "NotAllowedByListeners"}), gateway()], [],
        "its Gateway refused it (NotAllowedByListeners)",
    ),
    "a header": ([http_route(path_prefix("/", **HEADER)), gateway()], [], "it asks for the header x-model"),
    "a query": (
        [http_route(path_prefix("/", queryParams=[{"name": "m", "value": "a"}])), gateway()], [],
        "it asks for query parameters",
    ),
    "one exact path": (
        [http_route({"matches": [{"path": {"type": "Exact", "value": "/v1/models"}}]}), gateway()], [],
        "it takes one exact path",
    ),
    "a regular expression": (
        [http_route({"matches": [{"path": {"type": "RegularExpression", "value": "/v1/.*"}}]}), gateway()], [],
        "its path is a regular expression",
    ),
    "a header for one, none for another": (
        [http_route(path_prefix("/", **HEADER), path_prefix("/")), gateway()], ["http://chat.example.com"], None,
    ),
    "shares": (
        [http_route({"backendRefs": to(("chat", 80), ("chat-b", 20), port=80)}), gateway()], [], SHARED_80_20,
    ),
    "nothing for it": ([http_route({"backendRefs": to(("chat", 0), ("b", 1), port=80)}), gateway()], [], None),
    "another port": ([http_route({"backendRefs": [{"name": "chat", "port": 81}]}), gateway()], [], None),
    "an unknown Gateway": (
        [http_route()], ["https://chat.example.com", "http://chat.example.com"],
        "its Gateway team/gw cannot be read: TLS and port are unknown, https is tried first",
    ),
    "a Gateway elsewhere": (
        [http_route(parent={"namespace": "infra"}), gateway(https(), namespace="infra")],
        ["https://chat.example.com"], None,
    ),
    "a parent that is no Gateway": ([http_route(parent={"kind": "Service"}), gateway()], [], None),
}  # fmt: skip


@pytest.mark.parametrize("case", HTTP_ROUTES)
def test_http_routes(case: str) -> None:
    extra, expected, note = HTTP_ROUTES[case]
    check(search([*chat(*TWO_PORTS), *extra]), "HTTPRoute", expected, note)


def test_a_pool_is_what_its_route_leads_to_and_has_no_address_inside() -> None:
    rule = {"backendRefs": [{"kind": "InferencePool", "group": "inference.networking.k8s.io", "name": "chat-pool"}]}
    objects = [*made("chat"), pool(app="chat"), http_route(rule, hostnames=[]), gateway()]
    found = search(objects)
    assert (found.names, urls(found.only)) == (["chat-pool"], [("HTTPRoute", "http://203.0.113.7")])
    assert urls(search(objects, inside=True).only) == urls(found.only)


def test_a_gateway_of_another_namespace_that_may_not_be_read_is_unknown() -> None:
    objects = [*chat(), http_route(parent={"namespace": "infra"}), gateway(namespace="infra")]
    found = search(objects, faults=Faults(status={"gateways@infra": 403}))
    assert [url for _, url in urls(found.only)] == ["https://chat.example.com", "http://chat.example.com"]
    assert "infra/gw cannot be read" in found.only.ways[0].notes[0]


REWRITE = "nginx.ingress.kubernetes.io/rewrite-target"
UI = {"backend": {"service": {"name": "chat", "port": {"name": "ui"}}}}
GIVEN = {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}, {"hostname": "lb.example.com"}]}}}
NO_HOST = "it names no host, and its controller has given it no address"
INGRESSES: dict[str, tuple[Object, list[str], str | None]] = {
    "host": (ingress(), ["http://chat.example.com"], None),
    "TLS for its host": (ingress(tls=[{"hosts": ["chat.example.com"]}]), ["https://chat.example.com"], None),
    "TLS for a pattern": (ingress(tls=[{"hosts": ["*.example.com"]}]), ["https://chat.example.com"], None),
    "TLS for everything": (ingress(tls=[{"secretName": "s"}]), ["https://chat.example.com"], None),
    "TLS for another host": (ingress(tls=[{"hosts": ["x.example.com"]}]), ["http://chat.example.com"], None),
    "TLS as Traefik says it": (
        ingress(annotations={"traefik.ingress.kubernetes.io/router.tls": "true"}), ["https://chat.example.com"], None,
    ),
    "no host": (ingress(host=None) | GIVEN, ["http://203.0.113.9", "http://lb.example.com"], None),
    "no host, IPv6": (
        ingress(host=None) | {"status": {"loadBalancer": {"ingress": [{"ip": "2001:db8::9"}]}}},
        ["http://[2001:db8::9]"], None,
    ),
    "no host, no address": (ingress(host=None), [], NO_HOST),
    "wildcard": (ingress(host="*.example.com"), [], "its host is a pattern (*.example.com)"),
    "a path": (ingress({"path": "/llm", "pathType": "Prefix"}), ["http://chat.example.com/llm"], None),
    "the API's path": (ingress({"path": "/v1/", "pathType": "Prefix"}), ["http://chat.example.com"], None),
    "two paths of the API": (
        ingress({"path": "/v1/models"}, {"path": "/v1/chat/completions"}), ["http://chat.example.com"], None,
    ),
    "a pattern that is rewritten": (
        ingress({"path": "/llm(/|$)(.*)", "pathType": "ImplementationSpecific"}, annotations={REWRITE: "/$2"}),
        ["http://chat.example.com/llm"], None,
    ),
    "a pattern": (ingress({"path": "/(v1|health).*"}), ["http://chat.example.com"], None),
    "everything to one path": (
        ingress({"path": "/llm"}, annotations={REWRITE: "/"}), [], "it rewrites every path to /",
    ),
    "a rewrite of nothing": (ingress(annotations={REWRITE: "/"}), ["http://chat.example.com"], None),
    "one exact path": (
        ingress({"path": "/v1/models", "pathType": "Exact"}), [], "it takes one exact path (/v1/models)",
    ),
    "the port by name": (
        ingress({"backend": {"service": {"name": "chat", "port": {"name": "http"}}}}), ["http://chat.example.com"],
        None,
    ),
    "another port by name": (ingress(UI), [], None),
    "a default backend": (
        ingress({"path": "/x", **UI}, host=None, defaultBackend={"service": {"name": "chat", "port": {"number": 80}}})
        | GIVEN,
        ["http://203.0.113.9", "http://lb.example.com"], None,
    ),
    "a resource instead of a Service": (
        ingress({"backend": {"resource": {"kind": "Bucket", "name": "chat"}}}), [], None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", INGRESSES)
def test_ingresses(case: str) -> None:
    one, expected, note = INGRESSES[case]
    check(search([*chat(*TWO_PORTS), one]), "Ingress", expected, note)


def test_each_host_of_an_ingress_is_a_way() -> None:
    one = ingress()
    (rule,) = one["spec"]["rules"]
    one["spec"]["rules"] = [{**rule, "host": host} for host in ("a.example.com", "b.example.com")]
    one["spec"]["tls"] = [{"hosts": ["b.example.com"]}]
    found = search([*chat(), one])
    assert urls(found.only) == [("Ingress", "http://a.example.com"), ("Ingress", "https://b.example.com")]
    assert [way.through for way in found.only.ways] == ["Ingress chat, HTTP", "Ingress chat, HTTPS"]


def test_ways_are_told_once_and_a_refusal_only_before_what_works() -> None:
    refused = ingress({"path": "/v1/models", "pathType": "Exact"})
    found = search([*chat(), route(), route("second"), refused])
    assert only_way(found) == ("http://chat.apps.example.com", ())
    assert found.only.notes == ()
    found = search([*chat(), route(host=""), ingress()])
    assert found.only.notes == ("Route chat is not used: it has no host",)
    assert urls(found.only) == [("Ingress", "http://chat.example.com")]


def test_from_inside_everything_that_leads_from_outside_is_still_there() -> None:
    objects = [
        *chat({"port": 80, "targetPort": 8000, "nodePort": 30080}, type="LoadBalancer",
              balancers=[{"ip": "203.0.113.5"}]),
        node(InternalIP="192.0.2.1"), route(),
        http_route(), gateway(), ingress(host="i.example.com"),
    ]  # fmt: skip
    rules = [rule for rule, _ in urls(search(objects, inside=True).only)]
    assert rules == ["Route", "HTTPRoute", "Ingress", "LoadBalancer", "NodePort", "cluster DNS", "cluster DNS"]


def test_metadata_of_a_route_may_name_its_host_only_in_its_status() -> None:
    one = route(host="told.example.com")
    del one["spec"]["host"]
    one["metadata"] = meta("chat")
    assert urls(search([*chat(), one]).only) == [("Route", "http://told.example.com")]
