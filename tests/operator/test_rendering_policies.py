"""NetworkPolicies: who may open which port of whom, evaluated over a handful of pods."""

from collections.abc import Mapping
from typing import Any

import pytest

from hadis_operator import installation
from hadis_operator.objects import Component, Manifest
from hadis_operator.objects import labels as labels_of
from hadis_operator.rendering import policies
from support import rendered

OWNER = rendered.an_owner()
OTHER = rendered.an_owner("other", uid="bbbbbbbb-0000-0000-0000-000000000000")
PODS: dict[str, tuple[str, Mapping[str, str]]] = {
    # name: (namespace, labels)
    "router": ("images", labels_of(OWNER, Component.ROUTER)),
    "worker": ("images", labels_of(OWNER, Component.WORKER, "w0")),
    "fetcher": ("images", labels_of(OWNER, Component.FETCHER)),
    "another router": ("images", labels_of(OTHER, Component.ROUTER)),
    "stranger": ("images", {"app": "web"}),
    "operator": ("hadis-system", {"app.kubernetes.io/name": "hadis-operator"}),
    "operator's neighbour": ("hadis-system", {"app": "web"}),
    "impostor": ("images", {"app.kubernetes.io/name": "hadis-operator"}),
    "prometheus": ("monitoring", {"app": "prometheus"}),
}
CLOSED = ("models", [{**rendered.SMALL, "source": rendered.REPOSITORY}])
CLAIM = ("workers.template.modelCache", {"claimName": "cache"})


def render(*changes: tuple[str, Any], replaced: tuple[str, str] = ("", "")) -> list[Manifest]:
    text = rendered.INSTALLATION.replace(*replaced) if replaced[0] else rendered.INSTALLATION
    return policies.render(
        OWNER, rendered.a_spec(*changes), installation.read(text, source="a test")
    )


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    return dict(selector.get("matchLabels", {})).items() <= labels.items()


def is_peer(peer: Manifest, name: str, home: str) -> bool:
    namespace, labels = PODS[name]
    if "ipBlock" in peer:
        return False
    if "namespaceSelector" in peer:
        if not matches(peer["namespaceSelector"], {"kubernetes.io/metadata.name": namespace}):
            return False
    elif namespace != home:
        return False
    return matches(peer.get("podSelector", {}), labels)


def admits(found: list[Manifest], way: str, pod: str, peer: str, port: int) -> bool:
    """Whether `pod` lets `peer` in (or may go out to it) on a TCP port, as Kubernetes decides."""
    namespace, labels = PODS[pod]
    isolating = [
        policy["spec"]
        for policy in found
        if namespace == "images"
        and matches(policy["spec"]["podSelector"], labels)
        and way.capitalize() in policy["spec"]["policyTypes"]
    ]
    if not isolating:
        return True
    key = "from" if way == "ingress" else "to"
    return any(
        {"port": port, "protocol": "TCP"} in rule["ports"]
        and (not rule.get(key) or any(is_peer(one, peer, "images") for one in rule[key]))
        for spec in isolating
        for rule in spec.get(way, [])
    )


def who(found: list[Manifest], way: str, pod: str, port: int) -> set[str]:
    return {peer for peer in PODS if admits(found, way, pod, peer, port)}


def test_worker_requests_come_from_this_cascades_routers_only() -> None:
    assert who(render(), "ingress", "worker", 8000) == {"router"}


@pytest.mark.parametrize("pod", ["router", "worker"])
def test_control_ports_are_open_to_the_operator_only(pod: str) -> None:
    assert who(render(), "ingress", pod, 8001) == {"operator"}


@pytest.mark.parametrize("pod", ["router", "worker"])
def test_metrics_are_open_to_operator_and_monitoring(pod: str) -> None:
    assert who(render(), "ingress", pod, 9090) == {"operator", "prometheus"}


@pytest.mark.parametrize("pod", ["router", "worker"])
def test_without_monitoring_peers_metrics_are_not_open_to_all(pod: str) -> None:
    lines = rendered.INSTALLATION[rendered.INSTALLATION.index("  monitoringFrom") :]
    lines = lines[: lines.index("  operator:")]
    found = render(replaced=(lines, "  monitoringFrom: []\n"))
    assert who(found, "ingress", pod, 9090) == {"operator"}


