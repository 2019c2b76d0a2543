"""Compare this machine with the profile's, in idle time: one batch of one image a model.

Runs on the denoising thread when nothing waits, and gives way at the next step boundary as soon as
something does. Real traffic refines what it finds, and spares a model that it has measured first.
"""

import statistics
import time
from collections.abc import Callable, Iterable
from functools import partial

from hadis_server.cancelling import BatchAbandoned
from hadis_server.estimating import LatencyBook
from hadis_server.intake import Intake
from hadis_server.pipelines import Row, Variant

# The middle one of three: the first run pays for caches, and one may be disturbed.
RUNS = 3


class Calibrator:
    """Has every variant that was never timed measured once; one errand a variant at a time."""

    def __init__(
        self,
        book: LatencyBook,
        intake: Intake,
        *,
        offered: Callable[[Variant], bool],
        pad_to: int = 0,
    ) -> None:
        """`offered`: whether a variant can still be called; what is leaving memory is left alone.

        `pad_to`: the fixed shape of batches, if they have one.
        """
        self._book = book
        self._intake = intake
        self._offered = offered
        self._pad_to = pad_to
        self._pending: set[int] = set()

    def measure(self, variants: Iterable[Variant]) -> None:
        """Queue an errand for each variant that needs one and has none yet."""
        for variant in variants:
            if variant.serial not in self._pending and self._book.unmeasured(variant.spec.name):
                self._pending.add(variant.serial)
                self._intake.run(partial(self._run, variant, []), when_idle=True)

    def _run(self, variant: Variant, taken_s: list[float]) -> None:
        """Measure; a variant that raises stays pending, since it would raise again."""
        spec = variant.spec
        while len(taken_s) < RUNS and self._is_needed(variant):
            began_s = time.monotonic()
            try:
                variant.generate(
                    [Row("", None, 0)],
                    width=spec.width,
                    height=spec.height,
                    unwanted=self._interrupted,
                    pad_to=self._pad_to,
                )
            except BatchAbandoned:
                self._intake.run(partial(self._run, variant, taken_s), when_idle=True)
                return
            taken_s.append(time.monotonic() - began_s)
        if self._is_needed(variant):
            self._book.observe(spec.name, 1, statistics.median(taken_s))
        self._pending.discard(variant.serial)

    def _is_needed(self, variant: Variant) -> bool:
        return self._book.unmeasured(variant.spec.name) and self._offered(variant)

    def _interrupted(self) -> tuple[int, ...]:
        return (0,) if self._intake.pressing else ()
