"""A real HTTP server that answers the images API as a test tells it to."""

import asyncio
import base64
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

PIXELS = b"\x89PNG not really"


@dataclass
class Script:
    """What the endpoint does; `answer` gets the request's body and its number from 0."""

    answer: Callable[[dict[str, Any], int], Response] | None = None
    delay_s: float = 0.0
    slo_s: float = 10.0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    arrived_s: list[float] = field(default_factory=list)


def an_image(path: str = "light", **provenance: Any) -> Response:
    """A successful answer with this provenance."""
    told = {"path": path, "model": "small", "seed": 7, "hardness": 0.25, "total_s": 0.01}
    data = [{"b64_json": base64.b64encode(PIXELS).decode(), "hadis": told | provenance}]
    return JSONResponse({"created": 1, "data": data})


def an_error(status: int, message: str, outcome: str | None, **more: Any) -> Response:
    """A refusal in the API's own form."""
    error = {"message": message, "type": "t", "param": None, "code": None, **more}
    if outcome is not None:
        error["hadis"] = {"outcome": outcome}
    return JSONResponse({"error": error}, status_code=status)


@contextlib.contextmanager
def serve(script: Script) -> Iterator[str]:
    """Serve the script on a free port, in a thread; yields the URL."""

    async def generate(request: Request) -> Response:
        script.arrived_s.append(time.monotonic())
        body = json.loads(await request.body())
        script.bodies.append(body)
        script.headers.append(dict(request.headers))
        if script.delay_s:
            await asyncio.sleep(script.delay_s)
        number = len(script.bodies) - 1
        return an_image() if script.answer is None else script.answer(body, number)

    async def examples(_request: Request) -> Response:
        return JSONResponse({"groups": [{"title": "Easy", "prompts": ["a red circle", "a dog"]}]})

    async def status(_request: Request) -> Response:
        return JSONResponse({"slo_s": script.slo_s})

    app = Starlette(
        routes=[
            Route("/v1/status", status),
            Route("/v1/images/generations", generate, methods=["POST"]),
            Route("/playground/examples", examples),
        ]
    )
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="warning", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
