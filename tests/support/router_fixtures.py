"""A router under test: real servers in a thread, driven through its ports like any other."""

import asyncio
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai

from hadis.terms.assignments import Lane, RoutingTable, WorkerRef
from hadis.terms.cascades import Cascade, DiscriminatorSpec, ModelSource, ModelSpec
from hadis.terms.ids import CascadeName, ModelName, WorkerName
from hadis.terms.profiles import (
    Deliver,
    Direction,
    ModelLatency,
    Profile,
    ProfileRow,
    QualityMetric,
)
from hadis.wire import manifests
from hadis.wire.assignments import RoutingTableBody
from hadis_router.app import create_app
from hadis_router.control import create_control_app
from hadis_router.service import Router
from hadis_router.settings import Settings, Timings
from hadis_serving import ports, servers
from hadis_serving.keys import ApiKeys
from support.scripted_workers import RunningWorker

TINY, BIG = ModelName("tiny"), ModelName("big")


def a_cascade(**changes: Any) -> Cascade:
    """Two models of 64x64 pixels, a deadline of 5 s, the better image delivered."""
    cascade = Cascade(
        workers=2,
        profile_name="pair",
        discriminator=DiscriminatorSpec(ModelSource(path="./judge"), "matching"),
        name=CascadeName("pair"),
        slo_s=5.0,
        models=tuple(
            ModelSpec(name, ModelSource(path=f"./{name}"), None, steps, 1.0, 64, 64)
            for name, steps in ((TINY, 1), (BIG, 20))
        ),
        deliver=Deliver.BETTER,
    )
    return replace(cascade, **changes)


def a_profile(tiny_s: float = 0.01, big_s: float = 0.03) -> Profile:
    """Latencies as the scripted workers have them by default."""
    latencies = {TINY: tiny_s, BIG: big_s}
    return Profile(
        name="pair",
        quality=QualityMetric("fulfilment", Direction.HIGHER),
        models=tuple(
            ModelLatency(name, {1: seconds, 2: seconds * 1.2, 4: seconds * 1.6})
            for name, seconds in latencies.items()
        ),
        rows=(ProfileRow(TINY, BIG, 0.5, 0.5, 0.5, 0.5, 0.75, {"fulfilment": 0.8}),),
    )


def a_lane(hardness: float = 0.5, quality: float = 0.5, **changes: Any) -> Lane:
    return replace(Lane(1.0, TINY, BIG, hardness, quality), **changes)


