"""Work for the profiler's helpers, which import it by name."""

import time
from typing import Any

_rank: list[int] = []


def begin(ranks: Any) -> None:
    _rank.append(ranks.get())


def rank() -> int:
    return _rank[0]


def never_end() -> None:
    time.sleep(3600.0)
