"""One image on its way through a worker: what was asked, how long it has, how it ended."""

from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hadis.errors import HadisError
from hadis.wire.generation import GenerateBody
from hadis_server.batching import Shape

if TYPE_CHECKING:
    from hadis_server.pipelines import Variant
    from hadis_server.wording import Reader


class CallerGone(HadisError):
    """The router dropped the connection; nobody wants this image any more."""


class GenerationFailed(HadisError):
    """The pipeline raised while it made this image."""


class Draining(HadisError):
    """The worker is shutting down and takes nothing new."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A finished image, encoded, with what is told about how it came about."""

    content: bytes
    media_type: str
    quality_score: float | None
    queue_s: float
    generate_s: float
    score_s: float
    batch_size: int
    unknown_words: tuple[str, ...]
    prompt_truncated: bool
    text_tokens: int


@dataclass(eq=False, slots=True)
class Job:
    """A request between its arrival and its end. Compared by identity.

    `deadline_s` is a reading of this host's monotonic clock. `gone` may be set by the event loop
    at any time; the denoising thread looks at it at every step boundary.
    """

    body: GenerateBody
    variant: "Variant"
    reader: "Reader"
    shape: Shape
    arrived_s: float
    deadline_s: float
    gone: bool = False
    started_s: float | None = None
    ended: "Future[Picture]" = field(default_factory=Future)

    def finish(self, picture: Picture) -> None:
        """Hand the picture over, unless the job has already ended."""
        try:
            self.ended.set_result(picture)
        except InvalidStateError:
            return

    def fail(self, error: HadisError) -> None:
        """End the job without a picture, unless it has already ended."""
        try:
            self.ended.set_exception(error)
        except InvalidStateError:
            return
