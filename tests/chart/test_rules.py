"""Alerts: promtool sees each fire and not fire, the docs explain each, the chart ships all."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from support import charts

RULES = sorted((charts.CHART / "rules").glob("*.yaml"))
TESTS = sorted((charts.ROOT / "tests" / "chart" / "rules").glob("*.yaml"))
OPERATIONS = charts.ROOT / "docs" / "kubernetes" / "operations.md"


def _rules() -> list[dict[str, Any]]:
    return [
        rule
        for path in RULES
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]


ALERTS = [rule["alert"] for rule in _rules() if "alert" in rule]


def _summaries_only(folder: Path) -> None:
    """Write the rules with the summary alone: promtool compares annotations word by word."""
    for path in RULES:
        parsed = yaml.safe_load(path.read_text(encoding="utf-8"))
        for group in parsed["groups"]:
            for rule in group["rules"]:
                if "annotations" in rule:
                    rule["annotations"] = {"summary": rule["annotations"]["summary"]}
        (folder / path.name).write_text(yaml.safe_dump(parsed), encoding="utf-8")


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(path: Path, tmp_path: Path) -> None:
    _summaries_only(tmp_path)
    test = tmp_path / f"test-{path.name}"
    test.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    ran = _promtool("test", "rules", str(test))
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_promtool_takes_the_rules_as_they_are() -> None:
    ran = _promtool("check", "rules", *map(str, RULES))
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_is_tested_both_ways(alert: str) -> None:
    cases = [
        case
        for path in TESTS
        for test in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]
        for case in test["alert_rule_test"]
        if case["alertname"] == alert
    ]
    assert any(case["exp_alerts"] for case in cases)
    assert any(not case["exp_alerts"] for case in cases)


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_is_explained(alert: str) -> None:
    rule = next(rule for rule in _rules() if rule.get("alert") == alert)
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["runbook"] == f"docs/kubernetes/operations.md#{alert.lower()}"
    assert f"### {alert}\n" in OPERATIONS.read_text(encoding="utf-8")


def _shipped(values: charts.Manifest) -> dict[str, Any]:
    rules = {"monitoring": {"rules": {"enabled": True, **values}}}
    groups = charts.render(rules).one("PrometheusRule")["spec"]["groups"]
    return {rule.get("alert", rule.get("record")): rule for g in groups for rule in g["rules"]}


def test_the_chart_ships_the_rules_unchanged() -> None:
    want = {rule.get("alert", rule.get("record")): rule for rule in _rules()}
    assert _shipped({}) == want


def test_alerts_can_be_left_out_changed_and_labelled() -> None:
    shipped = _shipped(
        {
            "disabled": ["HadisSwapStorm"],
            "overrides": {"HadisPlanStale": {"for": "30m", "labels": {"severity": "warning"}}},
            "alertLabels": {"team": "images"},
        }
    )
    assert set(shipped) == {rule.get("alert", rule.get("record")) for rule in _rules()} - {
        "HadisSwapStorm"
    }
    assert shipped["HadisPlanStale"]["for"] == "30m"
    assert shipped["HadisPlanStale"]["labels"] == {"severity": "warning", "team": "images"}
    assert shipped["HadisNoLeader"]["labels"] == {"severity": "critical", "team": "images"}


def _promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [charts.promtool(), *arguments], capture_output=True, text=True, timeout=120, check=False
    )
