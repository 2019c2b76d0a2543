"""`hadis up` from start to stop: check, start, wait until served, follow the file, drain."""

import asyncio
import contextlib
import os
import signal
import sys
import time
import webbrowser
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING

import aiohttp
from rich.markup import escape

from hadis.errors import HadisError, InvalidInput, NeverRetry
from hadis.wire.manifests import Manifests
from hadis_cli.fleet import cascade_files, console, options
from hadis_cli.fleet.console import Teller
from hadis_cli.fleet.members import Members
from hadis_cli.fleet.observation import Observer
from hadis_cli.fleet.options import Options, RunFolder
from hadis_serving import keys, ports

if TYPE_CHECKING:
    from hadis_cli.fleet.control import Controller

HOPELESS_DEATHS = 4
"""Quick deaths of one process before anything is served, after which starting is given up."""
CHECK_EVERY_S = 0.5
Begin = Callable[[Coroutine[object, object, None]], "asyncio.Task[None]"]


def run(chosen: Options, given: Manifests) -> int:
    """Run the fleet until Ctrl-C or SIGTERM. Raises HadisError when it cannot start."""
    if given.cascade.workers == 0 and chosen.workers is None:
        raise InvalidInput(
            f"{chosen.cascade}: spec.workers.count: 0 workers serve nothing; set it to 1 or more, "
            "or give --workers",
            field="spec.workers.count",
        )
    chosen = _with_port(chosen)
    folder = RunFolder.create()
    console.log_to(folder.log("up"))
    tell = Teller()
    _say_what_is_ignored(given, chosen, tell)
    return asyncio.run(_run(chosen, given, folder, tell))


async def _run(chosen: Options, given: Manifests, folder: RunFolder, tell: Teller) -> int:
    stop, hurry = asyncio.Event(), asyncio.Event()
    _on_signals(stop, hurry)
    started_s = time.monotonic()
    members = Members(chosen, given, folder, _free_port(), tell)
    async with aiohttp.ClientSession() as session, _background() as begin:
        try:
            tell(f"starting cascade {given.cascade.name}; logs in {folder.path}")
            if chosen.verbose:
                begin(console.follow_logs(folder.path, tell.console))
            await members.start()
            controller = _controller(members, session, tell)
            control = begin(controller.run())
            with tell.waiting("starting router and workers"):
                await _until_served(members, controller, control, stop, tell)
            if not stop.is_set():
                begin(_follow(chosen, members, tell))
                _welcome(chosen, members, tell, time.monotonic() - started_s)
                await _first(stop.wait(), control)
        finally:
            await _leave(members, hurry, tell)
    return 0


def _controller(members: Members, session: aiohttp.ClientSession, tell: Teller) -> "Controller":
    """Return the controller. Its solver takes a second to import: the processes start meanwhile."""
    from hadis_cli.fleet import control, delivery

    return control.Controller(members, Observer(session), delivery.Courier(session, tell), tell)


async def _until_served(
    members: Members,
    controller: "Controller",
    control: asyncio.Task[None],
    stop: asyncio.Event,
    tell: Teller,
) -> None:
    """Wait until requests are answered; NeverRetry when a process cannot run at all."""
    while not controller.serving.is_set() and not stop.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CHECK_EVERY_S):
                await _first(controller.serving.wait(), stop.wait(), control)
        for slot in members.controlled.values():
            if slot.deaths >= HOPELESS_DEATHS:
                raise NeverRetry(f"{slot.name} cannot run; its log is {slot.log}")
        up = sum(slot.is_up for slot in members.workers.values())
        router = "router is up" if members.router.is_up else "router is starting"
        workers = _workers(len(members.workers))
        tell.progress(f"{router}, {up} of {workers} up" + (", loading weights" if up else ""))


