"""One control cycle after another: versions, lanes, modes, lost workers."""

from dataclasses import replace
from typing import Any

import pytest

from hadis.errors import InvalidProfile
from hadis.planning import cycles, stating
from hadis.planning.cycles import CycleInput, CycleOutput, CycleState
from hadis.planning.snapshots import ObservedRouter, ObservedWorker, Snapshot
from hadis.terms.assignments import Assignment, Role
from hadis.terms.cascades import OnOverload, PinnedPlan, PlannerMode, PlannerSettings
from hadis.terms.ids import ModelName, WorkerName
from hadis.terms.profiles import Profile
from support.cascades import a_cascade
from support.profiles import FULFILMENT, a_profile, a_row, a_scenes_profile

SCENES = a_scenes_profile()
CASCADE = a_cascade("xs", "s", "m", "l")
EVERYTHING = frozenset(ModelName(name) for name in ("xs", "s", "m", "l"))


def a_worker(number: int = 0, **changes: Any) -> ObservedWorker:
    worker = ObservedWorker(
        name=WorkerName(f"w{number}"),
        uid=f"u{number}",
        address=f"127.0.0.1:{9000 + number}",
        ready=True,
        resident=EVERYTHING,
    )
    return replace(worker, **changes)


class Loop:
    """Calls the cycle every five seconds with what one router has counted."""

    def __init__(self, cascade: Any = CASCADE, profile: Profile | None = SCENES) -> None:
        self.cascade, self.profile = cascade, profile
        self.state, self.now_s, self.arrived = CycleState(), 0.0, 0
        self.workers: tuple[ObservedWorker, ...] = (a_worker(0), a_worker(1))

    def step(self, arrivals: int = 0, **snapshot: Any) -> CycleOutput:
        self.arrived += arrivals
        router = ObservedRouter(uid="r", arrived=self.arrived, planned=self.arrived)
        seen = Snapshot(self.now_s, self.workers, (router,))
        output = cycles.run_cycle(
            CycleInput(self.cascade, self.profile, replace(seen, **snapshot), self.state)
        )
        self.state = output.state
        self.now_s += 5.0
        return output


def test_the_first_plan_is_made_before_any_worker_exists() -> None:
    loop = Loop()
    loop.workers = ()
    output = loop.step()
    assert output.routing.version == 1
    assert output.routing.workers == ()
    assert output.assignments == {}
    assert sum(output.plan.workers.values()) == CASCADE.workers
    assert output.plan.main_lane.heavy == "l"


def test_a_quiet_cycle_raises_no_version_and_tells_no_news() -> None:
    loop = Loop()
    first = loop.step()
    second = loop.step()
    assert first.events
    assert second.events == ()
    assert second.routing == first.routing
    assert second.assignments == first.assignments


def test_only_what_changed_gets_the_new_version() -> None:
    loop = Loop()
    first = loop.step()
    loop.workers = (a_worker(0), a_worker(1, uid="another", address="127.0.0.1:9999"))
    second = loop.step()
    assert second.routing.version == first.routing.version + 1
    assert [ref.uid for ref in second.routing.workers] == ["u0", "another"]
    assert {a.version for a in second.assignments.values()} == {first.routing.version}


def test_a_new_leader_goes_on_above_what_the_fleet_reports() -> None:
    loop = Loop()
    reported = Assignment(41, ModelName("l"), Role.LIGHT, 8)
    loop.workers = (a_worker(0, assignment=reported), a_worker(1))
    output = loop.step(
        routers=(ObservedRouter(uid="r", routing_version=57),),
    )
    assert output.routing.version == 58
    assert {a.version for a in output.assignments.values()} == {58}


def test_assignments_carry_the_plans_batch_role_and_threshold() -> None:
    output = Loop().step()
    for assignment in output.assignments.values():
        assert assignment.model is not None
        assert assignment.batch_size == output.plan.batch[assignment.model]
        assert assignment.role is Role.LIGHT
        assert assignment.quality_threshold == output.plan.main_lane.quality_threshold


