"""The ring of seconds behind the playground's charts."""

from hadis.terms.outcomes import Outcome
from hadis_router.histories import SECONDS, History, Moment


def test_counts_fall_into_their_seconds():
    history = History(100.0, epoch_s=1000.0)
    history.add(100.2, "demand", 2)
    history.add(101.9, "demand", 3)
    history.add_outcome(102.0, Outcome.DEGRADED)
    history.add_outcome(102.0, Outcome.CANCELLED)  # not in the charts
    body = history.body(103.0)
    assert body["seconds"] == [1100, 1101, 1102, 1103]
    assert body["demand"] == [2, 3, 0, 0]
    assert body["degraded"] == [0, 0, 1, 0]


def test_five_minutes_are_kept_also_after_a_long_silence():
    history = History(0.0, epoch_s=0.0)
    history.add(0.0, "demand", 1)
    body = history.body(100_000.0)
    assert len(body["seconds"]) == SECONDS
    assert body["seconds"][-1] == 100_000
    assert sum(body["demand"]) == 0


def test_a_moment_holds_until_the_next():
    history = History(0.0, epoch_s=0.0)
    history.set_moment(1.0, Moment(0.5, None, {"tiny": 2}))
    history.set_moment(3.0, Moment(0.7, 0.4, {"tiny": 1, "big": 1}))
    body = history.body(4.0)
    assert body["hardness_threshold"] == [None, 0.5, 0.5, 0.7, 0.7]
    assert body["quality_threshold"] == [None, None, None, 0.4, 0.4]
    assert body["workers"] == {"big": [0, 0, 0, 1, 1], "tiny": [0, 2, 2, 1, 1]}


def test_the_demand_is_the_mean_of_whole_seconds():
    history = History(0.0, epoch_s=0.0)
    for second in range(20):
        history.add(float(second), "demand", 4)
    assert history.demand_per_s(20.0) == 4.0
    assert History(0.0, epoch_s=0.0).demand_per_s(0.5) == 0.0
