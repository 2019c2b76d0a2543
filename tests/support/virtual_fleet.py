"""A fleet under virtual time: what a router and workers make of the cycle's output.

An independent, simple model of the shells for tests of the control cycle and of the queueing
estimate: Poisson arrivals, uniform hardness and scores, deadline queues, batches that never wait.
"""

import heapq
import itertools
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from hadis.planning import cycles, tables
from hadis.planning.cycles import CycleInput, CycleOutput, CycleState
from hadis.planning.snapshots import ObservedRouter, ObservedWorker, Snapshot
from hadis.terms.assignments import Assignment, Lane
from hadis.terms.cascades import Cascade
from hadis.terms.ids import ModelName, WorkerName
from hadis.terms.profiles import Profile

MADE, FREE, PLANNED = "arrival", "free", "cycle"


@dataclass
class Job:
    arrived_s: float
    deadline_s: float
    lane: Lane
    hardness: float
    light_score: float
    model: ModelName
    escalated: bool = False


@dataclass
class Worker:
    name: WorkerName
    resident: frozenset[ModelName]
    assignment: Assignment | None = None
    queue: list[Job] = field(default_factory=list)
    running: list[Job] = field(default_factory=list)
    busy_until_s: float = 0.0


@dataclass
class Books:
    """Latency and lateness of the requests that arrived in each phase, by arrival time."""

    finished: list[tuple[float, float, bool]] = field(default_factory=list)
    plans: list[tuple[float, CycleOutput]] = field(default_factory=list)
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(
            ("arrived", "planned", "direct", "judged", "escalated", "late"), 0
        )
    )

    def latencies(self, start_s: float, end_s: float) -> list[float]:
        return [latency for at, latency, _ in self.finished if start_s <= at < end_s]

    def late_share(self, start_s: float, end_s: float) -> float:
        late = [missed for at, _, missed in self.finished if start_s <= at < end_s]
        return sum(late) / max(len(late), 1)

    def changes(self, start_s: float, end_s: float) -> list[float]:
        return [at for at, output in self.plans if output.events and start_s <= at < end_s]


def run(
    cascade: Cascade,
    profile: Profile,
    rate: Callable[[float], float],
    duration_s: float,
    *,
    seed: int = 1,
    peak_rate: float = 50.0,
    latency_scale: float | Callable[[float], float] = 1.0,
    escalation_factor: float = 1.0,
    transform: Callable[[float, tuple[ObservedWorker, ...]], tuple[ObservedWorker, ...]]
    | None = None,
) -> Books:
    """Serve Poisson arrivals of `rate(t)` under the control cycle.

    `latency_scale` makes workers slower than the profile says, and say so; it may change with time.
    `escalation_factor` makes scores worse than in the profile. `transform` may change what a
    snapshot shows.
    """
    fleet = _Fleet(cascade, profile, seed, latency_scale, escalation_factor, transform)
    return fleet.run(rate, duration_s, peak_rate)


