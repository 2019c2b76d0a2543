"""Virtual workers by hand: deadlines, batches, loading, and what a controller sees of them."""

import math
from dataclasses import replace

import pytest

from hadis.simulation import replaying
from hadis.simulation.books import DEGRADED, ESCALATED, EXPIRED, HEAVY, LIGHT, REJECTED, Tally
from hadis.simulation.directing import Manner
from hadis.simulation.replaying import Replayed, Watch
from hadis.simulation.scenarios import Scenario
from hadis.simulation.workers import Batch
from hadis.terms.ids import ModelName
from support.replays import (
    Scripted,
    a_gridded_profile,
    a_lane,
    a_scenario,
    a_trace,
    a_workload,
)

PRODUCTION = Manner(degrades=True, waits_for_loading=False, sees_loading=True, follows_swaps=True)
SWAPS = {ModelName("small"): 2.0, ModelName("middle"): 3.0, ModelName("large"): 4.0}


def run(scenario: Scenario, policy: Scripted) -> tuple[Replayed, list[Batch]]:
    batches: list[Batch] = []
    return replaying.replay(scenario, policy, Watch(on_batch=batches.append)), batches


def tally_of(done: Replayed) -> Tally:
    return done.books.totals()


def spans(batches: list[Batch]) -> list[tuple[str, float, float, int]]:
    return [(b.model, round(b.start_s, 6), round(b.end_s, 6), b.size) for b in batches]


def test_a_free_worker_starts_at_once_and_batches_what_has_gathered() -> None:
    # small: 1 s alone, 1.8 s for two. The second to fourth arrive while the first is made.
    scenario = a_scenario(a_trace([0.0, 0.2, 0.4, 0.6]), workers=1)
    done, batches = run(scenario, Scripted(([a_lane()], ["small"]), batch=2))
    assert spans(batches) == [
        ("small", 0.0, 1.0, 1),
        ("small", 1.0, 2.8, 2),
        ("small", 2.8, 3.8, 1),
    ]
    assert done.books.latency_sum_s == pytest.approx(1.0 + 2.6 + 2.4 + 3.2)
    assert tally_of(done)[LIGHT] == 4


def test_a_batch_is_only_as_large_as_its_most_urgent_member_allows() -> None:
    # large: 10 s alone, 18 s for two. At 10 s the second has 18 s left (due at 28.5, 28.5 - 10),
    # the third 19: together they would be there at 28, in time. With an SLO of 27.5 they are not.
    arrivals = a_trace([0.0, 0.5, 1.0])
    policy = Scripted(([a_lane("large", "large")], ["large"]), batch=2)
    _, batches = run(a_scenario(arrivals, workers=1, slo_s=28.0), policy)
    assert spans(batches)[1:] == [("large", 10.0, 28.0, 2)]
    policy = Scripted(([a_lane("large", "large")], ["large"]), batch=2)
    done, batches = run(a_scenario(arrivals, workers=1, slo_s=27.0), policy)
    assert spans(batches)[1:] == [("large", 10.0, 20.0, 1)]
    assert (tally_of(done)[LIGHT], tally_of(done)[EXPIRED]) == (2, 1)


def test_what_cannot_be_in_time_is_dropped_when_its_turn_comes() -> None:
    scenario = a_scenario(a_trace([0.0, 0.0, 0.0, 0.0]), workers=1, slo_s=3.5)
    done, batches = run(scenario, Scripted(([a_lane()], ["small"])))
    assert [end for _, _, end, _ in spans(batches)] == [1.0, 2.0, 3.0]
    assert (tally_of(done)[LIGHT], tally_of(done)[EXPIRED]) == (3, 1)
    assert done.books.counts.dropped == 1


def test_what_would_be_late_by_being_scored_is_not_begun() -> None:
    # 1 s for an image and half a second for its score: the second would be there after 3 s.
    profile = replace(a_gridded_profile(), scoring_latency_s={1: 0.5})
    scenario = a_scenario(a_trace([0.0, 0.0]), profile=profile, workers=1, slo_s=2.9)
    done, batches = run(scenario, Scripted(([a_lane(tau=0.0)], ["small"])))
    assert spans(batches) == [("small", 0.0, 1.5, 1)]
    assert (tally_of(done)[LIGHT], tally_of(done)[EXPIRED]) == (1, 1)


