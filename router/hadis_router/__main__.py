"""`python -m hadis_router`: one router process.

Ports are bound before anything slow starts; SIGTERM lets open requests finish.
"""

import argparse
import asyncio
import json
import os
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

from hadis.errors import HadisError, InvalidInput
from hadis.wire import manifests
from hadis.wire.manifests import Manifests
from hadis_router.app import create_app
from hadis_router.control import create_control_app
from hadis_router.service import Router
from hadis_router.settings import Settings
from hadis_serving import keys, logs, ports, probes, servers
from hadis_serving.keys import ApiKeys
from hadis_serving.servers import Listener

SWITCH_INTERVAL_S = 0.0005
"""Python's 5 ms between two threads would be a third of a request's budget in the router each time
that the event loop wakes while a prompt is being scored."""


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
    if text.lstrip().startswith("{"):
        try:
            told = json.loads(text)
        except ValueError:
            told = None  # the reader below tells line and column
        if isinstance(told, dict) and set(told) <= {"cascade", "profile"} and "cascade" in told:
            return manifests.from_objects(told["cascade"], told.get("profile"), source=str(file))
    return manifests.read_manifests(text, source=str(file))


async def serve(
    options: argparse.Namespace, read: Manifests, api_keys: ApiKeys, stop: asyncio.Event
) -> None:
    """Bind, say where, and serve until `stop` is set."""
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
        public_probes=metrics is None,
    )
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    async with Router(settings, read.cascade, read.profile) as router:
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
        stopping = asyncio.create_task(_drain(router, stop))
        try:
            grace_s = max(settings.timings.drain_s, read.cascade.slo_s + 1.0)
            await servers.serve(listeners, stop, grace_s=grace_s)
        finally:
            stopping.cancel()


async def _run(options: argparse.Namespace) -> int:
    read = read_cascade_file(options.cascade)
    file = None if options.api_keys_file is None else Path(options.api_keys_file)
    api_keys = keys.read_keys(file, os.environ.get(keys.KEYS_VARIABLE))
    keys.require_safe_binding(options.host, api_keys, insecure=options.insecure)
    stop = asyncio.Event()
    servers.stop_on_signals(stop)
    await serve(options, read, api_keys, stop)
    return 0


async def _drain(router: Router, stop: asyncio.Event) -> None:
    await stop.wait()
    router.draining = True


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
    parser.add_argument("--name", default="router", help="this router's name in logs and status")
    parser.add_argument("--uid", help="this process's identity; default: drawn")
    parser.add_argument("--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING"])
    return parser


if __name__ == "__main__":
    sys.exit(main())