def test_workers_that_are_not_ready_get_an_assignment_but_no_requests() -> None:
    loop = Loop()
    loop.workers = (a_worker(0), a_worker(1, ready=False, address=""))
    output = loop.step()
    assert [ref.name for ref in output.routing.workers] == ["w0"]
    assert set(output.assignments) == {"w0", "w1"}


def test_a_worker_that_falls_silent_counts_for_a_while() -> None:
    loop = Loop()
    loop.step()
    loop.workers = (a_worker(0),)
    plans = [loop.step() for _ in range(5)]
    assert sum(plans[1].plan.workers.values()) == 2
    assert [ref.name for ref in plans[1].routing.workers] == ["w0"]
    assert sum(plans[-1].plan.workers.values()) == 1


def test_a_draining_worker_has_no_part_in_the_plan() -> None:
    loop = Loop()
    loop.step()
    loop.workers = (a_worker(0), a_worker(1, draining=True))
    output = loop.step()
    assert sum(output.plan.workers.values()) == 1
    assert set(output.assignments) == {"w0"}
    assert [ref.name for ref in output.routing.workers] == ["w0"]


def test_a_further_worker_is_used_at_once() -> None:
    loop = Loop()
    loop.step()
    loop.workers = (*loop.workers, a_worker(2))
    output = loop.step()
    assert sum(output.plan.workers.values()) == 3
    assert all(a.role is not Role.IDLE for a in output.assignments.values())


def test_load_moves_the_plan_to_lighter_models_at_once() -> None:
    loop = Loop()
    calm = loop.step()
    for _ in range(6):
        loop.step(arrivals=2)
    busy = loop.step(arrivals=40)
    assert calm.plan.main_lane.light == "l"
    assert busy.plan.quality < calm.plan.quality
    assert "could not carry" in str(busy.summary["because"])
    assert busy.routing.version > calm.routing.version


def test_better_quality_waits_for_evidence() -> None:
    loop = Loop()
    for _ in range(10):
        loop.step(arrivals=30)
    busy = loop.state.plan
    qualities = [loop.step(arrivals=1).plan.quality for _ in range(12)]
    assert busy is not None
    assert qualities[0] == pytest.approx(busy.quality)
    assert qualities[-1] > busy.quality
    first_better = next(n for n, quality in enumerate(qualities) if quality > busy.quality + 0.01)
    assert 3 <= first_better <= 8


def pinned_to(model: str) -> Any:
    pinned = PinnedPlan(ModelName(model), ModelName(model), float("inf"), 0.5)
    return replace(CASCADE, planner=PlannerSettings(mode=PlannerMode.PINNED, pinned=pinned))


def shares_of(output: CycleOutput) -> dict[str, float]:
    return {lane.light: lane.share for lane in output.routing.lanes}


def test_lanes_wait_for_workers_that_must_load() -> None:
    large, small = frozenset({ModelName("l")}), frozenset({ModelName("xs")})
    loop = Loop(pinned_to("l"))
    loop.workers = (a_worker(0, resident=large), a_worker(1, resident=large))
    loop.step()
    loop.cascade = pinned_to("xs")
    changing = loop.step()
    assert shares_of(changing) == {"l": 1.0}
    assert [a.model for a in changing.assignments.values()].count(ModelName("xs")) == 1
    loading = next(n for n in (0, 1) if changing.assignments[WorkerName(f"w{n}")].model == "xs")
    loop.workers = tuple(a_worker(n, resident=small if n == loading else large) for n in (0, 1))
    halfway = loop.step()
    assert shares_of(halfway) == {"l": 0.5, "xs": 0.5}
    assert {a.model for a in halfway.assignments.values()} == {"xs"}
    loop.workers = (a_worker(0, resident=small), a_worker(1, resident=small))
    done = loop.step()
    assert shares_of(done) == {"xs": 1.0}
    assert changing.routing.version < halfway.routing.version < done.routing.version


