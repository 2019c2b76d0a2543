"""One image on one model: choose a worker, call it, and once more elsewhere when it fails.

A worker that dies is left at once; one that falls silent gets a twin of the call on another worker,
whichever answers first wins, and the loser's connection is closed so that its worker drops the
image. A worker's refusal (model not resident, draining) is no fault and costs no retry.
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hadis.errors import DeadlineExceeded, HadisError, NoWorker, Overloaded, WorkerLost
from hadis.routing import picking
from hadis.terms.ids import ModelName
from hadis.wire.generation import GenerateBody, OutputFormat
from hadis_router.fleet_view import FleetView, Worker
from hadis_router.metrics import RouterMetrics
from hadis_router.worker_client import (
    Answer,
    GenerationFailed,
    NotResident,
    Reply,
    WorkerClient,
)

SUSPECT_PROBE_S = 0.25  # a live event loop answers in milliseconds, a stopped process never
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Call:
    """One image to make. `width` and `height` are the model's unless the client said otherwise."""

    request_id: str
    model: ModelName
    prompt: str
    negative_prompt: str | None
    seed: int
    width: int
    height: int
    score: bool
    output_format: OutputFormat
    output_compression: int


class Stopwatch:
    """The time that a request spent waiting for others: workers and the hardness thread.

    Overlapping waits count once, so that the rest of a request's time is the router's own.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open = 0
        self._since_s = 0.0
        self.waited_s = 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time of the block as waiting."""
        if self._open == 0:
            self._since_s = self._clock()
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1
            if self._open == 0:
                self.waited_s += self._clock() - self._since_s


@dataclass(slots=True, eq=False)
class _Attempt:
    worker: Worker
    task: asyncio.Task[Answer]


class Dispatcher:
    """Runs calls on the fleet. One for the whole router."""

    def __init__(
        self,
        view: FleetView,
        client: WorkerClient,
        metrics: RouterMetrics,
        *,
        clock: Clock,
        stall_grace_s: float,
        draws: random.Random | None = None,
    ) -> None:
        self._view = view
        self._client = client
        self._metrics = metrics
        self._clock = clock
        self._grace_s = stall_grace_s
        self._draws = draws or random.Random()
        self._probes: dict[Worker, asyncio.Task[bool]] = {}

    async def generate(self, call: Call, latest_s: float, stopwatch: Stopwatch) -> Reply:
        """Return the image, or raise when there is none by `latest_s`.

        Raises NoWorker when nobody could be asked, Overloaded when whoever could is full,
        DeadlineExceeded when the time ran out, WorkerLost when a worker was lost and the retry
        failed too.
        """
        run = _Run(self, call, latest_s)
        try:
            with stopwatch.waiting():
                return await run.finish()
        finally:
            run.abandon()

    def launch(self, call: Call, latest_s: float, tried: set[Worker]) -> _Attempt | None:
        """Send a call to the best worker not yet tried; None when there is none."""
        now_s = self._clock()
        worker = self._choose(call.model, now_s, latest_s, tried)
        if worker is None:
            return None
        tried.add(worker)
        predicted_s = self._view.finish_s(worker, call.model, now_s) - now_s
        self._view.note_sent(worker, call.model, now_s)
        self._metrics.note_dispatched(call.model)
        return _Attempt(
            worker, asyncio.create_task(self._call(worker, call, latest_s, predicted_s))
        )

    def _choose(
        self, model: ModelName, now_s: float, latest_s: float, tried: set[Worker]
    ) -> Worker | None:
        pools = self._view.pools(model, now_s, tried)
        best = self._pick(pools.assigned, model, now_s, latest_s)
        if best is not None and self._view.finish_s(best, model, now_s) <= latest_s:
            return best
        # Behind a full pool only idle workers help: others serve their own model first.
        spare = [worker for worker in pools.others if best is None or worker.is_idle(now_s)]
        other = self._pick(spare, model, now_s, latest_s)
        return best if other is None else other

    def _pick(
        self, workers: list[Worker], model: ModelName, now_s: float, latest_s: float
    ) -> Worker | None:
        if not workers:
            return None
        finishes = self._view.finishes_s(workers, model, now_s)
        first, second = self._draws.random(), self._draws.random()
        return workers[picking.pick_in_time(finishes, first, second, latest_s)]

    async def _call(
        self, worker: Worker, call: Call, latest_s: float, predicted_s: float
    ) -> Answer:
        body = GenerateBody(
            request_id=call.request_id,
            model=call.model,
            prompt=call.prompt,
            negative_prompt=call.negative_prompt,
            seed=call.seed,
            width=call.width,
            height=call.height,
            remaining_s=max(0.0, latest_s - self._clock()),
            score=call.score,
            waits_for_model=worker.ref.arrives_in_s > 0.0 and worker.ref.model == call.model,
            output_format=call.output_format,
            output_compression=call.output_compression,
        )
        sent_s = self._clock()
        try:
            answer = await self._client.generate(worker.ref, body)
        except asyncio.CancelledError:
            now_s = self._clock()
            self._view.note_ended(worker, call.model, now_s, dropped=True)
            if now_s >= latest_s:  # nobody would learn from those that never come otherwise
                self._view.note_given_up(call.model, predicted_s, now_s - sent_s, now_s)
            raise
        now_s = self._clock()
        self._view.note_ended(worker, call.model, now_s, dropped=answer.report is None)
        if answer.report is not None:
            self._view.note_report(worker, answer.report, now_s, took_s=now_s - sent_s)
        if answer.reply is not None:
            self._view.note_prediction(call.model, predicted_s, now_s - sent_s, now_s)
        elif isinstance(answer.error, DeadlineExceeded):
            self._view.note_given_up(call.model, predicted_s, now_s - sent_s, now_s)
        if answer.reply is not None:
            self._metrics.note_completed(call.model)
        return answer

    def stall_s(self, attempt: _Attempt, call: Call, latest_s: float) -> float:
        """Return when the attempt's worker, silent until then, counts as stalled.

        One whose process still answered a probe gets twice the time: it may only be slow.
        """
        patience = 2.0 if attempt.worker.is_vouched_for else 1.0
        return picking.stalls_at_s(
            progress_s=attempt.worker.progress_s,
            longest_batch_s=patience * self._view.longest_batch_s(attempt.worker),
            grace_s=patience * self._grace_s,
            latest_start_elsewhere_s=latest_s - 1.5 * self._view.book.batch_s(call.model),
        )

    async def is_stalled(self, worker: Worker) -> bool:
        """Ask a silent worker's process, once for all of its images, whether it lives."""
        # One that loads may first make what other routers sent, for as long as that takes.
        is_loading = worker.ref.arrives_in_s > 0.0
        if worker.is_avoided or (worker.is_vouched_for and not is_loading):
            return True
        progress_s = worker.progress_s
        probe = self._probes.get(worker)
        if probe is None:
            probe = asyncio.create_task(self._client.is_alive(worker.ref, SUSPECT_PROBE_S))
            self._probes[worker] = probe
            probe.add_done_callback(lambda _: self._probes.pop(worker, None))
        alive = await asyncio.shield(probe)
        if worker.progress_s > progress_s:
            return False
        if alive and is_loading:
            worker.progress_s = self._clock()
        elif alive:
            worker.vouched_progress_s = progress_s
        return not alive

    def is_in_time_elsewhere(self, call: Call, latest_s: float, tried: set[Worker]) -> bool:
        """Return whether a worker not yet tried would make the image in time."""
        now_s = self._clock()
        worker = self._choose(call.model, now_s, latest_s, tried)
        return worker is not None and self._view.finish_s(worker, call.model, now_s) <= latest_s

    def note_fault(self, worker: Worker, error: HadisError, model: ModelName) -> None:
        """Remember what an error tells about its worker."""
        now_s = self._clock()
        match error:
            case NotResident():
                self._view.note_lacking(worker, model, now_s)
            case WorkerLost() | NoWorker():
                self._view.note_failure(worker, now_s)

    @property
    def now_s(self) -> float:
        """The present on the dispatcher's clock."""
        return self._clock()


