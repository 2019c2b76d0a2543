"""`POST /v1/images/generations`: one JSON answer, or a stream that shows the light image first.

Two things run side by side: the request, and the wait for its client to go away. Whichever ends
first ends the other; cancelling the request closes its calls to workers.
"""

import asyncio
import logging

from starlette.types import Receive, Scope, Send

from hadis_router import answers, image_requests
from hadis_router.cascade_runs import Picture
from hadis_router.dispatching import Stopwatch
from hadis_router.exchanges import (
    ClientGone,
    Exchange,
    cancel,
    exchange_of,
    read_body,
    send_bytes,
    send_error,
    until_gone,
)
from hadis_router.generations import Generation
from hadis_router.image_requests import ImageRequest
from hadis_router.openai_errors import ApiError
from hadis_router.provenance import Context
from hadis_router.service import Router

log = logging.getLogger(__name__)

STREAM_HEADS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
HEARTBEAT = b": hb\n\n"


class GenerationsEndpoint:
    """The endpoint as a plain ASGI application."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        exchange = exchange_of(scope)
        router = self._router
        stopwatch = Stopwatch(router.clock)
        try:
            with stopwatch.waiting():
                body = await read_body(receive, exchange.headers, router.settings.timings)
            request = image_requests.read_request(
                image_requests.read_json(body),
                router.cascade,
                deadline_header=exchange.headers.get("hadis-deadline-seconds"),
            )
        except ClientGone:
            return
        except ApiError as error:
            await send_error(send, error, exchange.request_id)
            return
        del body
        generation = Generation(
            router,
            request,
            request_id=exchange.request_id,
            arrived_s=exchange.arrived_s,
            is_retry=exchange.is_retry,
            stopwatch=stopwatch,
        )
        serve = self._stream if request.stream else self._answer
        work = asyncio.create_task(serve(generation, request, exchange, send))
        gone = asyncio.create_task(until_gone(receive))
        try:
            await asyncio.wait([work, gone], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel(gone)
            await cancel(work)
            self._log(generation, exchange, stopwatch)
        if not work.cancelled() and (fault := work.exception()) is not None:
            raise fault

    async def _answer(
        self, generation: Generation, request: ImageRequest, exchange: Exchange, send: Send
    ) -> None:
        try:
            delivered = await generation.run(_nothing_yet, _no_partial)
        except ApiError as error:
            await send_error(send, error, exchange.request_id)
            return
        body = answers.response_body(delivered, request, self._router.clock())
        await send_bytes(send, 200, body)

    async def _stream(
        self, generation: Generation, request: ImageRequest, exchange: Exchange, send: Send
    ) -> None:
        stream = _Stream(send, self._router.settings.timings.heartbeat_s)
        clock = self._router.clock

        async def show(picture: Picture, context: Context) -> None:
            if request.partial_images:
                await stream.write(answers.partial_event(picture, context, request, clock()))

        try:
            delivered = await generation.run(stream.open, show)
        except ApiError as error:
            if stream.is_open:
                await stream.close(answers.error_event(error.encoded(exchange.request_id)))
            else:
                await send_error(send, error, exchange.request_id)
            return
        finally:
            stream.stop_heartbeat()
        [picture] = delivered.pictures
        last = answers.completed_event(picture, delivered.context, request, clock())
        await stream.close(last)

    def _log(self, generation: Generation, exchange: Exchange, stopwatch: Stopwatch) -> None:
        total_s = self._router.clock() - exchange.arrived_s
        self._router.metrics.note_overhead(total_s - stopwatch.waited_s)
        told = exchange.client_request_id
        log.info(
            "%s%s %s in %.3f s",
            exchange.request_id,
            "" if told is None else f" (client's {told})",
            generation.outcomes_told,
            total_s,
        )


async def _nothing_yet() -> None:
    """Answer nothing on admission: a single answer starts when it is complete."""


async def _no_partial(picture: Picture, context: Context) -> None:
    """Show no partial image."""


class _Stream:
    """Server-sent events, with a comment now and then while there is nothing to say."""

    def __init__(self, send: Send, heartbeat_s: float) -> None:
        self._send = send
        self._heartbeat_s = heartbeat_s
        self._beating: asyncio.Task[None] | None = None
        self.is_open = False

    async def open(self) -> None:
        """Send the head."""
        await self._send(
            {"type": "http.response.start", "status": 200, "headers": list(STREAM_HEADS)}
        )
        self.is_open = True
        self._beating = asyncio.create_task(self._beat())

    async def write(self, event: bytes) -> None:
        """Send an event."""
        await self._send({"type": "http.response.body", "body": event, "more_body": True})

    async def close(self, event: bytes) -> None:
        """Send the last event and end the answer."""
        await self._send({"type": "http.response.body", "body": event})

    def stop_heartbeat(self) -> None:
        """Send no comment any more."""
        if self._beating is not None:
            self._beating.cancel()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_s)
            await self.write(HEARTBEAT)
