"""Whether a Secret that pods wait for exists; kubelets tell it in events alone.

Asked only while something waits, and then now and then. Its metadata suffices: no key is read.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from hadis_operator import kube
from hadis_operator.kube import ClusterTrouble, Kube, NotThere

AGAIN_S = 10.0


@dataclass(slots=True)
class SecretFinder:
    """Looks for Secrets and remembers for a while what it found."""

    api: Kube
    clock: Callable[[], float]
    _known: dict[tuple[str, str], tuple[float, bool]] = field(default_factory=dict)

    async def is_missing(self, namespace: str, name: str) -> bool:
        """Return whether a Secret is known not to exist; not every operator may look."""
        at_s, was_missing = self._known.get((namespace, name), (float("-inf"), False))
        if self.clock() - at_s < AGAIN_S:
            return was_missing
        try:
            await self.api.get(kube.SECRETS, namespace, name, metadata_only=True)
            found = False
        except NotThere:
            found = True
        except ClusterTrouble:
            found = False
        self._known[namespace, name] = (self.clock(), found)
        return found
