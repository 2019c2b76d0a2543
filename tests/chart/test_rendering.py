"""The chart renders what it promises, under every kind of values."""

import re
from typing import Any

import pytest

from support import charts
from support.chart_values import EVERYTHING, VALUE_SETS
from support.charts import Manifest


@pytest.mark.parametrize("name", VALUE_SETS)
def test_objects_are_named_labelled_and_placed(name: str) -> None:
    rendered = charts.render(VALUE_SETS[name])
    seen = set()
    for one in rendered.manifests:
        metadata = one["metadata"]
        is_definition = one["kind"] == "CustomResourceDefinition"
        assert re.fullmatch(r"[a-z0-9]([-.a-z0-9]{0,61}[a-z0-9])?", metadata["name"])
        is_ours = metadata.get("labels", {}).get("app.kubernetes.io/part-of") == "hadis"
        assert is_definition or is_ours, metadata
        if one["kind"] not in ("CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"):
            assert metadata["namespace"]
        key = (one["kind"], metadata.get("namespace"), metadata["name"])
        assert key not in seen
        seen.add(key)


@pytest.mark.parametrize("name", VALUE_SETS)
def test_pods_keep_the_restricted_standard(name: str) -> None:
    pods = list(charts.render(VALUE_SETS[name]).pods())
    assert pods
    for pod in pods:
        security = pod["securityContext"]
        assert (security["runAsNonRoot"], security["runAsUser"]) == (True, 10001)
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
        kinds = {key for volume in pod.get("volumes", []) for key in volume} - {"name"}
        assert kinds <= {"configMap", "emptyDir"}


def test_everything_renders_every_template() -> None:
    want = {
        "ClusterRole", "ClusterRoleBinding", "ConfigMap", "CustomResourceDefinition", "Deployment",
        "HTTPRoute", "Ingress", "NetworkPolicy", "Pod", "PodDisruptionBudget", "PodMonitor",
        "PrometheusRule", "Role", "RoleBinding", "Service", "ServiceAccount", "ServiceMonitor",
    }  # fmt: skip
    assert {one["kind"] for one in charts.render(EVERYTHING).manifests} == want


def test_bare_values_leave_out_what_they_switch_off() -> None:
    kinds = {one["kind"] for one in charts.render(VALUE_SETS["bare"]).manifests}
    assert kinds == {"ConfigMap", "Deployment", "Service"}


def test_only_the_operator_carries_a_token() -> None:
    rendered = charts.render(EVERYTHING)
    assert rendered.one("ServiceAccount")["automountServiceAccountToken"] is False
    assert rendered.one("Pod")["spec"]["automountServiceAccountToken"] is False
    operator = rendered.one("Deployment")["spec"]["template"]["spec"]
    assert operator["automountServiceAccountToken"] is True


def test_the_operator_restarts_when_its_installation_changes() -> None:
    def checksum(values: Manifest) -> str:
        template = charts.render(values).one("Deployment")["spec"]["template"]
        return str(template["metadata"]["annotations"]["checksum/installation"])

    assert checksum({}) == checksum({"operator": {"replicas": 2}})
    assert checksum({}) != checksum({"images": {"worker": {"tag": "next"}}})


def test_two_operators_get_a_disruption_budget_and_one_none() -> None:
    assert not charts.render().all("PodDisruptionBudget")
    rendered = charts.render({"operator": {"replicas": 2}})
    budget, deployment = rendered.one("PodDisruptionBudget"), rendered.one("Deployment")
    assert budget["spec"]["minAvailable"] == 1
    assert budget["spec"]["selector"] == deployment["spec"]["selector"]
    assert deployment["spec"]["replicas"] == 2


def test_the_operators_policy_admits_monitoring_and_the_test_only() -> None:
    peer = {"ipBlock": {"cidr": "192.0.2.1/32"}}
    policy = charts.render({"networkPolicy": {"monitoring": {"from": [peer]}}}).one("NetworkPolicy")
    (rule,) = policy["spec"]["ingress"]
    test = charts.render().one("Pod")["metadata"]["labels"]
    assert rule["from"][0] == peer
    assert rule["from"][1]["podSelector"]["matchLabels"].items() <= test.items()
    assert rule["ports"] == [{"port": "metrics", "protocol": "TCP"}]


def test_nobody_in_the_monitoring_list_does_not_mean_everyone() -> None:
    policy = charts.render({"networkPolicy": {"monitoring": {"from": []}}}).one("NetworkPolicy")
    (rule,) = policy["spec"]["ingress"]
    assert [set(peer) for peer in rule["from"]] == [{"podSelector"}]


def _egress(values: Manifest) -> list[tuple[list[int], Any]]:
    policy = charts.render(values).one("NetworkPolicy")
    rules = policy["spec"]["egress"]
    return [([port["port"] for port in rule.get("ports", [])], rule.get("to")) for rule in rules]


def test_the_operator_may_reach_names_api_server_and_data_plane() -> None:
    data_plane = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "hadis"}}}
    assert _egress({}) == [
        ([53, 53], None),
        ([443, 6443], None),
        ([8001, 9090], [{"namespaceSelector": {}, **data_plane}]),
    ]
    narrowed = _egress(
        {
            "watchNamespaces": ["images"],
            "networkPolicy": {"apiServer": {"cidrs": ["10.0.0.1/32", "10.0.0.2/32"], "ports": [6]}},
        }
    )
    images = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["images"]}
    blocks = [{"ipBlock": {"cidr": "10.0.0.1/32"}}, {"ipBlock": {"cidr": "10.0.0.2/32"}}]
    assert narrowed[1:] == [
        ([6], blocks),
        ([8001, 9090], [{"namespaceSelector": {"matchExpressions": [images]}, **data_plane}]),
    ]


