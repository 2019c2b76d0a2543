"""Which objects somebody has changed by hand, and when they are put back.

Looking costs nothing while an object's books stand as they stood when it was last found right.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from hadis_operator import objects, ownership
from hadis_operator.objects import Manifest

AGAIN_S, SELDOM_S = 10.0, 600.0
"""Between two restorations of one object, at first and in the end: what keeps changing it may be a
program, and each round of such a race may replace pods."""
FORGOTTEN_AFTER = 10
"""An object that was left alone for this many of its pauses is restored without delay again."""

NEVER = (float("-inf"), AGAIN_S)


@dataclass(slots=True)
class Edits:
    """Remembers, by kind and name, the books of objects that are as they were applied."""

    clock: Callable[[], float]
    _right: dict[tuple[str, str], tuple[object, ...]] = field(default_factory=dict)
    _pauses: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)

    def of(self, live: Manifest | None, rendered: Manifest) -> list[str]:
        """Return the fields of an object that are to be put back now.

        None of one that was applied from another rendering, which is written or kept as it is.
        """
        if live is None or objects.rendering(live) != objects.rendering(rendered):
            return []
        identity, state = objects.identity(rendered), _state(live)
        began_s, pause_s = self._pauses.get(identity, NEVER)
        if self._right.get(identity) == state or self.clock() - began_s < pause_s:
            return []
        found = ownership.lost(live, rendered)
        if not found:
            self._right[identity] = state
        return found

    def note_applied(self, told: Manifest, *, restores: bool) -> None:
        """Note how an object stands right after it was applied: what it lacks now it always will.

        The API server may drop what says nothing; writing it again and again would not help.
        """
        identity = objects.identity(told)
        self._right[identity] = _state(told)
        if restores:
            began_s, pause_s = self._pauses.get(identity, NEVER)
            is_new = self.clock() - began_s > FORGOTTEN_AFTER * pause_s
            pause_s = AGAIN_S if is_new else min(2.0 * pause_s, SELDOM_S)
            self._pauses[identity] = (self.clock(), pause_s)


def _state(live: Manifest) -> tuple[object, ...]:
    return objects.rendering(live), ownership.condensed(live)
