"""Lanes from an old plan to a new one."""

import pytest

from hadis.planning import switching
from hadis.planning.snapshots import ObservedWorker
from hadis.terms.assignments import Lane
from hadis.terms.ids import ModelName, WorkerName

A, B, C = ModelName("a"), ModelName("b"), ModelName("c")
OLD = (Lane(1.0, A, B, 0.5, 0.5),)
NEW = (Lane(0.6, A, C, 0.4, 0.4), Lane(0.4, C, C, 0.4, 0.4))


def test_shares_move_and_add_up_to_one() -> None:
    lanes = switching.blend(OLD, NEW, 0.5)
    assert [lane.heavy for lane in lanes] == [B, C, C]
    assert [lane.share for lane in lanes] == pytest.approx([0.5, 0.3, 0.2])
    assert switching.blend(OLD, NEW, 1.0) == NEW
    assert switching.blend((), NEW, 0.0) == NEW


def test_a_lane_in_both_plans_is_one_lane() -> None:
    lanes = switching.blend(OLD, (Lane(0.5, A, B, 0.5, 0.5), Lane(0.5, A, C, 0.4, 0.4)), 0.5)
    assert [(lane.heavy, lane.share) for lane in lanes] == [(B, 0.75), (C, 0.25)]


def test_readiness_is_that_of_the_least_ready_pool() -> None:
    workers = [
        ObservedWorker(WorkerName("w0"), ready=True, resident=frozenset({A})),
        ObservedWorker(WorkerName("w1"), ready=False, resident=frozenset({A})),
        ObservedWorker(WorkerName("w2"), ready=True, resident=frozenset({C})),
    ]
    placed = {WorkerName("w0"): A, WorkerName("w1"): A, WorkerName("w2"): C}
    assert switching.readiness({A: 2, C: 1}, workers, placed) == 0.5
    assert switching.readiness({B: 1}, workers, placed) == 0.0
    assert switching.readiness({}, workers, placed) == 1.0


def test_a_resident_model_counts_without_a_worker_of_its_own() -> None:
    workers = [ObservedWorker(WorkerName("w0"), ready=True, resident=frozenset({A, B}))]
    assert switching.readiness({B: 1}, workers, {WorkerName("w0"): A}) == 1.0