class _Run:
    """One call of `Dispatcher.generate`: at most one twin of a silent call and one retry."""

    def __init__(self, dispatcher: Dispatcher, call: Call, latest_s: float) -> None:
        self._dispatcher = dispatcher
        self._call = call
        self._latest_s = latest_s
        self._tried: set[Worker] = set()
        self._open: list[_Attempt] = []
        self._twinned = False
        self._retried = False
        self._error: HadisError = NoWorker(f"no ready worker holds {call.model}")

    async def finish(self) -> Reply:
        self._launch()
        while self._open:
            now_s = self._dispatcher.now_s
            if now_s >= self._latest_s:
                if isinstance(self._error, WorkerLost):
                    raise self._error
                raise DeadlineExceeded("the deadline passed before the image was there")
            until_s = self._latest_s
            if not self._twinned and len(self._open) == 1:
                stall_s = self._dispatcher.stall_s(self._open[0], self._call, self._latest_s)
                # A call that ended while its worker was probed is read below, not suspected again.
                if now_s >= stall_s and not self._open[0].task.done():
                    await self._suspect()
                    continue
                until_s = min(until_s, stall_s)
            reply = await self._wait(max(0.0, until_s - now_s))
            if reply is not None:
                return reply
        raise self._error

    def abandon(self) -> None:
        """Cancel what is still running; its connections close."""
        for attempt in self._open:
            attempt.task.cancel()
        self._open.clear()

    def _launch(self) -> None:
        attempt = self._dispatcher.launch(self._call, self._latest_s, self._tried)
        if attempt is not None:
            self._open.append(attempt)

    async def _suspect(self) -> None:
        """Start a twin elsewhere if the worker is stalled and the twin can be in time."""
        stalled = self._open[0].worker
        if not await self._dispatcher.is_stalled(stalled) or self._open[0].task.done():
            return
        self._twinned = True
        self._dispatcher.note_fault(
            stalled, WorkerLost(f"worker {stalled.ref.name} is silent"), self._call.model
        )
        if self._dispatcher.is_in_time_elsewhere(self._call, self._latest_s, self._tried):
            self._launch()

    async def _wait(self, seconds: float) -> Reply | None:
        done, _ = await asyncio.wait(
            [attempt.task for attempt in self._open],
            timeout=seconds,
            return_when=asyncio.FIRST_COMPLETED,
        )
        for attempt in [attempt for attempt in self._open if attempt.task in done]:
            self._open.remove(attempt)
            answer = attempt.task.result()
            if answer.reply is not None:
                return answer.reply
            assert answer.error is not None
            self._take_error(attempt.worker, answer.error)
        return None

    def _take_error(self, worker: Worker, error: HadisError) -> None:
        self._dispatcher.note_fault(worker, error, self._call.model)
        match error:
            case NotResident() | NoWorker():
                # Nothing was lost: ask the next one, as long as there are any.
                self._launch()
            case Overloaded():
                self._error = error
                self._launch()
            case DeadlineExceeded():
                self._error = error
            case WorkerLost() | GenerationFailed():
                self._error = WorkerLost(str(error))
                if self._open or self._retried:
                    return  # its twin may still make it, or the retry failed too
                self._retried = True
                self._launch()
