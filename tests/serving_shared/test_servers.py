import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter

from hadis_serving import ports, probes, servers


async def test_several_servers_start_and_stop_together() -> None:
    registry = CollectorRegistry()
    Counter("hadis_test_events", "Events.", registry=registry).inc(3)
    trouble: list[str] = ["loading the model"]
    probe_app = probes.create_probe_app(
        healthy=lambda: None, ready=lambda: trouble[0] if trouble else None, registry=registry
    )
    listeners = [
        servers.Listener(FastAPI(), ports.bind("127.0.0.1", 0), "requests"),
        servers.Listener(probe_app, ports.bind("127.0.0.1", 0), "metrics"),
    ]
    urls = [f"http://127.0.0.1:{ports.port_of(entry.socket)}" for entry in listeners]
    stop = asyncio.Event()
    running = asyncio.create_task(servers.serve(listeners, stop, grace_s=1))
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{urls[0]}/absent")).status_code == 404
        not_ready = await client.get(f"{urls[1]}/readyz")
        assert (not_ready.status_code, not_ready.text) == (503, "loading the model\n")
        trouble.clear()
        assert (await client.get(f"{urls[1]}/readyz")).status_code == 200
        assert (await client.get(f"{urls[1]}/healthz")).status_code == 200
        assert "hadis_test_events_total 3.0" in (await client.get(f"{urls[1]}/metrics")).text
    stop.set()
    await asyncio.wait_for(running, 5)
    async with httpx.AsyncClient() as client:
        for url in urls:
            with pytest.raises(httpx.ConnectError):
                await client.get(url)


async def test_a_server_whose_application_does_not_start_ends_all() -> None:
    broken = FastAPI(lifespan=_failing_lifespan)
    listeners = [
        servers.Listener(FastAPI(), ports.bind("127.0.0.1", 0), "requests"),
        servers.Listener(broken, ports.bind("127.0.0.1", 0), "control"),
    ]
    with pytest.raises(RuntimeError, match="control server ended"):
        await servers.serve(listeners, asyncio.Event(), grace_s=1)


@contextlib.asynccontextmanager
async def _failing_lifespan(_: FastAPI) -> AsyncIterator[None]:
    raise OSError("no disk")
    yield
