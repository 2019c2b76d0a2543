"""The worker's HTTP: translate, delegate, translate back. Requests and control have a port each."""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from hadis.errors import DeadlineExceeded, HadisError, InvalidInput, Overloaded
from hadis.wire import manifests
from hadis.wire.assignments import AssignmentBody
from hadis.wire.bodies import OpenBody
from hadis.wire.generation import REPORT_HEADER, GenerateBody, GenerateReport
from hadis_server.jobs import CallerGone, Draining, GenerationFailed, Job, Picture
from hadis_server.station import NotResident, Station
from hadis_serving import unknown

# Reason (a metric label, too) and status of every way a request can end without an image.
ENDS: tuple[tuple[type[HadisError], int, str], ...] = (
    (InvalidInput, 400, "invalid"),
    (NotResident, 409, "not_resident"),
    (CallerGone, 499, "cancelled"),
    (GenerationFailed, 500, "failed"),
    (Draining, 503, "draining"),
    (Overloaded, 503, "overloaded"),
    (DeadlineExceeded, 504, "expired"),
)
SERVED = "served"
ASSIGNMENT_GRACE_S = 1.0
"""A request that waits for a model waits so long for the assignment that it came ahead of."""

B = TypeVar("B", bound=OpenBody)


def create_requests_app(station: Station) -> FastAPI:
    """Return the application of the request port: `POST /generate`."""
    app = FastAPI(openapi_url=None)

    @app.post("/generate")
    async def generate(request: Request) -> Response:
        try:
            body = _read(GenerateBody, await request.body())
        except InvalidInput as error:
            return _refuse(station, None, error)
        except ClientDisconnect:
            return _refuse(station, None, CallerGone("the caller went away"))
        if not math.isfinite(body.remaining_s):
            return _refuse(station, None, InvalidInput("remaining_s: must be a finite number"))
        arrived_s = station.now_s()
        left = asyncio.ensure_future(_left(request.receive))
        try:
            if body.waits_for_model:
                await _until_loaded(station, body, arrived_s, left)
            job = station.submit(body, arrived_s=arrived_s)
            picture = await _await_end(station, job, left)
        except HadisError as error:
            return _refuse(station, body, error)
        finally:
            left.cancel()
        station.note_end(body.model, SERVED)
        return Response(
            picture.content,
            media_type=picture.media_type,
            headers={REPORT_HEADER: _header(_report(station, body, picture))},
        )

    return app


def create_control_app(station: Station) -> FastAPI:
    """Return the application of the control port: `/assignment`, `/cascade`, `/status`."""
    app = FastAPI(openapi_url=None)

    @app.put("/assignment")
    async def put_assignment(request: Request) -> Response:
        try:
            body = _read(AssignmentBody, await request.body())
        except InvalidInput as error:
            return _refuse(station, None, error)
        return JSONResponse(station.assign(body).model_dump(mode="json"))

    @app.put("/cascade")
    async def put_cascade(request: Request) -> Response:
        try:
            text = (await request.body()).decode("utf-8")
            told = manifests.read_told(text, source="PUT /cascade")
            unknown.note(told.unknown, source="PUT /cascade")
            station.follow(told)
        except UnicodeDecodeError:
            return _refuse(station, None, InvalidInput("the body is not UTF-8"))
        except InvalidInput as error:
            return _refuse(station, None, error)
        return get_status_body(station)

    @app.get("/status")
    async def get_status() -> Response:
        return get_status_body(station)

    return app


def get_status_body(station: Station) -> Response:
    """Return the worker's status as JSON."""
    return JSONResponse(station.status().model_dump(mode="json"))


async def _until_loaded(
    station: Station, body: GenerateBody, arrived_s: float, left: asyncio.Future[None]
) -> None:
    """Wait while the model is being loaded, until the deadline or the caller's leaving."""
    with station.waiting_for(body.model) as waiter:
        while True:
            # Taken before looking: what happens after the look ends it.
            news = asyncio.wrap_future(waiter.news)
            patience_s = body.remaining_s
            if not station.is_coming(body.model):
                # The table may be here before the assignment, which is sent at the same time.
                patience_s = min(ASSIGNMENT_GRACE_S, body.remaining_s)
                waited_s = station.now_s() - arrived_s
                if waited_s >= patience_s or not station.may_come(body.model):
                    return
            either: set[asyncio.Future[Any]] = {news, left}
            timeout_s = max(0.0, arrived_s + patience_s - station.now_s())
            await asyncio.wait(either, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if left.done():
                raise CallerGone("the caller went away")
            if not news.done() and station.now_s() >= arrived_s + body.remaining_s:
                raise DeadlineExceeded(f"the remaining time ran out while {body.model} was loaded")


async def _await_end(station: Station, job: Job, left: asyncio.Future[None]) -> Picture:
    """Wait for the job, its deadline in the queue, or the caller's leaving; whichever is first."""
    ended: asyncio.Future[Picture] = asyncio.wrap_future(job.ended)
    either: set[asyncio.Future[Any]] = {ended, left}
    try:
        timeout_s = max(0.0, job.deadline_s - station.now_s())
        await asyncio.wait(either, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done() and not left.done() and not station.intake.expire(job):
            # Late, but under way: the router decides how long it wants to wait.
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            station.intake.cancel(job)
        return await ended
    except asyncio.CancelledError:
        # The server itself is going away.
        ended.cancel()
        station.intake.cancel(job)
        raise


async def _left(receive: Callable[[], Awaitable[object]]) -> None:
    """Return when the caller has dropped the connection."""
    while True:
        message = await receive()
        if isinstance(message, dict) and message.get("type") == "http.disconnect":
            return


def _read(body: type[B], content: bytes) -> B:
    try:
        return body.model_validate_json(content)
    except ValidationError as error:
        raise InvalidInput("; ".join(_faults(error))) from error


def _faults(error: ValidationError) -> Iterator[str]:
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        field = ".".join(str(part) for part in fault["loc"]) or "body"
        yield f"{field}: {fault['msg']}"


def _refuse(station: Station, body: GenerateBody | None, error: HadisError) -> Response:
    status, reason = next(
        (status, reason) for kind, status, reason in ENDS if isinstance(error, kind)
    )
    headers = {}
    if body is not None:
        station.note_end(body.model, reason)
        headers[REPORT_HEADER] = _header(_report(station, body, None))
    return JSONResponse(
        {"error": {"message": str(error), "reason": reason}}, status_code=status, headers=headers
    )


def _report(station: Station, body: GenerateBody, picture: Picture | None) -> GenerateReport:
    report = GenerateReport(
        worker=station.settings.name,
        uid=station.settings.uid,
        model=body.model,
        seed=body.seed,
        queue=station.queue_state(),
    )
    if picture is None:
        return report
    return report.model_copy(
        update={
            "quality_score": picture.quality_score,
            "queue_s": picture.queue_s,
            "generate_s": picture.generate_s,
            "score_s": picture.score_s,
            "batch_size": picture.batch_size,
            "unknown_words": list(picture.unknown_words),
            "prompt_truncated": picture.prompt_truncated,
            "text_tokens": picture.text_tokens,
        }
    )


def _header(report: GenerateReport) -> str:
    return json.dumps(report.model_dump(mode="json"), ensure_ascii=True, separators=(",", ":"))
