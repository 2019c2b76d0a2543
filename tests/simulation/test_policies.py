"""Each policy does what the paper says of it."""

from dataclasses import replace

import pytest

from hadis.errors import InvalidInput, InvalidProfile
from hadis.planning import solving
from hadis.planning.problems import Problem
from hadis.planning.snapshots import ObservedRouter, ObservedWorker, Snapshot
from hadis.simulation import directing, policies, replaying
from hadis.simulation.books import ESCALATED, HEAVY, LIGHT
from hadis.simulation.directing import Directive, Manner, Policy
from hadis.simulation.policies import POLICIES
from hadis.simulation.policies.caching import RANGES
from hadis.simulation.replaying import Watch
from hadis.simulation.scenarios import Scenario
from hadis.terms.ids import ModelName, WorkerName
from support.profiles import a_profile, a_row
from support.replays import Scripted, a_lane, a_scenario, a_steady_trace, a_trace

SMALL, MIDDLE, LARGE = map(ModelName, ("small", "middle", "large"))
A_SCENARIO = a_scenario(a_trace([0.0]), workers=8)


def seen_by(
    scenario: Scenario, now_s: float, arrived: int, waiting: dict[ModelName, int] | None = None
) -> Snapshot:
    """Workers that hold everything; what waits does so at the first one."""
    models = frozenset(scenario.models)
    workers = [
        ObservedWorker(WorkerName(f"w{i}"), "u", f"w{i}", ready=True, resident=models)
        for i in range(scenario.workers)
    ]
    workers[0] = replace(workers[0], waiting=waiting or {})
    return Snapshot(now_s, tuple(workers), (ObservedRouter("r", arrived=arrived),))


def first_plan(name: str, demand_per_s: float, scenario: Scenario = A_SCENARIO) -> Directive:
    policy = policies.make(name, scenario)
    policy.start(demand_per_s)
    return policy.plan(seen_by(scenario, 0.0, 0))


def counts(directive: Directive) -> dict[ModelName, int]:
    found: dict[ModelName, int] = {}
    for assignment in directive.assignments.values():
        assert assignment.model is not None
        found[assignment.model] = found.get(assignment.model, 0) + 1
    return found


def directives(scenario: Scenario, name: str) -> list[tuple[float, Directive]]:
    seen: list[tuple[float, Directive]] = []
    watch = Watch(on_directive=lambda now_s, directive: seen.append((now_s, directive)))
    replaying.replay(scenario, policies.make(name, scenario), watch)
    return seen


def test_the_eleven_policies_go_by_their_names() -> None:
    assert set(POLICIES) == {
        "hadis", "hadis-paper", "diffserve", "proteus", "clipper-light", "clipper-heavy",
        "random", "router-only", "discriminator-only", "cache-d", "cache-dq",
    }  # fmt: skip
    for name in POLICIES:
        policy: Policy = policies.make(name, A_SCENARIO)
        assert policy.name == name
    with pytest.raises(InvalidInput, match="policy best is unknown"):
        policies.make("best", A_SCENARIO)


@pytest.mark.parametrize("name", list(POLICIES))
def test_each_starts_with_its_own_plan_for_the_first_demand(name: str) -> None:
    # A hundred requests in the first ten seconds, none after that: 4 a second fill 8 workers.
    trace = a_trace([0.25 * i for i in range(40)] + [60.0])
    first = directives(a_scenario(trace, workers=8), name)[0]
    assert first[0] == 0.0
    assert first[1].lanes == first_plan(name, 4.0).lanes
    assert counts(first[1]) == counts(first_plan(name, 4.0))
    if not name.startswith("clipper"):
        assert first[1].lanes != first_plan(name, 0.3).lanes


@pytest.mark.parametrize("name", list(POLICIES))
def test_all_re_plan_every_five_seconds(name: str) -> None:
    scenario = a_scenario(a_steady_trace(1.0, 31.0), swap_s={LARGE: 1.0})
    asked = [now_s for now_s, _ in directives(scenario, name)]
    assert [now_s for now_s in asked if now_s % 5.0 == 0.0][:7] == [5.0 * i for i in range(7)]
    if name != "hadis":
        assert all(now_s % 5.0 == 0.0 for now_s in asked)


