"""Who is let in: a request that would miss its deadline on the lightest path is told so at once.

Predictions are wrong by a factor that nobody knows beforehand, so they are stretched by a caution.
It grows with every image that takes longer than its stretched prediction, so that it is right
before the queue has grown to the deadline, and shrinks slowly with every one that does not.
"""

LEAST_CAUTION = 1.15
FIRST_CAUTION = 1.6
"""Until images have ended: a flood slows a machine whose workers share their cores with the router.

A shorter queue costs no throughput, only those that would have waited longest.
"""
MOST_CAUTION = 4.0
RETRY_AFTER_MOST_S = 60
TOLERANCE_S = 0.25  # below it a wrong prediction does no harm: deadlines are at least a second


def is_underestimated(predicted_s: float, took_s: float, caution: float) -> bool:
    """Return whether an image took longer than its cautious prediction allows."""
    return took_s > predicted_s * caution + TOLERANCE_S


def next_caution(caution: float, *, underestimated: bool) -> float:
    """Return the caution after one more image has ended.

    The steps balance where one image in 40 takes longer than its stretched prediction (1.03 up
    against 0.99924 down).
    """
    stepped = caution * (1.03 if underestimated else 0.99924)
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
