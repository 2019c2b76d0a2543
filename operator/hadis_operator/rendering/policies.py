"""Who may talk to whom: NetworkPolicies of routers, workers and fetchers.

DNS goes to port 53 anywhere: resolvers of nodes and clusters answer from many addresses. An empty
list of peers means everyone to Kubernetes, so no list here is ever empty by accident.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from hadis_operator import naming, objects
from hadis_operator.installation import Installation, Peers
from hadis_operator.objects import Component, Manifest, Owner
from hadis_operator.rendering import pods, weights
from hadis_operator.rendering.weights import Supply

HTTPS_PORT = 443
DNS_PORT = 53
NAMESPACE_LABEL = "kubernetes.io/metadata.name"
FETCH_URLS = ("HF_ENDPOINT", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
"""Variables that lead a fetch elsewhere than to the hub's port 443."""
PORTS_OF_SCHEMES = {"http": 80, "https": 443}


def render(owner: Owner, spec: Mapping[str, Any], installation: Installation) -> list[Manifest]:
    """Return the cascade's policies; none when the installation makes none."""
    peers = installation.peers
    if not peers.enabled:
        return []
    supply = weights.supply(spec, installation)
    found = [
        _router(owner, peers),
        _workers(owner, peers, _fetching(spec) if supply is Supply.WORKERS else []),
    ]
    if supply is Supply.JOB:
        found.append(_policy(owner, naming.fetchers(owner), Component.FETCHER, [], _fetching(spec)))
    return found


def _router(owner: Owner, peers: Peers) -> Manifest:
    requests = _rule([pods.REQUESTS_PORT], "from", peers.clients)
    to_workers = _rule([pods.REQUESTS_PORT], "to", [_pods(owner, Component.WORKER)])
    return _policy(
        owner,
        naming.router(owner),
        Component.ROUTER,
        [requests, *_steering(peers)],
        [to_workers],
    )


def _workers(owner: Owner, peers: Peers, fetching: list[Manifest]) -> Manifest:
    requests = _rule([pods.REQUESTS_PORT], "from", [_pods(owner, Component.ROUTER)])
    return _policy(
        owner,
        naming.workers(owner),
        Component.WORKER,
        [requests, *_steering(peers)],
        fetching,
    )


def _steering(peers: Peers) -> list[Manifest]:
    """Return who may steer a component, and who may look at it."""
    operator = {
        "namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: peers.operator_namespace}},
        "podSelector": {"matchLabels": dict(peers.operator_labels)},
    }
    return [
        _rule([pods.CONTROL_PORT], "from", [operator]),
        _rule([pods.METRICS_PORT], "from", [operator, *peers.monitoring]),
    ]


def _fetching(spec: Mapping[str, Any]) -> list[Manifest]:
    """Return the way to the hub, or to the mirror and proxies that the author's variables name."""
    variables = spec["workers"].get("template", {}).get("env", ())
    named = {entry["name"]: entry.get("value", "") for entry in variables}
    found = {_port(named[name]) for name in FETCH_URLS if named.get(name)}
    return [_rule(sorted({HTTPS_PORT, *found}), "to", ())]


def _port(url: str) -> int:
    """Return the port of a URL; the hub's where it has none that can be read."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        return parts.port or PORTS_OF_SCHEMES.get(parts.scheme, HTTPS_PORT)
    except ValueError:
        return HTTPS_PORT


def _pods(owner: Owner, component: Component) -> Manifest:
    return {"podSelector": {"matchLabels": objects.selector(owner, component)}}


def _rule(ports: Iterable[int], way: str, peers: Iterable[Manifest]) -> Manifest:
    """Return a rule for some TCP ports; without peers it holds for everyone."""
    rule: Manifest = {"ports": [{"port": port, "protocol": "TCP"} for port in ports]}
    listed = list(peers)
    return {way: listed, **rule} if listed else rule


def _policy(
    owner: Owner,
    name: str,
    component: Component,
    ingress: list[Manifest],
    egress: list[Manifest],
) -> Manifest:
    dns = {"ports": [{"port": DNS_PORT, "protocol": protocol} for protocol in ("UDP", "TCP")]}
    return objects.build(
        owner,
        "networking.k8s.io/v1",
        "NetworkPolicy",
        name,
        component,
        spec={
            "podSelector": {"matchLabels": objects.selector(owner, component)},
            "policyTypes": ["Ingress", "Egress"],
            **({"ingress": ingress} if ingress else {}),
            "egress": [dns, *egress],
        },
    )
