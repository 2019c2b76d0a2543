"""Which discriminator a worker shall have, which it has, and why the last one did not load.

The loader thread loads it; any thread asks. One that did not load is tried again after a while.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from PIL import Image

from hadis.errors import ModelUnavailable
from hadis.terms.cascades import DiscriminatorSpec
from hadis_server import discriminating
from hadis_server.discriminating import Discriminator

log = logging.getLogger(__name__)

BLANK = Image.new("RGB", (64, 64))


@dataclass(frozen=True, slots=True)
class Tried:
    """The discriminator that was tried last, when, and why it did not load, if it did not."""

    spec: DiscriminatorSpec
    discriminator: Discriminator | None
    error: str | None
    at_s: float


class Judging:
    """The discriminator in force. `retry_s` is how long a failure stands."""

    def __init__(self, *, retry_s: float) -> None:
        self._retry_s = retry_s
        self._wanted: DiscriminatorSpec | None = None
        self._again = False
        self._tried: Tried | None = None

    def want(self, spec: DiscriminatorSpec | None, *, retry: bool) -> None:
        """Take over the discriminator of a cascade; `retry` forgets an earlier failure."""
        self._wanted = spec
        if retry:
            self._again = self.discriminator is None

    @property
    def discriminator(self) -> Discriminator | None:
        """The discriminator, once it is loaded."""
        return self._tried.discriminator if self._tried else None

    @property
    def error(self) -> str | None:
        """Why the discriminator did not load."""
        return self._tried.error if self._tried else None

    @property
    def is_settled(self) -> bool:
        """Whether one is loaded or has failed, or none is needed.

        While another one is loaded the old one still scores, so that a changed cascade leaves no
        moment without a ready worker.
        """
        return self._wanted is None or self._tried is not None

    @property
    def is_current(self) -> bool:
        """Whether nothing is to be loaded now."""
        tried = self._tried
        if self._again or (tried.spec if tried else None) != self._wanted:
            return False
        return tried is None or tried.error is None or time.monotonic() < tried.at_s + self._retry_s

    @property
    def failed_s(self) -> float | None:
        """When the last try failed; None when it did not."""
        return self._tried.at_s if self._tried and self._tried.error is not None else None

    def begin(self) -> DiscriminatorSpec | None:
        """Return what is to be loaded now."""
        self._again = False
        return self._wanted

    def load(
        self,
        spec: DiscriminatorSpec | None,
        device: torch.device,
        *,
        offline: bool,
        warm_up: Callable[[Callable[[], object]], None],
    ) -> None:
        """Load `spec`, or go without; `warm_up` runs a call where pictures are scored."""
        if spec is None:
            self._tried = None
            return
        try:
            discriminator = discriminating.load(spec, device, offline=offline)
            warm_up(lambda: discriminator.score([BLANK], [""]))
            self._tried = Tried(spec, discriminator, None, time.monotonic())
        except (ModelUnavailable, RuntimeError, ValueError, TypeError, IndexError) as error:
            log.error("%s", error)
            self.note_failure(str(error), spec)

    def note_failure(self, reason: str, spec: DiscriminatorSpec | None = None) -> None:
        """Remember why loading `spec` (default: the wanted one) failed."""
        failed = spec or self._wanted
        if failed is not None:
            self._tried = Tried(failed, None, reason, time.monotonic())
