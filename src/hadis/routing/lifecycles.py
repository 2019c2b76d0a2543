"""One request's life: its images, and the one place where their outcomes are settled.

A request is delivered whole or not at all, so images that are ready stay unsettled until the last
one is, and an error is every image's outcome. That keeps a client's books equal to the metrics.
"""

from dataclasses import dataclass

from hadis.terms.outcomes import ImagePath, Outcome


def outcome_of(path: ImagePath, *, by_heavy: bool = False) -> Outcome:
    """Return the outcome of a delivered image; `by_heavy` tells a pinned heavy model."""
    match path:
        case ImagePath.LIGHT:
            return Outcome.SERVED_LIGHT
        case ImagePath.HEAVY:
            return Outcome.SERVED_HEAVY
        case ImagePath.LIGHT_HEAVY | ImagePath.KEPT:
            return Outcome.ESCALATED
        case ImagePath.DEGRADED:
            return Outcome.DEGRADED
        case ImagePath.PINNED:
            return Outcome.SERVED_HEAVY if by_heavy else Outcome.SERVED_LIGHT


@dataclass(frozen=True, slots=True)
class Ending:
    """How a request ended: an outcome an image, the seconds it took, and its SLO violations.

    `late` images were delivered after the deadline, `dropped` ones never.
    """

    outcomes: tuple[Outcome, ...]
    duration_s: float
    late: int
    dropped: int
    admitted: bool


class Lifecycle:
    """The books of one request. It ends once; every later end is ignored and returns None."""

    def __init__(self, images: int, *, arrived_s: float, deadline_s: float) -> None:
        self.images = images
        self.arrived_s = arrived_s
        self.deadline_s = deadline_s
        self.admitted = False
        self._ready: dict[int, Outcome] = {}
        self._ended = False

    @property
    def is_over(self) -> bool:
        """Whether the outcomes are settled."""
        return self._ended

    def admit(self) -> None:
        """Note that the request passed admission."""
        self.admitted = True

    def make_ready(self, index: int, outcome: Outcome) -> None:
        """Note that an image is there and how it would count if the request is delivered."""
        if not 0 <= index < self.images or not outcome.is_success:
            raise ValueError(f"image {index} of {self.images} cannot be ready as {outcome}")
        self._ready[index] = outcome

    def deliver(self, now_s: float) -> Ending | None:
        """End with every image delivered; all must be ready."""
        if len(self._ready) != self.images:
            raise ValueError(f"{len(self._ready)} of {self.images} images are ready")
        outcomes = tuple(self._ready[index] for index in range(self.images))
        late = self.images if now_s > self.deadline_s else 0
        return self._end(outcomes, now_s, late=late, dropped=0)

    def fail(self, outcome: Outcome, now_s: float) -> Ending | None:
        """End with an error, or because the client left; ready images are not delivered."""
        if outcome.is_success:
            raise ValueError(f"{outcome} is no failure")
        dropped = 0 if outcome is Outcome.CANCELLED else self.images
        return self._end((outcome,) * self.images, now_s, late=0, dropped=dropped)

    def _end(
        self, outcomes: tuple[Outcome, ...], now_s: float, *, late: int, dropped: int
    ) -> Ending | None:
        if self._ended:
            return None
        self._ended = True
        return Ending(outcomes, now_s - self.arrived_s, late, dropped, self.admitted)
