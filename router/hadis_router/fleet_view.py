"""The workers as this router sees them: the routing table, a clock a worker, and who to avoid.

Tables arrive on the control port, queue states with every reply, faults from failed calls. The view
keeps no connection and makes no call; it answers which workers may be asked for a model.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from hadis.routing import admitting, picking
from hadis.terms.assignments import Lane, Role, RoutingTable, WorkerRef
from hadis.terms.ids import ModelName
from hadis.wire.assignments import RoutingTableBody
from hadis.wire.generation import GenerateReport
from hadis_router.latency_book import LatencyBook, Learnt

CAUTION_LASTS_S = 5.0
"""A caution fades once nothing was learnt for this long: while images end, they alone teach."""


@dataclass(slots=True, eq=False)
class Worker:
    """One worker process and what is known of it. A successor under the same name is another."""

    ref: WorkerRef
    clock_s: float = 0.0
    progress_s: float = 0.0
    vouched_progress_s: float = -1.0
    sent: Counter[ModelName] = field(default_factory=Counter)
    last_batch: int = 1
    failures: int = 0
    probe_at_s: float | None = None
    lacks_until_s: dict[ModelName, float] = field(default_factory=dict)
    gone: bool = False

    @property
    def in_flight(self) -> int:
        """Images of this router that the worker has not answered."""
        return self.sent.total()

    def is_idle(self, now_s: float) -> bool:
        """Whether it has nothing to do, as far as this router knows."""
        return self.in_flight == 0 and self.clock_s <= now_s

    @property
    def is_avoided(self) -> bool:
        """Whether it failed and has answered no probe since."""
        return self.gone or self.probe_at_s is not None

    def is_due(self, now_s: float) -> bool:
        """Whether it is time to probe it."""
        return self.probe_at_s is not None and self.probe_at_s <= now_s

    @property
    def is_vouched_for(self) -> bool:
        """Whether a probe found the process alive during the present silence."""
        return self.vouched_progress_s == self.progress_s

    def note_assigned(self, ref: WorkerRef, now_s: float) -> None:
        """Take over what a table says: a model that is yet to load keeps it busy for as long."""
        is_new = ref.model != self.ref.model or self.ref.arrives_in_s == 0.0
        if ref.arrives_in_s > 0.0 and ref.model is not None and is_new:
            self.clock_s = max(self.clock_s, now_s) + ref.arrives_in_s
            self.lacks_until_s.pop(ref.model, None)
        self.ref = ref

    def may_have(self, model: ModelName, now_s: float) -> bool:
        """Whether it has not said, within a while, that the model is not resident."""
        return self.lacks_until_s.get(model, 0.0) <= now_s


@dataclass(frozen=True, slots=True)
class Pools:
    """Workers that may be asked for a model: those assigned to it, and all others."""

    assigned: list[Worker]
    others: list[Worker]


class FleetView:
    """The newest routing table and the state of its workers."""

    def __init__(self, book: LatencyBook, *, not_resident_s: float) -> None:
        self.book = book
        self.table: RoutingTable | None = None
        self.body: RoutingTableBody | None = None
        self.workers: dict[str, Worker] = {}
        self.cautions: dict[ModelName, Learnt] = {}
        self._not_resident_s = not_resident_s
        self._batch: dict[ModelName, int] = {}

    @property
    def version(self) -> int:
        """The version in force; 0 before the first table."""
        return 0 if self.table is None else self.table.version

    def apply(self, body: RoutingTableBody, now_s: float) -> int:
        """Take over a table unless it is older; return the version in force."""
        if self.table is not None and body.version < self.table.version:
            return self.table.version
        table = body.to_terms()
        known = self.workers
        self.workers = {}
        for ref in table.workers:
            worker = known.pop(ref.name, None)
            if worker is None or (worker.ref.uid, worker.ref.address) != (ref.uid, ref.address):
                if worker is not None:
                    worker.gone = True
                worker = Worker(replace(ref, model=None))
            worker.note_assigned(ref, now_s)
            self.workers[ref.name] = worker
        for worker in known.values():
            worker.gone = True
        self.table, self.body = table, body
        self._batch = _batch_sizes((body.plan or {}).get("batch"))
        return table.version

    def succeed(self, worker: Worker, ref: WorkerRef) -> None:
        """Put the next process of a slot in the place of one that is gone, unless it has left."""
        if self.workers.get(worker.ref.name) is worker:
            worker.gone = True
            self.workers[ref.name] = Worker(ref)

    def pools(self, model: ModelName, now_s: float, tried: Collection[Worker]) -> Pools:
        """Return the workers that may be asked now; `tried` holds those that already were."""
        assigned: list[Worker] = []
        others: list[Worker] = []
        for worker in self.workers.values():
            if worker in tried or worker.is_avoided:
                continue
            if worker.may_have(model, now_s):
                (assigned if worker.ref.model == model else others).append(worker)
        return Pools(assigned, others)

    def finish_s(self, worker: Worker, model: ModelName, now_s: float) -> float:
        """Return when an image sent now would be done."""
        return self.finishes_s([worker], model, now_s)[0]

    def finishes_s(self, workers: list[Worker], model: ModelName, now_s: float) -> list[float]:
        """Return when each worker would be done with an image sent now; idle ones are equal."""
        needed_s = self.book.batch_s(model) + self.book.transit_s
        return [self._start_s(worker, now_s) + needed_s for worker in workers]

    def _start_s(self, worker: Worker, now_s: float) -> float:
        return picking.start_s(
            worker.clock_s,
            now_s,
            unanswered_s=sum(count * self._shared_s(model) for model, count in worker.sent.items()),
            batch_s=self.longest_batch_s(worker),
            silent_s=now_s - worker.progress_s,
        )

    def expected_finish_s(self, model: ModelName, now_s: float, *, images: int = 1) -> float | None:
        """Return when the earliest worker would be done with `images`; None without a worker."""
        pools = self.pools(model, now_s, ())
        idle = [worker for worker in pools.others if worker.is_idle(now_s)]
        pool = [*pools.assigned, *idle] if pools.assigned else pools.others
        if not pool:
            return None
        finish_s = min(self.finishes_s(pool, model, now_s))
        return finish_s + (images - 1) * self._shared_s(model) / len(pool)

    def is_idle(self, model: ModelName, now_s: float) -> bool:
        """Whether a worker that an image of the model would go to has nothing to do."""
        pools = self.pools(model, now_s, ())
        return any(worker.is_idle(now_s) for worker in pools.assigned or pools.others)

    def note_sent(self, worker: Worker, model: ModelName, now_s: float) -> None:
        """Move a worker's clock on by one image."""
        if worker.in_flight == 0:
            worker.progress_s = now_s
        worker.sent[model] += 1
        worker.clock_s = picking.clock_after_sending(
            worker.clock_s,
            now_s,
            alone_s=self.book.batch_s(model),
            shared_s=self._shared_s(model),
        )

    def note_ended(self, worker: Worker, model: ModelName, now_s: float, *, dropped: bool) -> None:
        """Note that an image is no longer waited for; `dropped` tells one without an answer."""
        if dropped:
            worker.clock_s = picking.clock_after_dropping(
                worker.clock_s, now_s, shared_s=self._shared_s(model)
            )
        worker.sent[model] -= 1
        if worker.sent[model] <= 0:
            del worker.sent[model]

    def note_report(
        self, worker: Worker, report: GenerateReport, now_s: float, *, took_s: float
    ) -> None:
        """Set a worker's clock right and learn from the batch and the call that it reports on.

        A successor that was found by its name tells its uid with its first answer.
        """
        if not worker.ref.uid:
            worker.ref = replace(worker.ref, uid=report.uid)
        worker.progress_s = now_s
        queue = report.queue
        worker.clock_s = picking.clock_after_reply(
            now_s,
            queue.free_in_s,
            unseen=worker.in_flight - queue.waiting - queue.running,
            shared_s=self._shared_s(ModelName(report.model)),
        )
        if report.batch_size > 0 and report.generate_s > 0:
            worker.failures = 0
            worker.last_batch = report.batch_size
            batch_s = report.generate_s + report.score_s
            self.book.observe(ModelName(report.model), report.batch_size, batch_s)
            self.book.observe_transit(took_s - report.queue_s - batch_s)

    def note_failure(self, worker: Worker, now_s: float) -> None:
        """Avoid a worker for a while, longer with every failure in a row."""
        if worker.is_avoided:
            return  # the other images that it held tell the same fault
        worker.failures += 1
        worker.probe_at_s = now_s + picking.avoid_for_s(worker.failures)

    def note_probe(self, worker: Worker, now_s: float, *, alive: bool) -> None:
        """Note whether an avoided worker answered a probe: it is back, or avoided for longer."""
        if alive:
            worker.probe_at_s = None
            worker.clock_s = max(worker.clock_s, now_s)  # it may still hold images
            worker.progress_s = now_s
        else:
            worker.failures += 1
            worker.probe_at_s = now_s + picking.avoid_for_s(worker.failures)

    def caution(self, model: ModelName, now_s: float) -> float:
        """Return by how much the time until a model's finish is to be stretched.

        It fades as the latency book does: only a model's own images lower it, and a high one would
        keep them away for ever.
        """
        learnt = self.cautions.get(model)
        if learnt is None:
            return admitting.FIRST_CAUTION
        silent_since_s = min(now_s, learnt.at_s + CAUTION_LASTS_S)
        return Learnt(learnt.value, silent_since_s).faded(admitting.FIRST_CAUTION, now_s)

    def note_prediction(
        self, model: ModelName, predicted_s: float, took_s: float, now_s: float
    ) -> None:
        """Learn from an image how far predictions for its model may be trusted."""
        caution = self.caution(model, now_s)
        stepped = admitting.next_caution(
            caution, underestimated=admitting.is_underestimated(predicted_s, took_s, caution)
        )
        self.cautions[model] = Learnt(stepped, now_s)

    def note_given_up(
        self, model: ModelName, predicted_s: float, waited_s: float, now_s: float
    ) -> None:
        """Learn from an image that was not there in time: it took longer than `waited_s`."""
        if admitting.is_underestimated(predicted_s, waited_s, self.caution(model, now_s)):
            self.note_prediction(model, predicted_s, waited_s, now_s)

    def note_lacking(self, worker: Worker, model: ModelName, now_s: float) -> None:
        """Remember a worker's word that a model is not resident in it."""
        worker.lacks_until_s[model] = now_s + self._not_resident_s

    def longest_batch_s(self, worker: Worker) -> float:
        """Return the longest that a live worker may take until its next answer."""
        return worker.ref.arrives_in_s + max(
            (
                self.book.batch_s(model, min(count, self._batch.get(model, count)))
                for model, count in worker.sent.items()
            ),
            default=0.0,
        )

    def unreachable(self) -> list[Worker]:
        """Return the workers that are being avoided."""
        return [worker for worker in self.workers.values() if worker.is_avoided]

    def role_of(self, model: ModelName | None) -> Role:
        """Return the part that a worker with this model plays in the lanes in force."""
        lanes: tuple[Lane, ...] = () if self.table is None else self.table.lanes
        if any(lane.light == model for lane in lanes):
            return Role.LIGHT
        if any(lane.heavy == model for lane in lanes):
            return Role.HEAVY
        return Role.IDLE

    def _shared_s(self, model: ModelName) -> float:
        batch = max(1, self._batch.get(model, 1))
        return self.book.batch_s(model, batch) / batch


def _batch_sizes(told: object) -> dict[ModelName, int]:
    """Return the planned batch sizes; a plan's summary is not checked elsewhere."""
    if not isinstance(told, dict):
        return {}
    return {
        ModelName(str(model)): size
        for model, size in told.items()
        if isinstance(size, int) and size >= 1
    }
