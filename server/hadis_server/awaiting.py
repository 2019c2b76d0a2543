"""Requests for a model that is being loaded: they wait at the door until there is news of it."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager


class Guest:
    """One request at the door. `news` ends with the next thing that may concern its model."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.news: Future[None] = Future()


class Doorstep:
    """All requests that wait for a model. Any thread may call any method."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._guests: set[Guest] = set()

    @contextmanager
    def waiting_for(self, model: str) -> Iterator[Guest]:
        """Count a request as waiting for `model` while the block runs."""
        guest = Guest(model)
        with self._lock:
            self._guests.add(guest)
        try:
            yield guest
        finally:
            with self._lock:
                self._guests.discard(guest)

    def tell(self) -> None:
        """Have everybody look again: a model has come or failed, or another one is assigned."""
        with self._lock:
            told = [(guest, guest.news) for guest in self._guests]
            for guest, _ in told:
                guest.news = Future()
        for _, news in told:
            if news.set_running_or_notify_cancel():
                news.set_result(None)

    def counts(self) -> Counter[str]:
        """Return how many requests wait for each model."""
        with self._lock:
            return Counter(guest.model for guest in self._guests)
