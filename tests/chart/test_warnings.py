"""What NOTES warn of about cascades that are there.

Without a cluster helm looks nothing up: a copy of the chart gets cascades from its values instead
and shows what it would warn of.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest

from support import charts
from support.charts import Manifest

ASKING = """
apiVersion: v1
kind: ConfigMap
metadata: {name: warnings}
data:
  text: {{ include "hadis.warnings" (dict "root" . "cascades" .Values.global.cascades) | quote }}
"""
ROUTE = {"cascade": "photos", "namespace": "images", "host": "a.example.com", "timeoutSeconds": 70}
GPU = {"limits": {"nvidia.com/gpu": 1, "memory": "96Gi"}}


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("charts") / "hadis"
    shutil.copytree(charts.CHART, copy)
    (copy / "templates" / "asking.yaml").write_text(ASKING)
    return copy


def a_cascade(name: str = "photos", slo: str = "60s", **workers: Any) -> Manifest:
    return {
        "metadata": {"name": name, "namespace": "images"},
        "spec": {
            "slo": {"latency": slo},
            "workers": {"count": 1, **({"template": workers} if workers else {})},
            "router": {"replicas": 1, "apiKeys": {"secretName": "clients"}},
        },
    }


def warnings(chart: Path, values: Manifest, *cascades: Manifest) -> list[str]:
    asked = {**values, "global": {"cascades": list(cascades)}}
    rendered = charts.render(asked, "--show-only", "templates/asking.yaml", chart=chart)
    return str(rendered.one("ConfigMap", "warnings")["data"]["text"]).splitlines()


def test_nothing_is_wrong(chart: Path) -> None:
    values = {"defaults": {"worker": {"resources": GPU}}, "ingress": a_way_in(70)}
    assert warnings(chart, values) == []
    assert warnings(chart, values, a_cascade()) == []
    assert warnings(chart, values, a_cascade(resources=GPU)) == []


def test_cascades_without_keys_are_named(chart: Path) -> None:
    open_one = a_cascade("open")
    del open_one["spec"]["router"]["apiKeys"]
    (told,) = warnings(chart, {}, a_cascade(), open_one)
    assert told == "WARNING: these cascades' routers run without keys now: images/open"


def test_own_resources_without_the_charts_gpu_are_told(chart: Path) -> None:
    values = {"defaults": {"worker": {"resources": GPU}}}
    larger = a_cascade("larger", resources={"requests": {"memory": "64Gi"}})
    slice_of_one = a_cascade("slice", resources={"limits": {"nvidia.com/mig-1g.10gb": 1}})
    (told,) = warnings(chart, values, a_cascade(), larger, slice_of_one)
    assert told.startswith("WARNING: the own resources of images/larger replace")
    assert "nvidia.com/gpu too: their new workers run on CPUs" in told
    assert warnings(chart, {}, larger) == []


def a_way_in(seconds: int, **values: object) -> Manifest:
    return {"enabled": True, "routes": [{**ROUTE, "timeoutSeconds": seconds}], **values}


@pytest.mark.parametrize(
    ("slo", "seconds", "is_told"),
    [
        ("60s", 61, False),
        ("60s", 60, True),
        ("1m30s", 91, False),
        ("1m30s", 90, True),
        ("1h", 3600, True),
        ("1h", 3601, False),
        ("1500ms", 2, False),
        ("2500ms", 2, True),
        ("0.5m", 31, False),
        ("0.5m", 30, True),
    ],
)
def test_a_proxy_that_cuts_before_the_deadline_is_told(
    chart: Path, slo: str, seconds: int, is_told: bool
) -> None:
    told = warnings(chart, {"ingress": a_way_in(seconds)}, a_cascade(slo=slo), a_cascade("other"))
    want = f"WARNING: ingress.routes gives images/photos {seconds}s, not more than its spec.slo"
    assert [line.startswith(want) for line in told] == ([True] if is_told else [])
    parents = [{"name": "gateway"}]
    told = warnings(chart, {"httpRoute": a_way_in(seconds, parentRefs=parents)}, a_cascade(slo=slo))
    assert ["httpRoute.routes" in line for line in told] == ([True] if is_told else [])
    unused = {"ingress": {**a_way_in(seconds), "enabled": False}}
    assert warnings(chart, unused, a_cascade(slo=slo)) == []
