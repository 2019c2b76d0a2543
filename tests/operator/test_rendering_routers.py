"""Routers, the Services in front of the pods, and what a drain may take."""

from typing import Any

import pytest

from hadis_operator.objects import Manifest
from hadis_operator.rendering import budgets, routers, services, workers
from support import rendered


def a_router(*changes: tuple[str, Any], extra: str = "") -> Manifest:
    return routers.render(
        rendered.an_owner(), rendered.a_spec(*changes), rendered.an_installation(extra)
    )


def test_routers_are_replaced_without_a_gap() -> None:
    deployment = a_router(("router.replicas", 3))
    assert deployment["metadata"]["name"] == "photos-router-0a1b2c3d"
    assert deployment["spec"]["replicas"] == 3
    assert deployment["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
    }


def test_without_keys_a_router_says_that_it_is_open() -> None:
    container = rendered.container_of(a_router())
    assert container["command"] == ["python", "-m", "hadis_router"]
    *options, last = container["args"]
    assert last == "--insecure"
    assert rendered.arguments_of({"args": options}) == {
        "--cascade": "/etc/hadis/plan/cascade.json",
        "--host": "0.0.0.0",
        "--port": "8000",
        "--control-host": "0.0.0.0",
        "--control-port": "8001",
        "--metrics-port": "9090",
        "--name": "$(POD_NAME)",
        "--uid": "$(POD_UID)",
        "--drain-seconds": "60",
        "--farewell-seconds": "5",
        "--worker-domain": "photos-workers-0a1b2c3d",
    }
    env = rendered.env_of(container)
    assert env["POD_NAME"]["fieldRef"]["fieldPath"] == "metadata.name"
    assert env["POD_UID"]["fieldRef"]["fieldPath"] == "metadata.uid"


def test_the_command_line_is_one_that_the_router_reads() -> None:
    main = pytest.importorskip("hadis_router.__main__")
    for changes in ([], [("router.apiKeys", {"secretName": "k"})]):
        container = rendered.container_of(a_router(("slo.latency", "1500ms"), *changes))
        chosen = main._parser().parse_args(container["args"])
        assert (chosen.control_host, chosen.metrics_port) == ("0.0.0.0", 9090)
        assert chosen.drain_seconds == 1.5
        assert chosen.insecure is (chosen.api_keys_file is None)


def test_keys_come_from_a_secret_as_one_file_each() -> None:
    deployment = a_router(("router.apiKeys", {"secretName": "photo-keys"}))
    container = rendered.container_of(deployment)
    assert "--insecure" not in container["args"]
    options = rendered.arguments_of(container)
    assert options["--api-keys-file"] == "/etc/hadis/api-keys"
    [mount] = [m for m in container["volumeMounts"] if m["mountPath"] == "/etc/hadis/api-keys"]
    assert mount["readOnly"] is True
    [volume] = [v for v in rendered.pod_of(deployment)["volumes"] if v["name"] == mount["name"]]
    # Without `items`: each value of the Secret becomes a file.
    assert volume["secret"] == {"secretName": "photo-keys", "defaultMode": 0o440}


def test_no_secret_is_read_without_keys() -> None:
    assert not [v for v in rendered.pod_of(a_router())["volumes"] if "secret" in v]


@pytest.mark.parametrize(("slo", "want"), [("1500ms", "1.5"), ("1m30s", "90"), ("1h", "3600")])
def test_open_requests_may_take_their_deadline_within_the_grace(slo: str, want: str) -> None:
    deployment = a_router(("slo.latency", slo), ("router.apiKeys", {"secretName": "k"}))
    container = rendered.container_of(deployment)
    assert rendered.arguments_of(container)["--drain-seconds"] == want
    hook_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    farewell_s = float(rendered.arguments_of(container)["--farewell-seconds"])
    grace_s = rendered.pod_of(deployment)["terminationGracePeriodSeconds"]
    # The router itself waits another 10 s for answers on their way to slow clients.
    assert hook_s + farewell_s + float(want) + 10 <= grace_s


