"""A Prometheus that answers what a test wants, on a free port of loopback."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from hadis_serving import ports


def series(name: str, label: dict[str, str], *values: tuple[float, str]) -> dict[str, Any]:
    metric = {"__name__": name, "pod": "router", "instance": "10.0.0.1:9090", **label}
    return {"metric": metric, "values": [list(value) for value in values]}


def an_answer(*found: dict[str, Any]) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": "matrix", "result": list(found)}}


@dataclass
class Prometheus:
    """A server that answers what a test wants, and remembers how it was asked."""

    answer: Any = None
    status: int = 200
    silent: bool = False
    token: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.silent:
            await asyncio.sleep(3600)
        self.asked.append({**request.query, **request.headers})
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            return web.Response(status=401)
        text = self.answer if isinstance(self.answer, str) else json.dumps(self.answer)
        return web.Response(status=self.status, text=text)


@asynccontextmanager
async def a_prometheus(answer: Any = None) -> AsyncIterator[Prometheus]:
    pretended = Prometheus(answer)
    app = web.Application()
    app.router.add_get("/api/v1/query", pretended.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    socket = ports.bind("127.0.0.1", 0)
    await web.SockSite(runner, socket).start()
    pretended.url = f"http://127.0.0.1:{ports.port_of(socket)}"
    try:
        yield pretended
    finally:
        await runner.cleanup()
