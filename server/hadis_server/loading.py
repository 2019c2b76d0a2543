"""The loader thread: brings the cascade's models into memory in the background.

What comes next says `agenda`; the models follow while they fit the budget. A model is announced as
resident once it is warm. One that does not load carries its reason and the others keep serving.
Weights that must go are no longer offered, and go once nothing that waits needs them.
"""

import gc
import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import torch

from hadis.errors import ModelUnavailable
from hadis.terms.cascades import Cascade, ModelSpec
from hadis_server import pipelines, residency, sizing
from hadis_server.agenda import Agenda
from hadis_server.discriminating import Discriminator
from hadis_server.holdings import Resident, Weights
from hadis_server.intake import Intake
from hadis_server.judging import Judging
from hadis_server.pipelines import Variant, WeightsKey
from hadis_server.wording import Reader

log = logging.getLogger(__name__)

RETRY_S = 30.0
LEAVING_POLL_S = 0.02
CLOSING_POLL_S = 0.2
WARM_UP_STEPS = 2

Loaded = Callable[[Variant, float], None]
"""Told what has become resident and the seconds that its loading took."""
Settled = Callable[[list[Variant]], None]
"""Told what is resident once nothing is left to load."""


class Loader(threading.Thread):
    """Owns every set of weights. Other threads ask `resident`, `error` and `discriminator`."""

    def __init__(
        self,
        intake: Intake,
        device: torch.device,
        *,
        budget_bytes: int,
        loaded: Loaded,
        settled: Settled,
        news: Callable[[], None],
    ) -> None:
        super().__init__(name="loader", daemon=True)
        self._intake = intake
        self._device = device
        self._budget_bytes = budget_bytes
        self._loaded = loaded
        self._settled = settled
        self._news = news
        self._changed = threading.Condition()
        self._serials = itertools.count(1)
        self._agenda = Agenda(retry_s=RETRY_S)
        self._judging = Judging(retry_s=RETRY_S)
        self._offline = False
        self._closed = False
        self._weights: dict[WeightsKey, Weights] = {}
        self._residents: dict[str, Resident] = {}
        self._was_settled = False
        self._loading: tuple[str, float] | None = None
        self._held_up_s = 0.0

    def follow(self, cascade: Cascade, *, retry: bool = False) -> None:
        """Take over the models of a cascade; `retry` forgets earlier failures."""
        with self._changed:
            self._agenda.want({spec.name: spec for spec in cascade.models}, retry=retry)
            judge = cascade.discriminator if cascade.discriminator_stage else None
            self._judging.want(judge, retry=retry)
            self._offline = cascade.offline
            self._changed.notify_all()

    def assign(self, model: str | None) -> None:
        """Bring `model` into memory before any other, pushing others out if need be."""
        with self._changed:
            self._agenda.assign(model)
            self._changed.notify_all()

    def resident(self, model: str) -> Resident | None:
        """Return the model when it can be called now."""
        return self._residents.get(model)

    def error(self, model: str) -> str | None:
        """Return why `model` did not load, if it was tried and did not."""
        return self._agenda.error(model)

    def left_out(self, model: str) -> str | None:
        """Return why `model` stays out of memory until it is assigned. No error: it may load."""
        return self._agenda.left_out(model)

    def loading_for_s(self, model: str) -> float:
        """Return for how long `model` has been loading by now; 0 when it is not."""
        loading = self._loading
        if loading is None or loading[0] != model:
            return 0.0
        return time.monotonic() - loading[1]

    @property
    def discriminator(self) -> Discriminator | None:
        """The discriminator, once it is loaded."""
        return self._judging.discriminator

    @property
    def discriminator_error(self) -> str | None:
        """Why the discriminator did not load."""
        return self._judging.error

    @property
    def settled(self) -> bool:
        """Whether there was a moment with nothing left to load: every model was resident, had
        failed or did not fit. What is loaded later takes nothing from what is served by then."""
        return self._was_settled

    @property
    def judge_settled(self) -> bool:
        """Whether a discriminator is loaded or has failed, or none is needed."""
        return self._judging.is_settled

    def close(self) -> None:
        """Stop after the model that is being loaded."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def run(self) -> None:
        """Load, drop and warm up until closed."""
        while True:
            with self._changed:
                spec = None
                while not self._closed and not self._stale():
                    spec = self._agenda.next(self._loaded_as(), time.monotonic())
                    if spec is not None or not self._judging.is_current:
                        break
                    self._was_settled = True
                    self._settled([item.variant for item in self._residents.values()])
                    self._changed.wait(self._until_retry_s())
                if self._closed:
                    return
            judging = self._judge_is_next(spec)
            try:
                self._drop(self._stale())
                if judging:
                    self._load_judge()
                elif spec is not None:
                    self._load(spec)
            except Exception as error:
                # The outermost edge of this thread: no fault of one model may end the loader.
                log.exception("loading failed")
                reason = f"{type(error).__name__}: {error}"
                if judging:
                    self._judging.note_failure(reason)
                elif spec is not None:
                    self._note_failure(spec, reason)

    def _judge_is_next(self, spec: ModelSpec | None) -> bool:
        """Return whether the discriminator is loaded now: only the assigned model goes first."""
        is_assigned = spec is not None and spec.name == self._agenda.assigned
        goes_first = is_assigned and self._agenda.assigned not in self._residents
        return not self._judging.is_current and not goes_first

    def _loaded_as(self) -> dict[str, ModelSpec]:
        return {name: resident.variant.spec for name, resident in self._residents.items()}

    def _until_retry_s(self) -> float | None:
        due_s = [self._agenda.next_attempt_s()]
        if self._judging.failed_s is not None:
            due_s.append(self._judging.failed_s + RETRY_S)
        first_s = min((at_s for at_s in due_s if at_s is not None), default=None)
        return None if first_s is None else max(0.1, first_s - time.monotonic())

    def _stale(self) -> list[str]:
        """Return residents that the cascade no longer has."""
        return [name for name in self._residents if name not in self._agenda.specs]

    def _load(self, spec: ModelSpec) -> None:
        began_s, self._held_up_s = time.monotonic(), 0.0
        key = pipelines.weights_key(spec)
        failure: str | None = None
        try:
            if not self._make_room(spec, key):
                if spec.name in self._residents:
                    # Nor may its predecessor go on being served under its name.
                    self._drop([spec.name])
                    return
                needed = sizing.expected_bytes(spec, self._device)
                reason = residency.why_left_out(spec.name, needed, self._budget_bytes)
                self._leave_out(spec, reason)
                return
            self._loading = spec.name, time.monotonic()
            weights, variant = self._prepared(spec, key)
        except ModelUnavailable as error:
            failure = str(error)
        finally:
            self._loading = None
        if failure is not None:
            # Not while the error is handled: its traceback holds what was loaded so far.
            self._release_unused_weights()
            self._note_failure(spec, failure)
            return
        with self._changed:
            before = self._residents.get(spec.name)
            # A cascade that changed meanwhile is followed in the next round.
            self._residents[spec.name] = Resident(variant, weights.reader)
            self._agenda.note_loaded(spec)
        if before is not None:
            self._wait_until_unused([before.variant])
        self._release_unused_weights()
        # What was made meanwhile takes as long without any swap.
        took_s = time.monotonic() - began_s - self._held_up_s
        log.info("model %s is resident after %.1f s", spec.name, took_s)
        self._loaded(variant, took_s)
        self._news()

    def _prepared(self, spec: ModelSpec, key: WeightsKey) -> tuple[Weights, Variant]:
        """Return a warm variant with its weights, loaded unless another one has them already.

        ModelUnavailable when they cannot be had or the first picture fails.
        """
        weights = self._weights.get(key)
        if weights is None:
            pipeline = pipelines.load_weights(spec, self._device, offline=self._offline)
            weights = Weights(
                pipeline,
                Reader(pipeline),
                pipelines.weights_bytes(pipeline),
                time.monotonic(),
            )
            self._weights[key] = weights
        elif not weights.on_device:
            self._bring_back(spec, weights)
        variant = Variant(spec, weights.pipeline, serial=next(self._serials))
        self._warm_up(variant)
        return weights, variant

    def _bring_back(self, spec: ModelSpec, weights: Weights) -> None:
        """Move weights from the host's memory to the device."""
        try:
            weights.pipeline.to(self._device)
        except torch.OutOfMemoryError as error:
            weights.pipeline.to("cpu", silence_dtype_warnings=True)
            raise pipelines.too_large(spec, self._device) from error
        weights.on_device = True

    def _warm_up(self, variant: Variant) -> None:
        spec = variant.spec
        try:
            self._on_denoising_thread(
                lambda: variant.generate(
                    [pipelines.Row("", None, 0)],
                    width=spec.width,
                    height=spec.height,
                    steps=min(WARM_UP_STEPS, spec.steps),
                )
            )
        except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
            raise ModelUnavailable(
                f"model {spec.name} loads but makes no image: {error} - check size, steps and "
                "guidance in spec.models[]"
            ) from error

    def _on_denoising_thread(self, call: Callable[[], object]) -> None:
        """Run `call` where pipelines are run; raise what it raises."""
        done: Future[None] = Future()
        asked_s = time.monotonic()

        def errand() -> None:
            self._held_up_s += time.monotonic() - asked_s
            try:
                call()
            except Exception as error:  # handed over to the thread that waits
                done.set_exception(error)
            else:
                done.set_result(None)

        self._intake.run(errand)
        while not self._closed:
            try:
                return done.result(CLOSING_POLL_S)
            except TimeoutError:
                if done.done():
                    raise
        raise ModelUnavailable("the worker is shutting down")

    def _make_room(self, spec: ModelSpec, key: WeightsKey) -> bool:
        held = self._weights.get(key)
        if held is not None and held.on_device:
            return True
        needed = held.size_bytes if held else sizing.expected_bytes(spec, self._device)
        leaving = residency.evictions(
            self._held(), needed, self._budget_bytes, urgent=spec.name == self._agenda.assigned
        )
        if leaving is None:
            return False
        for other in leaving:
            names = [
                name
                for name, resident in self._residents.items()
                if pipelines.weights_key(resident.variant.spec) == other
            ]
            for name in names:
                reason = f"model {name} left memory to make room for {spec.name}"
                self._leave_out(self._residents[name].variant.spec, reason)
            self._drop(names, evict=True)
        return True

    def _leave_out(self, spec: ModelSpec, reason: str) -> None:
        with self._changed:
            is_left_out = self._agenda.leave_out(spec, reason)
        if is_left_out:
            log.info("%s", reason)
            self._news()

    def _held(self) -> list[residency.Held]:
        assigned = self._residents.get(self._agenda.assigned or "")
        # One whose successor is about to be loaded is wanted no longer.
        is_current = assigned and assigned.variant.spec == self._agenda.assigned_spec
        wanted = pipelines.weights_key(assigned.variant.spec) if assigned and is_current else None
        return [
            residency.Held(key, weights.size_bytes, weights.used_s, key == wanted)
            for key, weights in self._weights.items()
            if weights.on_device
        ]

    def touch(self, variant: Variant) -> None:
        """Note that a model was used now, so that it is not the first to go."""
        weights = self._weights.get(pipelines.weights_key(variant.spec))
        if weights is not None:
            weights.used_s = time.monotonic()

    def _drop(self, names: Sequence[str], *, evict: bool = False) -> None:
        if not names:
            return
        with self._changed:
            leaving = [self._residents.pop(name) for name in names if name in self._residents]
        self._wait_until_unused([resident.variant for resident in leaving])
        self._release_unused_weights(keep_in_host_memory=evict and self._device.type == "cuda")
        log.info("dropped from memory: %s", ", ".join(names))

    def _wait_until_unused(self, variants: Sequence[Variant]) -> None:
        since_s = time.monotonic()
        while not self._closed and any(self._intake.holds(item.serial) for item in variants):
            time.sleep(LEAVING_POLL_S)
        self._held_up_s += time.monotonic() - since_s

    def _release_unused_weights(self, *, keep_in_host_memory: bool = False) -> None:
        used = {
            pipelines.weights_key(resident.variant.spec) for resident in self._residents.values()
        }
        known = {pipelines.weights_key(spec) for spec in self._agenda.specs.values()}
        for key in [key for key in self._weights if key not in used]:
            weights = self._weights[key]
            if key in known and not weights.on_device:
                continue
            if key in known and keep_in_host_memory and self._fits_host(weights):
                weights.pipeline.to("cpu", silence_dtype_warnings=True)
                weights.on_device = False
            else:
                del self._weights[key]
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    @staticmethod
    def _fits_host(weights: Weights) -> bool:
        return weights.size_bytes < residency.measure_budget(torch.device("cpu"))

    def _load_judge(self) -> None:
        with self._changed:
            spec = self._judging.begin()
        self._judging.load(
            spec, self._device, offline=self._offline, warm_up=self._on_denoising_thread
        )

    def _note_failure(self, spec: ModelSpec, reason: str) -> None:
        log.error("%s", reason)
        with self._changed:
            self._agenda.note_failure(spec, reason, time.monotonic())
        self._news()
