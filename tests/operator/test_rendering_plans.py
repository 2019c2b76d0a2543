"""The plan's ConfigMap: what a pod that starts without an operator finds, within one object."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from hadis.terms.assignments import Assignment, Lane, Role, RoutingTable, WorkerRef
from hadis.terms.ids import ModelName, WorkerName
from hadis.terms.profiles import ProfileRow
from hadis.wire import manifests
from hadis.wire.assignments import AssignmentBody, RoutingTableBody
from hadis_operator.objects import Manifest
from hadis_operator.rendering import plans
from support import rendered
from support.profiles import a_profile, a_row

OWNER = rendered.an_owner()
SMALL = ModelName("small")
ROUTING = RoutingTable(
    7,
    (Lane(1.0, SMALL, SMALL, math.inf, -math.inf),),
    (WorkerRef(WorkerName("w0"), "10.0.0.1:8000", "uid-0", SMALL),),
)
ASSIGNMENTS = {
    WorkerName("w1"): Assignment(5, None, Role.IDLE, 1),
    WorkerName("w0"): Assignment(7, SMALL, Role.LIGHT, 4, 0.25),
}
PROFILE = replace(
    a_profile({"small": {1: 0.5, 2: 0.9}}, [a_row("small", "small")]),
    name="photos",
)
ONE_MIB = 1024 * 1024


def render(*changes: tuple[str, Any], **fields: Any) -> Manifest:
    return plans.render(OWNER, rendered.a_record(*changes, **fields))


def read(config_map: Manifest) -> manifests.Manifests:
    return manifests.read_manifests(config_map["data"]["cascade.json"], source="cascade.json")


def test_before_the_first_plan_there_is_the_cascade_only() -> None:
    config_map = render()
    assert config_map["metadata"]["name"] == "photos-plan-0a1b2c3d"
    assert set(config_map["data"]) == {"cascade.json", "models.hash"}


def test_the_cascade_reads_back_as_it_is_in_force() -> None:
    record = rendered.a_record(("slo.latency", "90s"), ("workers.template", {"image": "mine:1"}))
    got = read(plans.render(OWNER, record))
    assert got.cascade == record.cascade
    assert got.cascade.generation == 3
    assert got.profile is None
    # Nothing that only means something to the operator is written again when it changes.
    assert got.cluster_only == ()


def test_the_plan_reads_back_with_its_versions() -> None:
    data = render(routing=ROUTING, assignments=ASSIGNMENTS)["data"]
    assert RoutingTableBody.model_validate_json(data["routing.json"]).to_terms() == ROUTING
    told = json.loads(data["assignments.json"])
    assert set(told) == {"w0", "w1"}
    for name, assignment in ASSIGNMENTS.items():
        assert AssignmentBody.model_validate(told[name]).to_terms() == assignment


def test_measurements_are_not_written() -> None:
    assert "plan" not in json.loads(render(routing=ROUTING)["data"]["routing.json"])


def test_the_order_of_slots_changes_nothing() -> None:
    turned = dict(reversed(ASSIGNMENTS.items()))
    first = render(routing=ROUTING, assignments=ASSIGNMENTS)
    assert render(routing=ROUTING, assignments=turned) == first


def test_the_profile_brings_its_latencies_but_not_its_rows() -> None:
    rows = [a_row("small", "small", rejected=share / 10) for share in range(10)]
    config_map = render(("profile", {"name": "photos"}), profile=replace(PROFILE, rows=tuple(rows)))
    got = read(config_map).profile
    assert got is not None
    assert got.models == PROFILE.models
    assert got.rows == tuple(rows[:1])


def test_a_profile_of_4096_rows_and_512_slots_fit_into_one_object() -> None:
    names = [ModelName(f"{'m' * 60}-{index}") for index in range(2)]
    row = ProfileRow(names[0], names[1], math.pi, math.e, 0.1, 0.2, 0.3, {"fid": math.tau})
    profile = replace(
        a_profile({name: {1: 0.5} for name in names}, [row]), name="photos", rows=(row,) * 4096
    )
    refs = tuple(
        WorkerRef(WorkerName(f"w{index}"), "255.255.255.255:8000", "0" * 36, names[1])
        for index in range(512)
    )
    config_map = render(
        ("profile", {"name": "photos"}),
        profile=profile,
        routing=replace(ROUTING, workers=refs),
        assignments={ref.name: Assignment(10**9, names[1], Role.HEAVY, 1024) for ref in refs},
    )
    assert len(json.dumps(config_map)) < ONE_MIB / 2


def test_the_set_of_models_that_workers_wait_for_is_the_one_in_force() -> None:
    record = replace(rendered.a_record(), models_hash="0badcafe")
    assert plans.render(OWNER, record)["data"]["models.hash"] == "0badcafe"


def test_a_new_leader_finds_every_version_that_was_written() -> None:
    live = render(routing=ROUTING, assignments=ASSIGNMENTS)
    assert sorted(plans.read_versions(live)) == [5, 7, 7]
    assert plans.read_versions(render()) == []


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"routing.json": "", "assignments.json": "{"},
        {"routing.json": "[]", "assignments.json": '{"w0": 3, "w1": {"version": "4"}}'},
        {"routing.json": '{"version": null}'},
    ],
)
def test_what_somebody_has_spoilt_counts_for_nothing(data: Manifest | None) -> None:
    assert plans.read_versions({"data": data} if data is not None else {}) == []
