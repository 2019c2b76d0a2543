"""The control port: what the controller tells the router, and what the router tells it."""

import json
from collections.abc import Awaitable, Callable

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from hadis.errors import InvalidInput
from hadis.wire import manifests
from hadis.wire.assignments import RoutingTableBody
from hadis_router import statuses
from hadis_router.exchanges import JSON
from hadis_router.openai_errors import ApiError
from hadis_router.service import Router
from hadis_serving import unknown

MAX_FAULTS = 5

Handler = Callable[[Request], Awaitable[Response]]


def create_control_app(router: Router) -> ASGIApp:
    """Return the application for the control port."""

    async def put_routing(request: Request) -> Response:
        try:
            body = RoutingTableBody.model_validate_json(await request.body())
        except ValidationError as error:
            raise ApiError(400, _faults(error), param=_first_field(error)) from error
        return _json({"version": router.apply_routing(body)})

    async def put_cascade(request: Request) -> Response:
        try:
            text = (await request.body()).decode("utf-8")
        except UnicodeDecodeError as error:
            raise ApiError(400, "The body is not UTF-8") from error
        try:
            told = manifests.read_told(text, source="PUT /cascade")
            unknown.note(told.unknown, source="PUT /cascade")
            router.apply_cascade(told.cascade, told.profile)
        except InvalidInput as error:
            raise ApiError(400, str(error), param=error.field) from error
        return _json({"generation": router.cascade.generation})

    async def get_status(_request: Request) -> Response:
        return Response(statuses.control_status(router).model_dump_json(), media_type=JSON)

    return Starlette(
        routes=[
            Route("/routing", put_routing, methods=["PUT"]),
            Route("/cascade", put_cascade, methods=["PUT"]),
            Route("/status", get_status),
        ],
        exception_handlers={ApiError: _api_error, HTTPException: _http_error},
    )


def _json(value: object) -> Response:
    return Response(json.dumps(value), media_type=JSON)


async def _api_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return Response(error.encoded("control"), error.status, media_type=JSON)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return await _api_error(request, ApiError(error.status_code, str(error.detail)))


def _faults(error: ValidationError) -> str:
    listed = [
        f"{'.'.join(str(part) for part in fault['loc']) or 'body'}: {fault['msg']}"
        for fault in error.errors(include_url=False, include_input=False)[:MAX_FAULTS]
    ]
    return "; ".join(listed)


def _first_field(error: ValidationError) -> str | None:
    loc = error.errors(include_url=False, include_input=False)[0]["loc"]
    return ".".join(str(part) for part in loc) or None
