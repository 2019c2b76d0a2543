"""A worker for tests: the real station behind real uvicorn servers, in a thread of this process."""

import asyncio
import io
import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import httpx
import numpy as np
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from hadis.terms.cascades import Cascade, DiscriminatorSpec, ModelSource, ModelSpec
from hadis.terms.ids import CascadeName, ModelName
from hadis.terms.profiles import Direction, ModelLatency, Profile, ProfileRow, QualityMetric
from hadis.wire.generation import REPORT_HEADER
from hadis.wire.manifests import Manifests, dump_objects
from hadis_server import endpoints, pipelines
from hadis_server.settings import Settings
from hadis_server.station import Station
from hadis_serving import ports, probes, servers

SIZE = 32
# Ends a hung test; the machine may be busy with other things.
PATIENCE_S = 250.0


def a_model(name: str, folder: Path | str, **changes: Any) -> ModelSpec:
    spec = ModelSpec(
        name=ModelName(name),
        source=ModelSource(path=str(folder)),
        pipeline=None,
        steps=3,
        guidance=1.0,
        width=SIZE,
        height=SIZE,
    )
    return replace(spec, **changes)


def a_cascade(*models: ModelSpec, judge: Path | None = None, kind: str = "clip") -> Cascade:
    return Cascade(
        name=CascadeName("tiny"),
        slo_s=10.0,
        models=models,
        discriminator_stage=judge is not None,
        discriminator=DiscriminatorSpec(ModelSource(path=str(judge)), kind) if judge else None,
        profile_name="tiny",
    )


