"""The one door to workers: an HTTP call an image, over connections that stay open.

Foreign errors end here: what comes out is a picture with its report, or an error that says whether
the worker is gone, the model is not there, or the time is up. Cancelling a call closes its
connection, which is how the worker learns that nobody waits any more.
"""

import asyncio
import json
import socket
from dataclasses import dataclass, replace

import aiohttp
from pydantic import ValidationError

from hadis.errors import DeadlineExceeded, HadisError, NoWorker, Overloaded, WorkerLost
from hadis.terms.assignments import WorkerRef
from hadis.wire.generation import REPORT_HEADER, GenerateBody, GenerateReport

KEEP_ALIVE_S = 30  # shorter than the workers' own, so that no request meets a closing connection
PROBE_S = 1.0
MAX_ERROR_CHARS = 300


class NotResident(HadisError):
    """The worker does not hold the model."""


class GenerationFailed(HadisError):
    """The worker is well but could not make this image."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An encoded image and what its worker tells about it."""

    image: bytes
    report: GenerateReport


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back from a worker: the reply or the error, and the report where there is one."""

    report: GenerateReport | None
    reply: Reply | None = None
    error: HadisError | None = None


class WorkerClient:
    """Calls workers. Open it in the event loop that it is used in, and close it there."""

    def __init__(self, *, connect_s: float) -> None:
        self._connect_s = connect_s
        self._session: aiohttp.ClientSession | None = None

    def open(self) -> None:
        """Make the pool of connections."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_s),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def generate(self, worker: WorkerRef, body: GenerateBody) -> Answer:
        """Ask a worker for one image. Returns errors; raises nothing but cancellation."""
        assert self._session is not None, "the client is not open"
        try:
            async with self._session.post(
                f"http://{worker.address}/generate",
                data=body.model_dump_json().encode(),
                headers={"content-type": "application/json"},
            ) as response:
                content = await response.read()
                header = response.headers.get(REPORT_HEADER)
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = str(error) or type(error).__name__
            return Answer(None, error=WorkerLost(f"worker {worker.name} is gone: {reason}"))
        return _read_answer(worker, status, header, content)

    async def is_alive(self, worker: WorkerRef, patience_s: float = PROBE_S) -> bool:
        """Return whether the worker's process answers at all; a stopped one accepts and waits."""
        assert self._session is not None, "the client is not open"
        try:
            async with (
                asyncio.timeout(patience_s),
                self._session.get(f"http://{worker.address}/healthz") as response,
            ):
                return response.status < 500
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def find_successor(self, worker: WorkerRef, domain: str) -> WorkerRef | None:
        """Return where the next process of a slot answers, by the slot's name under `domain`.

        None when the name leads nowhere else. It may lead to several, of which some are lost or on
        their way out, and its uid is known only once it has answered a request.
        """
        try:
            async with asyncio.timeout(PROBE_S):
                places = await _resolve(f"{worker.name}.{domain}", worker.address)
        except (OSError, TimeoutError):
            return None
        found = [replace(worker, address=place, uid="", arrives_in_s=0.0) for place in places]
        alive = await asyncio.gather(*(self.is_alive(one) for one in found))
        return next((one for one, answers in zip(found, alive, strict=True) if answers), None)


async def _resolve(name: str, known: str) -> list[str]:
    """Return the addresses of a name, on the port of the known one and without that one."""
    port = known.rpartition(":")[2]
    found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    hosts = (str(place[4][0]) for place in found)
    places = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host in hosts)
    return [place for place in dict.fromkeys(places) if place != known]


def _read_answer(worker: WorkerRef, status: int, header: str | None, content: bytes) -> Answer:
    report: GenerateReport | None = None
    if header is not None:
        try:
            report = GenerateReport.model_validate_json(header)
        except ValidationError:
            report = None
    if report is not None and not _is_by(worker, report):
        return Answer(
            None, error=WorkerLost(f"worker {worker.name} was replaced by process {report.uid}")
        )
    if status == 200:
        if report is None or not content:
            return Answer(
                None, error=WorkerLost(f"worker {worker.name} answered without a readable report")
            )
        return Answer(report, reply=Reply(content, report))
    return Answer(report, error=_error_of(worker, status, content))


def _is_by(worker: WorkerRef, report: GenerateReport) -> bool:
    return report.uid == worker.uid if worker.uid else report.worker == worker.name


def _error_of(worker: WorkerRef, status: int, content: bytes) -> HadisError:
    told = content[:MAX_ERROR_CHARS].decode("utf-8", "replace")
    match status:
        case 409:
            return NotResident(f"worker {worker.name} does not hold the model")
        case 503 if _reason(content) == "overloaded":
            return Overloaded(f"the queue of worker {worker.name} is full")
        case 503:
            return NoWorker(f"worker {worker.name} is not ready")
        case 504:
            return DeadlineExceeded(f"the time ran out in the queue of worker {worker.name}")
        case 400 | 500:
            return GenerationFailed(f"worker {worker.name} could not make the image: {told}")
        case _:
            return WorkerLost(f"worker {worker.name} answered {status}: {told}")


def _reason(content: bytes) -> object:
    """Return the machine-readable reason of a worker's error, None when it gives none."""
    try:
        return json.loads(content)["error"]["reason"]
    except (ValueError, LookupError, TypeError):
        return None
