"""`python -m hadis_router`: one router process.

Ports are bound before anything slow starts. On SIGTERM or Ctrl-C new requests are refused and open
ones finished, each until its deadline at the latest; a second signal gives them up at once.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

from hadis.errors import HadisError, InvalidInput
from hadis.wire import manifests
from hadis.wire.manifests import Manifests
from hadis_router import draining
from hadis_router.app import create_app
from hadis_router.control import create_control_app
from hadis_router.service import Router
from hadis_router.settings import Settings
from hadis_serving import keys, logs, mounted_plans, ports, probes, servers, unknown
from hadis_serving.keys import ApiKeys
from hadis_serving.servers import Listener

SWITCH_INTERVAL_S = 0.0005
"""Python's 5 ms between two threads would be a third of a request's budget in the router each time
that the event loop wakes while a prompt is being scored."""

LAST_ANSWERS_S = 10.0
"""Requests have ended by then; only their answers may still be on the way to slow clients. The wait
ends with the last connection, and none is kept for its own sake."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; return the exit status."""
    options = _parser().parse_args(argv)
    logs.configure(options.name, options.log_level)
    try:
        return asyncio.run(_run(options))
    except InvalidInput as error:
        sys.stderr.write(f"hadis_router: {error}\n")
        return 2
    except HadisError as error:
        sys.stderr.write(f"hadis_router: {error}\n")
        return 1


def read_cascade_file(file: Path) -> Manifests:
    """Return what a cascade file says, its folders of weights left as they are written."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"--cascade {file}: {error}", field="cascade") from error
    read = manifests.read_told(text, source=str(file))
    unknown.note(read.unknown, source=str(file))
    return read


async def serve(
    options: argparse.Namespace, read: Manifests, api_keys: ApiKeys, signals: "Signals"
) -> None:
    """Bind, say where, and serve until a signal asks to stop and open requests have ended."""
    public = ports.bind(options.host, options.port)
    control = ports.bind(options.control_host, options.control_port)
    metrics = None
    if options.metrics_port is not None:
        metrics = ports.bind(options.host, options.metrics_port)
    settings = Settings(
        cascade_file=options.cascade,
        name=options.name,
        uid=options.uid or uuid.uuid4().hex,
        load_url=options.load_url,
        drain_s=options.drain_seconds,
        farewell_s=options.farewell_seconds,
        worker_domain=options.worker_domain,
        public_probes=metrics is None,
    )
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    async with Router(settings, read.cascade, read.profile) as router:
        routing = mounted_plans.read_routing(options.cascade)
        if routing is not None:
            router.apply_routing(routing)
        listeners = [
            Listener(create_app(router, api_keys), public, "public"),
            Listener(create_control_app(router), control, "control"),
        ]
        if metrics is not None:
            app = probes.create_probe_app(
                healthy=lambda: None, ready=router.not_ready, registry=router.registry
            )
            listeners.append(Listener(app, metrics, "metrics"))
        _tell_listening(settings, listeners)
        stop = asyncio.Event()
        leaving = asyncio.create_task(_leave(router, signals, stop))
        try:
            await servers.serve(listeners, stop, grace_s=LAST_ANSWERS_S)
        finally:
            leaving.cancel()


async def _run(options: argparse.Namespace) -> int:
    read = read_cascade_file(options.cascade)
    file = None if options.api_keys_file is None else Path(options.api_keys_file)
    api_keys = keys.read_keys(file, os.environ.get(keys.KEYS_VARIABLE))
    keys.require_safe_binding(options.host, api_keys, insecure=options.insecure)
    await serve(options, read, api_keys, Signals())
    return 0


class Signals:
    """SIGTERM and SIGINT: the first asks to leave, a second to hurry."""

    def __init__(self) -> None:
        self.leave = asyncio.Event()
        self.hurry = asyncio.Event()
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self._met)

    def _met(self) -> None:
        if self.leave.is_set():
            self.hurry.set()
        self.leave.set()


async def _leave(router: Router, signals: Signals, stop: asyncio.Event) -> None:
    """Say farewell, refuse what is new, finish what is inside, then stop listening."""
    await signals.leave.wait()
    router.leaving = True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(router.settings.farewell_s):
            await signals.hurry.wait()
    router.draining = True
    try:
        await draining.drain(
            router.requests, signals.hurry, clock=router.clock, most_s=router.settings.drain_s
        )
    finally:
        stop.set()


def _tell_listening(settings: Settings, listeners: list[Listener]) -> None:
    listening = {listener.name: ports.port_of(listener.socket) for listener in listeners}
    line = {
        "event": "listening",
        "port": listening["public"],
        "control_port": listening["control"],
        "metrics_port": listening.get("metrics", listening["public"]),
        "uid": settings.uid,
    }
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hadis_router", description="Route images of one cascade to its workers."
    )
    parser.add_argument("--cascade", type=Path, required=True, help="HadisCascade manifest")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8000, help="requests; 0 for a free port")
    parser.add_argument("--control-port", type=int, default=8001, help="the controller only")
    parser.add_argument(
        "--control-host", default="127.0.0.1", help="address of the control port, which has no keys"
    )
    parser.add_argument(
        "--metrics-port", type=int, help="/metrics and probes; default: on the public port"
    )
    parser.add_argument("--api-keys-file", help="keys that clients must present, one a line")
    parser.add_argument(
        "--insecure", action="store_true", help="serve other machines without API keys"
    )
    parser.add_argument("--load-url", help="the playground's load generator")
    parser.add_argument(
        "--drain-seconds",
        type=_seconds,
        metavar="S",
        help="how long open requests may take after SIGTERM; default: until their deadlines",
    )
    parser.add_argument(
        "--farewell-seconds",
        type=_seconds,
        default=0.0,
        metavar="S",
        help="how long requests are still taken after SIGTERM, each answer ending its connection; "
        "default: not at all",
    )
    parser.add_argument(
        "--worker-domain",
        default="",
        metavar="NAME",
        help="look for the successor of a worker that is gone under WORKER.NAME",
    )
    parser.add_argument("--name", default="router", help="this router's name in logs and status")
    parser.add_argument("--uid", help="this process's identity; default: drawn")
    parser.add_argument("--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING"])
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds")
    return value


if __name__ == "__main__":
    sys.exit(main())
