"""`/healthz`, `/readyz` and `/metrics`, the same on every HADIS process."""

from collections.abc import Callable

from fastapi import APIRouter, FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

Check = Callable[[], str | None]
"""Returns None when all is well, else why it is not."""


def create_probe_router(*, healthy: Check, ready: Check, registry: CollectorRegistry) -> APIRouter:
    """Return the three routes, to be served on a port of their own or beside others."""
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def healthz() -> Response:
        return _answer(healthy())

    @router.get("/readyz")
    async def readyz() -> Response:
        return _answer(ready())

    @router.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router


def create_probe_app(*, healthy: Check, ready: Check, registry: CollectorRegistry) -> FastAPI:
    """Return an application with only the three routes, for the metrics port."""
    app = FastAPI(openapi_url=None)
    app.include_router(create_probe_router(healthy=healthy, ready=ready, registry=registry))
    return app


def _answer(trouble: str | None) -> Response:
    if trouble is None:
        return Response("ok\n", media_type="text/plain")
    return Response(f"{trouble}\n", status_code=503, media_type="text/plain")
