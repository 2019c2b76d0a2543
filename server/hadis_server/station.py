"""One worker's parts, wired: intake, loader, denoising thread, encoder, latency book, metrics.

The endpoints talk to a `Station` only. It keeps the assignment and the cascade in force, both by
rising version, and answers for the worker's state.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from hadis.errors import HadisError, Overloaded
from hadis.terms.assignments import Assignment, Role
from hadis.terms.cascades import ModelSpec
from hadis.terms.ids import ModelName
from hadis.wire.assignments import AssignmentBody
from hadis.wire.generation import GenerateBody, QueueState
from hadis.wire.manifests import Manifests, resolve_paths
from hadis.wire.reports import ModelState, WorkerStatus
from hadis_server import hardware, residency
from hadis_server.awaiting import Waiter, Waiters
from hadis_server.batching import Preference, Shape
from hadis_server.calibrating import Calibrator
from hadis_server.denoising import Denoiser
from hadis_server.estimating import LatencyBook, Table
from hadis_server.holdings import Resident
from hadis_server.intake import Intake
from hadis_server.jobs import Draining, Job
from hadis_server.loading import Loader
from hadis_server.metrics import Metrics
from hadis_server.pipelines import Variant
from hadis_server.settings import CASCADE_DIR_VARIABLE, Settings

log = logging.getLogger(__name__)

JOIN_S = 5.0
# The label of models that are not in the cascade: whoever asks must not be able to add series.
UNKNOWN_MODEL = "unknown"


class NotResident(HadisError):
    """The model is not in this worker's memory (yet, or any more)."""


