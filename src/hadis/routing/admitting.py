"""Who is let in: a request that would miss its deadline on the lightest path is told so at once.

Predictions are wrong by a factor that nobody knows beforehand, so they are stretched by a caution
that grows with every admitted image that misses its deadline and shrinks slowly with every one
that makes it.
"""

LEAST_CAUTION = 1.15
MOST_CAUTION = 4.0
RETRY_AFTER_MOST_S = 60


def next_caution(caution: float, *, on_time: bool) -> float:
    """Return the caution after one more admitted image has ended.

    The steps balance where one image in about 80 is late (1.08 up against 0.999 down), well below
    the one in twenty that is tolerated under overload.
    """
    stepped = caution * (0.999 if on_time else 1.08)
    return min(MOST_CAUTION, max(LEAST_CAUTION, stepped))


def cautious_finish_s(finish_s: float, now_s: float, caution: float) -> float:
    """Return an expected finish with the time until it stretched by `caution`."""
    return now_s + (finish_s - now_s) * caution


def delivery_margin_s(slo_s: float) -> float:
    """Return how long before the deadline an answer must leave: 5 % of it, 0.05 to 0.75 s."""
    return min(0.75, max(0.05, 0.05 * slo_s))


def retry_after_s(excess_s: float) -> int:
    """Return the whole seconds after which a queue is short enough; 1 to 60.

    Clients ignore the hint, and retry at once, when it is longer than a minute.
    """
    whole = int(excess_s) + (excess_s > int(excess_s))
    return max(1, min(RETRY_AFTER_MOST_S, whole))
