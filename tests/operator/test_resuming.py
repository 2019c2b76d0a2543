"""What a new leader goes on from: above every version, and from the record where it is whole."""

import json
from typing import Any

import pytest

from hadis.planning import cycles
from hadis.planning.cycles import CycleInput, CycleState
from hadis.planning.forecasting import DemandState
from hadis.planning.snapshots import ObservedRouter, ObservedWorker, Snapshot
from hadis.terms.ids import WorkerName
from hadis.wire.assignments import RoutingTableBody
from hadis_operator import resuming
from hadis_operator.objects import Manifest
from support import clusters

DEMAND = DemandState(at_s=5.0)


def a_config_map(**data: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "p"}, "data": data}


def a_record(version: int = 7, **assigned: int) -> Manifest:
    assignments = {
        slot: clusters.an_assignment(told).model_dump(mode="json")
        for slot, told in (assigned or {"w0": version}).items()
    }
    return a_config_map(
        **{
            "routing.json": clusters.a_table(version).model_dump_json(),
            "assignments.json": json.dumps(assignments),
        }
    )


def a_deployment(version: int) -> Manifest:
    text = clusters.an_assignment(version).model_dump_json()
    return {"metadata": {"name": "d", "annotations": {"hadis.dev/assignment": text}}}


def test_a_whole_record_is_gone_on_from() -> None:
    state = resuming.resume(a_record(7, w0=7, w1=5), [a_deployment(7)], DEMAND)
    assert state.version == 7
    assert state.routing is not None
    assert state.routing.version == 7
    assert {str(name): one.version for name, one in state.assignments.items()} == {
        "w0": 7,
        "w1": 5,
    }
    assert state.demand == DEMAND


@pytest.mark.parametrize(
    ("record", "deployments", "want"),
    [
        (None, [], 0),
        (None, [a_deployment(9), a_deployment(4)], 9),
        (a_config_map(), [], 0),
        (a_record(7), [a_deployment(9)], 9),
        (a_config_map(**{"routing.json": "{torn"}), [a_deployment(3)], 3),
        (a_config_map(**{"routing.json": "[]"}), [], 0),
        (
            a_config_map(
                **{
                    "routing.json": clusters.a_table(7).model_dump_json(),
                    "assignments.json": "{torn",
                }
            ),
            [],
            7,
        ),
    ],
)
def test_a_record_that_is_not_whole_or_not_the_newest_only_gives_its_version(
    record: Manifest | None, deployments: list[Manifest], want: int
) -> None:
    state = resuming.resume(record, deployments, DEMAND)
    assert state.version == want
    assert state.routing is None
    assert dict(state.assignments) == {}


def test_an_unreadable_annotation_counts_for_nothing() -> None:
    torn = {"metadata": {"annotations": {"hadis.dev/assignment": "{"}}}
    assert resuming.resume(None, [torn, {"metadata": {}}], DEMAND).version == 0


def run(state: CycleState, **worker: Any) -> cycles.CycleOutput:
    given = clusters.a_given(("workers.count", 1))
    observed = ObservedWorker(WorkerName("w0"), **worker)
    snapshot = Snapshot(10.0, (observed,), (ObservedRouter("r"),))
    return cycles.run_cycle(CycleInput(given.cascade, given.profile, snapshot, state))


def test_a_plan_that_stays_the_same_keeps_its_version_over_a_change_of_leaders() -> None:
    first = run(CycleState())
    assignments = {
        str(name): {
            "version": one.version,
            "model": one.model,
            "role": one.role.value,
            "batch_size": one.batch_size,
            "quality_threshold": one.quality_threshold,
        }
        for name, one in first.assignments.items()
    }
    record = a_config_map(
        **{
            "routing.json": RoutingTableBody.from_terms(first.routing).model_dump_json(),
            "assignments.json": json.dumps(assignments),
        }
    )
    second = run(resuming.resume(record, [], DemandState()))
    assert second.routing == first.routing
    assert second.assignments == first.assignments


def test_whatever_a_worker_was_told_by_a_deposed_leader_is_overruled() -> None:
    state = resuming.resume(a_record(7), [], DemandState())
    told = clusters.an_assignment(12, model="big").to_terms()
    output = run(state, assignment=told)
    assert output.routing.version == 13
    assert output.assignments[WorkerName("w0")].version == 13
