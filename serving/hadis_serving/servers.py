"""Several HTTP servers in one event loop that start together and stop together.

uvicorn's own signal handling is switched off: a process has one owner of SIGTERM and SIGINT, and
that owner may have to drain before any server stops listening.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Generator
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp

# Longer than the idle time of pooled clients, which would otherwise reuse a connection that the
# server is about to close.
KEEP_ALIVE_S = 75


@dataclass(frozen=True, slots=True)
class Listener:
    """An ASGI application on a socket that is already listening."""

    app: ASGIApp
    socket: socket.socket
    name: str


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def serve(listeners: list[Listener], stop: asyncio.Event, *, grace_s: float = 10.0) -> None:
    """Serve every listener until `stop` is set, then give open requests `grace_s` to finish.

    Raises RuntimeError when a server ends by itself (its application failed to start).
    """
    servers = [_Server(_config(listener, grace_s)) for listener in listeners]
    running = [
        asyncio.create_task(_run(server, listener), name=listener.name)
        for server, listener in zip(servers, listeners, strict=True)
    ]
    stopping = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait([*running, stopping], return_when=asyncio.FIRST_COMPLETED)
        ended = [task for task in running if task in done]
        if ended and not stop.is_set():
            raise RuntimeError(
                f"the {ended[0].get_name()} server ended by itself; see the log"
            ) from ended[0].exception()
    finally:
        stopping.cancel()
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*running, return_exceptions=True)
        for listener in listeners:
            listener.socket.close()


def stop_on_signals(stop: asyncio.Event) -> None:
    """Set `stop` on SIGTERM or SIGINT; must run inside the event loop of the main thread."""
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)


async def _run(server: _Server, listener: Listener) -> None:
    try:
        await server.serve(sockets=[listener.socket])
    except SystemExit as error:
        # uvicorn leaves the process when an application does not start; a task must not.
        raise RuntimeError(f"{listener.name} did not start") from error


def _config(listener: Listener, grace_s: float) -> uvicorn.Config:
    return uvicorn.Config(
        listener.app,
        http="httptools",
        ws="none",
        lifespan="auto",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(grace_s)),
    )
