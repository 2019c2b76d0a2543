"""Errors in the one shape that OpenAI's clients read: `{"error": {message, type, param, code}}`.

`error.hadis` adds the outcome that every image of the request counts as (null when the request was
refused as unusable and counts as nothing), the request's id, and what a stream cannot say in its
head any more: the status and the seconds to wait.
"""

import json
from http import HTTPStatus

from hadis.errors import (
    DeadlineExceeded,
    HadisError,
    InvalidInput,
    NoWorker,
    Overloaded,
    RetryLater,
    WorkerLost,
)
from hadis.routing import admitting
from hadis.routing.entry import Route
from hadis.terms.outcomes import Outcome

_KINDS = {
    400: ("invalid_request_error", "invalid_value"),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "forbidden"),
    404: ("invalid_request_error", "not_found"),
    405: ("invalid_request_error", "method_not_allowed"),
    408: ("invalid_request_error", "request_timeout"),
    413: ("invalid_request_error", "request_too_large"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    500: ("server_error", "internal_error"),
    502: ("server_error", "bad_gateway"),
    503: ("server_error", "service_unavailable"),
    504: ("server_error", "deadline_exceeded"),
}

_WAYS_OUT = {
    Route.PLANNED: "Try again later, or ask for quality low, which takes the least time.",
    Route.LIGHT_ONLY: "Try again later.",
    Route.HEAVY_ONLY: "Try again later, or without quality high: then a lighter image may do.",
    Route.PINNED: "Try again later, or without naming a model: then a lighter one may do.",
}


class ApiError(Exception):
    """An answer that is an error. `param` names the field at fault, `headers` go on top."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        outcome: Outcome | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        kind, default_code = _KINDS.get(status, ("server_error", HTTPStatus(status).name.lower()))
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param
        self.code = code or default_code
        self.outcome = outcome
        self.headers = headers or {}

    def body(self, request_id: str) -> dict[str, object]:
        """Return the JSON object of the answer."""
        retry_after = self.headers.get("retry-after")
        return {
            "error": {
                "message": self.message,
                "type": self.kind,
                "param": self.param,
                "code": self.code,
                "hadis": {
                    "outcome": self.outcome,
                    "request_id": request_id,
                    "status": self.status,
                    "retry_after_s": None if retry_after is None else int(retry_after),
                },
            }
        }

    def encoded(self, request_id: str) -> bytes:
        """Return the answer's bytes."""
        return json.dumps(self.body(request_id)).encode()


def rejected(error: RetryLater) -> ApiError:
    """Return the answer to a request that was not let in: 429 when full, 503 without workers."""
    status = 429 if isinstance(error, Overloaded) else 503
    return ApiError(
        status,
        str(error),
        outcome=Outcome.REJECTED,
        headers={"retry-after": str(admitting.retry_after_s(error.retry_after_s))},
    )


def leaving(outcome: Outcome | None) -> ApiError:
    """Return the answer to a request that the router has to leave unfinished."""
    return ApiError(
        503,
        "the router had to stop before the image was there",
        outcome=outcome,
        headers={"retry-after": "1"},
    )


def failure_of(error: HadisError, *, slo_s: float, route: Route) -> ApiError:
    """Return the answer to a request of `route` with `slo_s` seconds that ended in `error`."""
    match error:
        case DeadlineExceeded():
            # A client's automatic retry would only miss its deadline once more.
            return ApiError(
                504,
                f"{error}; the deadline was {slo_s:g} s. {_WAYS_OUT[route]}",
                outcome=Outcome.EXPIRED,
                headers={"x-should-retry": "false"},
            )
        case Overloaded() | NoWorker():
            return rejected(error)
        case WorkerLost():
            return ApiError(503, str(error), outcome=Outcome.FAILED, headers={"retry-after": "1"})
        case InvalidInput():
            return ApiError(400, str(error), param=error.field, outcome=Outcome.FAILED)
        case _:
            return ApiError(503, str(error), outcome=Outcome.FAILED, headers={"retry-after": "5"})
