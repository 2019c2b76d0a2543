"""Clients that leave while their batch is being made."""

from collections.abc import Callable, Sequence


def leaving_after(steps: int, *rows: int) -> Callable[[], Sequence[int]]:
    """Return what says after so many questions, one a step, that `rows` are unwanted."""
    asked = 0

    def unwanted() -> Sequence[int]:
        nonlocal asked
        asked += 1
        return rows if asked >= steps else ()

    return unwanted
