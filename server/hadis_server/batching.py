"""The queue of a worker and the choice of its next batch: pure, without clock, lock or torch.

Items wait by deadline. A batch holds items of one shape, since only those fit into one tensor, and
is taken as it is: waiting to fill one costs more than large transformers gain from batching.

The model of the assignment goes first. Items of other resident models go before it only when one
of them could not wait for one more batch of the assigned model, behind those others that are due
before it: nothing starves past its deadline because of what the plan prefers.
"""

import bisect
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

Estimate = Callable[[str, int], float]
"""Seconds that a batch of a model takes, by model and batch size."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What items must have in common to share a batch.

    `negative`: whether a negative prompt is given, because pipelines treat its absence and an
    empty one differently. `serial` tells the old and the new weights of one model name apart.
    """

    model: str
    width: int
    height: int
    steps: int
    guidance: float
    negative: bool = False
    serial: int = 0


class Waiting(Protocol):
    """What the queue needs to know of an item."""

    @property
    def shape(self) -> Shape:
        """What it may share a batch with."""
        ...

    @property
    def deadline_s(self) -> float:
        """When it is too late, on the clock of the caller's `now_s`."""
        ...


T = TypeVar("T", bound=Waiting)


@dataclass(frozen=True, slots=True)
class Preference:
    """Which model goes first, and how many rows a batch of each model may have."""

    model: str | None = None
    batch_size: int = 1
    batch_sizes: tuple[tuple[str, int], ...] = ()

    def rows(self, model: str) -> int:
        """Return the largest batch of `model`; what was last assigned for it, if anything was."""
        if model == self.model:
            return self.batch_size
        return dict(self.batch_sizes).get(model, self.batch_size)


class DeadlineQueue(Generic[T]):
    """Items in order of their deadlines; equal deadlines keep the order of arrival."""

    def __init__(self) -> None:
        self._items: list[T] = []
        self._counts: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def waiting(self, model: str) -> int:
        """Return how many items of `model` wait."""
        return self._counts[model]

    def put(self, item: T) -> None:
        """Add an item behind those that are due no later."""
        bisect.insort_right(self._items, item, key=lambda other: other.deadline_s)
        self._counts[item.shape.model] += 1

    def remove(self, item: T) -> bool:
        """Take an item out; False when it does not wait here (any more)."""
        for index, other in enumerate(self._items):
            if other is item:
                del self._items[index]
                self._counts[item.shape.model] -= 1
                return True
        return False

    def expired(self, now_s: float) -> list[T]:
        """Take out and return what is due at or before `now_s`."""
        late = bisect.bisect_right(self._items, now_s, key=lambda item: item.deadline_s)
        gone, self._items = self._items[:late], self._items[late:]
        self._counts.subtract(item.shape.model for item in gone)
        return gone

    def next_batch(self, now_s: float, preference: Preference, estimate: Estimate) -> list[T]:
        """Take out and return the next batch; empty when nothing waits.

        Expired items are not looked at: the caller takes them out first.
        """
        head = self._head(now_s, preference, estimate)
        if head is None:
            return []
        limit = max(1, preference.rows(head.shape.model))
        batch = [item for item in self._items if item.shape == head.shape][:limit]
        for item in batch:
            self.remove(item)
        return batch

    def _head(self, now_s: float, preference: Preference, estimate: Estimate) -> T | None:
        preferred = _first(item for item in self._items if item.shape.model == preference.model)
        other = _first(item for item in self._items if item.shape.model != preference.model)
        if preferred is None or other is None:
            return preferred or other
        one_s = estimate(preferred.shape.model, preference.rows(preferred.shape.model))
        other_s = estimate(other.shape.model, 1)
        if self._others_can_wait(now_s, one_s, preference, estimate):
            return preferred
        steals = now_s + other_s + one_s >= preferred.deadline_s
        if steals and preferred.deadline_s <= other.deadline_s:
            return preferred
        return other

    def _others_can_wait(
        self, now_s: float, one_s: float, preference: Preference, estimate: Estimate
    ) -> bool:
        """Return whether all items of other models are on time after one more preferred batch.

        They are made by deadline, in full batches. Behind the first, those that would be late even
        at once make nobody hurry.
        """
        batch_s = functools.cache(estimate)
        made: Counter[Shape] = Counter()
        at_s = now_s
        for item in self._items:
            model = item.shape.model
            if model == preference.model:
                continue
            place = made[item.shape] % max(1, preference.rows(model))
            done_s = at_s + batch_s(model, place + 1) - (batch_s(model, place) if place else 0.0)
            is_late = done_s >= item.deadline_s
            if is_late and made:
                continue
            if is_late or one_s + done_s >= item.deadline_s:
                return False
            made[item.shape] += 1
            at_s = done_s
        return True


def backlog_s(items: Iterable[Waiting], preference: Preference, estimate: Estimate) -> float:
    """Return the seconds that all waiting items take, in full batches of equal shape."""
    total_s = 0.0
    for shape, count in Counter(item.shape for item in items).items():
        total_s += batches_s(shape.model, count, preference, estimate)
    return total_s


def batches_s(model: str, count: int, preference: Preference, estimate: Estimate) -> float:
    """Return the seconds of `count` items of one shape, in full batches."""
    limit = max(1, preference.rows(model))
    full, rest = divmod(count, limit)
    return full * estimate(model, limit) + (estimate(model, rest) if rest else 0.0)


def _first(items: Iterator[T]) -> T | None:
    return next(items, None)
