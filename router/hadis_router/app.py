"""The public application: OpenAI's images API, status, probes and the playground."""

import json
import math

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from hadis_router import image_requests, pages, statuses
from hadis_router.exchanges import JSON, StandardHeads, exchange_of
from hadis_router.generations_endpoint import GenerationsEndpoint
from hadis_router.openai_errors import ApiError
from hadis_router.service import Router
from hadis_serving.keys import ApiKeys
from hadis_serving.probes import create_probe_router

OWNER = "hadis"


def create_app(router: Router, keys: ApiKeys) -> ASGIApp:
    """Return the application for the public port."""
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(Exception, _fault)
    app.router.routes.extend(
        [
            Route("/v1/images/generations", GenerationsEndpoint(router), methods=["POST"]),
            *_model_routes(router),
            *_status_routes(router),
            *pages.routes(router),
        ]
    )
    if router.settings.public_probes:
        probes = create_probe_router(
            healthy=lambda: None, ready=router.not_ready, registry=router.registry
        )
        app.include_router(probes)
    return StandardHeads(app, router, keys)


def _model_routes(router: Router) -> list[Route]:
    def told(name: str) -> dict[str, object]:
        return {
            "id": name,
            "object": "model",
            "created": router.created_epoch_s,
            "owned_by": OWNER,
        }

    async def models(_request: Request) -> Response:
        names = [router.cascade.name, *(spec.name for spec in router.cascade.models)]
        return as_json({"object": "list", "data": [told(name) for name in names]})

    async def model(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in {router.cascade.name, *(spec.name for spec in router.cascade.models)}:
            raise image_requests.unknown_model(name, router.cascade)
        return as_json(told(name))

    return [Route("/v1/models", models), Route("/v1/models/{name:path}", model)]


def _status_routes(router: Router) -> list[Route]:
    async def status(_request: Request) -> Response:
        return as_json(statuses.public_status(router))

    return [Route("/v1/status", status)]


def as_json(value: object, status: int = 200) -> Response:
    """Return a JSON answer; what is not finite becomes null, for browsers read nothing else."""
    return Response(
        json.dumps(_finite(value), allow_nan=False),
        status,
        media_type=JSON,
        headers={"cache-control": "no-store"},
    )


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _error(request: Request, error: ApiError) -> Response:
    return Response(
        error.encoded(exchange_of(request.scope).request_id),
        error.status,
        media_type=JSON,
        headers=error.headers,
    )


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return _error(request, error)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    told = {
        404: f"There is nothing at {request.url.path}",
        405: f"{request.method} is not possible at {request.url.path}",
    }
    message = told.get(error.status_code, str(error.detail))
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    return _error(request, ApiError(error.status_code, message, headers=headers))


async def _fault(request: Request, _error_met: Exception) -> Response:
    # Starlette raises the error again after this answer, and the server logs it.
    return _error(request, ApiError(500, "The router met a fault; its log tells more"))
