"""The plain ASGI of a request: reading its body, noticing that the client left, standard heads.

Starlette's BaseHTTPMiddleware hides disconnects from what it wraps, so the wrapper here is ASGI.
"""

import asyncio
import logging
import uuid
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hadis_router import openai_errors
from hadis_router.openai_errors import ApiError
from hadis_router.service import Router
from hadis_router.settings import Timings
from hadis_serving import ports
from hadis_serving.keys import ApiKeys

log = logging.getLogger(__name__)

JSON = "application/json"
MAX_TOLD_CHARS = 128
MAX_DROPPED_BYTES = 16 * 1024 * 1024


class ClientGone(Exception):
    """The client closed its connection before its body was read."""


@dataclass(slots=True)
class Exchange:
    """What is known of a request from its head."""

    request_id: str
    arrived_s: float
    headers: Headers
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def client_request_id(self) -> str | None:
        """The client's own id for the log, made harmless there."""
        value = self.headers.get("x-client-request-id")
        if value is None:
            return None
        return "".join(c if c.isascii() and c.isprintable() else "?" for c in value)[
            :MAX_TOLD_CHARS
        ]

    @property
    def is_retry(self) -> bool:
        """Whether a client sends the request for the second time by itself."""
        return self.headers.get("x-stainless-retry-count", "0").strip() not in ("", "0")


def exchange_of(scope: Scope) -> Exchange:
    """Return the exchange that `StandardHeads` opened for a request."""
    exchange = scope["state"]["exchange"]
    assert isinstance(exchange, Exchange)
    return exchange


class StandardHeads:
    """Wraps the public application: ids, timing, rate limits and keys on every answer."""

    def __init__(self, app: ASGIApp, router: Router, keys: ApiKeys) -> None:
        self._app = app
        self._router = router
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(f"req_{uuid.uuid4().hex}", self._router.clock(), Headers(scope=scope))
        scope.setdefault("state", {})["exchange"] = exchange

        started = False

        async def send_with_heads(message: Message) -> None:
            nonlocal started
            started = True
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *self._heads(exchange)]
            await send(message)

        if self._needs_key(scope) and not self._keys.admits(exchange.headers.get("authorization")):
            error = ApiError(
                401,
                "Send a valid API key as 'Authorization: Bearer KEY'",
                headers={"www-authenticate": "Bearer"},
            )
            await send_error(send_with_heads, error, exchange.request_id)
            return
        try:
            await self._app(scope, receive, send_with_heads)
        except asyncio.CancelledError:
            # Only the server does that, at the end of the grace that it gives when it stops.
            if started:
                log.warning("%s took its answer too slowly; it is cut", exchange.request_id)
            else:
                error = openai_errors.leaving(None)
                await send_error(send_with_heads, error, exchange.request_id)

    def _heads(self, exchange: Exchange) -> list[tuple[bytes, bytes]]:
        spent_ms = (self._router.clock() - exchange.arrived_s) * 1e3
        limit = self._router.cascade.limits.max_in_flight
        in_flight = self._router.admission.in_flight
        heads = {
            "x-request-id": exchange.request_id,
            "openai-processing-ms": str(round(spent_ms)),
            "x-ratelimit-limit-requests": str(limit),
            "x-ratelimit-remaining-requests": str(max(0, limit - in_flight)),
            "x-ratelimit-reset-requests": "1s" if in_flight else "0s",
            **exchange.extra,
            # Services choose a router for each connection, not for each request.
            **({"connection": "close"} if self._router.leaving else {}),
        }
        return [(name.encode(), value.encode()) for name, value in heads.items()]

    def _needs_key(self, scope: Scope) -> bool:
        path: str = scope["path"]
        if path.startswith("/v1/"):
            return True
        # Numbers tell nothing about prompts, but they are nobody else's business either.
        return path == "/metrics" and not is_local(scope)


def is_local(scope: Scope) -> bool:
    """Return whether the client is on this machine."""
    client = scope.get("client")
    return client is not None and ports.is_loopback(client[0])


async def read_body(receive: Receive, headers: Headers, timings: Timings) -> bytes:
    """Return the body; ApiError when it is too large or too slow, ClientGone when it was cut.

    A body somewhat too large is read to its end and dropped: a client that is still sending when
    the connection closes never sees why.
    """
    try:
        async with asyncio.timeout(timings.body_s):
            return await _whole_body(receive, headers, timings.max_body_bytes)
    except TimeoutError as error:
        raise ApiError(408, f"The body did not come within {timings.body_s:g} s") from error


async def _whole_body(receive: Receive, headers: Headers, limit: int) -> bytes:
    too_large = ApiError(413, f"The body is larger than the limit of {limit} bytes")
    declared = headers.get("content-length", "")
    if declared.isdigit() and int(declared) > MAX_DROPPED_BYTES:
        raise too_large
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            chunks.clear()
        else:
            chunks.append(chunk)
        if size > MAX_DROPPED_BYTES:
            raise too_large
        if not message.get("more_body", False):
            if size > limit:
                raise too_large
            return b"".join(chunks)


async def until_gone(receive: Receive) -> None:
    """Return when the client has closed its connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def send_bytes(
    send: Send, status: int, body: bytes, headers: dict[str, str] | None = None
) -> None:
    """Send a whole JSON answer."""
    heads = {"content-type": JSON, "content-length": str(len(body)), **(headers or {})}
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.encode(), value.encode()) for name, value in heads.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, error: ApiError, request_id: str) -> None:
    """Send an error in OpenAI's shape."""
    await send_bytes(send, error.status, error.encoded(request_id), error.headers)


async def cancel(task: "asyncio.Task[None]") -> None:
    """Cancel a task and wait until it has cleaned up."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
