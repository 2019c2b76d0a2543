"""`POST /generate`, the router's call of a worker.

The request is JSON (`GenerateBody`). The answer is the encoded image as raw bytes with the
`GenerateReport` as one line of ASCII JSON in the header `Hadis-Report`; an error is
`{"error": {"message", "reason"}}` with the same header holding what is known. Time crosses the wire
as remaining seconds, so that two hosts' clocks never meet.

Statuses: 200; 400 unusable request; 409 the model is not resident, nor waited for; 499 the caller
went away; 500 generation failed; 503 overloaded or draining; 504 the remaining time ran out in the
queue.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from hadis.wire.bodies import OpenBody

REPORT_HEADER = "Hadis-Report"
MAX_SEED = 2**32 - 1


class OutputFormat(StrEnum):
    """How the worker encodes an image."""

    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"


class GenerateBody(OpenBody):
    """One image to make. Steps and guidance are the model's own and do not travel."""

    request_id: Annotated[str, Field(min_length=1, max_length=200)]
    model: str
    prompt: str
    negative_prompt: str | None = None
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)]
    width: Annotated[int, Field(ge=8, le=8192)]
    height: Annotated[int, Field(ge=8, le=8192)]
    remaining_s: Annotated[float, Field(description="seconds until the request's deadline")]
    score: bool = False
    waits_for_model: Annotated[
        bool, Field(description="wait for the assigned model while it is loaded, instead of 409")
    ] = False
    output_format: OutputFormat = OutputFormat.PNG
    output_compression: Annotated[int, Field(ge=0, le=100)] = 100


class QueueState(OpenBody):
    """A worker's load, sent with every reply and in `/status`.

    `free_in_s`: seconds until the worker would start a request that arrives now, by its own
    measured batch latencies; with what its assigned model still takes to load, where it has loaded
    that before. `waiting` counts requests that wait for that, too.
    """

    waiting: int = 0
    running: int = 0
    free_in_s: float = 0.0


class GenerateReport(OpenBody):
    """What the worker tells about an image, or about why there is none."""

    worker: str
    uid: str
    model: str
    seed: int | None = None
    quality_score: float | None = None
    queue_s: float = 0.0
    generate_s: float = 0.0
    score_s: float = 0.0
    batch_size: int = 0
    unknown_words: list[str] = Field(default_factory=list)
    prompt_truncated: bool = False
    text_tokens: int = 0
    queue: QueueState = Field(default_factory=QueueState)