def test_a_pinned_plan_is_taken_as_it_is() -> None:
    pinned = PinnedPlan(ModelName("xs"), ModelName("m"), 0.9, 0.42)
    settings = PlannerSettings(mode=PlannerMode.PINNED, pinned=pinned)
    loop = Loop(replace(CASCADE, planner=settings))
    output = loop.step()
    lane = output.plan.main_lane
    assert (lane.light, lane.heavy) == ("xs", "m")
    assert (lane.hardness_threshold, lane.quality_threshold) == (0.9, 0.42)
    assert output.plan.workers == {"xs": 1, "m": 1}
    again = loop.step(arrivals=50)
    assert again.plan.lanes == output.plan.lanes
    assert again.routing == output.routing


def test_observing_proposes_but_changes_nothing() -> None:
    settings = PlannerSettings(mode=PlannerMode.OBSERVE)
    loop = Loop(replace(CASCADE, planner=settings))
    first = loop.step()
    for _ in range(4):
        output = loop.step(arrivals=60)
    assert output.routing == first.routing
    proposed = output.summary["proposed"]
    assert isinstance(proposed, dict)
    assert proposed["pair"] != output.summary["pair"]


def test_a_changed_cascade_is_planned_anew_without_patience() -> None:
    loop = Loop()
    loop.step()
    loop.cascade = replace(CASCADE, models=CASCADE.models[:2])
    output = loop.step()
    assert {lane.heavy for lane in output.plan.lanes} <= {"xs", "s"}
    assert output.routing.version == 2


def test_only_the_first_plan_of_all_is_called_that() -> None:
    loop = Loop()
    reasons = [loop.step().summary["because"]]
    loop.cascade = replace(CASCADE, slo_s=20.0)
    reasons.append(loop.step().summary["because"])
    loop.workers = (*loop.workers, a_worker(2))
    reasons.append(loop.step().summary["because"])
    assert reasons == [
        "first plan",
        "first plan of the changed cascade",
        "the number of workers has changed",
    ]


def test_a_planner_that_goes_on_from_another_ones_version_says_so() -> None:
    loop = Loop()
    loop.state = CycleState(version=7)
    output = loop.step()
    assert output.routing.version == 8
    assert output.summary["because"] == "first plan of another planner"


@pytest.mark.parametrize(("rate", "waiting"), [(1, 2), (2, 4)])
def test_when_the_load_is_gone_its_queues_are_no_reason_for_another_plan(
    rate: int, waiting: int
) -> None:
    loop = Loop()
    idle = loop.workers
    for _ in range(30):
        used = loop.step(5 * rate).plan.workers
        loop.workers = tuple(
            replace(worker, waiting=dict.fromkeys(used, waiting)) for worker in idle
        )
    loop.workers = idle
    outputs = [loop.step() for _ in range(70)]
    told = [event for output in outputs for event in output.events]
    assert not [event for event in told if "missed the deadline" in event]
    assert outputs[-1].plan.main_lane.light == "l"


def test_disabled_stages_leave_their_rows_out() -> None:
    no_judge = Loop(replace(CASCADE, discriminator_stage=False)).step().plan
    assert no_judge.main_lane.quality_threshold == float("-inf")
    no_router = Loop(replace(CASCADE, router_stage=False)).step().plan
    assert no_router.main_lane.hardness_threshold == float("inf")


def test_models_that_no_worker_can_load_are_left_out() -> None:
    loop = Loop()
    loop.workers = tuple(a_worker(n, broken=frozenset({ModelName("l")})) for n in range(2))
    assert "l" not in loop.step().plan.workers


def test_a_lone_model_needs_no_profile() -> None:
    loop = Loop(a_cascade("xs", profile_name=None), None)
    output = loop.step(arrivals=100)
    assert output.plan.workers == {"xs": 2}
    assert output.summary["mean_latency_s"] is None


