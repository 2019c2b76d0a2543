"""How long an image spends in a pool of workers on average: waiting, batch and scoring.

A worker that is free takes whatever waits, up to its batch size, and never waits to fill a batch;
arrivals are Poisson and a batch of n takes a fixed time. One worker that makes one image at a time
is M/D/1, whose mean is known (Pollaczek and Khinchine); with batches it is a Markov chain on the
number that waits when a batch ends, solved numerically. Several workers share a stream better than
each would carry its part alone; the wait shrinks as from M/M/1 to M/M/c (Allen and Cunneen's
approximation scales both alike).
"""

import math
from collections.abc import Sequence

import numpy as np

from hadis.planning.tables import Floats, Ints

MOST_WAITING = 200
"""Where the chain is cut off at the latest: beyond that any useful deadline is missed anyway."""
FULL = 0.999
"""A larger load reaches any cut-off; at 1 there is no pole to be found."""
NEARLY_NOBODY = 1e-9
NEGLIGIBLE = 1e-9
"""A pool that is busy for less than this share of its time keeps nobody waiting."""


def mean_response_s(arrival_per_s: float, workers: int, batch_s: Sequence[float]) -> float:
    """Return mean seconds from arrival to result; infinite where the pool cannot keep up.

    `batch_s[n - 1]` is the time of a batch of n; its length is the largest batch.
    """
    if arrival_per_s * batch_s[0] < NEGLIGIBLE:
        return batch_s[0]
    if workers <= 0:
        return math.inf
    each_per_s = arrival_per_s / workers
    fastest_s = min(seconds / size for size, seconds in enumerate(batch_s, start=1))
    if each_per_s * fastest_s >= 1.0:
        return math.inf
    wait_s, service_s, busy = _alone(each_per_s, np.asarray(batch_s, dtype=np.float64))
    return wait_s * _pooling(workers, busy) + service_s


def _alone(arrival_per_s: float, batch_s: Floats) -> tuple[float, float, float]:
    """Return mean wait, mean service and busy share of one worker."""
    if len(batch_s) == 1:
        seconds = float(batch_s[0])
        busy = arrival_per_s * seconds
        return busy * seconds / (2.0 * (1.0 - busy)), seconds, busy
    waiting = np.arange(_longest(arrival_per_s * batch_s[-1] / len(batch_s), len(batch_s)) + 1)
    size = np.clip(waiting, 1, len(batch_s))
    left = np.maximum(waiting - size, 0)
    share = _shares(arrival_per_s * batch_s, size, left)
    spent_s = batch_s[size - 1]
    length_s = spent_s + np.where(waiting == 0, 1.0 / arrival_per_s, 0.0)
    # Little's law on the time-average of waiting images over a cycle of the chain.
    waiting_s = left * spent_s + arrival_per_s * spent_s**2 / 2.0
    wait_s = (share @ waiting_s) / (arrival_per_s * (share @ length_s))
    service_s = (share @ (size * spent_s)) / (share @ size)
    return float(wait_s), float(service_s), float((share @ spent_s) / (share @ length_s))


def _longest(load: float, largest: int) -> int:
    """Return how many images wait at most, but for `NEARLY_NOBODY`, under full batches' load.

    The chance of n falls like z ** -n, where z > 1 solves ln z = load * (z - 1): there the
    generating function of a queue that is served in full batches has its nearest pole.
    """
    if load > FULL:
        return MOST_WAITING  # beyond 1 smaller batches keep up where the largest does not
    z = 1.0 / load**2  # right of the solution, from where Newton's steps come down to it
    for _ in range(50):
        before, z = z, z - (math.log(z) - load * (z - 1.0)) / (1.0 / z - load)
        if before - z < 1e-6 * z:
            break
    return min(2 * largest + math.ceil(-math.log(NEARLY_NOBODY) / math.log(z)), MOST_WAITING)


def _shares(arrivals: Floats, size: Ints, left: Ints) -> Floats:
    """Return the share of batches at whose end each number of images waits, or more than the last.

    `arrivals[n - 1]` is the mean number that arrives during a batch of n; `size` and `left` are, by
    the number that waits, how many the next batch takes and leaves.
    """
    states = np.arange(len(size))
    # Transitions: what was left plus Poisson arrivals during the batch; the cut-off state keeps
    # whatever would go beyond it.
    mean = arrivals[:, None]
    log_factorial = np.concatenate(([0.0], np.cumsum(np.log(states[1:]))))
    chance = np.exp(states * np.log(mean) - mean - log_factorial)
    # Row by row the chances of a batch's arrivals, moved on by what it left.
    moved = np.concatenate((np.zeros((len(arrivals), len(states))), chance), axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(moved, len(states), axis=1)
    chain = windows[size - 1, len(states) - left]
    chain[:, -1] += 1.0 - chain.sum(axis=1)
    # The last balance equation follows from the others; that all shares add up takes its place.
    equations = chain.T - np.eye(len(size))
    equations[-1] = 1.0
    target = np.zeros(len(size))
    target[-1] = 1.0
    share = np.clip(np.linalg.solve(equations, target), 0.0, None)
    return np.asarray(share / share.sum())


def _pooling(workers: int, busy: float) -> float:
    """Return the wait in a pool over the wait of a lone worker that is as busy."""
    if workers == 1 or busy <= 0.0:
        return 1.0
    offered = workers * min(busy, 1.0 - 1e-9)
    blocked = 1.0  # Erlang's B by its recursion, from which C follows
    for count in range(1, workers + 1):
        blocked = offered * blocked / (count + offered * blocked)
    delayed = blocked / (1.0 - busy * (1.0 - blocked))
    return min(delayed / offered, 1.0)
