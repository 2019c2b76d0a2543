"""Requests for a model that is being loaded: they wait in front of the queue until it is there."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager


class Waiter:
    """One request. `news` ends with the next thing that may concern its model."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.news: Future[None] = Future()


class Waiters:
    """All requests that wait for a model. Any thread may call any method."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: set[Waiter] = set()

    @contextmanager
    def waiting_for(self, model: str) -> Iterator[Waiter]:
        """Count a request as waiting for `model` while the block runs."""
        waiter = Waiter(model)
        with self._lock:
            self._waiting.add(waiter)
        try:
            yield waiter
        finally:
            with self._lock:
                self._waiting.discard(waiter)

    def tell(self) -> None:
        """Have everybody look again: a model has come or failed, or another one is assigned."""
        with self._lock:
            told = [(waiter, waiter.news) for waiter in self._waiting]
            for waiter, _ in told:
                waiter.news = Future()
        for _, news in told:
            if news.set_running_or_notify_cancel():
                news.set_result(None)

    def counts(self) -> Counter[str]:
        """Return how many requests wait for each model."""
        with self._lock:
            return Counter(waiter.model for waiter in self._waiting)