def test_a_profile_of_other_models_is_refused() -> None:
    with pytest.raises(InvalidProfile, match="no row for the models of cascade test"):
        Loop(a_cascade("one", "two")).step()


def test_rows_are_made_anew_only_when_something_that_they_follow_from_has_changed() -> None:
    loop = Loop()

    def rows(arrivals: int = 0) -> Profile:
        table = loop.step(arrivals).state.table
        assert table is not None
        return table.profile

    first = rows()
    loop.workers = (*loop.workers, a_worker(2))
    assert rows(arrivals=50) is first
    loop.workers = (a_worker(0, broken=frozenset({ModelName("l")})),)
    assert not [row for row in rows().rows if row.heavy == "l" and row.heavy_ratio > 0.0]


def test_ratios_and_latencies_do_not_move_to_and_fro() -> None:
    assert stating._stepped(0.031, 0.02, None) == pytest.approx(0.04)
    assert stating._stepped(0.029, 0.02, 0.04) == 0.04
    assert stating._stepped(0.019, 0.02, 0.04) == pytest.approx(0.02)


def test_shedding_keeps_the_quality_of_the_plan_in_force() -> None:
    tight = a_profile(
        {"small": {1: 0.5}, "large": {1: 2.0}},
        [
            a_row("small", "small", quality=0.3, metric="fulfilment"),
            a_row("large", "large", quality=0.8, metric="fulfilment"),
        ],
        quality=FULFILMENT,
    )
    outputs = {}
    for answer in OnOverload:
        loop = Loop(a_cascade(planner=PlannerSettings(on_overload=answer)), tight)
        loop.workers = tuple(
            a_worker(n, resident=frozenset({ModelName("small"), ModelName("large")}))
            for n in range(2)
        )
        for _ in range(3):
            outputs[answer] = loop.step(arrivals=0)
        for _ in range(4):
            outputs[answer] = loop.step(arrivals=100)
    assert set(outputs[OnOverload.DEGRADE].plan.workers) == {"small"}
    assert set(outputs[OnOverload.SHED].plan.workers) == {"large"}
    assert outputs[OnOverload.SHED].plan.reasons.predicted_violation_ratio > 0.9


def test_slower_workers_get_a_lighter_plan() -> None:
    loop = Loop()
    loop.workers = tuple(a_worker(n, latency_scale=8.0) for n in range(2))
    slow = loop.step().plan
    fast = Loop().step().plan
    assert slow.latency_s > fast.latency_s
    assert slow.latency_s <= CASCADE.slo_s


def test_one_slow_report_changes_nothing_and_lasting_slowness_does() -> None:
    loop = Loop()
    for _ in range(10):
        settled = loop.step(arrivals=4)
    slow = tuple(a_worker(n, latency_scale=8.0) for n in range(2))
    quick = tuple(a_worker(n, latency_scale=1.0) for n in range(2))
    loop.workers = quick
    loop.step(arrivals=4)
    loop.workers = tuple(replace(worker, latency_scale=1.3) for worker in quick)
    assert loop.step(arrivals=4).plan.lanes == settled.plan.lanes
    loop.workers = slow
    for _ in range(6):
        output = loop.step(arrivals=4)
    assert output.plan.quality < settled.plan.quality
    assert output.state.latency_scale == pytest.approx(8.0, rel=0.1)


def test_the_summary_has_every_key_of_a_plan_line() -> None:
    summary = Loop().step().summary
    want = {"status", "pair", "hardness_threshold", "quality_threshold", "quality", "workers"}
    want |= {"batch", "route_ratio", "lanes", "latency_s", "mean_latency_s", "solve_s", "reasons"}
    want |= {"version", "demand", "light", "heavy", "mode"}
    assert want <= set(summary)
    assert "fid" not in summary
