"""What the status of a cascade tells, and when it says nothing new."""

import copy
import math
from dataclasses import replace
from typing import Any

from hadis import resources
from hadis.planning import cycles
from hadis.planning.cycles import CycleInput, CycleOutput, CycleState
from hadis.planning.snapshots import ObservedWorker, Snapshot
from hadis.terms.ids import WorkerName
from hadis.wire import structural
from hadis_operator import statuses
from hadis_operator.conditions import Condition
from hadis_operator.objects import Manifest
from hadis_operator.statuses import WorkerCounts
from support import clusters

NOW = "2030-01-01T00:00:00Z"
COUNTS = WorkerCounts(total=2, ready=1, updated=2)
READY = Condition("Ready", "True", "Serving", "requests are served")


def an_output(state: CycleState | None = None) -> CycleOutput:
    given = clusters.a_given()
    workers = tuple(ObservedWorker(WorkerName(f"w{index}")) for index in range(2))
    handed = CycleInput(given.cascade, given.profile, Snapshot(1.0, workers), state or CycleState())
    return cycles.run_cycle(handed)


def compose(live: Manifest | None = None, output: CycleOutput | None = None) -> Manifest:
    return statuses.compose(clusters.a_given(), live or {}, [READY], COUNTS, output, now=NOW)


def test_the_status_is_what_the_schema_takes() -> None:
    status = compose(output=an_output())
    schema = resources.schema("hadiscascades")["properties"]["status"]
    _, problems = structural.admit(schema, status)
    assert [str(problem) for problem in problems] == []
    assert status["endpoint"] == "http://photos.images.svc/v1"
    assert status["models"] == ["tiny", "big"]
    assert status["workers"]["total"] == 2
    assert "hadis.dev/cascade=photos" in status["workers"]["selector"]
    assert status["plan"]["version"] == 1
    assert status["plan"]["reasons"]["because"] == "first plan"
    assert sum(lane["share"] for lane in status["plan"]["lanes"]) == 1.0


def test_a_stage_that_is_off_has_no_threshold() -> None:
    output = an_output()
    lane = replace(output.routing.lanes[0], hardness_threshold=math.inf)
    off = replace(output, routing=replace(output.routing, lanes=(lane,)))
    plan = statuses.plan_of(None, off)
    assert "hardnessThreshold" not in plan
    assert "qualityThreshold" not in plan
    assert "hardnessThreshold" not in plan["lanes"][0]


def test_the_same_plan_measured_again_is_no_news() -> None:
    output = an_output()
    live = compose(output=output)
    summary: dict[str, Any] = copy.deepcopy(output.summary)
    summary["demand"] = 99.0
    summary["reasons"]["utilisation"] = {"tiny": 0.77}
    again = compose(live, replace(output, summary=summary))
    assert not statuses.is_news(live, again)


def test_another_version_of_the_plan_is_news() -> None:
    output = an_output()
    live = compose(output=output)
    newer = replace(output, routing=replace(output.routing, version=2))
    assert statuses.is_news(live, compose(live, newer))


def test_without_a_plan_of_its_own_the_operator_keeps_the_one_that_is_told() -> None:
    live = compose(output=an_output())
    assert compose(live)["plan"] == live["plan"]
    assert "plan" not in compose()


def test_counts_and_conditions_are_news() -> None:
    live = compose()
    assert not statuses.is_news(live, compose(live))
    other = {**live, "workers": {**live["workers"], "ready": 2}}
    assert statuses.is_news(other, compose(other))
    assert statuses.is_news({}, compose())


def test_a_port_of_its_own_is_part_of_the_endpoint() -> None:
    given = clusters.a_given(("router.service", {"port": 8080, "type": "ClusterIP"}))
    status = statuses.compose(given, {}, [], COUNTS, None, now=NOW)
    assert status["endpoint"] == "http://photos.images.svc:8080/v1"
