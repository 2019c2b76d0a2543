"""The operator understands every installation that the chart writes."""

import pytest
import yaml

from hadis_operator import installation
from support import charts
from support.chart_values import EVERYTHING, VALUE_SETS


def _installation(name: str) -> installation.Installation:
    return _read(charts.render(VALUE_SETS[name]))


def _read(rendered: charts.Rendered) -> installation.Installation:
    maps = [one for one in rendered.all("ConfigMap") if "installation.yaml" in one["data"]]
    assert len(maps) == 1
    return installation.read(maps[0]["data"]["installation.yaml"], source="the chart's ConfigMap")


@pytest.mark.parametrize("name", VALUE_SETS)
def test_every_value_set_is_understood(name: str) -> None:
    assert _installation(name).version == _chart()["appVersion"]


def test_the_defaults_are_images_of_this_version_without_credentials() -> None:
    told, version = _installation("defaults"), _chart()["appVersion"]
    assert told.router_image.reference == f"localhost/hadis-router:{version}"
    assert told.worker_image.reference == f"localhost/hadis-worker:{version}"
    assert told.hugging_face == installation.HuggingFace()
    assert (told.prometheus_url, told.watch_namespaces) == ("", ())


def test_what_the_values_say_arrives() -> None:
    told = _installation("namespaced with everything")
    worker, router = (EVERYTHING["defaults"][role] for role in ("worker", "router"))
    assert told.watch_namespaces == ("images",)
    assert told.image_pull_secrets == ("registry",)
    assert told.prometheus_url == "http://prometheus.monitoring:9090"
    assert told.data_plane_service_account == "bare"
    assert told.hugging_face == installation.HuggingFace("hub", "token", offline=True)
    assert told.worker_defaults.node_selector == worker["nodeSelector"]
    assert list(told.worker_defaults.tolerations) == worker["tolerations"]
    assert told.worker_defaults.runtime_class_name == "nvidia"
    assert told.worker_defaults.priority_class_name == "images"
    spread = told.worker_defaults.topology_spread_constraints
    assert list(spread) == worker["topologySpreadConstraints"]
    assert told.worker_defaults.resources == worker["resources"]
    assert told.router_defaults.node_selector == router["nodeSelector"]
    assert list(told.router_defaults.tolerations) == router["tolerations"]
    assert told.router_defaults.priority_class_name == "front"
    assert told.router_defaults.resources["requests"] == {"cpu": "500m", "memory": "512Mi"}
    assert list(told.peers.monitoring) == [{"ipBlock": {"cidr": "192.0.2.1/32"}}]
    assert list(told.peers.clients) == [{"namespaceSelector": {}}]


def test_the_operators_pods_carry_the_labels_that_policies_admit() -> None:
    rendered = charts.render(EVERYTHING)
    peers = _read(rendered).peers
    template = rendered.one("Deployment")["spec"]["template"]
    assert peers.enabled
    assert peers.operator_namespace == charts.NAMESPACE
    assert peers.operator_labels.items() <= template["metadata"]["labels"].items()


def test_digests_are_written_as_digests() -> None:
    want = "reg.example.com:5000/w@sha256:" + "0" * 64
    assert _installation("digests").worker_image.reference == want


def _chart() -> charts.Manifest:
    return dict(yaml.safe_load((charts.CHART / "Chart.yaml").read_text(encoding="utf-8")))
