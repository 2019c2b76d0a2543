"""The door between the event loop and the denoising thread: one lock, one queue, one condition.

The event loop submits and cancels, the denoising thread takes. Besides batches it takes errands
(the warm-up of a model, the first scoring): whatever must not run beside a batch, because pipelines
and tokenizers bear one thread at a time.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hadis.errors import DeadlineExceeded, Overloaded
from hadis_server.batching import DeadlineQueue, Estimate, Preference, backlog_s, batches_s
from hadis_server.jobs import CallerGone, Draining, Job

Clock = Callable[[], float]
Errand = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Running:
    """The batch that is being made: its jobs, when it began, what it should take."""

    jobs: tuple[Job, ...]
    started_s: float
    expected_s: float


class Intake:
    """Everything that waits for, or is in the hands of, the denoising thread."""

    def __init__(self, *, clock: Clock, estimate: Estimate, max_waiting: int) -> None:
        self._clock = clock
        self._estimate = estimate
        self._max_waiting = max_waiting
        self._queue: DeadlineQueue[Job] = DeadlineQueue()
        self._errands: deque[Errand] = deque()
        self._idle_errands: deque[Errand] = deque()
        self._changed = threading.Condition()
        self._preference = Preference()
        self._running: Running | None = None
        self._open = 0
        self._draining = False
        self._closed = False

    def submit(self, job: Job) -> None:
        """Queue a job. Raises Overloaded when the queue is full, Draining when nothing is taken."""
        with self._changed:
            if self._draining:
                raise Draining("the worker is shutting down")
            if len(self._queue) >= self._max_waiting:
                raise Overloaded(
                    f"{self._max_waiting} requests wait already", retry_after_s=self._free_in_s()
                )
            self._queue.put(job)
            self._open += 1
            self._changed.notify_all()
        job.ended.add_done_callback(self._note_end)

    def cancel(self, job: Job) -> None:
        """End a job whose caller left: at once when it waits, else at the next step boundary."""
        with self._changed:
            job.gone = True
            self._queue.remove(job)
            self._changed.notify_all()
        job.fail(CallerGone("the caller went away"))

    def expire(self, job: Job) -> bool:
        """End a job whose time ran out while it waited; False when it is being made already."""
        with self._changed:
            waited = self._queue.remove(job)
        if waited:
            job.fail(DeadlineExceeded("the remaining time ran out in the worker's queue"))
        return waited

    def prefer(self, preference: Preference) -> None:
        """Change which model goes first; what waits stays."""
        with self._changed:
            self._preference = preference

    def run(self, errand: Errand, *, when_idle: bool = False) -> None:
        """Have the denoising thread run `errand` next, or once nothing else is to do."""
        with self._changed:
            (self._idle_errands if when_idle else self._errands).append(errand)
            self._changed.notify_all()

    def take(self) -> Sequence[Job] | Errand | None:
        """Wait for the next batch or errand; None once closed. For the denoising thread alone.

        What was taken counts as running until `release`.
        """
        with self._changed:
            while True:
                if self._closed:
                    return None
                if self._errands:
                    return self._errands.popleft()
                batch = self._next_batch()
                if batch:
                    return batch
                if self._idle_errands and not self._queue and not self._draining:
                    return self._idle_errands.popleft()
                self._changed.wait()

    def release(self) -> None:
        """Say that what was taken last is done with."""
        with self._changed:
            self._running = None
            self._changed.notify_all()

    def drain(self) -> None:
        """Take nothing new from now on; what was accepted is still made."""
        with self._changed:
            self._draining = True

    def close(self) -> list[Job]:
        """Stop the denoising thread at its next step; return the jobs that nobody will make."""
        with self._changed:
            self._draining = self._closed = True
            left = [*self._queue, *(self._running.jobs if self._running else ())]
            for job in left:
                job.gone = True
                self._queue.remove(job)
            self._changed.notify_all()
        return left

    @property
    def draining(self) -> bool:
        """Whether new jobs are refused."""
        return self._draining

    @property
    def pressing(self) -> bool:
        """Whether an idle errand should give way."""
        return bool(self._queue) or bool(self._errands) or self._draining

    @property
    def busy(self) -> bool:
        """Whether a job has not ended: it waits, is made, scored or encoded. No errand counts."""
        return self._open > 0

    def waiting(self, model: str | None = None) -> int:
        """Return how many jobs wait, of one model or of all."""
        with self._changed:
            return len(self._queue) if model is None else self._queue.waiting(model)

    def running(self, model: str | None = None) -> int:
        """Return how many jobs are being made and still wanted."""
        running = self._running
        if running is None:
            return 0
        return sum(
            not job.gone and (model is None or job.shape.model == model) for job in running.jobs
        )

    def holds(self, serial: int) -> bool:
        """Return whether any job needs the variant with this serial number."""
        with self._changed:
            jobs = [*self._queue, *(self._running.jobs if self._running else ())]
        return any(job.variant.serial == serial for job in jobs)

    def residual_s(self) -> float:
        """Return the expected rest of the running batch."""
        running = self._running
        if running is None:
            return 0.0
        return max(0.0, running.started_s + running.expected_s - self._clock())

    def free_in_s(self) -> float:
        """Return after how long a request that arrives now would be started."""
        with self._changed:
            return self._free_in_s()

    def expected_s(self, model: str, count: int) -> float:
        """Return how long `count` images of a model would take that do not wait here yet."""
        return batches_s(model, count, self._preference, self._estimate)

    def _note_end(self, _: object) -> None:
        with self._changed:
            self._open -= 1

    def _free_in_s(self) -> float:
        return self.residual_s() + backlog_s(self._queue, self._preference, self._estimate)

    def _next_batch(self) -> list[Job]:
        now_s = self._clock()
        for job in self._queue.expired(now_s):
            job.fail(DeadlineExceeded("the remaining time ran out in the worker's queue"))
        batch = self._queue.next_batch(now_s, self._preference, self._estimate)
        if batch:
            for job in batch:
                job.started_s = now_s
            expected_s = self._estimate(batch[0].shape.model, len(batch))
            self._running = Running(tuple(batch), now_s, expected_s)
        return batch
