"""A worker that speaks the wire protocol, with scripted latencies, scores and faults.

It stands for the generation on a GPU and for nothing else: requests are queued, batched, run one
batch at a time and dropped when their caller leaves, as a worker does. Run it as a program to have
a process that can be killed or stopped.
"""

import argparse
import asyncio
import hashlib
import json
import struct
import sys
import threading
import time
import uuid
import zlib
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from hadis.wire.generation import REPORT_HEADER, GenerateBody, GenerateReport, QueueState
from hadis_serving import ports, servers

FAULTS = (
    "error", "refuse", "full", "lacks", "die", "hang",
    "foreign", "garbage", "expired", "unreadable",
)  # fmt: skip


@dataclass
class Script:
    """What the worker does. `scores` are fixed by model; otherwise drawn from prompt and seed.

    `faults` befall the next requests, one each; `broken` every request for a model.
    """

    latency_s: dict[str, float] = field(default_factory=lambda: {"tiny": 0.01, "big": 0.03})
    scores: dict[str, float | None] = field(default_factory=dict)
    resident: list[str] | None = None
    batch_size: int = 4
    faults: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    truncated: bool = False
    healthy: bool = True
    dies_when_probed: bool = False
    padding_bytes: int = 0


@dataclass
class Job:
    body: GenerateBody
    arrived_s: float
    done: asyncio.Event = field(default_factory=asyncio.Event)
    gone: bool = False
    report: dict[str, float] = field(default_factory=dict)


