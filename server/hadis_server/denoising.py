"""The denoising thread: the one thread that calls pipelines and the discriminator.

Takes a batch, makes its images, scores those that want it, and hands them to the encoding thread.
A batch that fails is made again row by row, so that one prompt that breaks a pipeline does not take
its neighbours with it.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any

from PIL.Image import Image

from hadis_server import encoding
from hadis_server.cancelling import BatchAbandoned
from hadis_server.discriminating import Discriminator
from hadis_server.estimating import LatencyBook
from hadis_server.intake import Intake
from hadis_server.jobs import GenerationFailed, Job, Picture
from hadis_server.metrics import Metrics
from hadis_server.pipelines import Pass, Row, Variant

log = logging.getLogger(__name__)


class Denoiser(threading.Thread):
    """Works off the intake until it is closed."""

    def __init__(
        self,
        intake: Intake,
        book: LatencyBook,
        metrics: Metrics,
        encoder: Executor,
        *,
        discriminator: Callable[[], Discriminator | None],
        used: Callable[[Variant], None],
        fixed_batch: int = 0,
    ) -> None:
        super().__init__(name="denoiser", daemon=True)
        self._intake = intake
        self._book = book
        self._metrics = metrics
        self._encoder = encoder
        self._discriminator = discriminator
        self._used = used
        self._fixed_batch = fixed_batch
        # Seconds worked up to the present piece of work, and when that began: one value, so that
        # who reads it between two pieces sees a counter that only rises.
        self._worked: tuple[float, float | None] = (0.0, None)

    @property
    def busy_s(self) -> float:
        """Seconds that this thread has worked, the current batch included."""
        worked_s, since_s = self._worked
        return worked_s if since_s is None else worked_s + time.monotonic() - since_s

    def run(self) -> None:
        """Make batches and run errands until the intake is closed."""
        while (work := self._intake.take()) is not None:
            self._worked = (self.busy_s, time.monotonic())
            try:
                if callable(work):
                    work()
                else:
                    self._make(work)
            except Exception as error:
                # The outermost edge: whatever a pipeline raises costs its batch, not the worker.
                log.exception("a batch failed")
                if not callable(work):
                    _fail(work, error)
            finally:
                self._worked = (self.busy_s, None)
                self._intake.release()

    def _make(self, batch: Sequence[Job]) -> None:
        model = batch[0].shape.model
        self._metrics.started(
            model, len(batch), [(job.started_s or 0.0) - job.arrived_s for job in batch]
        )
        self._used(batch[0].variant)
        try:
            self._make_together(batch)
        except BatchAbandoned:
            return
        except Exception as error:
            if len(batch) == 1:
                raise
            log.warning("a batch of %d failed, its rows are made singly: %s", len(batch), error)
            for job in batch:
                self._make_alone(job)

    def _make_alone(self, job: Job) -> None:
        if job.gone:
            return
        try:
            self._make_together([job])
        except BatchAbandoned:
            return
        except Exception as error:
            # The edge for one row: its neighbours are still to be made.
            log.exception("an image failed")
            _fail([job], error)

    def _make_together(self, batch: Sequence[Job]) -> None:
        shape, variant = batch[0].shape, batch[0].variant
        began_s = time.monotonic()
        made = variant.generate(
            [Row(job.body.prompt, job.body.negative_prompt, job.body.seed) for job in batch],
            width=shape.width,
            height=shape.height,
            unwanted=lambda: [at for at, job in enumerate(batch) if job.gone],
            pad_to=self._fixed_batch,
        )
        generate_s = time.monotonic() - began_s
        if len(made.kept) == len(batch):
            self._book.observe(shape.model, len(batch), generate_s)
        self._metrics.stepped(shape.model, made.step_s)
        self._deliver(batch, made, generate_s)

    def _deliver(self, batch: Sequence[Job], made: Pass, generate_s: float) -> None:
        finished = [(batch[row], image) for row, image in zip(made.kept, made.images, strict=True)]
        scores, score_s = self._score(finished)
        if finished:
            self._book.observe_scoring(batch[0].shape.model, score_s / len(finished))
        for job, image in finished:
            self._encoder.submit(
                _encode,
                job,
                image,
                {
                    "quality_score": scores.get(id(job)),
                    "queue_s": (job.started_s or 0.0) - job.arrived_s,
                    "generate_s": generate_s,
                    "score_s": score_s,
                    "batch_size": len(batch),
                },
            )

    def _score(self, finished: Sequence[tuple[Job, Image]]) -> tuple[dict[int, float], float]:
        """Return the scores by the identity of their job, and the seconds that they took.

        An image without a score is still an image: a discriminator that fails costs the scores.
        """
        judged = [(job, image) for job, image in finished if job.body.score and not job.gone]
        discriminator = self._discriminator()
        if not judged or discriminator is None:
            return {}, 0.0
        began_s = time.monotonic()
        try:
            values = discriminator.score(
                [image for _, image in judged], [job.body.prompt for job, _ in judged]
            )
        except Exception:
            # The edge of code that a cascade brings along; its own fault must stay its own.
            log.exception("the discriminator failed")
            return {}, 0.0
        for (job, _), value in zip(judged, values, strict=True):
            self._metrics.scored(job.shape.model, value)
        scores = {id(job): value for (job, _), value in zip(judged, values, strict=True)}
        return scores, time.monotonic() - began_s


def _encode(job: Job, image: Image, told: dict[str, Any]) -> None:
    """Finish a job on the encoding thread; whatever goes wrong ends the job, not the thread."""
    if job.gone:
        return
    try:
        reading = job.reader.read(job.body.prompt)
        form = job.body.output_format
        job.finish(
            Picture(
                content=encoding.encode(image, form, job.body.output_compression),
                media_type=encoding.MEDIA_TYPES[form],
                unknown_words=reading.unknown_words,
                prompt_truncated=reading.truncated,
                text_tokens=reading.tokens,
                **told,
            )
        )
    except Exception as error:
        # The outermost edge of a task: an executor would swallow the error and the job would hang.
        log.exception("an image could not be encoded")
        _fail([job], error)


def _fail(jobs: Sequence[Job], error: Exception) -> None:
    reason = " ".join(str(error).split())[:300]
    for job in jobs:
        job.fail(GenerationFailed(f"model {job.shape.model}: {type(error).__name__}: {reason}"))
