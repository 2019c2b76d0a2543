"""Two time scales: models follow the demand a few at a time, thresholds at once."""

from dataclasses import replace

import pytest

from hadis.planning import cycles, observing
from hadis.planning.cycles import CycleInput, CycleOutput, CycleState
from hadis.planning.problems import PlanStatus
from hadis.planning.snapshots import ObservedRouter, ObservedWorker, Snapshot
from hadis.terms.assignments import Role
from hadis.terms.cascades import OnOverload, PlannerSettings
from hadis.terms.ids import ModelName, WorkerName
from support.cascades import a_cascade
from support.profiles import a_scenes_profile

PROFILE = a_scenes_profile()
WORKERS = 16
CASCADE = a_cascade("xs", "s", "m", "l", workers=WORKERS)
SWAP_S = 60.0


class Fleet:
    """Sixteen workers that hold one model each and take a minute to load another."""

    def __init__(self, swap_s: float = SWAP_S) -> None:
        self.swap_s = {ModelName(name): swap_s for name in ("xs", "s", "m", "l")}
        self.cascade = CASCADE
        self.holds: dict[str, str] = {}
        self.ready_at_s: dict[str, float] = {}
        self.state, self.now_s, self.arrived = CycleState(), 0.0, 0
        self.output: CycleOutput | None = None

    def given(self) -> CycleInput:
        """What a cycle would get now."""
        router = ObservedRouter(uid="r", arrived=self.arrived, planned=self.arrived)
        snapshot = Snapshot(self.now_s, tuple(self._workers()), (router,))
        return CycleInput(self.cascade, PROFILE, snapshot, self.state, swap_s=self.swap_s)

    def step(self, rate: float) -> CycleOutput:
        """Five seconds at `rate`, then a cycle."""
        self.arrived += round(5.0 * rate)
        self.now_s += 5.0
        self.output = cycles.run_cycle(self.given())
        self.state = self.output.state
        for name, assignment in self.output.assignments.items():
            model = str(assignment.model)
            if self.holds.get(name) != model:
                # Whoever starts with a model has it; everybody else loads it first.
                wait_s = self.swap_s[ModelName(model)] if name in self.holds else 0.0
                self.ready_at_s[name] = self.now_s + wait_s
                self.holds[name] = model
        return self.output

    @property
    def loading(self) -> int:
        return sum(1 for at_s in self.ready_at_s.values() if at_s > self.now_s)

    def ready(self, model: str) -> int:
        return sum(
            1
            for name, held in self.holds.items()
            if held == model and self.ready_at_s[name] <= self.now_s
        )

    def _workers(self) -> list[ObservedWorker]:
        names = [f"w{n:02d}" for n in range(WORKERS)]
        everything = frozenset(ModelName(name) for name in ("xs", "s", "m", "l"))
        return [
            ObservedWorker(
                name=WorkerName(name),
                uid=name,
                address=f"127.0.0.1:{9000 + n}",
                ready=self.ready_at_s.get(name, 0.0) <= self.now_s,
                resident=frozenset({ModelName(self.holds[name])})
                if name in self.holds and self.ready_at_s[name] <= self.now_s
                else (frozenset() if name in self.holds else everything),
            )
            for n, name in enumerate(names)
        ]


def models_of(output: CycleOutput) -> set[str]:
    return {name for lane in output.routing.lanes for name in (lane.light, lane.heavy)}


def used_models(output: CycleOutput) -> set[str]:
    return set(output.plan.workers)


@pytest.fixture
def calm() -> Fleet:
    fleet = Fleet()
    for _ in range(20):
        fleet.step(2.0)
    return fleet


def test_no_lane_uses_a_model_that_nobody_has_ready(calm: Fleet) -> None:
    for rate in (20.0, 40.0, 60.0, 60.0, 60.0, 20.0, 2.0, 2.0, 2.0):
        for _ in range(3):
            output = calm.step(rate)
            assert all(calm.ready(name) > 0 for name in used_models(output))


