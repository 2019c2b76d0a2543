"""The expected mean against a simulation of the same pool."""

import heapq
import itertools
import random
from collections.abc import Sequence

import pytest

from hadis.planning import queueing

SINGLE = [0.7]
GAINING = [0.1, 0.12, 0.15, 0.176]
LINEAR = [0.7, 1.1, 1.5, 1.9]


def simulated_mean_s(
    arrival_per_s: float, workers: int, batch_s: Sequence[float], images: int = 30_000
) -> float:
    """Serve Poisson arrivals; each goes to the worker that is free first."""
    draw, order = random.Random(3), itertools.count()
    queues: list[list[float]] = [[] for _ in range(workers)]
    busy_s = [0.0] * workers
    events: list[tuple[float, int, int, list[float]]] = []
    total_s, arrived, finished = 0.0, 0, 0

    def start(worker: int, now_s: float) -> None:
        queue = queues[worker]
        if queue and busy_s[worker] <= now_s:
            batch = [queue.pop(0) for _ in range(min(len(queue), len(batch_s)))]
            busy_s[worker] = now_s + batch_s[len(batch) - 1]
            heapq.heappush(events, (busy_s[worker], next(order), worker, batch))

    heapq.heappush(events, (0.0, next(order), -1, []))
    while events:
        now_s, _, worker, batch = heapq.heappop(events)
        if worker < 0:
            arrived += 1
            if arrived < images:
                gap_s = draw.expovariate(arrival_per_s)
                heapq.heappush(events, (now_s + gap_s, next(order), -1, []))
            worker = min(
                range(workers), key=lambda w: max(busy_s[w] - now_s, 0.0) + len(queues[w]) * 0.01
            )
            queues[worker].append(now_s)
        total_s += sum(now_s - since_s for since_s in batch)
        finished += len(batch)
        start(worker, now_s)
    assert finished == images
    return total_s / images


@pytest.mark.parametrize("load", [0.2, 0.5, 0.7, 0.85])
@pytest.mark.parametrize("batch_s", [SINGLE, GAINING, LINEAR], ids=["single", "gaining", "linear"])
def test_one_worker_is_predicted_within_three_percent(
    batch_s: Sequence[float], load: float
) -> None:
    arrival_per_s = load * len(batch_s) / batch_s[-1]
    want = simulated_mean_s(arrival_per_s, 1, batch_s)
    assert queueing.mean_response_s(arrival_per_s, 1, batch_s) == pytest.approx(want, rel=0.03)


@pytest.mark.parametrize("load", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("batch_s", [SINGLE, GAINING, LINEAR], ids=["single", "gaining", "linear"])
def test_two_workers_are_predicted_within_twelve_percent(
    batch_s: Sequence[float], load: float
) -> None:
    arrival_per_s = load * 2 * len(batch_s) / batch_s[-1]
    want = simulated_mean_s(arrival_per_s, 2, batch_s)
    assert queueing.mean_response_s(arrival_per_s, 2, batch_s) == pytest.approx(want, rel=0.12)


@pytest.mark.parametrize("load", [1e-7, 1.0 - 1e-16, 1.0 - 1e-12, 0.9995])
def test_batches_at_the_edges_of_the_load_have_a_mean(load: float) -> None:
    mean_s = queueing.mean_response_s(load * 2.0, 1, [0.7, 1.0])
    assert 0.7 <= mean_s < float("inf")


def test_a_pool_that_cannot_keep_up_has_no_mean() -> None:
    assert queueing.mean_response_s(1.5, 1, [0.7]) == float("inf")
    assert queueing.mean_response_s(1.0, 0, [0.7]) == float("inf")


def test_an_image_that_comes_alone_takes_one_batch() -> None:
    assert queueing.mean_response_s(0.0, 3, [0.7, 1.0]) == 0.7
    assert queueing.mean_response_s(1e-6, 1, [0.7]) == pytest.approx(0.7, abs=1e-4)


@pytest.mark.parametrize("load", [0.02, 0.5, 0.9, 0.995])
def test_one_image_at_a_time_waits_as_pollaczek_and_khinchine_say(load: float) -> None:
    seconds = 2.0
    want = seconds + load * seconds / (2.0 * (1.0 - load))
    assert queueing.mean_response_s(load / seconds, 1, [seconds]) == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("load", [0.02, 0.5, 0.9])
def test_batches_that_gain_nothing_nearly_wait_as_single_images_do(load: float) -> None:
    # Two at once take as long as one after the other: the work is the same, the first of them
    # only waits for the second. So the mean lies within one image's time of the single one.
    alone_s = queueing.mean_response_s(load, 1, [1.0])
    paired_s = queueing.mean_response_s(load, 1, [1.0, 2.0])
    assert alone_s <= paired_s <= alone_s + 1.0


@pytest.mark.parametrize("load", [0.01, 0.3, 0.6, 0.75, 0.85])
@pytest.mark.parametrize("batch_s", [GAINING, LINEAR], ids=["gaining", "linear"])
def test_the_chain_is_cut_off_where_nobody_waits(
    batch_s: Sequence[float], load: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrival_per_s = load * len(batch_s) / batch_s[-1]
    short_s = queueing.mean_response_s(arrival_per_s, 1, batch_s)
    monkeypatch.setattr(queueing, "NEARLY_NOBODY", 1e-30)
    monkeypatch.setattr(queueing, "MOST_WAITING", 600)
    assert queueing.mean_response_s(arrival_per_s, 1, batch_s) == pytest.approx(short_s, rel=1e-7)
