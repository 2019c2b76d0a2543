"""Which worker runs an image: a clock a worker, and the better of two drawn at random.

A worker's clock is the moment at which it would start one more image. It moves on with every image
that this router sends and is set right by the queue state in every reply, so that a router needs
neither polling nor a shared queue. Drawing two and taking the better one spreads the images of
several routers that all see the same, slightly old clocks.
"""

from collections.abc import Callable, Sequence

OVERDUE_TOLERANCE_S = 0.25
"""A worker is not taken for slow by less: answers travel, and machines hesitate."""


def start_s(
    clock_s: float,
    now_s: float,
    *,
    unanswered_s: float = 0.0,
    batch_s: float = 0.0,
    silent_s: float = 0.0,
) -> float:
    """Return when an image sent now would be started.

    The clock runs on whether or not the worker gets on. One that holds images when its clock has
    run out is half a batch behind at least; one that is silent for longer than its batch takes is
    judged by what it has not answered (`unanswered_s` at the expected pace), at the pace that the
    silence shows.
    """
    if unanswered_s <= 0.0 or batch_s <= 0.0:
        return max(clock_s, now_s)
    start_s = clock_s if clock_s >= now_s else now_s + 0.5 * batch_s
    overdue_s = silent_s - batch_s - OVERDUE_TOLERANCE_S
    if overdue_s <= 0.0:
        return start_s
    slowdown = 1.0 + overdue_s / batch_s
    behind_s = max(0.0, unanswered_s - batch_s) + 0.5 * batch_s
    return max(start_s, now_s + slowdown * behind_s)


def clock_after_sending(clock_s: float, now_s: float, *, alone_s: float, shared_s: float) -> float:
    """Return the clock once an image was sent.

    An idle worker is busy for a batch of one (`alone_s`); behind others an image costs its share
    of a full batch (`shared_s`).
    """
    return now_s + alone_s if clock_s <= now_s else clock_s + shared_s


def clock_after_dropping(clock_s: float, now_s: float, *, shared_s: float) -> float:
    """Return the clock once a worker was told to drop an image that it had not answered."""
    return max(min(clock_s, now_s), clock_s - shared_s)


def clock_after_reply(
    now_s: float, free_in_s: float, *, unseen: int = 0, shared_s: float = 0.0
) -> float:
    """Return the clock that a worker's own queue state tells.

    `unseen` images were sent but are not in that state: they were on their way when it was taken.
    """
    return now_s + max(0.0, free_in_s) + max(0, unseen) * shared_s


def draw_two(count: int, first_draw: float, second_draw: float) -> tuple[int, int]:
    """Return two different indices below `count` (equal when there is one) from uniform draws."""
    first = min(int(first_draw * count), count - 1)
    if count == 1:
        return first, first
    second = min(int(second_draw * (count - 1)), count - 2)
    return first, second + (second >= first)


def pick_in_time(
    finishes_s: Sequence[float], first_draw: float, second_draw: float, latest_finish_s: float
) -> int:
    """Return the better of two workers by expected finish, or the best of all when neither is in
    time. `finishes_s` must not be empty.
    """
    return pick_lazily(
        len(finishes_s), finishes_s.__getitem__, first_draw, second_draw, latest_finish_s
    )


def pick_lazily(
    count: int,
    at_s: Callable[[int], float],
    first_draw: float,
    second_draw: float,
    latest_s: float,
) -> int:
    """As `pick_in_time`, asking all of the `count` workers only when neither of the two will do.

    `at_s` tells when a worker would be done, or would start where `latest_s` speaks of starts.
    """
    first, second = draw_two(count, first_draw, second_draw)
    first_s, second_s = at_s(first), at_s(second)
    index, found_s = (first, first_s) if first_s <= second_s else (second, second_s)
    if found_s <= latest_s:
        return index
    return min(range(count), key=at_s)


def stalls_at_s(
    *,
    progress_s: float,
    longest_batch_s: float,
    grace_s: float,
    latest_start_elsewhere_s: float,
) -> float:
    """Return when a silent worker that holds images counts as stalled.

    A live worker answers at least once a batch, so it is given twice its longest batch, and less
    (never less than the batch itself) when a second worker could otherwise not meet the deadline.
    `progress_s` is its last answer, or the moment at which it got something to do.
    """
    patient_s = progress_s + 2.0 * longest_batch_s + grace_s
    earliest_s = progress_s + 1.2 * longest_batch_s + 0.25 * grace_s
    return max(earliest_s, min(patient_s, latest_start_elsewhere_s))


def avoid_for_s(failures: int, *, first_s: float = 0.25, most_s: float = 4.0) -> float:
    """Return how long after its n-th failure in a row a worker is probed again."""
    return float(min(most_s, first_s * 2 ** min(failures - 1, 10)))
