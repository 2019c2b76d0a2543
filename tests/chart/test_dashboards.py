"""Dashboards: every query parses, asks for metrics that exist, and says what it shows."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from hadis.terms.ids import CascadeName
from hadis_operator import metrics as operator_metrics
from hadis_router import histories
from hadis_router import metrics as router_metrics
from hadis_server import metrics as worker_metrics
from support import charts, dashboards

RULES = sorted((charts.CHART / "rules").glob("*.yaml"))
FOREIGN = {"up"}
"""What Prometheus itself exposes."""
LABELS = {"hadis_component", "hadis_cascade"}


def _board(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _panels(path: Path) -> list[dict[str, Any]]:
    return list(_board(path)["panels"])


@pytest.mark.parametrize("path", dashboards.BOARDS, ids=lambda path: path.stem)
def test_queries_parse(path: Path, tmp_path: Path) -> None:
    rules = [
        {"record": f"dashboard:query:{index}", "expr": query}
        for index, query in enumerate(dashboards.queries(path))
    ]
    assert len(rules) > 5
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "x", "rules": rules}]}), encoding="utf-8")
    ran = subprocess.run(
        [charts.promtool(), "check", "rules", str(file)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert not any("$" in rule["expr"] for rule in rules)


def _exposed() -> set[str]:
    """Return the names under which the components' series reach Prometheus."""
    router = CollectorRegistry()
    router_metrics.RouterMetrics(
        router, "scenes", histories.History(0.0, epoch_s=0.0), started_s=0.0
    )
    worker = worker_metrics.Metrics(CascadeName("scenes")).registry
    operator = operator_metrics.Metrics().registry
    names: set[str] = set()
    for registry in (router, worker, operator):
        for family in registry.collect():
            suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
            names |= {family.name + suffix for suffix in suffixes.get(family.type, ("",))}
    return names


@pytest.mark.parametrize("path", [*dashboards.BOARDS, *RULES], ids=lambda path: path.name)
def test_only_metrics_that_exist_are_asked_for(path: Path) -> None:
    asked = " ".join(dashboards.queries(path) if path.suffix == ".json" else _expressions(path))
    names = set(re.findall(r"\b(?:hadis|container|kube)_\w+|\bup\b", asked)) - LABELS
    assert names
    assert names <= _exposed() | FOREIGN


def _expressions(path: Path) -> list[str]:
    groups = yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"]]


def test_there_are_four() -> None:
    assert [path.stem for path in dashboards.BOARDS] == ["overview", "planner", "router", "workers"]


@pytest.mark.parametrize("path", dashboards.BOARDS, ids=lambda path: path.stem)
def test_panels_say_what_they_show_and_where_they_ask(path: Path) -> None:
    board = _board(path)
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    assert board["uid"] == f"hadis-{path.stem}"
    for panel in board["panels"]:
        assert panel["title"]
        if panel["type"] == "text":
            continue
        assert panel["description"].endswith(".")
        assert panel["targets"]
        for part in (panel, *panel["targets"]):
            assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@pytest.mark.parametrize("path", dashboards.BOARDS, ids=lambda path: path.stem)
def test_panels_do_not_overlap(path: Path) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in _panels(path):
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


@pytest.mark.parametrize("path", dashboards.BOARDS, ids=lambda path: path.stem)
def test_plans_are_read_from_the_operator_alone(path: Path) -> None:
    """Routers show the plan too; a sum over both would count it twice."""
    for query in dashboards.queries(path):
        for selector in re.findall(r"hadis_(?:plan|demand_requests)\w*(\{[^}]*\})?", query):
            assert "cascade_namespace" in selector, query