class ScriptedWorker:
    """The worker's queue and its one denoising loop."""

    def __init__(self, script: Script, *, name: str = "w0", uid: str | None = None) -> None:
        self.script = script
        self.name = name
        self.uid = uid or uuid.uuid4().hex
        self.queue: deque[Job] = deque()
        self.running: list[Job] = []
        self.busy_until_s = 0.0
        self.counts: Counter[str] = Counter()
        self.bodies: list[GenerateBody] = []
        self.dying = asyncio.Event()
        self._wake = asyncio.Event()

    def app(self) -> Starlette:
        @contextmanager
        def nothing() -> Iterator[None]:
            yield

        async def lifespan_task() -> None:
            await self._loop()

        class Lifespan:
            def __init__(self, _app: Starlette) -> None: ...

            async def __aenter__(self) -> None:
                self.task = asyncio.create_task(lifespan_task())

            async def __aexit__(self, *_: object) -> None:
                self.task.cancel()
                with suppress(asyncio.CancelledError):
                    await self.task

        async def healthz(_request: Request) -> Response:
            if self.script.dies_when_probed:
                self.dying.set()
                await asyncio.sleep(0.1)  # the cut connections are noticed before this answer
                return Response("dying\n", 503)
            return Response("ok\n", 200 if self.script.healthy else 503)

        return Starlette(
            routes=[
                Route("/generate", self, methods=["POST"]),
                Route("/healthz", healthz),
            ],
            lifespan=Lifespan,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = GenerateBody.model_validate_json(await request.body())
        self.counts["received"] += 1
        self.bodies.append(body)
        job = Job(body, time.monotonic())
        work = asyncio.create_task(self._answer(job))
        gone = asyncio.create_task(_until_gone(receive))
        await asyncio.wait([work, gone], return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if not work.done():
            job.gone = True
            self.counts["aborted"] += 1
            work.cancel()
            return
        await work.result()(scope, receive, send)

    async def _answer(self, job: Job) -> Response:
        body = job.body
        fault = self.script.broken.get(body.model)
        if fault is None and self.script.faults:
            fault = self.script.faults.pop(0)
        if fault == "hang":
            await self.dying.wait()
            return CutOff()
        if fault == "die":
            return CutOff()
        if fault == "error":
            return self._error(job, 500)
        if fault == "refuse":
            return self._error(job, 503)
        if fault == "full":
            return self._error(job, 503, "overloaded")
        if fault == "expired":
            return self._error(job, 504)
        resident = self.script.resident
        if fault == "lacks" or (resident is not None and body.model not in resident):
            return self._error(job, 409)
        self.queue.append(job)
        self._wake.set()
        await job.done.wait()
        if job.report.get("expired"):
            return self._error(job, 504)
        report = self._report(job)
        header = report.model_dump_json()
        if fault == "foreign":
            header = report.model_copy(update={"uid": "another"}).model_dump_json()
        if fault == "unreadable":
            header = "{"
        content = b"" if fault == "garbage" else picture(body.model, body.prompt, body.seed)
        content += bytes(self.script.padding_bytes)
        self.counts["completed"] += 1
        return Response(content, media_type="image/png", headers={REPORT_HEADER: header})

    def _error(self, job: Job, status: int, reason: str = "scripted") -> Response:
        report = GenerateReport(
            worker=self.name, uid=self.uid, model=job.body.model, queue=self._state()
        )
        self.counts[f"answered {status}"] += 1
        return Response(
            json.dumps({"error": {"message": "scripted", "reason": reason}}),
            status,
            headers={REPORT_HEADER: report.model_dump_json()},
        )

    def _state(self) -> QueueState:
        waiting_s = sum(self._batch_s(job.body.model, 1) for job in self.queue)
        running_s = max(0.0, self.busy_until_s - time.monotonic())
        return QueueState(
            waiting=len(self.queue), running=len(self.running), free_in_s=waiting_s + running_s
        )

    def _report(self, job: Job) -> GenerateReport:
        body = job.body
        return GenerateReport(
            worker=self.name,
            uid=self.uid,
            model=body.model,
            seed=body.seed,
            quality_score=self.score(body) if body.score else None,
            queue_s=job.report["queue_s"],
            generate_s=job.report["generate_s"],
            batch_size=int(job.report["batch_size"]),
            unknown_words=[word for word in body.prompt.split() if word == "xyzzy"],
            prompt_truncated=self.script.truncated,
            text_tokens=len(body.prompt.split()),
            queue=self._state(),
        )

    def score(self, body: GenerateBody) -> float | None:
        if body.model in self.script.scores:
            return self.script.scores[body.model]
        return drawn_score(body.model, body.prompt, body.seed)

    def _batch_s(self, model: str, size: int) -> float:
        return self.script.latency_s[model] * (1 + 0.2 * (size - 1))

    async def _loop(self) -> None:
        while True:
            while not self.queue:
                self._wake.clear()
                await self._wake.wait()
            await self._run_batch()

    async def _run_batch(self) -> None:
        first = self.queue[0]
        batch = [job for job in self.queue if job.body.model == first.body.model]
        batch = batch[: self.script.batch_size]
        for job in batch:
            self.queue.remove(job)
        batch = [job for job in batch if not job.gone]
        started_s = time.monotonic()
        for job in batch:
            if started_s - job.arrived_s > job.body.remaining_s:
                job.report["expired"] = 1.0
                job.done.set()
        batch = [job for job in batch if not job.done.is_set()]
        if not batch:
            return
        seconds = self._batch_s(first.body.model, len(batch))
        self.running = batch
        self.busy_until_s = started_s + seconds
        steps = max(4, int(seconds / 0.1))
        for _ in range(steps):
            await asyncio.sleep(seconds / steps)
            if all(job.gone for job in batch):
                self.counts["batches stopped"] += 1
                break
        self.running = []
        self.busy_until_s = 0.0
        for job in batch:
            job.report |= {
                "queue_s": started_s - job.arrived_s,
                "generate_s": time.monotonic() - started_s,
                "batch_size": len(batch),
            }
            job.done.set()


class CutOff(Response):
    """Begins an answer and closes the connection, as a dying process does."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        heads = [(b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": heads})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})


def drawn_score(model: str, prompt: str, seed: int) -> float:
    """Return the score that a worker without a fixed one gives, uniform in [0, 1)."""
    digest = hashlib.sha256(f"{model} {prompt} {seed}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def picture(model: str, prompt: str, seed: int) -> bytes:
    """Return a PNG of one pixel whose colour tells model, prompt and seed apart."""
    colour = hashlib.sha256(f"{seed} {model} {prompt}".encode()).digest()[:3]

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(b"\0" + colour))]
    return b"\x89PNG\r\n\x1a\n" + b"".join([*parts, chunk(b"IEND", b"")])


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class RunningWorker:
    """A scripted worker served by a thread of this process."""

    def __init__(
        self,
        name: str,
        script: Script | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.script = script or Script()
        self.worker = ScriptedWorker(self.script, name=name)
        listener = ports.bind(host, port)
        self.address = f"{host}:{ports.port_of(listener)}"
        self._listener = listener
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()
        self._started.wait(10)

    @property
    def counts(self) -> Counter[str]:
        return self.worker.counts

    def renew(self, **script: Any) -> None:
        """Become another process of the same slot: new uid, empty books, a new script."""
        self.script = Script(**script)
        self.worker.script = self.script
        self.worker.uid = uuid.uuid4().hex
        self.worker.dying.clear()
        self.worker.counts.clear()
        self.worker.bodies.clear()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _serve(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self.worker._wake = asyncio.Event()
        self.worker.dying = asyncio.Event()
        app = self.worker.app()
        self._started.set()
        await servers.serve(
            [servers.Listener(app, self._listener, "worker")], self._stop, grace_s=1
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", default="w0")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--script", type=json.loads, default={})
    options = parser.parse_args()

    async def run() -> None:
        stop = asyncio.Event()
        servers.stop_on_signals(stop)
        worker = ScriptedWorker(Script(**options.script), name=options.name)
        listener = ports.bind("127.0.0.1", options.port)
        told = {"port": ports.port_of(listener), "uid": worker.uid}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        await servers.serve([servers.Listener(worker.app(), listener, "worker")], stop, grace_s=1)

    asyncio.run(run())


if __name__ == "__main__":
    main()
