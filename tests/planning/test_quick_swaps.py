"""Where a model is there within seconds, images wait for it instead of lanes."""

from dataclasses import replace
from typing import Any

import pytest

from hadis.planning import arriving, cycles
from hadis.planning.cycles import CycleInput, CycleOutput, CycleState
from hadis.planning.snapshots import ObservedRouter, ObservedWorker, Snapshot
from hadis.terms.assignments import Assignment, Role
from hadis.terms.ids import ModelName, WorkerName
from support.cascades import a_cascade
from support.profiles import a_scenes_profile

XS, S, M, L = (ModelName(name) for name in ("xs", "s", "m", "l"))
CASCADE = a_cascade("xs", "s", "m", "l", workers=4)
PROFILE = a_scenes_profile()
QUICK = dict.fromkeys((XS, S, M, L), 2.0)


def a_worker(number: int = 0, **changes: Any) -> ObservedWorker:
    """A worker that holds `l`, and has held every other model before."""
    worker = ObservedWorker(
        name=WorkerName(f"w{number}"),
        uid=f"u{number}",
        address=f"127.0.0.1:{9000 + number}",
        ready=True,
        resident=frozenset((L,)),
        load_s=QUICK,
        assignment=Assignment(1, L, Role.LIGHT, 1),
    )
    return replace(worker, **changes)


def counted(worker: ObservedWorker, within_s: float = 5.0) -> ObservedWorker:
    [found] = arriving.count_in(Snapshot(0.0, (worker,)), within_s).workers
    return found


class Loop:
    """Calls the cycle every five seconds, with workers that do as they are told."""

    def __init__(self, load_s: float = 2.0) -> None:
        seconds = dict.fromkeys(QUICK, load_s)
        self.workers = [a_worker(number, load_s=seconds) for number in range(4)]
        self.state, self.now_s, self.arrived = CycleState(), 0.0, 0

    def step(self, rate: float) -> CycleOutput:
        self.arrived += round(5.0 * rate)
        self.now_s += 5.0
        router = ObservedRouter(uid="r", arrived=self.arrived, planned=self.arrived)
        snapshot = Snapshot(self.now_s, tuple(self.workers), (router,))
        output = cycles.run_cycle(CycleInput(CASCADE, PROFILE, snapshot, self.state))
        self.state = output.state
        return output

    def obey(self, output: CycleOutput, *, is_loading: bool) -> None:
        """Take over the assignments; who has another model is out while it loads that."""
        for number, worker in enumerate(self.workers):
            told = output.assignments[worker.name]
            has = told.model in worker.resident
            self.workers[number] = replace(
                worker,
                assignment=told,
                ready=has or not is_loading,
                resident=worker.resident if has and told.model else frozenset(),
            )


@pytest.fixture
def calm() -> Loop:
    """Four workers that serve one request a second with their largest model."""
    loop = Loop()
    for _ in range(8):
        output = loop.step(1.0)
    assert {ref.model for ref in output.routing.workers} == {L}
    return loop


def test_only_swaps_that_cost_something_and_end_within_a_cycle_are_quick() -> None:
    assert [arriving.is_quick(seconds, 5.0) for seconds in (0.0, 0.1, 5.0, 5.1)] == [
        False, True, True, False,
    ]  # fmt: skip


def test_images_wait_for_a_quarter_of_their_time_at_most() -> None:
    assert arriving.patience_s(5.0, 60.0) == 5.0
    assert arriving.patience_s(60.0, 10.0) == 2.5


@pytest.mark.parametrize(("interval_s", "slo_s"), [(5.0, 5.0), (60.0, 5.0)])
def test_a_load_that_takes_most_of_the_slo_is_not_quick(interval_s: float, slo_s: float) -> None:
    planner = replace(CASCADE.planner, interval_s=interval_s)
    cascade = replace(CASCADE, slo_s=slo_s, planner=planner)
    snapshot = Snapshot(0.0, (a_worker(0), a_worker(1)))
    output = cycles.run_cycle(CycleInput(cascade, PROFILE, snapshot, CycleState()))
    assert {ref.arrives_in_s for ref in output.routing.workers} <= {0.0}
    calm = replace(cascade, slo_s=8.0)
    assert cycles._with_arriving(CycleInput(calm, PROFILE, snapshot, CycleState())).swap_s


def test_a_worker_counts_as_having_what_it_has_loaded_before() -> None:
    found = counted(a_worker(load_s={S: 1.0, M: 5.0}))
    assert found.resident == {L, S, M}
    assert found.arriving_s == {S: 1.0, M: 5.0}
    assert found.ready


def test_what_takes_longer_or_was_never_loaded_or_fails_does_not_count() -> None:
    found = counted(a_worker(load_s={S: 1.0, M: 5.1}, broken=frozenset((S,))))
    assert found.resident == {L}
    assert found.arriving_s == {}


def test_a_worker_that_loads_its_model_counts_as_ready() -> None:
    loading = a_worker(
        ready=False, resident=frozenset(), assignment=Assignment(2, M, Role.HEAVY, 1)
    )
    assert counted(loading).ready
    assert counted(loading).arriving_s[M] == 2.0
    assert not counted(replace(loading, load_s={S: 1.0})).ready
    # It has its model and still is not ready: something else is missing, its discriminator say.
    assert not counted(replace(loading, resident=frozenset((M,)))).ready


def test_lanes_go_over_at_once_and_the_table_tells_what_is_still_to_load(calm: Loop) -> None:
    before = calm.step(1.0)
    after = calm.step(12.0)
    assert after.events
    lights = {lane.light for lane in after.routing.lanes}
    assert L not in lights
    assert calm.state.serving is None
    assert {ref.arrives_in_s for ref in before.routing.workers} == {0.0}
    assert {ref.arrives_in_s for ref in after.routing.workers if ref.model != L} == {2.0}
    assert len(after.routing.workers) == 4


def test_who_loads_stays_in_the_table_until_it_has_its_model(calm: Loop) -> None:
    told = calm.step(12.0)
    calm.obey(told, is_loading=True)
    meanwhile = calm.step(12.0)
    assert [ref.name for ref in meanwhile.routing.workers] == ["w0", "w1", "w2", "w3"]
    assert max(ref.arrives_in_s for ref in meanwhile.routing.workers) == 2.0
    for number, worker in enumerate(calm.workers):
        model = worker.assignment.model if worker.assignment else None
        calm.workers[number] = replace(worker, ready=True, resident=frozenset((model or L,)))
    then = calm.step(12.0)
    assert {ref.arrives_in_s for ref in then.routing.workers} == {0.0}


def test_slow_swaps_leave_who_loads_out_of_the_table() -> None:
    loop = Loop(load_s=60.0)
    for _ in range(8):
        output = loop.step(1.0)
    output = loop.step(12.0)
    loop.obey(output, is_loading=True)
    loading = [worker.name for worker in loop.workers if not worker.ready]
    assert loading
    told = {ref.name for ref in loop.step(12.0).routing.workers}
    assert told.isdisjoint(loading)


def test_a_swap_still_has_its_price_while_workers_count_as_having_the_model(calm: Loop) -> None:
    given = CycleInput(CASCADE, PROFILE, Snapshot(0.0, tuple(calm.workers)), CycleState())
    assert given.longest_swap_s == 2.0
    assert dict(cycles._with_arriving(given).swaps_s) == {XS: 2.0, S: 2.0, M: 2.0}
