"""What the Kubernetes pages tell people to write is taken by the chart and by the schema."""

import re
from collections.abc import Iterator

import pytest
import yaml

from hadis import resources
from hadis.wire import structural
from support import charts
from support.charts import Manifest

PAGES = sorted((charts.ROOT / "docs" / "kubernetes").glob("*.md"))
BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
KNOWN = set(charts.chart_values())


def _blocks() -> Iterator[tuple[str, Manifest]]:
    for page in PAGES:
        for number, text in enumerate(BLOCK.findall(page.read_text(encoding="utf-8"))):
            yield f"{page.name} {number}", yaml.safe_load(text)


BLOCKS = dict(_blocks())
VALUES = {name: block for name, block in BLOCKS.items() if set(block) & KNOWN}
CASCADES = {name: block for name, block in BLOCKS.items() if block.get("kind") == "HadisCascade"}


def test_there_is_something_to_look_at() -> None:
    assert len(VALUES) >= 6
    assert len(CASCADES) >= 1


@pytest.mark.parametrize("name", VALUES)
def test_values_render(name: str) -> None:
    assert charts.render(VALUES[name]).all("Deployment")


def test_all_values_of_the_installation_go_together() -> None:
    together: Manifest = {}
    for name, block in VALUES.items():
        if name.startswith("install.md"):
            together.update(block)
    kinds = {one["kind"] for one in charts.render(together).manifests}
    assert {"Ingress", "HTTPRoute", "PodMonitor", "ServiceMonitor", "PrometheusRule"} <= kinds


@pytest.mark.parametrize("name", CASCADES)
def test_cascades_are_admitted(name: str) -> None:
    _, problems = structural.admit(resources.schema("hadiscascades"), CASCADES[name])
    assert [str(problem) for problem in problems] == []