def test_the_papers_plan_is_the_best_row_for_demand_and_queues() -> None:
    policy = policies.make("hadis-paper", A_SCENARIO)
    policy.start(2.0)
    policy.plan(seen_by(A_SCENARIO, 0.0, 0))
    directive = policy.plan(seen_by(A_SCENARIO, 5.0, 20, {LARGE: 3}))
    # EWMA of 2 a second and a sample of 4 a second, by halves.
    plan = solving.solve(Problem(A_SCENARIO.profile, 3.0, 8, 30.0, queue={LARGE: 3}))
    assert directive.lanes == plan.lanes
    assert directive.status == "optimal"
    assert {name: counts(directive).get(name, 0) for name in plan.workers} == dict(plan.workers)


@pytest.mark.parametrize(
    ("name", "direct", "rejected"),
    [("router-only", True, False), ("discriminator-only", False, True)],
)
def test_ablations_switch_one_stage_off(name: str, direct: bool, rejected: bool) -> None:
    scenario = a_scenario(a_steady_trace(2.0, 120.0), workers=8)
    done = replaying.replay(scenario, policies.make(name, scenario))
    tally = done.books.totals()
    assert bool(tally[HEAVY]) is direct
    assert bool(tally[ESCALATED]) is rejected
    assert tally[LIGHT] > 0


def test_random_makes_the_papers_plans_but_draws_hardness_and_scores() -> None:
    scenario = a_scenario(a_steady_trace(1.5, 200.0), workers=8)
    assert counts(first_plan("random", 2.0)) == counts(first_plan("hadis-paper", 2.0))
    (lane,) = first_plan("random", 2.0).lanes
    (wanted,) = first_plan("hadis-paper", 2.0).lanes
    rows = {solving.lane_key(row): row for row in scenario.profile.grid}
    row = rows[wanted.light, wanted.heavy, wanted.hardness_threshold, wanted.quality_threshold]
    assert (lane.hardness_threshold, lane.quality_threshold) == directing.ranked(row)
    # Every prompt is as hard as can be and every image as bad, and still most go through light.
    hopeless = replace(
        scenario.workload,
        hardness=scenario.workload.hardness * 0 + 1.0,
        scores={name: scores * 0 for name, scores in scenario.workload.scores.items()},
    )
    done = replaying.replay(replace(scenario, workload=hopeless), policies.make("random", scenario))
    assert done.books.totals()[LIGHT] > 0.3 * len(scenario.trace)


def test_diffserve_keeps_its_pair_and_judges_every_light_image() -> None:
    for demand in (0.2, 1.0, 2.0, 2.6):
        (lane,) = first_plan("diffserve", demand).lanes
        assert (lane.light, lane.heavy) == (MIDDLE, LARGE)
        assert lane.hardness_threshold == float("inf")
    fixed = replace(A_SCENARIO, pair=(SMALL, MIDDLE))
    (lane,) = first_plan("diffserve", 1.0, fixed).lanes
    assert (lane.light, lane.heavy) == (SMALL, MIDDLE)
    with pytest.raises(InvalidProfile, match="diffserve"):
        policies.make("diffserve", replace(A_SCENARIO, pair=(LARGE, SMALL)))


@pytest.mark.parametrize(("name", "model"), [("clipper-light", SMALL), ("clipper-heavy", LARGE)])
def test_clipper_has_every_worker_on_one_model_whatever_the_load(
    name: str, model: ModelName
) -> None:
    for demand in (0.1, 50.0):
        directive = first_plan(name, demand)
        assert counts(directive) == {model: 8}
        assert {a.batch_size for a in directive.assignments.values()} == {2}
    # Two large ones take 18 s: with an SLO of 15 s it makes one at a time.
    short = replace(A_SCENARIO, slo_s=15.0)
    sizes = {a.batch_size for a in first_plan(name, 1.0, short).assignments.values()}
    assert sizes == {2 if model == SMALL else 1}


