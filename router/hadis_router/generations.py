"""One client request from admission to its end: the owner of its lifecycle.

However it ends (delivered, refused, failed, timed out, abandoned by its client), its images are
counted once, in `_settle`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from hadis.errors import DeadlineExceeded, HadisError, NoWorker
from hadis.routing import admitting, entry
from hadis.routing.entry import Route, Stage
from hadis.routing.lifecycles import Ending, Lifecycle, outcome_of
from hadis.terms.assignments import Lane
from hadis.terms.cascades import Cascade
from hadis.terms.outcomes import Outcome
from hadis.wire.generation import MAX_SEED
from hadis_router import openai_errors
from hadis_router.admission import gate_model
from hadis_router.cascade_runs import ImageJob, Picture
from hadis_router.dispatching import Call, Stopwatch
from hadis_router.image_requests import ImageRequest
from hadis_router.openai_errors import ApiError
from hadis_router.provenance import Context
from hadis_router.service import Router

log = logging.getLogger(__name__)

OnAdmitted = Callable[[], Awaitable[None]]
OnPartial = Callable[[Picture, Context], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Delivered:
    """The pictures of a request, and what their provenance has in common."""

    pictures: list[Picture]
    context: Context


class Generation:
    """One request. Run it once."""

    def __init__(
        self,
        router: Router,
        request: ImageRequest,
        *,
        request_id: str,
        arrived_s: float,
        is_retry: bool,
        stopwatch: Stopwatch,
    ) -> None:
        self._router = router
        self._cascade: Cascade = router.cascade  # a change applies to later requests
        self._request = request
        self._request_id = request_id
        self._stopwatch = stopwatch
        self._is_retry = is_retry
        self._life = Lifecycle(
            request.images, arrived_s=arrived_s, deadline_s=arrived_s + request.slo_s
        )
        self._margin_s = admitting.delivery_margin_s(request.slo_s)
        self._latest_s = self._life.deadline_s - self._margin_s
        self._told = "open"
        self._task: asyncio.Task[object] | None = None
        self._given_up = False

    @property
    def outcomes_told(self) -> str:
        """The outcomes for the log, once the request has ended."""
        return self._told

    @property
    def latest_s(self) -> float:
        """When the request ends by itself at the latest."""
        return self._latest_s

    def give_up(self) -> None:
        """End the request now: its client is told that the router is leaving."""
        if self._task is not None and not self._life.is_over:
            self._given_up = True
            self._task.cancel()

    async def run(self, on_admitted: OnAdmitted, on_partial: OnPartial) -> Delivered:
        """Return the pictures; raises ApiError, having counted how the request ended."""
        clock = self._router.clock
        self._router.metrics.note_arrived(
            self._request.images, self._life.arrived_s, is_retry=self._is_retry
        )
        self._task = asyncio.current_task()
        self._router.requests.enter(self)
        try:
            delivered = await self._make(on_admitted, on_partial)
        except asyncio.CancelledError as error:
            if self._given_up:
                self._settle(self._life.fail(Outcome.FAILED, clock()))
                raise openai_errors.leaving(Outcome.FAILED) from error
            self._settle(self._life.fail(Outcome.CANCELLED, clock()))
            raise
        except HadisError as error:
            answer = openai_errors.failure_of(
                error, slo_s=self._request.slo_s, route=self._request.route
            )
            self._settle(self._life.fail(answer.outcome or Outcome.FAILED, clock()))
            raise answer from error
        except Exception as error:
            log.exception("request %s met a fault of the router", self._request_id)
            self._settle(self._life.fail(Outcome.FAILED, clock()))
            raise ApiError(
                500, "The router met a fault; its log tells more", outcome=Outcome.FAILED
            ) from error
        finally:
            self._router.requests.leave(self)
        self._settle(self._life.deliver(clock()))
        return delivered

    async def _make(self, on_admitted: OnAdmitted, on_partial: OnPartial) -> Delivered:
        router, request = self._router, self._request
        table = router.view.table
        if router.draining:
            raise NoWorker("the router is shutting down", retry_after_s=2.0)
        if table is None:
            raise NoWorker("there is no plan yet; the controller is starting", retry_after_s=2.0)
        if router.hardness.trouble is not None:
            raise NoWorker(router.hardness.trouble, retry_after_s=2.0)
        draw = router.draws.random()
        lane = table.lanes[entry.draw_lane([lane.share for lane in table.lanes], draw)]
        lane = self._with_stages(lane)
        gate = gate_model(request.route, lane, request.model, self._cascade.planner.on_overload)
        router.admission.admit(
            images=request.images,
            model=gate,
            now_s=router.clock(),
            latest_s=self._latest_s,
            backlog_s=router.hardness.backlog_s,
            limits=self._cascade.limits,
        )
        self._life.admit()
        try:
            await on_admitted()
            hardness = await self._score()
        finally:
            router.admission.note_scored(request.images, gate)
        stage = entry.enter(request.route, hardness, lane.hardness_threshold)
        if request.route is Route.PLANNED:
            router.metrics.note_entered(request.images, direct=stage is Stage.HEAVY)
        context = Context(
            request_id=self._request_id,
            route=request.route,
            hardness=hardness,
            lane=lane,
            plan_version=table.version,
            ignored=request.ignored,
            arrived_s=self._life.arrived_s,
        )
        jobs = self._jobs(lane, stage)

        async def tell_partial(picture: Picture) -> None:
            await on_partial(picture, context)

        pictures = await _all_or_first_error(
            [router.runner.run(job, self._stopwatch, tell_partial) for job in jobs]
        )
        for index, picture in enumerate(pictures):
            outcome = outcome_of(picture.path, by_heavy=picture.by_heavy)
            self._life.make_ready(index, outcome)
        return Delivered(pictures, context)

    def _with_stages(self, lane: Lane) -> Lane:
        """Return the lane with the stages off that the cascade has disabled since the plan."""
        theta = lane.hardness_threshold if self._cascade.router_stage else float("inf")
        tau = lane.quality_threshold if self._cascade.discriminator_stage else float("-inf")
        return Lane(lane.share, lane.light, lane.heavy, theta, tau)

    async def _score(self) -> float:
        try:
            with self._stopwatch.waiting():
                remaining_s = self._latest_s - self._router.clock()
                async with asyncio.timeout(remaining_s):
                    hardness = await self._router.hardness.score(self._request.prompt)
        except TimeoutError as error:
            raise DeadlineExceeded("the deadline passed before the prompt was scored") from error
        self._router.metrics.note_hardness(hardness.score, hardness.ms / 1e3)
        return hardness.score

    def _jobs(self, lane: Lane, stage: Stage) -> list[ImageJob]:
        request, cascade = self._request, self._cascade
        first_seed = request.seed
        if first_seed is None:
            first_seed = self._router.draws.randrange(MAX_SEED + 2 - request.images)
        width, height = request.size or _native_size(cascade)
        sizes = {spec.name: (spec.width, spec.height) for spec in cascade.models}
        if request.size is not None:
            sizes = dict.fromkeys(sizes, request.size)
        return [
            ImageJob(
                call=Call(
                    request_id=f"{self._request_id}-{index}",
                    model=lane.light,
                    prompt=request.prompt,
                    negative_prompt=request.negative_prompt,
                    seed=first_seed + index,
                    width=width,
                    height=height,
                    score=False,
                    output_format=request.output_format,
                    output_compression=request.output_compression,
                ),
                route=request.route,
                stage=stage,
                lane=lane,
                pinned=request.model,
                judged=entry.is_judged(request.route, lane.quality_threshold),
                deliver=cascade.deliver,
                latest_s=self._latest_s,
                margin_s=self._margin_s,
                sizes=sizes,
            )
            for index in range(request.images)
        ]

    def _settle(self, ending: Ending | None) -> None:
        if ending is None:
            return
        router = self._router
        router.metrics.note_ending(ending, router.clock())
        self._told = ",".join(sorted(set(ending.outcomes)))
        if ending.admitted:
            router.admission.release(self._life.images)


def _native_size(cascade: Cascade) -> tuple[int, int]:
    spec = cascade.models[-1]
    return spec.width, spec.height


async def _all_or_first_error(runs: list[Awaitable[Picture]]) -> list[Picture]:
    """Return every picture, or cancel the others at the first error and raise it."""
    if len(runs) == 1:
        return [await runs[0]]
    tasks = [asyncio.ensure_future(run) for run in runs]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            if task.done() and (error := task.exception()) is not None:
                raise error
        return [task.result() for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
