"""The plan on record over the workers that are there."""

from dataclasses import replace

import pytest

from hadis.planning.cycles import CycleState
from hadis.planning.snapshots import ObservedRouter, ObservedWorker, Snapshot
from hadis.terms.assignments import Assignment, Lane, Role, RoutingTable, WorkerRef
from hadis.terms.ids import ModelName, WorkerName
from hadis_operator import reissuing
from hadis_operator.reissuing import Reissue

TINY, BIG = ModelName("tiny"), ModelName("big")
LANE = Lane(1.0, TINY, BIG, 0.5, 0.2)
LIGHT, HEAVY = Assignment(5, TINY, Role.LIGHT, 4, 0.2), Assignment(4, BIG, Role.HEAVY, 2)


def a_ref(slot: str, model: ModelName) -> WorkerRef:
    return WorkerRef(WorkerName(slot), f"{slot}:8000", f"uid-{slot}", model)


def a_state(**parts: Assignment) -> CycleState:
    given = parts or {"w0": LIGHT, "w1": HEAVY}
    refs = tuple(a_ref(slot, part.model or TINY) for slot, part in sorted(given.items()))
    return CycleState(
        version=5,
        routing=RoutingTable(5, (LANE,), refs),
        assignments={WorkerName(slot): part for slot, part in given.items()},
    )


def a_worker(slot: str, version: int = 4, **changes: object) -> ObservedWorker:
    worker = ObservedWorker(
        WorkerName(slot),
        uid=f"uid-{slot}",
        address=f"{slot}:8000",
        ready=True,
        assignment=replace(LIGHT, version=version),
    )
    return replace(worker, **changes)


def issued(state: CycleState, *workers: ObservedWorker, routed: int = 5) -> Reissue:
    snapshot = Snapshot(0.0, workers, (ObservedRouter("r", routing_version=routed),))
    found = reissuing.reissue(state, snapshot, {TINY, BIG}, {"quality": 1, "version": 3})
    assert found is not None
    return found


def models(found: Reissue) -> dict[str, ModelName | None]:
    return {str(name): part.model for name, part in found.assignments.items()}


def test_over_the_same_workers_nothing_changes() -> None:
    state = a_state()
    found = issued(state, a_worker("w0"), a_worker("w1"))
    assert found.routing == state.routing
    assert found.assignments == state.assignments
    assert found.summary["version"] == 5
    assert found.summary["quality"] == 1
    assert found.summary["batch"] == {TINY: 4, BIG: 2}


def test_who_leaves_is_out_of_the_table_and_who_comes_has_a_part() -> None:
    found = issued(a_state(), a_worker("w0"), a_worker("w1", draining=True))
    assert [ref.name for ref in found.routing.workers] == ["w0"]
    assert found.routing.version == 6
    assert found.assignments[WorkerName("w0")] is LIGHT
    found = issued(a_state(), *(a_worker(f"w{n}") for n in range(4)))
    assert models(found) == {"w0": TINY, "w1": BIG, "w2": BIG, "w3": TINY}
    assert found.assignments[WorkerName("w2")] == replace(HEAVY, version=6)
    # One that does not serve yet is told its part all the same.
    found = issued(a_state(), a_worker("w0"), a_worker("w1", ready=False))
    assert [ref.name for ref in found.routing.workers] == ["w0"]
    assert models(found) == {"w0": TINY, "w1": BIG}


def test_a_model_that_lost_its_workers_gets_one_but_none_that_the_plan_gave_none() -> None:
    state = a_state(w0=LIGHT, w1=LIGHT, w2=HEAVY)
    assert models(issued(state, a_worker("w0"), a_worker("w1"))) == {"w0": TINY, "w1": BIG}
    assert models(issued(state, a_worker("w0"))) == {"w0": TINY}
    state = a_state(w0=HEAVY, w1=HEAVY)
    assert models(issued(state, a_worker("w0"), a_worker("w1"))) == {"w0": BIG, "w1": BIG}


@pytest.mark.parametrize(("told", "routed"), [(70, 5), (4, 70)])
def test_everything_is_issued_above_whatever_somebody_else_has_told(told: int, routed: int) -> None:
    found = issued(a_state(), a_worker("w0", told), a_worker("w1"), routed=routed)
    assert found.routing.version == 71
    assert {part.version for part in found.assignments.values()} == {71}


def test_without_a_record_or_with_other_models_there_is_nothing_to_issue() -> None:
    snapshot = Snapshot(0.0, (a_worker("w0"),))
    assert reissuing.reissue(CycleState(version=3), snapshot, {TINY, BIG}, {}) is None
    assert reissuing.reissue(a_state(), snapshot, {TINY}, {}) is None
