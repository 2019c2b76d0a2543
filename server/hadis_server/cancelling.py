"""Take a row out of a running batch at a step boundary, so that the others come out unchanged.

A diffusers pipeline hands its tensors to `callback_on_step_end` and takes back what the callback
returns. Everything that has a row an image must lose the same rows: latents, both guidance halves
of the embeddings, what a multistep scheduler remembers, and the generators of stochastic steps.

Only pipelines that show all of these to the callback can be sliced (`can_drop_rows`). In others the
row of a client that left is computed to the end and thrown away; only a batch that nobody waits for
any more is stopped.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

# Pipelines whose only batch-sized local variables are the callback's tensors.
SLICEABLE = frozenset(
    {"StableDiffusionPipeline", "StableDiffusionXLPipeline", "StableDiffusion3Pipeline"}
)


class BatchAbandoned(Exception):
    """Raised through the pipeline when no row of the batch is wanted any more."""


class Pace:
    """Keeps the thread that calls a pipeline at most one step ahead of the GPU.

    A step only queues its kernels. Left alone, a thread has queued a short call's last step before
    the first is computed: no row could be taken out any more, and a step would seem to take no
    time. Waiting for the step before the last leaves the GPU no gap.
    """

    def __init__(self) -> None:
        self._queued: torch.cuda.Event | None = None

    def keep(self, latents: object) -> None:
        """Wait until the GPU is done with the step before the one that made `latents`."""
        if not isinstance(latents, torch.Tensor) or not latents.is_cuda:
            return
        before = self._queued
        self._queued = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        self._queued.record(torch.cuda.current_stream(latents.device))
        if before is not None:
            before.synchronize()


class Watch:
    """The callback of one pipeline call: drops unwanted rows and notes the time of each step.

    `rows` are indices into the batch as it started, `kept` those that are still being made.
    """

    def __init__(
        self,
        unwanted: Callable[[], Sequence[int]],
        *,
        rows: int,
        sliceable: bool,
        generators: list[torch.Generator],
    ) -> None:
        self._unwanted = unwanted
        self._sliceable = sliceable
        self._generators = generators
        self.kept = list(range(rows))
        self.step_s: list[float] = []
        self._pace = Pace()
        self._last_s = time.perf_counter()

    def __call__(
        self, pipeline: Any, _step: int, _timestep: Any, tensors: dict[str, Any]
    ) -> dict[str, Any]:
        """Drop what is unwanted by now. Raises BatchAbandoned when that is everything."""
        self._pace.keep(tensors.get("latents"))
        now_s = time.perf_counter()
        self.step_s.append(now_s - self._last_s)
        self._last_s = now_s
        unwanted = self._unwanted()
        if not unwanted:
            return tensors
        staying = [at for at, row in enumerate(self.kept) if row not in unwanted]
        if not staying:
            raise BatchAbandoned
        if not self._sliceable or len(staying) == len(self.kept):
            return tensors
        before = len(self.kept)
        self.kept = [self.kept[at] for at in staying]
        drop_rows(pipeline.scheduler, self._generators, before=before, staying=staying)
        return {name: keep_rows(value, before, staying) for name, value in tensors.items()}


def can_drop_rows(pipeline: Any) -> bool:
    """Return whether everything that has a row an image is within the callback's reach."""
    unet = getattr(pipeline, "unet", None)
    # A guidance embedding is a local variable of the call; a Brownian tree is drawn for the batch.
    guidance_embedded = unet is not None and unet.config.get("time_cond_proj_dim") is not None
    tree = hasattr(pipeline.scheduler, "noise_sampler")
    return type(pipeline).__name__ in SLICEABLE and not guidance_embedded and not tree


def keep_rows(value: Any, before: int, staying: Sequence[int]) -> Any:
    """Return `value` with the rows of `staying`; one block of `before` rows a guidance half."""
    if not isinstance(value, torch.Tensor) or value.ndim == 0 or value.shape[0] % before:
        return value
    blocks = value.shape[0] // before
    return value[[block * before + row for block in range(blocks) for row in staying]]


def drop_rows(
    scheduler: Any, generators: list[torch.Generator], *, before: int, staying: Sequence[int]
) -> None:
    """Slice the scheduler's memory of earlier steps and the generators, both in place.

    A scheduler's tensors with the rank of an image are its memory of the batch; schedules and
    coefficients are vectors.
    """
    for name, value in vars(scheduler).items():
        if isinstance(value, list):
            value[:] = [_keep_image_rows(item, before, staying) for item in value]
        else:
            setattr(scheduler, name, _keep_image_rows(value, before, staying))
    # The pipeline holds this very list, so a new list would not reach it.
    generators[:] = [generators[at] for at in staying]


def _keep_image_rows(value: Any, before: int, staying: Sequence[int]) -> Any:
    if isinstance(value, torch.Tensor) and value.ndim >= 3 and value.shape[0] == before:
        return value[list(staying)]
    return value
