"""`python -m hadis_server`: one worker process."""

import asyncio
import contextlib
import json
import logging
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from hadis.errors import HadisError, InvalidInput
from hadis.wire import manifests
from hadis_server import endpoints, pipelines, settings
from hadis_server.settings import Settings
from hadis_server.station import Station
from hadis_serving import logs, mounted_plans, ports, probes, servers, unknown

log = logging.getLogger(__name__)

IDLE_POLL_S = 0.05
# After the drain only replies are still being written.
LAST_REPLIES_S = 2.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run a worker until SIGTERM or SIGINT; return its exit code.

    May be called in a freshly forked child: nothing before it has started a thread, an event loop
    or CUDA.
    """
    try:
        chosen = settings.parse(list(sys.argv[1:] if argv is None else argv))
        logs.configure(chosen.name, chosen.log_level)
        torch.set_num_threads(chosen.threads)
        pipelines.quiet()
        asyncio.run(_serve(chosen, _read_cascade(chosen.cascade)))
    except InvalidInput as error:
        print(f"hadis_server: {error}", file=sys.stderr)  # noqa: T201 - a command's last word
        return 2
    except HadisError as error:
        print(f"hadis_server: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _read_cascade(file: Path) -> manifests.Manifests:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"--cascade {file}: {error}", field="cascade") from error
    read = manifests.read_told(text, source=str(file))
    unknown.note(read.unknown, source=str(file))
    return read


async def _serve(chosen: Settings, cascade: manifests.Manifests) -> None:
    station = Station(chosen, cascade)
    assignment = mounted_plans.read_assignment(chosen.cascade, chosen.name)
    if assignment is not None:
        station.assign(assignment)
    with contextlib.ExitStack() as opened:
        sockets = [
            opened.enter_context(ports.bind(chosen.host, port))
            for port in (chosen.port, chosen.control_port, chosen.metrics_port)
        ]
        await _serve_on(sockets, chosen, station)


async def _serve_on(sockets: list[socket.socket], chosen: Settings, station: Station) -> None:
    requests, control, metrics = sockets
    terminating, stop = asyncio.Event(), asyncio.Event()
    servers.stop_on_signals(terminating)
    probe_app = probes.create_probe_app(
        healthy=station.unhealthy, ready=station.unready, registry=station.metrics.registry
    )
    station.start()
    draining = asyncio.create_task(_drain(chosen, station, terminating, stop))
    serving = asyncio.create_task(
        servers.serve(
            [
                servers.Listener(endpoints.create_requests_app(station), requests, "requests"),
                servers.Listener(endpoints.create_control_app(station), control, "control"),
                servers.Listener(probe_app, metrics, "metrics"),
            ],
            stop,
            grace_s=LAST_REPLIES_S,
        )
    )
    _announce(chosen, *(ports.port_of(listener) for listener in sockets))
    try:
        await serving
    finally:
        draining.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await draining
        await asyncio.to_thread(station.close)


async def _drain(
    chosen: Settings, station: Station, terminating: asyncio.Event, stop: asyncio.Event
) -> None:
    """On a signal: refuse what is new, finish what was accepted within the grace, then stop."""
    await terminating.wait()
    log.info("draining: %d waiting, %d running", station.intake.waiting(), station.intake.running())
    station.drain()
    loop = asyncio.get_running_loop()
    give_up_s = loop.time() + chosen.grace_s
    while station.intake.busy and loop.time() < give_up_s:
        await asyncio.sleep(IDLE_POLL_S)
    if station.intake.busy:
        log.warning("the grace of %g s is over; what is left is refused", chosen.grace_s)
        station.give_up()
    stop.set()


def _announce(chosen: Settings, port: int, control_port: int, metrics_port: int) -> None:
    """Tell the parent on stdout which ports were taken."""
    line = {
        "event": "listening",
        "port": port,
        "control_port": control_port,
        "metrics_port": metrics_port,
        "uid": chosen.uid,
    }
    print(json.dumps(line), flush=True)  # noqa: T201 - the one line that a parent reads


if __name__ == "__main__":
    sys.exit(main())