def test_a_batch_grows_only_as_long_as_its_scores_are_in_time() -> None:
    profile = replace(a_gridded_profile(), scoring_latency_s={1: 0.5, 2: 0.6})
    for slo_s, sizes in ((4.5, [1, 2]), (3.5, [1, 1])):
        scenario = a_scenario(a_trace([0.0, 0.1, 0.2]), profile=profile, workers=1, slo_s=slo_s)
        _, batches = run(scenario, Scripted(([a_lane(tau=0.0)], ["small"]), batch=2))
        assert [size for *_, size in spans(batches)] == sizes, slo_s


def test_the_most_urgent_goes_first() -> None:
    # The first prompt's light image is rejected at 1 s. Its heavy one waits until 11 s for the
    # second, which went straight there, and then goes before the third, which came later.
    workload = a_workload([0.0, 1.0, 1.0], {n: [0.1, 0.9, 0.9] for n in ("small", "large")})
    scenario = a_scenario(a_trace([0.0, 0.5, 0.8]), workers=2, slo_s=60.0, workload=workload)
    done, batches = run(scenario, Scripted(([a_lane(theta=0.5, tau=0.5)], ["small", "large"])))
    assert spans(batches) == [
        ("small", 0.0, 1.0, 1),
        ("large", 0.5, 10.5, 1),
        ("large", 10.5, 20.5, 1),
        ("large", 20.5, 30.5, 1),
    ]
    assert (tally_of(done)[ESCALATED], tally_of(done)[HEAVY]) == (1, 2)
    assert done.books.latency_sum_s == pytest.approx(20.5 + 10.0 + 29.7)


def test_a_worker_drains_before_it_loads_another_model() -> None:
    # At 5 s the only worker is told to serve large. It makes what waits (two small ones, until
    # 7 s), loads for 4 s, and then makes what came meanwhile.
    scenario = a_scenario(
        a_trace([4.0, 4.1, 4.2, 5.5]), workers=1, slo_s=30.0, swap_s=SWAPS, interval_s=5.0
    )
    steps = ([a_lane()], ["small"]), ([a_lane("large", "large")], ["large"])
    done, batches = run(scenario, Scripted(*steps))
    assert spans(batches) == [
        ("small", 4.0, 5.0, 1),
        ("small", 5.0, 6.0, 1),
        ("small", 6.0, 7.0, 1),
        ("large", 11.0, 21.0, 1),
    ]
    assert done.swaps == 1
    assert done.loading_s == 4.0


def test_without_swap_costs_every_worker_holds_every_model_and_prefers_its_own() -> None:
    # One worker, assigned small; one heavy image is escalated to it at 1 s. Its own go first as
    # long as the heavy one can wait for them.
    workload = a_workload([0.0], {"small": [0.1], "large": [0.9]})
    scenario = a_scenario(
        a_trace([0.0, 0.5, 0.6], prompts=1), workers=1, slo_s=60.0, workload=workload
    )
    _, batches = run(scenario, Scripted(([a_lane(tau=0.5)], ["small"])))
    assert [model for model, *_ in spans(batches)] == ["small"] * 3 + ["large"] * 3


def test_an_urgent_image_of_another_model_goes_before_its_own() -> None:
    # At 1 s the heavy image has 11.9 - 1 s left: it cannot wait for one more small one.
    workload = a_workload([0.0], {"small": [0.1], "large": [0.9]})
    scenario = a_scenario(a_trace([0.0, 0.5], prompts=1), workers=1, slo_s=11.9, workload=workload)
    _, batches = run(scenario, Scripted(([a_lane(tau=0.5)], ["small"])))
    assert [model for model, *_ in spans(batches)][:2] == ["small", "large"]


def test_production_sends_nothing_to_a_worker_that_loads() -> None:
    scenario = a_scenario(
        a_trace([4.9, 6.0, 12.0]), workers=2, slo_s=20.0, swap_s=SWAPS, interval_s=5.0
    )
    steps = ([a_lane()], ["small", "small"]), ([a_lane("middle", "large")], ["small", "middle"])
    policy = Scripted(*steps, manner=PRODUCTION)
    done, batches = run(scenario, policy)
    # The second comes while nobody serves middle: refused. The third finds it loaded at 8 s.
    assert tally_of(done)[REJECTED] == 1
    assert [(model, start) for model, start, *_ in spans(batches)] == [
        ("small", 4.9),
        ("middle", 12.0),
    ]