def test_at_most_three_of_sixteen_load_at_once(calm: Fleet) -> None:
    most = 0
    for _ in range(60):
        calm.step(60.0)
        most = max(most, calm.loading)
    assert 1 <= most <= 3


def test_thresholds_follow_a_burst_before_any_worker_has_swapped(calm: Fleet) -> None:
    before = calm.output
    assert before is not None
    calm.step(24.0)
    burst = calm.step(24.0)
    assert burst.plan.quality < before.plan.quality
    assert burst.plan.status is not PlanStatus.OVERLOAD
    assert calm.ready("l") >= before.plan.workers.get(ModelName("l"), 0) - 3


def test_an_overload_that_is_to_be_shed_keeps_models_and_quality(calm: Fleet) -> None:
    settings = PlannerSettings(on_overload=OnOverload.SHED)
    calm.cascade = a_cascade("xs", "s", "m", "l", workers=WORKERS, planner=settings)
    before, held = calm.step(2.0), dict(calm.holds)
    for _ in range(3):
        shed = calm.step(10_000.0)
        assert shed.plan.status is PlanStatus.OVERLOAD
        assert shed.plan.quality >= before.plan.quality - 0.02
    assert calm.holds == held


def test_ratios_are_not_trusted_while_thresholds_still_move(calm: Fleet) -> None:
    calm.step(2.0)
    lanes = calm.state.serving.lanes if calm.state.serving else ()
    calm.step(24.0)
    assert calm.state.serving is not None
    assert calm.state.serving.lanes != lanes
    assert calm.state.tuned_at_s == calm.now_s
    given = calm.given()
    assert not observing._ratios_are_trusted(given)
    later = replace(given.snapshot, now_s=calm.now_s + CASCADE.slo_s + 1.0)
    assert observing._ratios_are_trusted(replace(given, snapshot=later))


def test_the_lightest_model_has_room_in_reserve(calm: Fleet) -> None:
    assert calm.ready("xs") >= 2


def test_a_long_rise_ends_with_the_models_that_carry_it(calm: Fleet) -> None:
    for n in range(60):
        output = calm.step(2.0 + n)
    assert output.plan.status is not PlanStatus.OVERLOAD
    assert calm.ready("l") < 8


def test_a_steady_demand_moves_no_worker(calm: Fleet) -> None:
    held = dict(calm.holds)
    for _ in range(40):
        calm.step(2.0)
    assert calm.holds == held


def test_quick_swaps_are_decided_as_one() -> None:
    fleet = Fleet(swap_s=1.0)
    output = fleet.step(2.0)
    assert fleet.state.serving is None
    assert "target_workers" not in output.summary


def test_what_stands_by_has_a_part_and_a_batch_size(calm: Fleet) -> None:
    output = calm.step(2.0)
    for assignment in output.assignments.values():
        assert assignment.role is not Role.IDLE
        assert assignment.batch_size >= 1


def test_what_loading_takes_is_what_workers_report_of_models_that_not_all_have() -> None:
    seconds = {ModelName("xs"): 1.0, ModelName("l"): 30.0}
    first = ObservedWorker(
        name=WorkerName("w0"), ready=True, resident=frozenset(seconds), load_s=seconds
    )
    second = replace(first, name=WorkerName("w1"), load_s={ModelName("l"): 50.0})
    assert Snapshot(0.0, (first, second)).load_s() == {}
    small = replace(second, resident=frozenset({ModelName("xs")}))
    found = Snapshot(0.0, (first, small))
    assert found.load_s() == {"l": 40.0}
    given = CycleInput(CASCADE, PROFILE, found, CycleState())
    assert given.longest_swap_s == 40.0
    assert replace(given, swap_s={}).longest_swap_s == 0.0
    starting = replace(small, ready=False, resident=frozenset())
    assert Snapshot(0.0, (first, starting)).load_s() == {}
