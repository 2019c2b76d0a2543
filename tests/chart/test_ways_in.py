"""Ingress and HTTPRoute: each route reaches its cascade's Service and waits longer than its SLO."""

import re

import pytest

from support import charts
from support.charts import Manifest

NGINX = "nginx.ingress.kubernetes.io/"
SCENES = {
    "cascade": "scenes",
    "namespace": "images",
    "host": "scenes.example.com",
    "timeoutSeconds": 30,
}
PHOTOS = {
    "cascade": "photos",
    "namespace": "lab",
    "host": "photos.example.com",
    "timeoutSeconds": 3700,
    "port": 8080,
}
GATEWAY = {"name": "public", "namespace": "gateways", "sectionName": "https", "port": 443}
DURATION = re.compile(r"([0-9]{1,5}(h|m|s|ms)){1,4}")
"""What the Gateway API takes for one."""


def _ingresses(**values: object) -> dict[str, Manifest]:
    ingress = {"enabled": True, "routes": [SCENES, PHOTOS], **values}
    found = charts.render({"ingress": ingress}).all("Ingress")
    return {one["metadata"]["namespace"]: one for one in found}


def _routes(**values: object) -> dict[str, Manifest]:
    route = {"enabled": True, "routes": [SCENES, PHOTOS], "parentRefs": [GATEWAY], **values}
    found = charts.render({"httpRoute": route}).all("HTTPRoute")
    return {one["metadata"]["namespace"]: one for one in found}


def test_there_are_none_unless_asked_for() -> None:
    rendered = charts.render({"ingress": {"routes": [SCENES]}, "httpRoute": {"routes": [PHOTOS]}})
    assert rendered.all("Ingress") + rendered.all("HTTPRoute") == []


def test_an_ingress_lies_beside_its_cascade_and_leads_to_its_service() -> None:
    made = _ingresses()
    assert set(made) == {"images", "lab"}
    for route, port in ((SCENES, 80), (PHOTOS, 8080)):
        one = made[str(route["namespace"])]
        assert one["apiVersion"] == "networking.k8s.io/v1"
        assert one["metadata"]["name"] == f"{route['cascade']}-hadis"
        (rule,) = one["spec"]["rules"]
        assert rule["host"] == route["host"]
        assert rule["http"]["paths"] == [
            {
                "path": "/",
                "pathType": "Prefix",
                "backend": {"service": {"name": route["cascade"], "port": {"number": port}}},
            }
        ]
        assert set(one["spec"]) == {"rules"}


def test_an_ingress_passes_pictures_on_as_they_come_and_waits_for_them() -> None:
    made = _ingresses()
    for route in (SCENES, PHOTOS):
        annotations = made[str(route["namespace"])]["metadata"]["annotations"]
        # Annotations are text: a number would be refused by the API server.
        assert annotations == {
            f"{NGINX}proxy-read-timeout": str(route["timeoutSeconds"]),
            f"{NGINX}proxy-send-timeout": str(route["timeoutSeconds"]),
            f"{NGINX}proxy-buffering": "off",
        }


def test_an_ingress_takes_class_certificate_and_annotations() -> None:
    tls = {**SCENES, "tlsSecretName": "scenes-tls"}
    own = {"haproxy.org/timeout-server": "30s", f"{NGINX}proxy-buffering": "on"}
    one = _ingresses(className="haproxy", annotations=own, routes=[tls])["images"]
    assert one["spec"]["ingressClassName"] == "haproxy"
    assert one["spec"]["tls"] == [{"hosts": ["scenes.example.com"], "secretName": "scenes-tls"}]
    annotations = one["metadata"]["annotations"]
    assert annotations["haproxy.org/timeout-server"] == "30s"
    assert annotations[f"{NGINX}proxy-buffering"] == "on"
    assert annotations[f"{NGINX}proxy-read-timeout"] == "30"


def test_an_http_route_lies_beside_its_cascade_and_leads_to_its_service() -> None:
    made = _routes()
    assert set(made) == {"images", "lab"}
    for route, port in ((SCENES, 80), (PHOTOS, 8080)):
        one = made[str(route["namespace"])]
        assert one["apiVersion"] == "gateway.networking.k8s.io/v1"
        assert one["metadata"]["name"] == f"{route['cascade']}-hadis"
        assert one["spec"]["parentRefs"] == [GATEWAY]
        assert one["spec"]["hostnames"] == [route["host"]]
        (rule,) = one["spec"]["rules"]
        assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
        assert rule["backendRefs"] == [{"name": route["cascade"], "port": port}]


def test_an_http_route_waits_for_pictures() -> None:
    made = _routes()
    for route in (SCENES, PHOTOS):
        (rule,) = made[str(route["namespace"])]["spec"]["rules"]
        want = f"{route['timeoutSeconds']}s"
        assert DURATION.fullmatch(want)
        # The whole may not be shorter than its one attempt; a second attempt would draw twice.
        assert rule["timeouts"] == {"request": want, "backendRequest": want}
        assert "retry" not in rule


@pytest.mark.parametrize("kind", ["ingress", "httpRoute"])
@pytest.mark.parametrize(
    ("change", "want"),
    [
        ({"timeoutSeconds": 1}, "timeoutSeconds"),
        ({"timeoutSeconds": 7201}, "timeoutSeconds"),
        ({"timeoutSeconds": "30s"}, "timeoutSeconds"),
        ({"timeoutSeconds": 30.5}, "timeoutSeconds"),
        ({"cascade": "Scenes"}, "cascade"),
        ({"cascade": "s" * 41}, "cascade"),
        ({"namespace": "a.b"}, "namespace"),
        ({"host": ""}, "host"),
        ({"port": 0}, "port"),
        ({"port": "http"}, "port"),
        ({"path": "/v1"}, "'path'"),
    ],
)
def test_routes_that_cannot_work_are_refused(kind: str, change: Manifest, want: str) -> None:
    with pytest.raises(charts.Refused) as refusal:
        charts.render({kind: {"enabled": True, "routes": [{**SCENES, **change}]}})
    assert f"/{kind}/routes/0" in str(refusal.value)
    assert want in str(refusal.value)
