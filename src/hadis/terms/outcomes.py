"""How a request ends: exactly one outcome an image, and the path that an image took."""

from enum import StrEnum


class Outcome(StrEnum):
    """The end of one image, a low-cardinality metric label. `n=4` has four of them."""

    SERVED_LIGHT = "served_light"  # the light model's image was good enough
    SERVED_HEAVY = "served_heavy"  # the heavy model made it without a light attempt
    ESCALATED = "escalated"  # light image rejected, the heavy stage ran, the better one delivered
    DEGRADED = "degraded"  # light image rejected, but no time for the heavy stage: light delivered
    REJECTED = "rejected"  # not admitted: queue full, no worker, or predicted to miss the deadline
    EXPIRED = "expired"  # admitted, but the deadline passed before any image was there
    FAILED = "failed"  # a fault that retrying on another worker did not cure
    CANCELLED = "cancelled"  # the client went away

    @property
    def is_success(self) -> bool:
        """Whether an image was delivered."""
        return self in _SUCCESSES


_SUCCESSES = frozenset(
    {Outcome.SERVED_LIGHT, Outcome.SERVED_HEAVY, Outcome.ESCALATED, Outcome.DEGRADED}
)


class ImagePath(StrEnum):
    """The way a delivered image took through the cascade, as told in its provenance."""

    LIGHT = "light"  # light model, accepted
    HEAVY = "heavy"  # straight to the heavy model
    LIGHT_HEAVY = "light>heavy"  # escalated, heavy image delivered
    KEPT = "kept"  # escalated, but the heavy image scored lower: light image delivered
    DEGRADED = "degraded"  # light image rejected, delivered for lack of time or workers
    PINNED = "pinned"  # the request named its model