def a_profile(**latency_s: dict[int, float]) -> Profile:
    first, last = ModelName(next(iter(latency_s))), ModelName(next(reversed(latency_s)))
    return Profile(
        name="tiny",
        quality=QualityMetric("fid", Direction.LOWER),
        models=tuple(ModelLatency(ModelName(name), table) for name, table in latency_s.items()),
        rows=(ProfileRow(first, last, math.inf, 0.5, 0.0, 1.0, 0.5, {"fid": 20.0}),),
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply of `/generate`."""

    status: int
    content: bytes
    report: dict[str, Any]
    media_type: str

    @property
    def reason(self) -> str:
        reason: str = json.loads(self.content)["error"]["reason"]
        return reason

    @property
    def message(self) -> str:
        message: str = json.loads(self.content)["error"]["message"]
        return message


def pixels(answer: Answer) -> np.ndarray:
    """Return the picture of a successful answer as signed numbers, ready to be compared."""
    assert answer.status == 200, answer.message
    return np.asarray(Image.open(io.BytesIO(answer.content))).astype(int)


def a_request(model: str, **changes: Any) -> dict[str, Any]:
    body = {
        "request_id": "r-1",
        "model": model,
        "prompt": "a red circle",
        "seed": 7,
        "width": SIZE,
        "height": SIZE,
        "remaining_s": PATIENCE_S,
    }
    return {**body, **changes}


class WorkerClient:
    """What the controller and routers say to a worker, wherever it runs: the ports are known."""

    port: int
    control_port: int
    metrics_port: int
    _version = 0

    # What the controller says.

    def assign(
        self, model: str | None, *, role: str = "light", batch_size: int = 4, version: int = 0
    ) -> dict[str, Any]:
        self._version = version or self._version + 1
        body = {
            "version": self._version,
            "model": model,
            "role": role,
            "batch_size": batch_size,
            "quality_threshold": 0.5,
        }
        return self.put("/assignment", body).json()

    def follow(self, cascade: Cascade, profile: Profile | None = None) -> httpx.Response:
        return self.put("/cascade", dump_objects(cascade, profile))

    def put(self, path: str, body: object) -> httpx.Response:
        return httpx.put(f"http://127.0.0.1:{self.control_port}{path}", json=body, timeout=30)

    def status(self) -> dict[str, Any]:
        return httpx.get(f"http://127.0.0.1:{self.control_port}/status", timeout=30).json()

    def probe(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.metrics_port}{path}", timeout=30)

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a series over the samples that carry `labels`; 0 when it has none."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.probe("/metrics").text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    # What routers do.

    def generate(self, model: str, **changes: Any) -> Answer:
        reply = httpx.post(
            f"http://127.0.0.1:{self.port}/generate",
            json=a_request(model, **changes),
            timeout=PATIENCE_S,
        )
        return an_answer(reply)

    def wait_waiting(self, count: int) -> None:
        self.wait(lambda status: status["queue"]["waiting"] == count, within_s=PATIENCE_S)

    async def generate_all(self, bodies: Sequence[dict[str, Any]]) -> list[Answer]:
        """Send all at once; return the answers in the order of `bodies`."""
        async with httpx.AsyncClient(timeout=PATIENCE_S, limits=UNLIMITED) as client:
            url = f"http://127.0.0.1:{self.port}/generate"
            replies = await asyncio.gather(*(client.post(url, json=body) for body in bodies))
        return [an_answer(reply) for reply in replies]

    def wait(self, condition: Callable[[dict[str, Any]], bool], *, within_s: float) -> float:
        """Poll the status until `condition` holds; return how long that took, or fail."""
        began_s = time.monotonic()
        while True:
            status = self.status()
            took_s = time.monotonic() - began_s
            if condition(status):
                return took_s
            assert took_s < within_s, f"after {took_s:.1f} s still {status}"
            time.sleep(0.03)

    def wait_resident(self, *names: str) -> None:
        self.wait(
            lambda status: all(status["models"][name]["resident"] for name in names),
            within_s=PATIENCE_S,
        )


class LiveWorker(WorkerClient):
    """Starts on entry, stops on exit; `station` is there for what HTTP does not show."""

    def __init__(self, cascade: Cascade, profile: Profile | None = None, **settings: Any) -> None:
        self.settings = replace(
            Settings(cascade=Path("cascade.yaml"), name="w0", uid="uid-0", device="cpu"), **settings
        )
        self._manifests = Manifests(cascade, profile)
        self._sockets = [ports.bind("127.0.0.1", 0) for _ in range(3)]
        self.port, self.control_port, self.metrics_port = (
            ports.port_of(listener) for listener in self._sockets
        )
        self._listening = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> Self:
        pipelines.quiet()
        self._thread.start()
        assert self._listening.wait(PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.station = Station(self.settings, self._manifests)
        self.station.start()
        requests, control, metrics = self._sockets
        probe_app = probes.create_probe_app(
            healthy=self.station.unhealthy,
            ready=self.station.unready,
            registry=self.station.metrics.registry,
        )
        self._loop.call_soon(self._listening.set)
        await servers.serve(
            [
                servers.Listener(endpoints.create_requests_app(self.station), requests, "requests"),
                servers.Listener(endpoints.create_control_app(self.station), control, "control"),
                servers.Listener(probe_app, metrics, "metrics"),
            ],
            self._stop,
            grace_s=1.0,
        )
        await asyncio.to_thread(self.station.close)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the denoising thread from taking work, so that what is sent meanwhile waits."""
        holding, release = threading.Event(), threading.Event()

        def hold() -> None:
            holding.set()
            release.wait(PATIENCE_S)

        self.station.intake.run(hold)
        assert holding.wait(PATIENCE_S)
        try:
            yield
        finally:
            release.set()

    async def generate_together(self, bodies: Sequence[dict[str, Any]]) -> list[Answer]:
        """Like `generate_all`, but nothing is started before everything waits."""
        with self.held():
            sent = asyncio.create_task(self.generate_all(bodies))
            await asyncio.to_thread(self.wait_waiting, len(bodies))
        return await sent


UNLIMITED = httpx.Limits(max_connections=None, max_keepalive_connections=None)


def an_answer(reply: httpx.Response) -> Answer:
    return Answer(
        reply.status_code,
        reply.content,
        json.loads(reply.headers.get(REPORT_HEADER, "{}")),
        reply.headers["content-type"],
    )