async def _follow(chosen: Options, members: Members, tell: Teller) -> None:
    """Apply each valid state of the cascade file; report an invalid one and change nothing."""
    name = members.given.cascade.name
    try:
        async for found in cascade_files.follow(chosen.cascade):
            if isinstance(found, HadisError):
                tell.trouble(f"{found}\nThe fleet goes on as it was.")
            elif found.cascade.name != name:
                tell.trouble(
                    f"{chosen.cascade}: metadata.name: is now {found.cascade.name!r}; a running "
                    f"cascade keeps its name {name!r}. The fleet goes on as it was."
                )
            else:
                members.apply(found)
                tell(f"applied the change of {chosen.cascade}")
                _say_what_is_ignored(found, chosen, tell)
    except OSError as error:
        tell.trouble(f"{chosen.cascade} is no longer followed: {error}. The fleet goes on.")


async def _leave(members: Members, hurry: asyncio.Event, tell: Teller) -> None:
    tell("stopping: open requests are finished first; Ctrl-C again to stop at once")
    stopping = asyncio.create_task(members.stop())
    hurrying = asyncio.create_task(hurry.wait())
    await asyncio.wait({stopping, hurrying}, return_when=asyncio.FIRST_COMPLETED)
    hurrying.cancel()
    if stopping.done():
        await stopping
        tell("stopped")
        return
    stopping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await stopping
    await members.kill()
    tell("stopped at once")


async def _first(*awaited: Awaitable[object]) -> None:
    """Wait for the first of several, and raise what it raised."""
    tasks = [asyncio.ensure_future(one) for one in awaited]
    mine = [task for task, one in zip(tasks, awaited, strict=True) if task is not one]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            await task
    finally:
        for task in mine:
            task.cancel()


def _with_port(chosen: Options) -> Options:
    """Check that the public address is safe and free, and settle on a port when any will do."""
    found = keys.read_keys(chosen.api_keys_file, os.environ.get(keys.KEYS_VARIABLE))
    keys.require_safe_binding(chosen.host, found, insecure=chosen.insecure)
    with ports.bind(chosen.host, chosen.port) as probe:
        return replace(chosen, port=ports.port_of(probe))


def _free_port() -> int:
    with ports.bind("127.0.0.1", 0) as probe:
        return ports.port_of(probe)


def _say_what_is_ignored(given: Manifests, chosen: Options, tell: Teller) -> None:
    if given.cluster_only:
        tell(f"means nothing on one machine and is ignored: {', '.join(given.cluster_only)}")
    cores = options.cores()
    if chosen.workers is not None and chosen.workers > max(cores, options.gpus()):
        tell(f"--workers {chosen.workers} on {cores} cores: they will slow one another down")
    elif chosen.workers is None and given.cascade.workers > max(cores, options.gpus()):
        tell(f"spec.workers.count is {given.cascade.workers}; this machine has {cores} cores")


def _welcome(chosen: Options, members: Members, tell: Teller, took_s: float) -> None:
    host = "127.0.0.1" if chosen.host in ("0.0.0.0", "::", "localhost") else chosen.host
    url = f"http://[{host}]:{chosen.port}" if ":" in host else f"http://{host}:{chosen.port}"
    tell(f"ready after {took_s:.1f} s with {_workers(members.count)}; Ctrl-C drains and stops")
    call = escape(f"{console.own_call()} generate 'a red circle' --url {url}")
    tell(f"the page: {url}    the API: {url}/v1    try: {call}")
    console.announce(url)
    if chosen.open_browser and _has_display():
        # A browser may take long to answer, and may write to our terminal.
        asyncio.get_running_loop().run_in_executor(None, webbrowser.open, url)


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"


def _has_display() -> bool:
    shown = sys.platform == "darwin" or any(
        os.environ.get(variable) for variable in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    return shown and sys.stdout.isatty()


def _on_signals(stop: asyncio.Event, hurry: asyncio.Event) -> None:
    def asked() -> None:
        if stop.is_set():
            hurry.set()
        stop.set()

    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(signum, asked)


@contextlib.asynccontextmanager
async def _background() -> AsyncIterator[Begin]:
    """Give a function that begins tasks, and cancel whatever still runs at the end."""
    tasks: list[asyncio.Task[None]] = []

    def begin(work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        tasks.append(task)
        return task

    try:
        yield begin
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
