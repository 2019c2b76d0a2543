"""The processes that help a profiler end when it does."""

import multiprocessing
import time

import pytest

from hadis_profiler import helpers
from support import helping


def test_an_interruption_ends_helpers_that_are_at_work_and_drops_what_waits() -> None:
    def interrupted() -> None:
        with helpers.pool(1, helping.begin, ()) as pool:
            assert pool.submit(helping.rank).result(timeout=200) == 0
            for _ in range(5):
                pool.submit(helping.never_end)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    # The pool's own thread may be about to note the end of a process that it has reaped.
    give_up_s = time.monotonic() + 60.0
    while multiprocessing.active_children():
        assert time.monotonic() < give_up_s
        time.sleep(0.05)
