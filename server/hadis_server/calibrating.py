"""Compare this machine with the profile's, in idle time: one batch of one image a model.

Runs on the denoising thread when nothing waits, and gives way at the next step boundary as soon as
something does. Real traffic refines what it finds.
"""

import statistics
import time
from collections.abc import Callable

from hadis_server.cancelling import BatchAbandoned
from hadis_server.estimating import LatencyBook
from hadis_server.intake import Intake
from hadis_server.pipelines import Row, Variant

# The middle one of three: the first run pays for caches, and one may be disturbed.
RUNS = 3


def calibration(variant: Variant, book: LatencyBook, intake: Intake) -> Callable[[], None]:
    """Return the errand that measures `variant`, unless traffic has done so meanwhile."""

    def interrupted() -> tuple[int, ...]:
        return (0,) if intake.pressing else ()

    taken_s: list[float] = []

    def errand() -> None:
        spec = variant.spec
        while len(taken_s) < RUNS and book.unmeasured(spec.name):
            began_s = time.monotonic()
            try:
                variant.generate(
                    [Row("", None, 0)], width=spec.width, height=spec.height, unwanted=interrupted
                )
            except BatchAbandoned:
                intake.run(errand, when_idle=True)
                return
            taken_s.append(time.monotonic() - began_s)
        if book.unmeasured(spec.name):
            book.observe(spec.name, 1, statistics.median(taken_s))

    return errand