def test_images_queue_where_the_model_is_loaded_and_let_in_by_when_that_ends() -> None:
    steps = ([a_lane()], ["small"]), ([a_lane("middle", "middle")], ["middle"])
    manner = replace(PRODUCTION, waits_for_loading=True)
    scenario = a_scenario(
        a_trace([4.9, 5.5, 6.5, 12.0]), workers=1, slo_s=30.0, swap_s=SWAPS, interval_s=5.0
    )
    done, batches = run(scenario, Scripted(*steps, manner=manner))
    assert tally_of(done)[REJECTED] == 0
    # From 5.9 s to 8.9 s middle is loaded; both that came before then are made one after the other.
    assert [(model, start) for model, start, *_ in spans(batches)][:2] == [
        ("small", 4.9),
        ("middle", 8.9),
    ]
    hurried = replace(scenario, slo_s=6.0)
    done, _ = run(hurried, Scripted(*steps, manner=manner))
    assert tally_of(done)[REJECTED] > 0


def test_a_controller_sees_queues_running_batches_and_what_is_loaded() -> None:
    scenario = a_scenario(
        a_trace([4.0, 4.1, 4.2, 4.3, 31.0]), workers=2, slo_s=60.0, swap_s=SWAPS, interval_s=5.0
    )
    steps = ([a_lane("large", "large")], ["large", "large"]), ([a_lane()], ["small", "large"])
    policy = Scripted(*steps, manner=Manner(waits_for_loading=False, sees_loading=True))
    run(scenario, policy)
    seen = policy.snapshots[1].workers
    assert policy.snapshots[1].now_s == 5.0
    assert [w.waiting for w in seen] == [{ModelName("large"): 1}] * 2
    assert [w.running for w in seen] == [{ModelName("large"): 1}] * 2
    assert sorted(w.residual_s for w in seen) == pytest.approx([9.0, 9.1])
    assert [w.resident for w in seen] == [{ModelName("large")}] * 2
    # 25 s later the first has made both of its images, until 24 s, and loaded small.
    later = next(s for s in policy.snapshots if s.now_s == 30.0).workers
    assert later[0].resident == {ModelName("small")}
    assert policy.snapshots[1].routers[0].arrived == 4
    loading = next(s for s in policy.snapshots if s.now_s == 25.0).workers[0]
    assert (loading.ready, loading.resident) == (False, frozenset())


def test_degrading_delivers_the_light_image_where_the_heavy_one_would_be_late() -> None:
    # One heavy worker. Of three rejected images at about 1 s the first takes it until 11 s; the
    # second would be there at 21 s, too late for 20 s less margin and caution.
    workload = a_workload([0.0], {"small": [0.1], "large": [0.9]})
    scenario = a_scenario(
        a_trace([0.0, 0.1, 0.2], prompts=1), workers=4, slo_s=20.0, swap_s=SWAPS, workload=workload
    )
    lanes = [a_lane(tau=0.5)]
    done, _ = run(scenario, Scripted((lanes, ["small"] * 3 + ["large"]), manner=PRODUCTION))
    tally = tally_of(done)
    assert (tally[ESCALATED], tally[DEGRADED]) == (1, 2)
    assert done.books.counts.escalated == 3
    done, _ = run(scenario, Scripted((lanes, ["small"] * 3 + ["large"])))
    tally = tally_of(done)
    assert (tally[ESCALATED], tally[DEGRADED], tally[EXPIRED]) == (1, 0, 2)


def test_degrading_makes_a_light_image_of_a_hard_prompt_that_would_be_late() -> None:
    workload = a_workload([1.0], {"small": [0.9], "large": [0.9]})
    scenario = a_scenario(
        a_trace([0.0, 0.1], prompts=1), workers=2, slo_s=15.0, swap_s=SWAPS, workload=workload
    )
    lanes = [a_lane(theta=0.5)]
    done, batches = run(scenario, Scripted((lanes, ["small", "large"]), manner=PRODUCTION))
    assert (tally_of(done)[HEAVY], tally_of(done)[DEGRADED]) == (1, 1)
    assert spans(batches) == [("large", 0.0, 10.0, 1), ("small", 0.1, 1.1, 1)]


def test_a_request_that_cannot_be_in_time_on_any_path_is_refused() -> None:
    scenario = a_scenario(a_trace([0.0] * 6), workers=1, slo_s=4.0, swap_s=SWAPS)
    done, _ = run(scenario, Scripted(([a_lane()], ["small"]), manner=PRODUCTION))
    tally = tally_of(done)
    # At a caution of 1.3 three images of 1 s fit into the 3.8 s less margin, two of them surely.
    assert tally[LIGHT] == 2
    assert tally[REJECTED] == 4
    assert math.isclose(done.books.latency_sum_s, 1.0 + 2.0)