def test_router_requests_are_open_unless_peers_are_named() -> None:
    assert who(render(), "ingress", "router", 8000) == set(PODS)
    peers = "  routerFrom: [{podSelector: {matchLabels: {app: web}}}]\n  operator:"
    found = render(replaced=("  operator:", peers))
    assert who(found, "ingress", "router", 8000) == {"stranger"}


@pytest.mark.parametrize("port", [22, 443, 8080])
@pytest.mark.parametrize("pod", ["router", "worker"])
def test_nothing_else_is_open(pod: str, port: int) -> None:
    assert who(render(), "ingress", pod, port) == set()


def test_routers_call_workers_and_nobody_else() -> None:
    found = render()
    assert who(found, "egress", "router", 8000) == {"worker"}
    assert who(found, "egress", "router", 443) == set()


def test_monitoring_from_outside_the_cluster_is_let_in_by_address() -> None:
    block = {"ipBlock": {"cidr": "192.0.2.1/32"}}
    found = render(
        replaced=(
            "  - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}",
            "  - ipBlock: {cidr: 192.0.2.1/32}",
        )
    )
    for policy in found:
        [rule] = [r for r in policy["spec"]["ingress"] if r["ports"][0]["port"] == 9090]
        assert block in rule["from"]


@pytest.mark.parametrize("changes", [(), (CLOSED,), (CLOSED, CLAIM)])
def test_dns_is_asked_by_port_anywhere(changes: tuple[tuple[str, Any], ...]) -> None:
    for policy in render(*changes):
        dns = policy["spec"]["egress"][0]
        assert set(dns) == {"ports"}
        assert {(port["port"], port["protocol"]) for port in dns["ports"]} == {
            (53, "UDP"),
            (53, "TCP"),
        }


# Fetching.


def test_workers_with_folders_only_go_nowhere() -> None:
    assert who(render(), "egress", "worker", 443) == set()


def test_workers_that_fetch_their_own_weights_reach_the_hub() -> None:
    found = render(CLOSED)
    assert len(found) == 2
    assert who(found, "egress", "worker", 443) == set(PODS)
    assert who(found, "egress", "router", 443) == set()


def test_with_a_claim_only_the_fetching_pod_goes_out_and_nobody_gets_in() -> None:
    found = render(CLOSED, CLAIM)
    assert who(found, "egress", "worker", 443) == set()
    assert who(found, "egress", "fetcher", 443) == set(PODS)
    for port in (8000, 8001, 9090):
        assert who(found, "ingress", "fetcher", port) == set()
    assert [policy["metadata"]["name"] for policy in found] == [
        "photos-router-0a1b2c3d",
        "photos-workers-0a1b2c3d",
        "photos-fetch-0a1b2c3d",
    ]


@pytest.mark.parametrize(
    ("name", "value", "want_port"),
    [
        ("HF_ENDPOINT", "http://mirror:8090", 8090),
        ("HF_ENDPOINT", "http://mirror/hub", 80),
        ("HF_ENDPOINT", "https://mirror/hub", 443),
        ("HTTPS_PROXY", "http://user:secret@proxy:3128/", 3128),
        ("https_proxy", "proxy:3128", 3128),
        ("HF_ENDPOINT", "http://mirror:no-port", 443),
    ],
)
def test_a_mirror_or_proxy_of_the_author_is_reached(name: str, value: str, want_port: int) -> None:
    found = render(CLOSED, ("workers.template.env", [{"name": name, "value": value}]))
    assert who(found, "egress", "worker", want_port) == set(PODS)
    assert who(found, "egress", "worker", 443) == set(PODS)
    assert who(found, "egress", "worker", 5432) == set()


def test_a_variable_from_elsewhere_opens_nothing_more() -> None:
    source = {"configMapKeyRef": {"name": "a", "key": "b"}}
    found = render(CLOSED, ("workers.template.env", [{"name": "HF_ENDPOINT", "valueFrom": source}]))
    assert who(found, "egress", "worker", 443) == set(PODS)


def test_none_are_made_where_they_are_switched_off() -> None:
    assert render(replaced=("enabled: true", "enabled: false")) == []