@pytest.mark.parametrize(
    ("url", "policy", "want"),
    [
        ("http://prometheus.monitoring:9090", {}, ([9090], None)),
        ("http://prometheus.monitoring:9090/", {}, ([9090], None)),
        ("https://thanos.example.com/api", {}, ([443, 9090], None)),
        # A Service's port may be another than its pods', on which policies are enforced.
        ("http://prometheus-server.monitoring", {}, ([80, 9090], None)),
        ("http://prometheus", {"ports": [8080, 8081]}, ([8080, 8081], None)),
        ("http://prometheus:9090", {"ports": [10902]}, ([10902], None)),
        ("", {"to": [{"namespaceSelector": {}}]}, ([], [{"namespaceSelector": {}}])),
        ("", {"ports": [9090]}, ([9090], None)),
    ],
)
def test_the_operator_may_reach_prometheus(
    url: str, policy: Manifest, want: tuple[list[int], Any]
) -> None:
    values = {"monitoring": {"prometheus": {"url": url}}, "networkPolicy": {"prometheus": policy}}
    assert _egress(values)[3:] == [want]


def test_monitors_keep_to_the_watched_namespaces() -> None:
    enabled = {"monitoring": {"podMonitor": {"enabled": True}}}
    everywhere = charts.render(enabled).one("PodMonitor")
    narrowed = charts.render({**enabled, "watchNamespaces": ["images"]}).one("PodMonitor")
    assert everywhere["spec"]["namespaceSelector"] == {"any": True}
    assert narrowed["spec"]["namespaceSelector"] == {"matchNames": ["images"]}


def test_monitors_never_set_the_label_that_the_series_carry_themselves() -> None:
    """A target label `cascade` would rename the series' own to `exported_cascade`."""
    monitors = charts.render(EVERYTHING)
    endpoints = [
        *monitors.one("PodMonitor")["spec"]["podMetricsEndpoints"],
        *monitors.one("ServiceMonitor")["spec"]["endpoints"],
    ]
    rules = [rule for endpoint in endpoints for rule in endpoint["relabelings"]]
    targets = {rule["targetLabel"] for rule in rules if "action" not in rule}
    assert targets == {"hadis_component", "hadis_cascade", "slot"}


def test_pods_whose_containers_do_not_run_yet_are_no_targets() -> None:
    """They have an address while models are fetched; `up` would be 0 and raise an alert."""
    (endpoint,) = charts.render(EVERYTHING).one("PodMonitor")["spec"]["podMetricsEndpoints"]
    dropped = [rule for rule in endpoint["relabelings"] if rule.get("action") == "drop"]
    assert dropped == [
        {
            "sourceLabels": ["__meta_kubernetes_pod_phase"],
            "regex": "Pending",
            "action": "drop",
        }
    ]


def test_ingress_waits_as_long_as_its_route_says() -> None:
    ingress = charts.render(EVERYTHING).one("Ingress")
    told = ingress["metadata"]["annotations"]
    assert ingress["metadata"]["namespace"] == "images"
    assert told["nginx.ingress.kubernetes.io/proxy-read-timeout"] == "70"
    assert told["nginx.ingress.kubernetes.io/proxy-send-timeout"] == "70"
    (path,) = ingress["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"]["service"] == {"name": "scenes", "port": {"number": 80}}


def test_http_routes_wait_as_long_as_they_say() -> None:
    route = charts.render(EVERYTHING).one("HTTPRoute")
    (rule,) = route["spec"]["rules"]
    assert route["metadata"]["namespace"] == "images"
    assert rule["timeouts"] == {"request": "90s", "backendRequest": "90s"}
    assert rule["backendRefs"] == [{"name": "scenes", "port": 80}]


def test_dashboards_carry_the_sidecars_label() -> None:
    boards = [
        one
        for one in charts.render(EVERYTHING).all("ConfigMap")
        if "grafana_dashboard" in one["metadata"]["labels"]
    ]
    want = {"overview", "planner", "workers", "router"}
    assert {one["metadata"]["name"].rpartition("-")[2] for one in boards} == want


@pytest.mark.parametrize(
    ("values", "want", "unwanted"),
    [
        ({}, ["--insecure", "without keys", "every namespace"], ["ingress or httpRoute"]),
        (EVERYTHING, ["--insecure", "ingress or httpRoute"], ["lets everyone reach"]),
        ({"watchNamespaces": ["images"]}, ["the cascades of images"], ["every namespace"]),
        ({"networkPolicy": {"enabled": False}}, ["control ports, which have no keys"], []),
        ({"crds": {"install": False}}, ["apply crds/ yourself"], []),
        (
            {"monitoring": {"prometheus": {"url": "http://p:9090"}}},
            ["http://p:9090 must scrape port 9090"],
            ["asks routers and workers for the demand itself"],
        ),
    ],
)
def test_notes_say_what_is_open(values: Manifest, want: list[str], unwanted: list[str]) -> None:
    told = charts.notes(values)
    for words in want:
        assert words in told
    for words in unwanted:
        assert words not in told
