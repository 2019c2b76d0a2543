"""Routers and workers without anything behind their control ports, each on a loopback address.

A pod's ports are fixed, so each gets an address of its own out of 127.0.0.0/8.
"""

import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from hadis.wire.assignments import AssignmentBody, RoutingTableBody
from hadis.wire.bodies import OpenBody
from hadis.wire.manifests import read_manifests
from hadis_operator.objects import Component, Manifest
from hadis_operator.rendering import pods
from hadis_serving import ports
from support import clusters

_NUMBERS = itertools.count(1)


def an_address() -> str:
    number = next(_NUMBERS)
    return f"127.{100 + os.getpid() % 100}.{number // 250}.{number % 250 + 1}"


@dataclass
class PretendedPod:
    """What a process says about itself, and what it was told, in order."""

    name: str
    address: str
    slot: str = ""
    status: dict[str, Any] = field(default_factory=dict)
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    silent: bool = False
    refusing: bool = False
    refusal: str = "lanes: add up to 0.5"
    runner: web.AppRunner | None = None
    started: str = field(default_factory=clusters.now)

    @property
    def uid(self) -> str:
        return f"uid-{self.name}"

    def live(self, **changes: Any) -> Manifest:
        """The pod as the API has it."""
        component = Component.WORKER if self.slot else Component.ROUTER
        return clusters.a_live_pod(
            self.name,
            component=component,
            slot=self.slot,
            address=self.address,
            started=self.started,
            **changes,
        )

    def body(self) -> OpenBody:
        told = {"uid": self.uid, **self.status}
        if self.slot:
            return clusters.a_worker_status(self.slot, **told)
        return clusters.a_router_status(self.name, **told)

    def version(self) -> int:
        known = self.status.get("assignment" if self.slot else "routing")
        return -1 if known is None else int(known["version"])

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.silent:
            await asyncio.sleep(3600)
        if request.method == "GET":
            return web.Response(text=self.body().model_dump_json())
        if self.refusing:
            return web.Response(status=400, text=self.refusal)
        body = json.loads(await request.read())
        what = request.path.strip("/")
        self.told.append((what, body))
        match what:
            case "assignment":
                AssignmentBody.model_validate(body)
                self.status["assignment"] = body
            case "routing":
                RoutingTableBody.model_validate(body)
                self.status["routing"] = body
            case _:
                read = read_manifests(json.dumps(body), source="PUT /cascade")
                self.status["generation"] = read.cascade.generation
        return web.Response(text="{}")

    async def stop(self) -> None:
        if self.runner is not None:
            await self.runner.cleanup()
            self.runner = None


@asynccontextmanager
async def pretended(*names: str) -> AsyncIterator[list[PretendedPod]]:
    """Pods by name; one that is called like a slot is its worker, others are routers."""
    found: list[PretendedPod] = []
    try:
        for name in names:
            slot = name if name.startswith("w") and name[1:].isdigit() else ""
            pod = PretendedPod(name, an_address(), slot)
            app = web.Application()
            app.router.add_route("*", "/{what}", pod.handle)
            pod.runner = web.AppRunner(app, shutdown_timeout=0.1)
            await pod.runner.setup()
            socket = ports.bind(pod.address, pods.CONTROL_PORT)
            await web.SockSite(pod.runner, socket).start()
            found.append(pod)
        yield found
    finally:
        for pod in found:
            await pod.stop()