def test_probes_ask_the_metrics_port() -> None:
    container = rendered.container_of(a_router())
    paths = {
        kind: container[f"{kind}Probe"]["httpGet"]["path"]
        for kind in ("startup", "readiness", "liveness")
    }
    assert paths == {"startup": "/healthz", "readiness": "/readyz", "liveness": "/healthz"}
    assert container["startupProbe"]["httpGet"]["port"] == "metrics"


def test_resources_are_the_authors_or_the_charts() -> None:
    extra = "defaults: {router: {resources: {requests: {cpu: 200m}}}}\n"
    assert rendered.container_of(a_router(extra=extra))["resources"] == {
        "requests": {"cpu": "200m"}
    }
    own = ("router.resources", {"limits": {"cpu": 2}})
    assert rendered.container_of(a_router(own, extra=extra))["resources"] == {
        "limits": {"cpu": "2"}
    }


def test_routers_run_where_the_chart_says() -> None:
    toleration = "{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}"
    extra = (
        "defaults: {router: {nodeSelector: {pool: front}, priorityClassName: front, "
        f"tolerations: [{toleration}]}}}}\n"
    )
    pod = rendered.pod_of(a_router(extra=extra))
    assert pod["nodeSelector"] == {"pool": "front"}
    assert pod["priorityClassName"] == "front"
    assert pod["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    ]
    # Said for neither, nothing is rendered: what runs stays as it is.
    plain = rendered.pod_of(a_router())
    assert not {"nodeSelector", "priorityClassName", "tolerations"} & set(plain)
    assert a_router(extra="defaults: {worker: {priorityClassName: images}}\n") == a_router()


def test_routers_take_nothing_from_the_workers_template() -> None:
    plain = a_router()
    assert plain == a_router(
        ("workers.template", {"labels": {"a": "b"}, "nodeSelector": {"gpu": "l40s"}})
    )


def test_another_version_rolls_routers() -> None:
    image = rendered.container_of(a_router())["image"]
    assert image == "registry.example/hadis-router:0.1.0"


# Services and budgets.


def test_clients_reach_routers_by_the_cascades_name_on_port_80() -> None:
    service = services.router(rendered.an_owner(), rendered.a_spec())
    assert service["metadata"]["name"] == "photos"
    assert service["spec"]["type"] == "ClusterIP"
    [port] = service["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (80, "requests")
    pod = a_router()["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= pod.items()


def test_the_author_shapes_the_service_but_not_our_annotations() -> None:
    spec = rendered.a_spec(
        (
            "router.service",
            {
                "type": "LoadBalancer",
                "port": 8080,
                "annotations": {"cloud/lb": "internal", "hadis.dev/rendered-hash": "forged"},
            },
        )
    )
    service = services.router(rendered.an_owner(), spec)
    assert service["spec"]["type"] == "LoadBalancer"
    assert service["spec"]["ports"][0]["port"] == 8080
    assert service["metadata"]["annotations"] == {"cloud/lb": "internal"}


def test_workers_have_a_headless_service_from_their_first_moment() -> None:
    service = services.workers(rendered.an_owner())
    assert service["metadata"]["name"] == "photos-workers-0a1b2c3d"
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    pod = workers.render(rendered.an_owner(), rendered.a_spec(), rendered.an_installation(), "w1")[
        "spec"
    ]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= pod.items()
    router = a_router()["spec"]["template"]["metadata"]["labels"]
    assert not service["spec"]["selector"].items() <= router.items()


def test_a_drain_takes_one_router_and_as_many_workers_as_may_be_rolled() -> None:
    owner = rendered.an_owner()
    router = budgets.router(owner)
    pool = budgets.workers(owner, rendered.a_spec(("workers.maxUnavailable", 3)))
    assert router["spec"]["maxUnavailable"] == 1
    assert pool["spec"]["maxUnavailable"] == 3
    for budget in (router, pool):
        assert "minAvailable" not in budget["spec"]
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert router["spec"]["selector"] != pool["spec"]["selector"]
