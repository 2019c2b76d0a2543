"""Which model a worker loads next, and why some are not loaded. Pure but for the time it is told.

The assigned model comes first, the others follow in the cascade's order. One that failed waits for
its next attempt; one that did not fit, or had to leave, waits until it is assigned.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hadis.terms.cascades import ModelSpec


@dataclass(frozen=True, slots=True)
class _Failure:
    spec: ModelSpec
    reason: str
    at_s: float


class Agenda:
    """The wanted models of one worker. Its owner guards changes by a lock."""

    def __init__(self, *, retry_s: float) -> None:
        self._retry_s = retry_s
        self.specs: Mapping[str, ModelSpec] = {}
        self.assigned: str | None = None
        self._failures: dict[str, _Failure] = {}
        self._left_out: dict[str, tuple[ModelSpec, str]] = {}

    @property
    def assigned_spec(self) -> ModelSpec | None:
        """What the assigned model is to be, when the cascade has it."""
        return self.specs.get(self.assigned) if self.assigned is not None else None

    def want(self, specs: Mapping[str, ModelSpec], *, retry: bool = False) -> None:
        """Take over the models of a cascade; `retry` forgets earlier failures."""
        self.specs = specs
        self._left_out.clear()
        self._failures = {
            name: failure
            for name, failure in self._failures.items()
            if not retry and specs.get(name) == failure.spec
        }

    def assign(self, model: str | None) -> None:
        """Put `model` before all others, whatever kept it out so far."""
        if model == self.assigned:
            return
        self.assigned = model
        self._left_out.clear()
        if model is not None:
            self._failures.pop(model, None)

    def next(self, resident: Mapping[str, ModelSpec], now_s: float) -> ModelSpec | None:
        """Return the model to load next, given what each resident one was loaded as."""
        for name in sorted(self.specs, key=lambda name: name != self.assigned):
            spec = self.specs[name]
            failure = self._failures.get(name)
            waits = failure and failure.spec == spec and now_s < failure.at_s + self._retry_s
            left_out = self._left_out.get(name)
            stays_out = left_out is not None and left_out[0] == spec
            if resident.get(name) != spec and not waits and not stays_out:
                return spec
        return None

    def next_attempt_s(self) -> float | None:
        """Return when a failed model is due again, or None."""
        due_s = [failure.at_s + self._retry_s for failure in self._failures.values()]
        return min(due_s, default=None)

    def error(self, model: str) -> str | None:
        """Return why `model` did not load, if it was tried and did not."""
        failure = self._failures.get(model)
        return failure.reason if failure else None

    def left_out(self, model: str) -> str | None:
        """Return why `model` stays out of memory until it is assigned. No error: it may load."""
        left_out = self._left_out.get(model)
        return left_out[1] if left_out else None

    def note_loaded(self, spec: ModelSpec) -> None:
        """Forget an earlier failure."""
        self._failures.pop(spec.name, None)

    def note_failure(self, spec: ModelSpec, reason: str, now_s: float) -> None:
        """Try `spec` again after a while."""
        self._failures[spec.name] = _Failure(spec, reason, now_s)

    def leave_out(self, spec: ModelSpec, reason: str) -> bool:
        """Load `spec` no more until it is assigned; False when that has just happened."""
        if spec.name == self.assigned:
            return False
        self._left_out[spec.name] = (spec, reason)
        # Nobody tries it again, so that an earlier failure would stay its error for ever.
        self._failures.pop(spec.name, None)
        return True
