"""A progress bar for planning that takes a while, on a terminal and nowhere else."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich import progress
from rich.console import Console

LONG_WORK = 20
"""Solves from which on progress is shown."""

T = TypeVar("T")


def followed(work: Iterable[T], count: int, title: str) -> Iterator[T]:
    """Yield what `work` yields, with a progress bar when there are many and somebody looks."""
    console = Console(stderr=True)
    if count < LONG_WORK or not console.is_terminal:
        yield from work
        return
    yield from progress.track(work, title, total=count, console=console, transient=True)
