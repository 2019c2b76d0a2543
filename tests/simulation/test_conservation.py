"""Conservation laws of the replay: one outcome a request, worker time that adds up, equal seeds."""

import itertools
from collections import Counter, defaultdict
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hadis.simulation import policies, replaying, summaries
from hadis.simulation.books import (
    DEGRADED,
    ESCALATED,
    EXPIRED,
    HEAVY,
    LATE,
    LIGHT,
    REJECTED,
    WINDOW_S,
)
from hadis.simulation.directing import Policy
from hadis.simulation.policies import POLICIES
from hadis.simulation.replaying import Replayed, Watch
from hadis.simulation.scenarios import Scenario
from hadis.simulation.workers import Batch
from hadis.terms.ids import ModelName
from support.replays import LATENCIES, a_scenario, a_steady_trace, a_trace, a_workload

SLOW = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)

gaps = st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0, 4.0, 25.0]), min_size=1, max_size=60)
swaps = st.sampled_from([{}, {"small": 0.5, "middle": 1.0, "large": 2.0}, {"large": 12.0}])


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    arrivals, at_s = [], 0.0
    for gap in draw(gaps):
        at_s += gap
        arrivals.append(at_s)
    return a_scenario(
        a_trace(arrivals),
        workers=draw(st.integers(1, 5)),
        slo_s=draw(st.sampled_from([1.0, 9.0, 20.0, 45.0])),
        swap_s={ModelName(name): s for name, s in draw(swaps).items()},
        workload=replace(a_workload(seed=draw(st.integers(1, 3))), ranks=draw(st.booleans())),
        seed=draw(st.integers(0, 5)),
        lanes=draw(st.integers(1, 2)),
    )


@dataclass
class Seen:
    policy: Policy
    done: Replayed
    batches: list[Batch]


def run(scenario: Scenario, name: str) -> Seen:
    batches: list[Batch] = []
    policy = policies.make(name, scenario)
    done = replaying.replay(scenario, policy, Watch(on_batch=batches.append))
    return Seen(policy, done, batches)


@SLOW
@given(scenarios(), st.sampled_from(list(POLICIES)))
def test_every_request_ends_once_and_worker_time_adds_up(scenario: Scenario, name: str) -> None:
    seen = run(scenario, name)
    books, trace = seen.done.books, scenario.trace

    # Each request has exactly one outcome, in the window and under the count of its arrival.
    tally = books.totals()
    assert sum(tally[:LATE]) == len(trace) == books.counts.arrived
    for window in books.windows:
        arrived = trace.count(window.start_s, window.start_s + WINDOW_S)
        assert sum(window.total[:LATE]) == arrived
    served = tally[LIGHT] + tally[HEAVY] + tally[ESCALATED] + tally[DEGRADED]
    assert sum(books.histogram) == served
    assert tally[LATE] == books.counts.late <= served
    assert tally[REJECTED] + tally[EXPIRED] == books.counts.dropped
    assert books.counts.direct <= len(trace)
    assert tally[HEAVY] <= books.counts.direct
    assert tally[ESCALATED] <= books.counts.escalated <= books.counts.judged
    if not seen.policy.manner.degrades:
        assert tally[DEGRADED] == 0

    # No worker does two things at a time, and what it does is all that it is said to do.
    spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for batch in seen.batches:
        assert batch.end_s - batch.start_s == pytest.approx(
            LATENCIES[batch.model][batch.size], abs=1e-9
        )
        spans[batch.worker].append((batch.start_s, batch.end_s))
    for worker in spans.values():
        for (_, before), (after, _) in itertools.pairwise(worker):
            assert before <= after
    assert sum(b.end_s - b.start_s for b in seen.batches) == pytest.approx(seen.done.busy_s)
    assert all(batch.end_s <= seen.done.end_s for batch in seen.batches)
    spent_s = seen.done.busy_s + seen.done.loading_s
    assert spent_s <= scenario.workers * seen.done.end_s + 1e-6

    # Every picture was made: one image for light ones, one for direct ones, two for escalated.
    images = sum(batch.size for batch in seen.batches)
    assert images >= served + tally[ESCALATED]
    assert images <= 2 * len(trace) + tally[DEGRADED]


@SLOW
@given(scenarios(), st.sampled_from(list(POLICIES)))
def test_equal_seeds_give_equal_figures_and_series(scenario: Scenario, name: str) -> None:
    seen = [run(scenario, name) for _ in range(2)]
    first, second = (
        summaries.summarise(scenario, one.policy, one.done, wall_s=0.0) for one in seen
    )
    assert first == second
    assert seen[0].batches == seen[1].batches


def test_a_window_in_which_nothing_arrives_is_in_the_series_too() -> None:
    # The lanes of the first window are known before anybody takes them.
    scenario = a_scenario(a_trace([25.0, 50.0]), workers=1, slo_s=1.0, lanes=1)
    for name in POLICIES:
        seen = run(scenario, name)
        told = summaries.summarise(scenario, seen.policy, seen.done, wall_s=0.0)
        assert [one["requests"] for one in told.series[:6]] == [0, 0, 1, 0, 0, 1]
        assert [one["light"] is None for one in told.series[:6]] == [
            one["requests"] == 0 for one in told.series[:6]
        ]


def test_another_seed_gives_another_run() -> None:
    trace = a_steady_trace(2.0, 60.0)
    workload = a_workload()
    runs = [
        run(a_scenario(trace, workload=workload, seed=seed), "random").batches for seed in (1, 2)
    ]
    assert runs[0] != runs[1]


def test_batches_are_no_larger_than_planned_and_start_when_somebody_waits() -> None:
    scenario = a_scenario(a_steady_trace(3.0, 120.0), workers=6)
    seen = run(scenario, "clipper-light")
    sizes = Counter(batch.size for batch in seen.batches)
    assert set(sizes) <= {1, 2}
    assert sizes[2] > 0
    # 3 a second of 1 s images on 6 workers: everybody is served, and at once more often than not.
    tally = seen.done.books.totals()
    assert tally[LIGHT] == len(scenario.trace)
    assert seen.done.books.latency_sum_s / len(scenario.trace) < 1.6