class RouterUnderTest:
    """A router in a thread with its public and its control port."""

    def __init__(
        self,
        cascade: Cascade | None = None,
        profile: Profile | None = None,
        *,
        folder: Path,
        timings: Timings | None = None,
        keys: ApiKeys | None = None,
        load_url: str | None = None,
        worker_domain: str = "",
    ) -> None:
        settings = Settings(
            cascade_file=folder / "cascade.yaml",
            uid="router-uid",
            load_url=load_url,
            worker_domain=worker_domain,
            timings=timings or Timings(),
        )
        self.router = Router(settings, cascade or a_cascade(), profile or a_profile())
        self._keys = keys or ApiKeys()
        self._public = ports.bind("127.0.0.1", 0)
        self._control = ports.bind("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{ports.port_of(self._public)}"
        self.control = f"http://127.0.0.1:{ports.port_of(self._control)}"
        self.version = 0
        self._client: openai.OpenAI | None = None
        self._clients: list[openai.OpenAI] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        self._ready.wait(30)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with self.router as router:
            await router.hardness.load()
            self._ready.set()
            await servers.serve(
                [
                    servers.Listener(create_app(router, self._keys), self._public, "public"),
                    servers.Listener(create_control_app(router), self._control, "control"),
                ],
                self._stop,
                grace_s=1,
            )

    def stop(self) -> None:
        for client in self._clients:
            client.close()
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def client(self, **options: Any) -> openai.OpenAI:
        """The unmodified client, without its automatic retries unless asked for."""
        if not options:  # making one costs 0.1 s: it reads the certificates
            self._client = self._client or self.client(max_retries=0)
            return self._client
        defaults = {"base_url": f"{self.url}/v1", "api_key": "none", "max_retries": 0}
        client = openai.OpenAI(**{**defaults, **options})
        self._clients.append(client)
        return client

    def async_client(self, **options: Any) -> openai.AsyncOpenAI:
        defaults = {"base_url": f"{self.url}/v1", "api_key": "none", "max_retries": 0}
        return openai.AsyncOpenAI(**{**defaults, **options})

    def route(
        self,
        workers: Sequence[tuple[RunningWorker, ModelName | None]],
        *lanes: Lane,
        plan: dict[str, object] | None = None,
        version: int | None = None,
        arrives_in_s: float = 0.0,
    ) -> int:
        """Put a routing table, whose workers still load; return the version in force."""
        self.version = self.version + 1 if version is None else version
        table = RoutingTable(
            self.version,
            lanes or (a_lane(),),
            tuple(
                WorkerRef(
                    WorkerName(running.worker.name),
                    running.address,
                    running.worker.uid,
                    model,
                    arrives_in_s,
                )
                for running, model in workers
            ),
        )
        body = RoutingTableBody.from_terms(table, plan=plan)
        status, told, _ = call("PUT", f"{self.control}/routing", body.model_dump_json().encode())
        assert status == 200, told
        return int(told["version"])

    def status(self) -> dict[str, Any]:
        return call("GET", f"{self.url}/v1/status")[1]

    def metrics(self) -> dict[str, float]:
        """Return every sample of `/metrics` by its text up to the value."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as response:
            lines = response.read().decode().splitlines()
        samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}


class Fleet:
    """A router with a light and a heavy worker."""

    def __init__(self, router: RouterUnderTest, light: RunningWorker, heavy: RunningWorker) -> None:
        self.router = router
        self.light = light
        self.heavy = heavy
        self.generation = 1

    def route(self, *lanes: Lane, **options: Any) -> int:
        """Put a table with w0 on the light and w1 on the heavy model."""
        return self.router.route([(self.light, TINY), (self.heavy, BIG)], *lanes, **options)

    def use_cascade(self, **changes: Any) -> None:
        """Put another cascade through the control port, as the next generation unless one is given.

        A router passes over older ones.
        """
        generation = changes.setdefault("generation", self.generation + 1)
        self.generation = max(self.generation, generation)
        body = manifests.dump_objects(a_cascade(**changes), a_profile())
        status, told, _ = call("PUT", f"{self.router.control}/cascade", json.dumps(body).encode())
        assert status == 200, told

    def generate(self, prompt: str = "a red circle", **options: Any) -> Any:
        """Ask for images with the openai client; `seed`, `deadline_s` where given."""
        extra = {key: options.pop(key) for key in ("seed", "negative_prompt") if key in options}
        heads = {}
        if "deadline_s" in options:
            heads["Hadis-Deadline-Seconds"] = str(options.pop("deadline_s"))
        return self.router.client().images.generate(
            prompt=prompt, extra_body=extra, extra_headers=heads, **options
        )

    def told(self, prompt: str = "a red circle", **options: Any) -> dict[str, Any]:
        """Ask for one image and return its provenance."""
        [image] = self.generate(prompt, **options).data
        return dict(image.hadis)

    def refused(self, prompt: str = "a red circle", **options: Any) -> openai.APIStatusError:
        """Ask for images and return the error that came instead."""
        try:
            self.generate(prompt, **options)
        except openai.APIStatusError as error:
            return error
        raise AssertionError("the request was served")

    def outcomes(self) -> dict[str, float]:
        """Return the images counted by outcome so far."""
        start = 'hadis_requests_total{cascade="pair",outcome="'
        return {
            name.removeprefix(start).removesuffix('"}'): value
            for name, value in self.router.metrics().items()
            if name.startswith(start)
        }

    def stop(self) -> None:
        for part in (self.router, self.light, self.heavy):
            part.stop()


def learn_latency(fleet: Fleet, model: str, seconds: float) -> None:
    """Let the router have seen batches of one that took this long."""
    for _ in range(60):
        fleet.router.router.view.book.observe(ModelName(model), 1, seconds)


def call(
    method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, Any, dict[str, str]]:
    """Make one plain HTTP call; return status, parsed JSON and heads in lower case."""
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            status, content, heads = response.status, response.read(), response.headers
    except urllib.error.HTTPError as error:
        with error:
            status, content, heads = error.code, error.read(), error.headers
    told = json.loads(content) if "json" in heads.get("content-type", "") else content.decode()
    return status, told, {name.lower(): value for name, value in heads.items()}
