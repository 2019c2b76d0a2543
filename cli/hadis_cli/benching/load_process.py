"""The load generator behind the playground's slider: `python -m hadis_cli.benching.load_process`.

A process of its own, because a page cannot send open-loop load (a browser holds six connections to
a host) and because the endpoint under load should not share an event loop with its load. It listens
on loopback: `PUT /load {"rate": r}` sets the rate, 0 switches off, `GET /load` tells the counts.
"""

import argparse
import asyncio
import json
import logging
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import aiohttp
from aiohttp import web

from hadis.errors import HadisError
from hadis_cli.benching.arrivals import MAX_SEED, read_prompts
from hadis_cli.benching.books import Entry, Tally
from hadis_cli.benching.sending import Sender, fetch_slo_s, open_session
from hadis_cli.fleet import orphans

MAX_RATE_PER_S = 200.0
MAX_OPEN = 2000
"""Open requests after which no more are sent: a stopped router must not fill our memory."""
FOLLOW_EVERY_S = 5.0
LOG = logging.getLogger("load")


class Load:
    """Poisson arrivals at a rate that may change at any time."""

    def __init__(self, sender: Sender, prompts: Sequence[str]) -> None:
        self._sender = sender
        self._prompts = prompts
        self._rate_per_s = 0.0
        self._changed = asyncio.Event()
        self._draw = random.Random()
        self.tally = Tally()

    @property
    def rate_per_s(self) -> float:
        """Requests a second that are being sent."""
        return self._rate_per_s

    def set_rate(self, rate_per_s: float) -> None:
        """Send at `rate_per_s` from now on; 0 stops."""
        self._rate_per_s = rate_per_s
        self._changed.set()

    async def run(self) -> None:
        """Send until cancelled; open requests are then cancelled too."""
        clock = asyncio.get_running_loop().time
        origin_s = due_s = clock()
        async with asyncio.TaskGroup() as group:
            while True:
                rate_per_s = self._rate_per_s
                if rate_per_s <= 0:
                    await self._wait(None)
                    due_s = clock()
                    continue
                due_s += self._draw.expovariate(rate_per_s)
                if await self._wait(due_s - clock()):
                    due_s = clock()  # gaps have no memory: drawing anew keeps the process Poisson
                    continue
                if self.tally.sent - self.tally.completed < MAX_OPEN:
                    prompt = self._draw.choice(self._prompts)
                    entry = Entry(due_s - origin_s, prompt, self._draw.randint(0, MAX_SEED))
                    self.tally.sent += 1
                    group.create_task(self._one(entry, origin_s))

    async def _wait(self, timeout_s: float | None) -> bool:
        """Wait for a change of rate, at most `timeout_s`; return whether one came."""
        try:
            async with asyncio.timeout(None if timeout_s is None else max(0.0, timeout_s)):
                await self._changed.wait()
        except TimeoutError:
            if not self._changed.is_set():
                return False
        self._changed.clear()
        return True

    async def _one(self, entry: Entry, origin_s: float) -> None:
        slo_s = self._sender.slo_s  # the one in force when it was sent
        await self._sender.send(entry, origin_s)
        self.tally.book(entry, slo_s)


async def follow_slo(
    sender: Sender, session: aiohttp.ClientSession, url: str, *, every_s: float = FOLLOW_EVERY_S
) -> None:
    """Judge by the SLO that the cascade has now: its file may change while the load runs."""
    while True:
        await asyncio.sleep(every_s)
        slo_s = await fetch_slo_s(session, url)
        if slo_s is not None:
            sender.slo_s = slo_s


def create_app(load: Load) -> web.Application:
    """Return the endpoint that the router relays the slider to."""

    def state() -> web.Response:
        return web.json_response(
            {
                "rate": load.rate_per_s,
                "max_rate": MAX_RATE_PER_S,
                "sent": load.tally.sent,
                "completed": load.tally.completed,
                "late": load.tally.late,
                "by_outcome": dict(load.tally.by_outcome),
            }
        )

    async def read(_request: web.Request) -> web.Response:
        return state()

    async def change(request: web.Request) -> web.Response:
        try:
            rate = (await request.json())["rate"]
            if isinstance(rate, bool) or not 0 <= float(rate) <= MAX_RATE_PER_S:
                raise ValueError(rate)
        except (ValueError, KeyError, TypeError):
            message = f"rate must be a number from 0 to {MAX_RATE_PER_S:g}"
            error = {"message": message, "param": "rate", "type": "invalid_request_error"}
            return web.json_response({"error": error}, status=400)
        load.set_rate(float(rate))
        return state()

    app = web.Application()
    app.router.add_get("/load", read)
    app.router.add_put("/load", change)
    return app


async def serve(options: argparse.Namespace) -> None:
    """Listen, announce the port on stdout, and generate until the process is ended."""
    prompts = read_prompts(options.prompts.read_text(encoding="utf-8"), source=str(options.prompts))
    async with open_session(options.api_key) as session:
        sender = Sender(session, options.url, slo_s=options.slo, tell_slo=False)
        load = Load(sender, prompts)
        runner = web.AppRunner(create_app(load), access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", options.port)
        await site.start()
        port = runner.addresses[0][1]
        sys.stdout.write(json.dumps({"event": "listening", "port": port}) + "\n")
        sys.stdout.flush()
        following = asyncio.create_task(follow_slo(sender, session, options.url))
        try:
            await load.run()
        finally:
            following.cancel()
            await runner.cleanup()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the load generator until SIGTERM."""
    parser = argparse.ArgumentParser(prog="hadis-load", description=__doc__)
    parser.add_argument("--url", required=True, help="endpoint to load")
    parser.add_argument("--prompts", required=True, type=Path, help="file, one prompt a line")
    parser.add_argument(
        "--slo", required=True, type=float, help="seconds allowed until the endpoint tells its own"
    )
    parser.add_argument("--port", type=int, default=0, help="loopback port; 0 takes a free one")
    parser.add_argument("--parent", type=int, help="end when this process is gone")
    options = parser.parse_args(argv)
    # A key in the arguments could be read by every user of the machine.
    options.api_key = orphans.take_secret("HADIS_LOAD_KEY")
    if options.parent is not None:
        orphans.die_with(options.parent)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s load %(levelname)s: %(message)s")
    try:
        asyncio.run(orphans.until_terminated(serve(options)))
    except HadisError as error:
        LOG.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