class _Fleet:
    def __init__(self, cascade, profile, seed, scale, escalation_factor, transform) -> None:
        self.cascade, self.profile, self.transform = cascade, profile, transform
        self.random = random.Random(seed)
        self.scale_at = scale if callable(scale) else lambda _: scale
        self.escalation_factor = escalation_factor
        models = frozenset(model.name for model in profile.models)
        self.workers = [Worker(WorkerName(f"w{i}"), models) for i in range(cascade.workers)]
        self.state = CycleState()
        self.output: CycleOutput | None = None
        self.books = Books()
        self.events: list = []
        self.order = itertools.count()

    def run(self, rate, duration_s: float, peak_rate: float) -> Books:
        self.push(0.0, PLANNED, None)
        self.push(self.random.expovariate(peak_rate), MADE, None)
        while self.events:
            now_s, _, kind, worker = heapq.heappop(self.events)
            if kind is PLANNED and now_s < duration_s:
                self.plan(now_s)
                self.push(now_s + self.cascade.planner.interval_s, PLANNED, None)
            elif kind is MADE and now_s < duration_s:
                if self.random.random() < rate(now_s) / peak_rate:
                    self.arrive(now_s)
                self.push(now_s + self.random.expovariate(peak_rate), MADE, None)
            elif kind is FREE:
                self.finish(now_s, worker)
        return self.books

    def push(self, at_s: float, kind: str, worker: Worker | None) -> None:
        heapq.heappush(self.events, (at_s, next(self.order), kind, worker))

    def plan(self, now_s: float) -> None:
        observed = tuple(
            ObservedWorker(
                name=w.name,
                uid="u",
                address=f"127.0.0.1:{number}",
                ready=True,
                resident=w.resident,
                assignment=w.assignment,
                waiting=_count(w.queue),
                running=_count(w.running),
                latency_scale=self.scale_at(now_s),
            )
            for number, w in enumerate(self.workers, start=1)
        )
        if self.transform is not None:
            observed = self.transform(now_s, observed)
        counts = {k: v for k, v in self.books.counts.items() if k != "late"}
        version = 0 if self.output is None else self.output.routing.version
        router = ObservedRouter(uid="r", routing_version=version, **counts)
        self.output = cycles.run_cycle(
            CycleInput(self.cascade, self.profile, Snapshot(now_s, observed, (router,)), self.state)
        )
        self.state = self.output.state
        for worker in self.workers:
            if worker.name in self.output.assignments:
                worker.assignment = self.output.assignments[worker.name]
        self.books.plans.append((now_s, self.output))

    def arrive(self, now_s: float) -> None:
        assert self.output is not None
        self.books.counts["arrived"] += 1
        self.books.counts["planned"] += 1
        lanes = self.output.routing.lanes
        lane = self.random.choices(lanes, [lane.share for lane in lanes])[0]
        hardness, score = self.random.random(), self.random.random() / self.escalation_factor
        straight = hardness >= lane.hardness_threshold
        self.books.counts["direct"] += straight
        model = lane.heavy if straight else lane.light
        job = Job(now_s, now_s + self.cascade.slo_s, lane, hardness, score, model, straight)
        self.send(now_s, job)

    def send(self, now_s: float, job: Job) -> None:
        own = [w for w in self.workers if w.assignment and w.assignment.model == job.model]
        pool = own or [w for w in self.workers if job.model in w.resident]
        worker = min(pool, key=lambda w: (self.free_s(w, now_s), w.name))
        worker.queue.append(job)
        self.start(now_s, worker)

    def free_s(self, worker: Worker, now_s: float) -> float:
        waiting = len(worker.queue)
        size = worker.assignment.batch_size if worker.assignment else 1
        batches = -(-waiting // size) if waiting else 0
        seconds = self.seconds(worker.queue[0].model, size, now_s) if waiting else 0.0
        return max(worker.busy_until_s - now_s, 0.0) + batches * seconds

    def start(self, now_s: float, worker: Worker) -> None:
        if worker.running or not worker.queue:
            return
        own = worker.assignment.model if worker.assignment else None
        worker.queue.sort(key=lambda job: (job.model != own, job.deadline_s))
        model = worker.queue[0].model
        size = worker.assignment.batch_size if worker.assignment else 1
        same = [job for job in worker.queue if job.model == model][:size]
        for job in same:
            worker.queue.remove(job)
        worker.running = same
        seconds = self.seconds(model, len(same), now_s)
        scored = any(job.lane.quality_threshold > -1e9 for job in same)
        if scored:
            scoring_s = tables.seconds_at(self.profile.scoring_latency_s, len(same))
            seconds += scoring_s * self.scale_at(now_s)
        worker.busy_until_s = now_s + seconds
        self.push(worker.busy_until_s, FREE, worker)

    def seconds(self, model: ModelName, size: int, now_s: float) -> float:
        return tables.seconds_at(self.profile.latency_of(model), size) * self.scale_at(now_s)

    def finish(self, now_s: float, worker: Worker) -> None:
        jobs, worker.running = worker.running, []
        for job in jobs:
            judged = not job.escalated and job.lane.quality_threshold > -1e9
            self.books.counts["judged"] += judged
            if judged and job.light_score < job.lane.quality_threshold:
                self.books.counts["escalated"] += 1
                self.send(now_s, replace(job, model=job.lane.heavy, escalated=True))
            else:
                late = now_s > job.deadline_s
                self.books.counts["late"] += late
                self.books.finished.append((job.arrived_s, now_s - job.arrived_s, late))
        self.start(now_s, worker)


def _count(jobs: list[Job]) -> Mapping[ModelName, int]:
    counts: dict[ModelName, int] = {}
    for job in jobs:
        counts[job.model] = counts.get(job.model, 0) + 1
    return counts