class Station:
    """A worker without its ports."""

    def __init__(
        self,
        settings: Settings,
        manifests: Manifests,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.metrics = Metrics(manifests.cascade.name)
        self._clock = clock
        self._manifests = self._resolved(manifests)
        self._assignment: Assignment | None = None
        self._batch_sizes: dict[str, int] = {}
        self._device = hardware.choose_device(settings.device)
        hardware.compute_exactly()
        self._hardware = hardware.name(self._device)
        self._software = hardware.software()
        self.book = LatencyBook(
            _table(manifests), clock=clock, smallest_batch=max(1, settings.fixed_batch)
        )
        self._measured_specs: dict[ModelName, ModelSpec] = {}
        self.intake = Intake(
            clock=clock, estimate=self.book.service, max_waiting=settings.max_waiting
        )
        budget = settings.memory_budget_bytes or residency.measure_budget(
            self._device, share=settings.memory_share
        )
        self._load_s: dict[ModelName, float] = {}
        self._waiters = Waiters()
        self._loader = Loader(
            self.intake,
            self._device,
            budget_bytes=budget,
            loaded=self._note_loaded,
            settled=self._note_settled,
            news=self._waiters.tell,
        )
        self._calibrator = Calibrator(
            self.book, self.intake, offered=self._offers, pad_to=settings.fixed_batch
        )
        self._encoder = ThreadPoolExecutor(1, "encoder")
        self._denoiser = Denoiser(
            self.intake,
            self.book,
            self.metrics,
            self._encoder,
            discriminator=lambda: self._loader.discriminator,
            used=self._loader.touch,
            fixed_batch=settings.fixed_batch,
        )
        self.metrics.watch_busy(lambda: self._denoiser.busy_s)
        self.metrics.watch_memory(partial(residency.used_bytes, self._device))
        self._follow_models(retry=False)

    def start(self) -> None:
        """Start the threads: from now on models are loaded and jobs are made."""
        self._loader.start()
        self._denoiser.start()

    def now_s(self) -> float:
        """The present on the clock of deadlines."""
        return self._clock()

    def may_come(self, model: str) -> bool:
        """Whether the model could be assigned next: a router may hear of it before its worker."""
        if self.intake.draining or self._loader.resident(model) is not None:
            return False
        return model in self._names() and self._loader.error(model) is None

    def is_coming(self, model: str) -> bool:
        """Whether the model is assigned and being loaded, or will be once there is room."""
        assigned = None if self._assignment is None else self._assignment.model
        return model == assigned and self.may_come(model)

    @contextmanager
    def waiting_for(self, model: str) -> Iterator[Waiter]:
        """Count a request as waiting for a model while the block runs. Raises Overloaded."""
        waiting = self._waiters.counts().total() + self.intake.waiting()
        if waiting >= self.settings.max_waiting:
            raise Overloaded(
                f"{waiting} requests wait already", retry_after_s=self.queue_state().free_in_s
            )
        with self._waiters.waiting_for(model) as waiter:
            yield waiter

    def submit(self, body: GenerateBody, *, arrived_s: float | None = None) -> Job:
        """Queue one image. Raises NotResident, Overloaded or Draining.

        Its time counts from `arrived_s`; None: from now.
        """
        resident = self._loader.resident(body.model)
        if resident is None:
            if self.intake.draining:
                raise Draining("the worker is shutting down")
            raise NotResident(self._why_not_resident(body.model))
        spec = resident.variant.spec
        since_s = self._clock() if arrived_s is None else arrived_s
        job = Job(
            body=body,
            variant=resident.variant,
            reader=resident.reader,
            shape=Shape(
                spec.name,
                body.width,
                body.height,
                spec.steps,
                spec.guidance,
                body.negative_prompt is not None,
                resident.variant.serial,
            ),
            arrived_s=since_s,
            deadline_s=since_s + body.remaining_s,
        )
        self.intake.submit(job)
        return job

    def resident(self, model: str) -> Resident | None:
        """Return the model when it can be called now."""
        return self._loader.resident(model)

    def assign(self, body: AssignmentBody) -> AssignmentBody:
        """Take over a newer assignment; return the one in force. What waits is not lost."""
        before = self._assignment
        if before is None or body.version > before.version:
            self._assignment = body.to_terms()
            if before is not None and before.model != self._assignment.model:
                self.metrics.swapped()
            self._apply_assignment(self._assignment)
            self._waiters.tell()
            log.info("assignment %d: %s %s", body.version, body.role.value, body.model)
        return AssignmentBody.from_terms(self._assignment or body.to_terms())

    def follow(self, manifests: Manifests) -> None:
        """Take over a changed cascade: load what is new, drop what is gone, in the background.

        An older generation is passed over: a controller that was deposed may come last.
        """
        if manifests.cascade.is_older_than(self._manifests.cascade):
            log.info("generation %d is passed over", manifests.cascade.generation)
            return
        before = self._manifests.cascade.models
        self._manifests = self._resolved(manifests)
        for spec in before:
            if spec not in self._manifests.cascade.models:
                self._load_s.pop(spec.name, None)
        self.book.follow(_table(manifests))
        for spec in before:
            if spec.name not in self._names():
                self.metrics.forget_model(spec.name)
        self._follow_models(retry=True)
        self._waiters.tell()

    def note_end(self, model: str, result: str) -> None:
        """Count how a request ended."""
        known = model in self._names() or self._loader.resident(model) is not None
        self.metrics.ended(model if known else UNKNOWN_MODEL, result)

    def status(self) -> WorkerStatus:
        """Return what `GET /status` tells."""
        models = {
            str(name): ModelState(
                resident=self._loader.resident(name) is not None,
                load_s=self._loading_s(name),
                waiting=self._waiting(name),
                running=self.intake.running(name),
                error=self._loader.error(name),
            )
            for name in sorted(self._names())
        }
        return WorkerStatus(
            name=self.settings.name,
            uid=self.settings.uid,
            cascade=self._manifests.cascade.name,
            hardware=self._hardware,
            software=self._software,
            generation=self._manifests.cascade.generation,
            ready=self.unready() is None,
            draining=self.intake.draining,
            assignment=AssignmentBody.from_terms(self._assignment) if self._assignment else None,
            models=models,
            discriminator_error=self._loader.discriminator_error,
            queue=self.queue_state(),
            residual_s=self.intake.residual_s(),
            busy_s=self._denoiser.busy_s,
            latency_scale=self.book.scale(),
        )

    def queue_state(self) -> QueueState:
        """Return the load that every reply carries."""
        in_front = self._waiters.counts()
        later_s = sum(self.intake.expected_s(*each) for each in in_front.items())
        return QueueState(
            waiting=self.intake.waiting() + in_front.total(),
            running=self.intake.running(),
            free_in_s=self.intake.free_in_s() + self._arrives_in_s() + later_s,
        )

    def unready(self) -> str | None:
        """Return why this worker should get no requests; None when it is ready."""
        if self.intake.draining:
            return "the worker is shutting down"
        assignment = self._assignment
        if assignment is None:
            # Before its first assignment a worker is worth waiting for while it still loads.
            return None if self._loader.settled else "models are being loaded"
        if assignment.role is Role.IDLE or assignment.model is None:
            return None
        if self._loader.resident(assignment.model) is None:
            return self._why_not_resident(assignment.model)
        if not self._loader.judge_settled:
            return "the discriminator is being loaded"
        return None

    def unhealthy(self) -> str | None:
        """Return why this process should be replaced; None when it is alive."""
        for thread in (self._loader, self._denoiser):
            if thread.ident is not None and not thread.is_alive() and not self.intake.draining:
                return f"the {thread.name} thread has died"
        return None

    def drain(self) -> None:
        """Refuse new jobs; those that were accepted are still made."""
        self.intake.drain()
        self._waiters.tell()

    def give_up(self) -> None:
        """End every job that is left, as if the worker had refused it."""
        for job in self.intake.close():
            job.fail(Draining("the worker is shutting down"))

    def close(self) -> None:
        """Stop the threads."""
        self.give_up()
        self._loader.close()
        for thread in (self._denoiser, self._loader):
            if thread.is_alive():
                thread.join(JOIN_S)
        self._encoder.shutdown(wait=True)

    def _apply_assignment(self, assignment: Assignment) -> None:
        rows = assignment.batch_size
        if self.settings.fixed_batch:
            # A larger batch would have another shape, and pictures that differ in the last bit.
            rows = min(rows, self.settings.fixed_batch)
        if assignment.model is not None:
            self._batch_sizes[assignment.model] = rows
        self.intake.prefer(Preference(assignment.model, rows, tuple(self._batch_sizes.items())))
        self._loader.assign(assignment.model)

    def _follow_models(self, *, retry: bool) -> None:
        self._loader.follow(self._manifests.cascade, retry=retry)
        for name in self._names():
            self.metrics.watch_model(
                name, partial(self.intake.running, name), partial(self._waiting, name)
            )

    def _note_loaded(self, variant: Variant, seconds: float) -> None:
        spec = variant.spec
        self.metrics.loaded(spec.name, seconds)
        self._load_s[spec.name] = seconds
        if self._measured_specs.setdefault(spec.name, spec) != spec:
            # Until now its predecessor was served, and measured, under this name.
            self._measured_specs[spec.name] = spec
            self.book.forget(spec.name)

    def _note_settled(self, residents: list[Variant]) -> None:
        """Measure what is in memory, now that loading no longer competes for the CPU."""
        self._calibrator.measure(residents)

    def _waiting(self, model: str) -> int:
        return self.intake.waiting(model) + self._waiters.counts()[model]

    def _arrives_in_s(self) -> float:
        """Return how long the assigned model still takes to load, by the last time it did."""
        model = None if self._assignment is None else self._assignment.model
        if model is None or not self.is_coming(model):
            return 0.0
        # What takes longer than the last time is expected to be late by as much again.
        return abs(self._load_s.get(model, 0.0) - self._loader.loading_for_s(model))

    def _loading_s(self, model: ModelName) -> float | None:
        """Return what the last loading took, or this one has taken already; None before any."""
        last_s = self._load_s.get(model)
        return None if last_s is None else max(last_s, self._loader.loading_for_s(model))

    def _offers(self, variant: Variant) -> bool:
        resident = self._loader.resident(variant.spec.name)
        return resident is not None and resident.variant is variant

    def _why_not_resident(self, model: str) -> str:
        if model not in self._names():
            return f"model {model} is not in the cascade {self._manifests.cascade.name}"
        return (
            self._loader.error(model)
            or self._loader.left_out(model)
            or f"model {model} is not in memory (yet)"
        )

    def _resolved(self, manifests: Manifests) -> Manifests:
        """Let relative folders start at the cascade file; in a cluster at HADIS_CASCADE_DIR."""
        base = os.environ.get(CASCADE_DIR_VARIABLE) or self.settings.cascade.resolve().parent
        return replace(manifests, cascade=resolve_paths(manifests.cascade, Path(base)))

    def _names(self) -> set[ModelName]:
        return {spec.name for spec in self._manifests.cascade.models}


def _table(manifests: Manifests) -> Table:
    profile = manifests.profile
    return {entry.name: entry.latency_s for entry in profile.models} if profile else {}
