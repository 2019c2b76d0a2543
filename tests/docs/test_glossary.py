"""The documentation names every term, outcome, path and metric, and no metric that is not there."""

import re
from dataclasses import is_dataclass
from enum import StrEnum
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from hadis.planning.problems import PlanStatus
from hadis.routing.cascading import Verdict
from hadis.routing.entry import Route, Stage
from hadis.terms import assignments, cascades, ids, outcomes, profiles
from hadis.terms.assignments import Role
from hadis.terms.cascades import OnOverload, PlannerMode
from hadis.terms.ids import CascadeName
from hadis.terms.outcomes import ImagePath, Outcome
from hadis.terms.profiles import Deliver, Direction

DOCS = Path(__file__).parents[2] / "docs"
GLOSSARY = (DOCS / "glossary.md").read_text(encoding="utf-8")
METRICS = (DOCS / "metrics.md").read_text(encoding="utf-8")
ENUMS: tuple[type[StrEnum], ...] = (
    Outcome,
    ImagePath,
    Role,
    PlannerMode,
    OnOverload,
    Deliver,
    Direction,
    Stage,
    Route,
    Verdict,
)
ROW = re.compile(r"^\| `(hadis_\w+)` \| (\w+) \| ([\w, ]+) \| (\S.*\.) \|$", re.MULTILINE)


class _Listing(CollectorRegistry):
    """Remembers what registers itself."""

    def __init__(self) -> None:
        super().__init__()
        self.collectors: list[MetricWrapperBase] = []

    def register(self, collector: Collector) -> None:
        assert isinstance(collector, MetricWrapperBase)
        self.collectors.append(collector)
        super().register(collector)


def described(collectors: list[MetricWrapperBase]) -> set[tuple[str, str, str]]:
    """Name, type and labels of each metric, as the exposition format has them."""
    found = set()
    for collector in collectors:
        (family,) = collector.describe()
        name = family.name + ("_total" if family.type == "counter" else "")
        found.add((name, family.type, ", ".join(collector._labelnames)))
    return found


def router_metrics() -> set[tuple[str, str, str]]:
    from hadis_router.histories import History
    from hadis_router.metrics import RouterMetrics

    registry = _Listing()
    RouterMetrics(registry, "scenes", History(0.0, epoch_s=0.0), started_s=0.0)
    return described(registry.collectors)


def worker_metrics(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str, str]]:
    from hadis_server import metrics

    registry = _Listing()
    monkeypatch.setattr(metrics, "CollectorRegistry", lambda **_: registry)
    metrics.Metrics(CascadeName("scenes"))
    return described(registry.collectors)


def documented(*headings: str) -> set[tuple[str, str, str]]:
    sections = re.split(r"^## ", METRICS, flags=re.MULTILINE)
    chosen = [section for section in sections if section.startswith(headings)]
    assert len(chosen) == len(headings)
    return {row[:3] for section in chosen for row in ROW.findall(section)}


@pytest.mark.parametrize("enum", ENUMS, ids=lambda enum: enum.__name__)
def test_every_member_of_an_enum_is_in_the_glossary(enum: type[StrEnum]) -> None:
    assert f"`{enum.__name__}`" in GLOSSARY
    assert [member for member in enum if f"`{member.value}`" not in GLOSSARY] == []


@pytest.mark.parametrize("enum", [Outcome, ImagePath], ids=lambda enum: enum.__name__)
def test_outcomes_and_paths_have_a_line_each(enum: type[StrEnum]) -> None:
    assert [member for member in enum if f"\n| `{member.value}` | " not in GLOSSARY] == []


def test_every_status_of_a_plan_is_in_the_glossary() -> None:
    assert [status for status in PlanStatus if f"`{status.value}`" not in GLOSSARY] == []


@pytest.mark.parametrize(
    "module", [assignments, cascades, ids, outcomes, profiles], ids=lambda module: module.__name__
)
def test_every_term_is_in_the_glossary(module: object) -> None:
    own = {
        name: value
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__  # type: ignore[attr-defined]
        and (is_dataclass(value) or isinstance(value, type) or hasattr(value, "__supertype__"))
    }
    assert own
    assert [name for name in own if f"`{name}`" not in GLOSSARY] == []


def test_a_term_is_explained_in_one_sentence_and_once() -> None:
    rows = re.findall(r"^\| (?!term|outcome|path|-)(.+?) \| (.+) \|$", GLOSSARY, re.MULTILINE)
    assert len(rows) > 50
    assert [meaning for _, meaning in rows if not meaning.endswith(".")] == []
    sections = re.split(r"^## ", GLOSSARY, flags=re.MULTILINE)
    for section in sections:
        terms = re.findall(r"^\| (.+?) \|", section, re.MULTILINE)
        assert len(terms) == len(set(terms))


def test_the_routers_metrics_are_documented_with_type_and_labels() -> None:
    assert documented("Router", "Controller") == router_metrics()


def test_the_workers_metrics_are_documented_with_type_and_labels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert documented("Worker") == worker_metrics(monkeypatch)


def test_every_row_of_the_metrics_page_is_well_formed() -> None:
    assert METRICS.count("\n| `hadis_") == len(ROW.findall(METRICS))
