"""The custom resource definitions: the chart's copies are crds/, kept when the chart goes."""

import pytest
import yaml

from support import charts

SOURCE = charts.ROOT / "crds"
COPIES = charts.CHART / "files" / "crds"
NAMES = sorted(path.name for path in SOURCE.glob("*.yaml"))


def test_the_chart_has_a_copy_of_each() -> None:
    assert NAMES
    assert sorted(path.name for path in COPIES.iterdir()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_copies_are_equal(name: str) -> None:
    assert (COPIES / name).read_bytes() == (SOURCE / name).read_bytes(), (
        f"copy crds/{name} to charts/hadis/files/crds/"
    )


def test_they_render_unchanged_but_for_the_word_that_keeps_them() -> None:
    rendered = charts.render().all("CustomResourceDefinition")
    want = [yaml.safe_load((SOURCE / name).read_text(encoding="utf-8")) for name in NAMES]
    for definition in want:
        definition["metadata"]["annotations"] = {"helm.sh/resource-policy": "keep"}
    assert sorted(rendered, key=lambda one: one["metadata"]["name"]) == want


def test_they_can_be_left_to_others() -> None:
    assert not charts.render({"crds": {"install": False}}).all("CustomResourceDefinition")
