"""Virtual workers: deadline queues, batches, and models that take time to load.

A worker serves one batch at a time and never waits to fill one. Its queue goes by deadline, and a
batch is only as large as its most urgent member allows. When a worker is told another model it
makes what already waits for the old one, then it is out for as long as the new one takes to load.
Where changes cost nothing every worker holds every model, and its own goes first.

Every worker has a clock, the moment at which it would start one more image, kept as a router keeps
it: moved on with what is sent, set right when a batch ends.
"""

import heapq
from collections.abc import Callable, Mapping, Sequence

from hadis.planning import tables
from hadis.planning.snapshots import ObservedRouter, ObservedWorker, Snapshot
from hadis.routing import picking
from hadis.simulation.scenarios import Scenario
from hadis.simulation.workers import Batch, Pool, Request, Worker
from hadis.terms.assignments import Assignment
from hadis.terms.ids import ModelName, WorkerName

MAX_BATCH = 64


class Fleet:
    """All workers. `events` is the heap of the replay; whoever runs it calls `advance`.

    `ended(request, model, now_s)` is called for each image made, `hopeless` for each request that
    cannot be in time any more when its turn has come, `homeless` for each that waits at a worker
    which will not load its model after all.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        waits_for_loading: bool,
        later: Callable[[float, Worker], None],
        ended: Callable[[Request, int, float], None],
        hopeless: Callable[[Request, int, float], None],
        homeless: Callable[[Request, int, float], None],
        on_batch: Callable[[Batch], None] | None = None,
    ) -> None:
        profile = scenario.profile
        self.models = scenario.models
        self.number = {name: index for index, name in enumerate(self.models)}
        self.holds_all = not scenario.swaps_cost
        self.seconds = [_seconds(profile.latency_of(name)) for name in self.models]
        self.scoring = _seconds(profile.scoring_latency_s)
        self.swap_s = [scenario.swap_s.get(name, 0.0) for name in self.models]
        digits = len(str(scenario.workers - 1))
        self.workers = [
            Worker(WorkerName(f"w{index:0{digits}d}"), len(self.models))
            for index in range(scenario.workers)
        ]
        self.batch = [1] * len(self.models)
        self.pools = [Pool() for _ in self.models]
        self.swaps = 0
        self._everything = frozenset(self.models)
        self._alone = [frozenset((name,)) for name in self.models]
        self._load_s = {} if self.holds_all else dict(zip(self.models, self.swap_s, strict=True))
        self._waits_for_loading = waits_for_loading
        self._later = later
        self._ended = ended
        self._hopeless = hopeless
        self._homeless = homeless
        self._on_batch = on_batch
        self._sequence = 0

    # What a controller does

    def assign(
        self, assignments: Mapping[WorkerName, Assignment], now_s: float, *, at_once: bool = False
    ) -> None:
        """Tell workers their models; `at_once` has them loaded already, as at the very start."""
        changed = []
        for worker in self.workers:
            assignment = assignments.get(worker.name)
            if assignment is None:
                continue
            worker.assignment = assignment
            if assignment.model is None:
                continue
            model = self.number[assignment.model]
            self.batch[model] = min(assignment.batch_size, MAX_BATCH)
            if model != worker.wanted:
                worker.wanted = model
                changed.append(worker)
        for worker in changed:
            if at_once:
                worker.loaded = worker.wanted
            elif self.holds_all:
                self.swaps += 1
                worker.loaded = worker.wanted
            elif worker.is_idle:
                self._go_on(worker, now_s)
        self._fill_pools()
        if not self.holds_all:
            for worker in changed:
                self._give_back(worker, now_s)

    def snapshot(self, now_s: float, router: ObservedRouter, *, all_able: bool) -> Snapshot:
        """Return what a controller sees; `all_able` shows every worker ready with every model."""
        return Snapshot(
            now_s, tuple(self._observed(w, now_s, all_able) for w in self.workers), (router,)
        )

    def by_model(self) -> dict[str, int]:
        """Return how many workers each model is wanted on."""
        counts: dict[str, int] = {}
        for worker in self.workers:
            if worker.wanted >= 0:
                name = self.models[worker.wanted]
                counts[name] = counts.get(name, 0) + 1
        return counts

    # What a router does

    def send(self, worker: Worker, request: Request, model: int, now_s: float) -> None:
        """Queue a request for an image of `model`."""
        request.worker = worker
        self._sequence += 1
        heapq.heappush(worker.queues[model], (request.latest_s, self._sequence, request))
        if worker.running is None and worker.loading < 0:
            self._go_on(worker, now_s)
            return
        seconds, size = self.seconds[model], self.batch[model]
        clocks, place = worker.clocks, worker.place
        clocks[place] = picking.clock_after_sending(
            clocks[place], now_s, alone_s=seconds[1], shared_s=seconds[size] / size
        )

    def withdraw(self, request: Request, model: int) -> bool:
        """Take a request out of its worker's queue; False when it does not wait there."""
        if request.worker is None:
            return False
        queue = request.worker.queues[model]
        kept = [entry for entry in queue if entry[2] is not request]
        if len(kept) == len(queue):
            return False
        queue[:] = kept
        heapq.heapify(queue)
        return True

    # What time does

    def advance(self, worker: Worker, now_s: float) -> bool:
        """End what the worker was at and go on; True when it has changed its model."""
        if worker.loading >= 0:
            worker.loaded, worker.loading = worker.loading, -1
            self._go_on(worker, now_s)
            if not self._waits_for_loading:
                self._fill_pools()
            return True
        batch, model = worker.running, worker.running_model
        # Still running for whoever is told: what they send to this worker joins its queue.
        for request in batch or ():
            self._ended(request, model, now_s)
        worker.running = None
        self._go_on(worker, now_s)
        return False

    def _go_on(self, worker: Worker, now_s: float) -> None:
        """Start the next batch, or load the wanted model, or rest; then set the clock right."""
        while (model := self._next_model(worker, now_s)) is not None:
            if self._start(worker, model, now_s):
                break
        else:
            if worker.wanted != worker.loaded and worker.wanted >= 0:
                self._load(worker, now_s)
        free_in_s = self._backlog_s(worker)
        if worker.running is not None or worker.loading >= 0:
            free_in_s += worker.until_s - now_s
        worker.clocks[worker.place] = picking.clock_after_reply(now_s, free_in_s)

    def _give_back(self, worker: Worker, now_s: float) -> None:
        """Send elsewhere what waits for a model that the worker neither has nor will have."""
        # What it held before is gone once it loads, however the plan has turned meanwhile.
        next_loaded = worker.loaded if worker.loading < 0 else worker.loading
        for model, queue in enumerate(worker.queues):
            if queue and model not in (next_loaded, worker.wanted):
                stranded, worker.queues[model] = sorted(queue), []
                for _, _, request in stranded:
                    self._homeless(request, model, now_s)

    def _next_model(self, worker: Worker, now_s: float) -> int | None:
        """Return the model of the next batch; None when nothing waits that can be made now."""
        queues, own = worker.queues, worker.loaded
        if not self.holds_all:
            return own if own >= 0 and queues[own] else None
        other = -1
        for model, queue in enumerate(queues):
            if queue and model != own and (other < 0 or queue[0][0] < queues[other][0][0]):
                other = model
        if own < 0 or not queues[own]:
            return None if other < 0 else other
        if other < 0:
            return own
        # Its own model first, unless the other's most urgent image cannot wait for one more batch.
        own_s = self.seconds[own][self.batch[own]]
        can_wait = now_s + own_s + self.seconds[other][1] < queues[other][0][0]
        return own if can_wait else other

    def _start(self, worker: Worker, model: int, now_s: float) -> bool:
        """Start a batch of what waits for `model`; False when nothing of it can be in time."""
        queue, seconds, limit = worker.queues[model], self.seconds[model], self.batch[model]
        scoring, scored = self.scoring, 0
        batch: list[Request] = []
        worker.running, worker.running_model = batch, model
        urgent_s = 0.0
        while queue and len(batch) < limit:
            latest_s, _, request = queue[0]
            more = scored + request.scored
            ends_s = now_s + seconds[len(batch) + 1] + scoring[more]
            if batch:
                if ends_s > urgent_s:
                    break
            elif ends_s > latest_s:
                heapq.heappop(queue)
                self._hopeless(request, model, now_s)
                continue
            else:
                urgent_s = latest_s
            heapq.heappop(queue)
            batch.append(request)
            scored = more
        if not batch:
            worker.running = None
            return False
        spent_s = seconds[len(batch)] + scoring[scored]
        worker.busy_s += spent_s
        worker.until_s = now_s + spent_s
        if self._on_batch is not None:
            self._on_batch(
                Batch(worker.name, self.models[model], now_s, worker.until_s, len(batch))
            )
        self._later(worker.until_s, worker)
        return True

    def _load(self, worker: Worker, now_s: float) -> None:
        worker.loading = worker.wanted
        seconds = self.swap_s[worker.wanted]
        self.swaps += 1
        worker.loading_s += seconds
        worker.until_s = now_s + seconds
        self._later(worker.until_s, worker)

    def _backlog_s(self, worker: Worker) -> float:
        """Return the seconds of all that waits, in full batches, and of a model still to load."""
        total_s = 0.0
        for model, queue in enumerate(worker.queues):
            if queue:
                seconds, size = self.seconds[model], self.batch[model]
                full, rest = divmod(len(queue), size)
                total_s += full * seconds[size] + seconds[rest]
        if not self.holds_all and worker.wanted not in (worker.loaded, worker.loading):
            total_s += self.swap_s[worker.wanted]
        return total_s

    def _fill_pools(self) -> None:
        """Sort the workers into pools again."""
        pools = [Pool() for _ in self.models]
        for worker in self.workers:
            if worker.wanted < 0:
                continue
            serves = worker.loaded == worker.wanted and worker.loading < 0
            if serves or self._waits_for_loading:
                pools[worker.wanted].add(worker)
            else:
                worker.clocks, worker.place = [worker.clocks[worker.place]], 0
        self.pools = pools

    def _observed(self, worker: Worker, now_s: float, all_able: bool) -> ObservedWorker:
        holds: frozenset[ModelName] = frozenset()
        if all_able or self.holds_all:
            holds = self._everything
        elif worker.loaded >= 0 and worker.loading < 0:
            holds = self._alone[worker.loaded]
        waiting = {
            self.models[model]: len(queue) for model, queue in enumerate(worker.queues) if queue
        }
        running = {}
        if worker.running:
            running[self.models[worker.running_model]] = len(worker.running)
        return ObservedWorker(
            name=worker.name,
            uid="virtual",
            address=worker.name,
            ready=all_able or worker.loading < 0,
            resident=holds,
            assignment=worker.assignment,
            waiting=waiting,
            running=running,
            residual_s=0.0 if worker.is_idle else max(worker.until_s - now_s, 0.0),
            load_s=self._load_s,
        )


def _seconds(latency_s: Mapping[int, float]) -> Sequence[float]:
    """Return the seconds of batches of 0, 1, 2 ... images; of none, and if unmeasured, no time."""
    return [0.0, *(tables.seconds_at(latency_s, size) for size in range(1, MAX_BATCH + 1))]