def test_proteus_mixes_the_two_variants_that_carry_the_demand_best() -> None:
    # Eight workers; in batches of two 1.111, 0.370 and 0.111 a second each. For 3 a second one
    # small, six middle and ... by hand: x small and 8 - x middle carry 3 with the largest middle
    # share at x = 1 (1.111 + 7 * 0.370 = 3.70): 2.593 of 3 go to middle: mean 30 - 5 * 0.864.
    # Small and large: x = 3 carries 3.333, large 5 * 0.111 = 0.556: 30 - 10 * 0.185. Middle wins.
    directive = first_plan("proteus", 3.0)
    assert counts(directive) == {SMALL: 1, MIDDLE: 7}
    (lane,) = directive.lanes
    assert (lane.light, lane.heavy) == (SMALL, MIDDLE)
    assert 1.0 - lane.hardness_threshold == pytest.approx(7 * 2 / 5.4 / 3.0)
    assert lane.quality_threshold == -float("inf")


def test_proteus_takes_the_best_variant_alone_when_it_carries_everything() -> None:
    directive = first_plan("proteus", 0.5)
    assert counts(directive) == {LARGE: 8}
    assert directive.lanes[0].hardness_threshold == 0.0


def test_proteus_has_a_lone_model_serve_everything() -> None:
    lone = a_profile({"small": {1: 1.0, 2: 1.8}}, [a_row("small", "small")])
    scenario = replace(A_SCENARIO, profile=lone)
    for demand_per_s in (1.0, 1000.0):
        directive = first_plan("proteus", demand_per_s, scenario)
        assert counts(directive) == {SMALL: 8}
        assert sum(lane.share for lane in directive.lanes) == pytest.approx(1.0)


def test_proteus_serves_what_it_can_when_nothing_carries_the_demand() -> None:
    directive = first_plan("proteus", 100.0)
    assert counts(directive) == {SMALL: 8}
    assert directive.status == "overload"


def test_a_random_worker_lets_queues_grow_while_others_are_free() -> None:
    assert policies.make("proteus", A_SCENARIO).manner.random_worker
    scenario = a_scenario(a_steady_trace(2.1, 300.0), workers=3, slo_s=60.0)
    waits = []
    for random_worker in (False, True):
        policy = Scripted(([a_lane()], ["small"] * 3), manner=Manner(random_worker=random_worker))
        done = replaying.replay(scenario, policy)
        waits.append(done.books.latency_sum_s / len(scenario.trace) - 1.0)
    assert waits[1] > 2.0 * waits[0] > 0.0


def test_cached_plans_are_reused_within_their_ranges() -> None:
    width = 8 / 0.9 / RANGES
    policy = policies.make("cache-d", A_SCENARIO)
    policy.start(3.1 * width)
    first = policy.plan(seen_by(A_SCENARIO, 0.0, 0))
    policy.start(3.9 * width)
    assert policy.plan(seen_by(A_SCENARIO, 0.0, 0, {LARGE: 20})).lanes == first.lanes
    policy.start(4.1 * width)
    assert policy.plan(seen_by(A_SCENARIO, 0.0, 0)).lanes != first.lanes


def test_cached_plans_by_queue_tell_long_queues_apart() -> None:
    policy = policies.make("cache-dq", A_SCENARIO)
    policy.start(2.0)
    first = policy.plan(seen_by(A_SCENARIO, 0.0, 0))
    assert policy.plan(seen_by(A_SCENARIO, 0.0, 0, {LARGE: 7})).lanes == first.lanes
    assert policy.plan(seen_by(A_SCENARIO, 0.0, 0, {LARGE: 40})).lanes != first.lanes


def test_only_solves_are_timed() -> None:
    ticks = iter(range(1000))
    policy = policies.make("cache-d", A_SCENARIO, clock=lambda: float(next(ticks)))
    policy.start(2.0)
    for _ in range(3):
        policy.plan(seen_by(A_SCENARIO, 0.0, 0))
    assert policy.solve_s == [1.0]
    untimed = policies.make("hadis-paper", A_SCENARIO)
    untimed.start(2.0)
    untimed.plan(seen_by(A_SCENARIO, 0.0, 0))
    assert untimed.solve_s == []
