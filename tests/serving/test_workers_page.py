"""The page about workers knows every option, metric, reason and kind of discriminator."""

from dataclasses import fields
from pathlib import Path

from hadis.terms.ids import CascadeName
from hadis_server import discriminating, endpoints
from hadis_server.metrics import Metrics
from hadis_server.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "concepts" / "workers.md").read_text(encoding="utf-8")


def test_every_option_is_on_the_page() -> None:
    for field in fields(Settings):
        assert f"`--{field.name.replace('_', '-')}`" in PAGE


def test_every_metric_is_on_the_page() -> None:
    for family in Metrics(CascadeName("c")).registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert f"`{name}`" in PAGE


def test_every_reason_and_every_kind_is_on_the_page() -> None:
    for _, status, reason in endpoints.ENDS:
        assert f"`{reason}`" in PAGE
        assert f"| {status} |" in PAGE
    for kind in discriminating.LOADERS:
        assert f"| `{kind}` |" in PAGE
