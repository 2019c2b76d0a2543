"""One image's way through its lane: light, judged, escalated or not, and what is delivered.

The light image is kept until a heavy one is there to replace it, so whatever goes wrong later,
there is something to deliver. A prompt sent straight to the heavy model has no such net; where the
plan decided that, a light image is made in time to be one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from hadis.errors import DeadlineExceeded, NoWorker, Overloaded, WorkerLost
from hadis.routing import cascading
from hadis.routing.cascading import Verdict
from hadis.routing.entry import Route, Stage
from hadis.terms.assignments import Lane
from hadis.terms.ids import ModelName
from hadis.terms.outcomes import ImagePath
from hadis.terms.profiles import Deliver
from hadis_router.admission import Admission
from hadis_router.dispatching import Call, Clock, Dispatcher, Stopwatch
from hadis_router.metrics import RouterMetrics
from hadis_router.worker_client import Reply

OnPartial = Callable[["Picture"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ImageJob:
    """One image of a request, entered. `latest_s` is the deadline less the time to deliver."""

    call: Call
    route: Route
    stage: Stage
    lane: Lane
    pinned: ModelName | None
    judged: bool
    deliver: Deliver
    latest_s: float
    margin_s: float
    sizes: dict[ModelName, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Picture:
    """A delivered (or partial) image, and what its provenance tells of the way it took."""

    image: bytes
    path: ImagePath
    model: ModelName
    seed: int
    width: int
    height: int
    quality_score: float | None
    heavy_quality_score: float | None
    queue_s: float
    generate_s: float
    unknown_words: tuple[str, ...]
    prompt_truncated: bool
    text_tokens: int
    by_heavy: bool


class CascadeRunner:
    """Runs image jobs. One for the whole router."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        admission: Admission,
        metrics: RouterMetrics,
        *,
        clock: Clock,
    ) -> None:
        self._dispatcher = dispatcher
        self._admission = admission
        self._metrics = metrics
        self._clock = clock

    async def run(self, job: ImageJob, stopwatch: Stopwatch, on_partial: OnPartial) -> Picture:
        """Return the image to deliver, or raise why there is none."""
        if job.pinned is not None:
            call = _on_model(job, job.pinned)
            reply = await self._dispatcher.generate(call, job.latest_s, stopwatch)
            is_heavy = job.pinned == job.lane.heavy != job.lane.light
            return _picture(call, reply, ImagePath.PINNED, by_heavy=is_heavy)
        if job.stage is Stage.HEAVY:
            return await self._start_heavy(job, stopwatch)
        return await self._start_light(job, stopwatch, on_partial)

    async def _start_light(
        self, job: ImageJob, stopwatch: Stopwatch, on_partial: OnPartial
    ) -> Picture:
        call = _on_model(job, job.lane.light, score=job.judged)
        reply = await self._dispatcher.generate(call, job.latest_s, stopwatch)
        light = _picture(call, reply, ImagePath.LIGHT)
        if not job.judged:
            return light
        score = light.quality_score
        self._metrics.note_judged(job.lane.light, score)
        if cascading.is_good_enough(score, job.lane.quality_threshold):
            return light
        self._metrics.note_not_good_enough()
        verdict = cascading.judge(
            score,
            job.lane.quality_threshold,
            heavy_finish_s=self._admission.hoped_finish_s(job.lane.heavy, self._clock()),
            latest_finish_s=job.latest_s,
        )
        if verdict is not Verdict.ESCALATE:
            return replace(light, path=ImagePath.DEGRADED)
        await on_partial(light)
        return await self._escalate(job, light, stopwatch)

    async def _escalate(self, job: ImageJob, light: Picture, stopwatch: Stopwatch) -> Picture:
        self._metrics.note_escalated()
        call = _on_model(job, job.lane.heavy, score=job.deliver is Deliver.BETTER)
        same_model = job.lane.heavy == job.lane.light
        call = replace(call, seed=cascading.second_seed(call.seed, same_model=same_model))
        try:
            reply = await self._dispatcher.generate(call, job.latest_s, stopwatch)
        except (DeadlineExceeded, NoWorker, Overloaded, WorkerLost):
            return replace(light, path=ImagePath.DEGRADED)
        heavy = _picture(call, reply, ImagePath.LIGHT_HEAVY, by_heavy=True)
        heavy_score = heavy.quality_score
        if heavy_score is not None:
            self._metrics.note_quality(job.lane.heavy, heavy_score)
        queue_s = light.queue_s + heavy.queue_s
        generate_s = light.generate_s + heavy.generate_s
        if cascading.prefers_light(job.deliver, light.quality_score, heavy_score):
            chosen = replace(light, path=ImagePath.KEPT)
        else:
            chosen = heavy
        return replace(
            chosen,
            quality_score=light.quality_score,
            heavy_quality_score=heavy_score,
            queue_s=queue_s,
            generate_s=generate_s,
        )

    async def _start_heavy(self, job: ImageJob, stopwatch: Stopwatch) -> Picture:
        call = _on_model(job, job.lane.heavy)
        may_degrade = job.route is Route.PLANNED and job.lane.light != job.lane.heavy
        if not may_degrade:  # it was let in by the heavy model's queue
            reply = await self._dispatcher.generate(call, job.latest_s, stopwatch)
            return _picture(call, reply, ImagePath.HEAVY, by_heavy=True)
        finish_s = self._admission.hoped_finish_s(job.lane.heavy, self._clock())
        if finish_s is None or finish_s > job.latest_s:
            return await self._degrade(job, stopwatch)
        return await self._heavy_with_net(job, call, stopwatch)

    async def _heavy_with_net(self, job: ImageJob, call: Call, stopwatch: Stopwatch) -> Picture:
        heavy = asyncio.create_task(self._dispatcher.generate(call, job.latest_s, stopwatch))
        net: asyncio.Task[Picture] | None = None
        try:
            done, _ = await asyncio.wait([heavy], timeout=self._net_due_s(job) - self._clock())
            if not done:
                net = asyncio.create_task(self._degrade(job, stopwatch))
                await asyncio.wait([heavy])  # ends by itself when the time is up
            try:
                return _picture(call, heavy.result(), ImagePath.HEAVY, by_heavy=True)
            except (NoWorker, Overloaded):
                return await (net or self._degrade(job, stopwatch))
            except (DeadlineExceeded, WorkerLost):
                if net is None:
                    raise
                return await net
        finally:
            started = [heavy] if net is None else [heavy, net]
            for task in started:
                task.cancel()
            await asyncio.gather(*started, return_exceptions=True)

    def _net_due_s(self, job: ImageJob) -> float:
        """Return when a light image is started, so that it is there twice over by the deadline."""
        now_s = self._clock()
        finish_s = self._admission.finish_s(job.lane.light, now_s)
        needed_s = 0.0 if finish_s is None else finish_s - now_s
        return job.latest_s - 2.0 * needed_s - job.margin_s

    async def _degrade(self, job: ImageJob, stopwatch: Stopwatch) -> Picture:
        call = _on_model(job, job.lane.light)
        reply = await self._dispatcher.generate(call, job.latest_s, stopwatch)
        return _picture(call, reply, ImagePath.DEGRADED)


def _on_model(job: ImageJob, model: ModelName, *, score: bool = False) -> Call:
    width, height = job.sizes.get(model, (job.call.width, job.call.height))
    return replace(job.call, model=model, score=score, width=width, height=height)


def _picture(call: Call, reply: Reply, path: ImagePath, *, by_heavy: bool = False) -> Picture:
    report = reply.report
    score = report.quality_score
    return Picture(
        image=reply.image,
        path=path,
        model=call.model,
        seed=call.seed,
        width=call.width,
        height=call.height,
        quality_score=score if score is not None and score == score else None,
        heavy_quality_score=None,
        queue_s=report.queue_s,
        generate_s=report.generate_s,
        unknown_words=tuple(report.unknown_words),
        prompt_truncated=report.prompt_truncated,
        text_tokens=report.text_tokens,
        by_heavy=by_heavy,
    )
