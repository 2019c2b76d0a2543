"""Every error of HADIS, as a tree.

HadisError
  RetryLater            the same call may succeed in a while; carries how long to wait
    Overloaded            a bounded queue is full
    NoWorker              no ready worker holds the model
  NeverRetry            the same call fails again until somebody changes something
    InvalidInput          a request, file or option is wrong; names the field and the fix
      InvalidManifest       a cascade or profile file is wrong
      InvalidProfile        a lookup table is wrong
      UnknownModel          a model name that the cascade does not have
    ModelUnavailable      a model's weights are missing or do not load
    MissingExtra          an optional part of the installation is not there
  DeadlineExceeded      the time of a request ran out
  WorkerLost            a worker died, stalled or answered nonsense while it held a request

Shells translate these to HTTP statuses, exit codes and conditions; foreign exceptions are
translated to them where the foreign library is called.
"""


class HadisError(Exception):
    """Anything that HADIS itself reports."""


class RetryLater(HadisError):
    """A failure that time may cure."""

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Overloaded(RetryLater):
    """A bounded queue is full; the caller should come back."""


class NoWorker(RetryLater):
    """No ready worker holds the model that was asked for."""


class NeverRetry(HadisError):
    """A failure that stays until somebody changes something."""


class InvalidInput(NeverRetry):
    """A value is wrong. `field` names it the way its author wrote it."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class InvalidManifest(InvalidInput):
    """A cascade or profile file breaks the schema or one of its rules."""


class InvalidProfile(InvalidInput):
    """A lookup table has missing models, wrong ratios or unordered latencies."""


class UnknownModel(InvalidInput):
    """A model name that is not part of the cascade."""


class ModelUnavailable(NeverRetry):
    """A model's weights are missing, unreadable or of the wrong kind."""


class MissingExtra(NeverRetry):
    """An optional part of the installation is needed; `extra` names it."""

    def __init__(self, what: str, *, extra: str) -> None:
        super().__init__(f"{what} needs the '{extra}' extra: pip install 'hadis[{extra}]'")
        self.extra = extra


class DeadlineExceeded(HadisError):
    """The time of a request ran out before an image was there."""


class WorkerLost(HadisError):
    """A worker died, stalled or answered something unreadable while it held a request."""
