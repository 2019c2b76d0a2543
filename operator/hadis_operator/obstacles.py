"""What was in the way of a write, and for how long it is left alone after that."""

from collections.abc import Callable
from dataclasses import dataclass, field

from hadis_operator import objects
from hadis_operator.objects import Manifest

LOOK_AGAIN_S = 10.0
"""How often a foreign object in the way, or a write that was refused, is tried again."""


@dataclass(frozen=True, slots=True)
class Obstacles:
    """What was in the way of the cluster being as it shall be.

    `taken`: foreign objects by kind and name; `faults`: what the API did not do, in its words, each
    begun by kind and name. `restored`: what somebody had changed by hand, and was put back.
    """

    taken: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()

    def __add__(self, other: "Obstacles") -> "Obstacles":
        return Obstacles(
            self.taken + other.taken,
            self.faults + other.faults,
            self.restored + other.restored,
        )


@dataclass(frozen=True, slots=True)
class _Delay:
    """Since when one request (its digest) is put off, and because of what."""

    at_s: float
    digest: str
    obstacles: Obstacles


@dataclass(slots=True)
class InVain:
    """Remembers, by verb, kind and name, what was tried in vain a moment ago."""

    clock: Callable[[], float]
    _delays: dict[tuple[str, str, str], _Delay] = field(default_factory=dict)

    def lately(self, verb: str, request: Manifest) -> Obstacles | None:
        """Return what was in the way of this very request a moment ago; None: try it now."""
        delay = self._delays.get((verb, *objects.identity(request)))
        if delay is None or self.clock() - delay.at_s >= LOOK_AGAIN_S:
            return None
        return delay.obstacles if delay.digest == objects.digest(request) else None

    def note(self, verb: str, request: Manifest, obstacles: Obstacles) -> Obstacles:
        """Put a request off because of `obstacles`; return them."""
        delay = _Delay(self.clock(), objects.digest(request), obstacles)
        self._delays[verb, *objects.identity(request)] = delay
        return obstacles

    def forget(self, verb: str, request: Manifest) -> None:
        """Note that a request has succeeded."""
        self._delays.pop((verb, *objects.identity(request)), None)
