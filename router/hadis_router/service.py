"""The router as one object: what is in force, who the workers are, and the parts that act on it.

Built once by the process (or a test), opened in the event loop, handed to the HTTP applications.
Every time in it is of one monotonic clock.
"""

import asyncio
import contextlib
import logging
import random
import time
from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry

from hadis.errors import InvalidManifest
from hadis.terms.cascades import Cascade
from hadis.terms.profiles import Profile
from hadis.wire.assignments import RoutingTableBody
from hadis_router.admission import Admission
from hadis_router.cascade_runs import CascadeRunner
from hadis_router.dispatching import Dispatcher
from hadis_router.draining import OpenRequests
from hadis_router.fleet_view import FleetView, Worker
from hadis_router.hardness_thread import HardnessThread
from hadis_router.histories import History, Moment
from hadis_router.latency_book import LatencyBook
from hadis_router.metrics import RouterMetrics
from hadis_router.settings import Settings
from hadis_router.worker_client import WorkerClient

PROBE_INTERVAL_S = 0.1

log = logging.getLogger(__name__)


class Router:
    """Everything that a request needs. Open it as an async context manager."""

    def __init__(self, settings: Settings, cascade: Cascade, profile: Profile | None) -> None:
        self.settings = settings
        self.clock = time.monotonic
        self.started_s = self.clock()
        self.created_epoch_s = int(time.time())
        self.cascade = cascade
        self.draws = random.SystemRandom()
        self.registry = CollectorRegistry()
        self.history = History(self.started_s, epoch_s=time.time() - self.started_s)
        self.metrics = RouterMetrics(
            self.registry, cascade.name, self.history, started_s=self.started_s
        )
        timings = settings.timings
        self.view = FleetView(LatencyBook(profile), not_resident_s=timings.not_resident_s)
        self.client = WorkerClient(connect_s=timings.connect_s)
        self.hardness = HardnessThread(cascade.hardness_weights)
        self.admission = Admission(self.view)
        self.dispatcher = Dispatcher(
            self.view,
            self.client,
            self.metrics,
            clock=self.clock,
            stall_grace_s=timings.stall_grace_s,
        )
        self.runner = CascadeRunner(self.dispatcher, self.admission, self.metrics, clock=self.clock)
        self.requests = OpenRequests()
        self.leaving = False
        self.draining = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self.client.open()
        self._tasks = [
            asyncio.create_task(self._load_hardness(), name="load hardness"),
            asyncio.create_task(self._probe_avoided(), name="probe workers"),
        ]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self.hardness.close()
        await self.client.close()

    def not_ready(self) -> str | None:
        """Return why requests would not be served, None when they would."""
        if self.leaving or self.draining:
            return "draining"
        if self.view.table is None:
            return "no routing table yet"
        if self.hardness.trouble is not None:
            return self.hardness.trouble
        if not self.view.workers:
            return "the plan has no workers yet"
        if all(worker.is_avoided for worker in self.view.workers.values()):
            return "no worker answers"
        return None

    def apply_routing(self, body: RoutingTableBody) -> int:
        """Take over a routing table unless it is older; return the version in force."""
        before = self.view.version
        version = self.view.apply(body, self.clock())
        if self.view.body is body:
            if version != before:
                log.info("routing table %d: %s", version, _told(body))
            self.metrics.note_plan(body)
            self.history.set_moment(self.clock(), _moment_of(body))
        return version

    def apply_cascade(self, cascade: Cascade, profile: Profile | None) -> None:
        """Take over a changed cascade for new requests.

        An older generation is passed over: a controller that was deposed may come last. Raises
        InvalidManifest for another cascade's name: that is another router's.
        """
        if cascade.name != self.cascade.name:
            raise InvalidManifest(
                f"metadata.name is {cascade.name!r}, but this router serves {self.cascade.name!r}",
                field="metadata.name",
            )
        if cascade.is_older_than(self.cascade):
            log.info("generation %d is passed over", cascade.generation)
            return
        self.hardness.replace_weights(cascade.hardness_weights)
        if profile is not None:
            self.view.book.replace_profile(profile)
        self.cascade = cascade
        log.info("cascade %s, generation %d", cascade.name, cascade.generation)

    async def _load_hardness(self) -> None:
        try:
            await self.hardness.load()
        except Exception:  # whatever is missing, the router says why it is not ready
            log.exception("hardness cannot be scored")

    async def _probe_avoided(self) -> None:
        while True:
            await asyncio.sleep(PROBE_INTERVAL_S)
            try:
                await self._probe_due()
            except Exception:  # the loop must outlive any single round
                log.exception("probing workers failed")

    async def _probe_due(self) -> None:
        now_s = self.clock()
        due = [worker for worker in self.view.unreachable() if worker.is_due(now_s)]
        await asyncio.gather(*(self._probe(worker) for worker in due))

    async def _probe(self, worker: Worker) -> None:
        """Ask an avoided worker, and then for its successor: the controller may be away."""
        alive = await self.client.is_alive(worker.ref)
        domain = self.settings.worker_domain
        successor = None
        if domain and not alive:
            successor = await self.client.find_successor(worker.ref, domain)
        if successor is not None:
            log.info("worker %s has moved to %s", worker.ref.name, successor.address)
            self.view.succeed(worker, successor)
            return
        self.view.note_probe(worker, self.clock(), alive=alive)
        if alive:
            log.info("worker %s answers again", worker.ref.name)


def _moment_of(body: RoutingTableBody) -> Moment:
    lane = max(body.lanes, key=lambda lane: lane.share)
    workers: dict[str, int] = {}
    for worker in body.workers:
        if worker.model is not None:
            workers[worker.model] = workers.get(worker.model, 0) + 1
    return Moment(lane.hardness_threshold, lane.quality_threshold, workers)


def _told(body: RoutingTableBody) -> str:
    lanes = ", ".join(
        f"{lane.share:.0%} {lane.light}>{lane.heavy} hardness {lane.hardness_threshold} "
        f"quality {lane.quality_threshold}"
        for lane in body.lanes
    )
    workers = ", ".join(f"{worker.name}={worker.model}" for worker in body.workers)
    return f"{lanes}; {workers or 'no workers'}"
