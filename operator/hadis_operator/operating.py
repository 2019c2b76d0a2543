"""The operator as one object: what watches, elects, sweeps and loops, and in which order it starts.

Alive means that everything still attempts, whatever the answers are: an outage of the API is no
reason to restart. Ready means that the cluster has been read once; a standby is ready too, and
only who is ready stands for election.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import aiohttp

from hadis_operator import kube, watching
from hadis_operator.electing import RETRY_S, Elector
from hadis_operator.installation import Installation
from hadis_operator.kube import ClusterTrouble, Kind, Kube, NotThere
from hadis_operator.looping import Tools
from hadis_operator.metrics import Metrics
from hadis_operator.objects import Manifest
from hadis_operator.settings import Settings
from hadis_operator.storing import CascadeKey, Store
from hadis_operator.supervising import Supervisor
from hadis_operator.sweeping import SWEEP_EVERY_S, Sweeper, kinds_are_there
from hadis_operator.watching import Watcher

STUCK_AFTER_S = 180.0
"""Twice the longest turn: a loop that attempts nothing for this long never will again."""
PLANNERS = 2
"""Threads that solve. More would only take turns at Python's lock."""
LOG = logging.getLogger(__name__)


class Operator:
    """Everything that runs between start and stop. Open it as an async context manager."""

    def __init__(self, settings: Settings, installation: Installation, metrics: Metrics) -> None:
        self._settings = settings
        self._installation = installation
        self._metrics = metrics
        self._clock = time.monotonic
        self._store = Store(self._changed)
        self._supervisor: Supervisor | None = None
        self._elector: Elector | None = None
        self._sweeper: Sweeper | None = None
        self._began_s = self._clock()
        self._right_s: dict[str, float] = {}
        self._filled = False
        self._swept_term = -1
        self._stopping = False
        self._sweep_now = asyncio.Event()
        self._hurry = asyncio.Event()
        self._hurry.set()

    def unhealthy(self) -> str | None:
        """Return why this process should be replaced; None while everything still attempts."""
        now_s = self._clock()
        if self._elector is not None and now_s - self._elector.attempted_s > STUCK_AFTER_S:
            return "the election has stopped"
        if self._supervisor is not None:
            return self._supervisor.stuck(STUCK_AFTER_S)
        return None

    def unready(self) -> str | None:
        """Return why this operator cannot act or take over yet."""
        return None if self._filled else "the cluster has not been read yet"

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then hand over. InvalidInput without a way to the API."""
        api = await Kube.connect(self._settings.kubeconfig, wrote=self._metrics.wrote)
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, limit_per_host=4, keepalive_timeout=30)
        )
        executor = ThreadPoolExecutor(PLANNERS, "planner")
        try:
            await self._operate(api, session, executor, stop)
        finally:
            await session.close()
            await api.close()
            executor.shutdown(wait=False, cancel_futures=True)

    async def _operate(
        self,
        api: Kube,
        session: aiohttp.ClientSession,
        executor: ThreadPoolExecutor,
        stop: asyncio.Event,
    ) -> None:
        settings = self._settings
        elector = self._elector = Elector(
            api,
            settings.namespace,
            settings.lease,
            settings.identity,
            clock=self._clock,
            changed=self._role_changed,
            may_stand=lambda: self._filled,
        )
        self._metrics.watch_leading(lambda: self._may_act())
        supervisor = self._supervisor = Supervisor(
            Tools(
                api=api,
                store=self._store,
                session=session,
                installation=self._installation,
                metrics=self._metrics,
                executor=executor,
                may_act=self._may_act,
                term=lambda: elector.terms,
                me=settings.identity,
                clock=self._clock,
            )
        )
        watcher = Watcher(
            self._noted,
            namespaces=self._installation.watch_namespaces,
            kubeconfig=settings.kubeconfig,
            failed=self._sweep_now.set,
        )
        sweeper = self._sweeper = Sweeper(
            api,
            self._store,
            namespaces=self._installation.watch_namespaces,
            hurry=self._hurry,
        )
        running = [
            _begin(elector.run(), "election"),
            _begin(self._look_after(api, sweeper, watcher), "sweeping"),
            _begin(supervisor.run(), "supervising"),
        ]
        stopping = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait([*running, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            # Nothing may be written any more once the Lease is given back.
            self._stopping = True
            stopping.cancel()
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await elector.release()
            await watcher.stop()

    def _may_act(self) -> bool:
        elector = self._elector
        return (
            elector is not None
            and not self._stopping
            and elector.leading
            # What this process knows may be as old as its watches; one look comes first.
            and self._swept_term == elector.terms
        )

    def _role_changed(self) -> None:
        self._sweep_now.set()
        self._hurry.set()
        if self._supervisor is not None:
            self._supervisor.wake_all()

    def _changed(self, key: CascadeKey) -> None:
        if self._supervisor is not None:
            self._supervisor.changed(key)

    def _noted(self, kind: Kind, event: str | None, live: Manifest) -> None:
        """Take over what a watch tells."""
        metadata = live.get("metadata") or {}
        if "name" not in metadata:
            return
        namespace = metadata.get("namespace", "")
        if self._sweeper is not None and self._sweeper.is_lost(namespace):
            return  # the last words of a watch whose namespace has been forgotten
        self._right_s[kind.plural] = self._clock()
        if self._sweeper is not None and event is not None:
            self._sweeper.note_heard(kind, namespace)
        if event == "DELETED":
            self._store.drop(kind, namespace, metadata["name"], uid=metadata.get("uid"))
        else:
            self._store.put(kind, live)

    async def _look_after(self, api: Kube, sweeper: Sweeper, watcher: Watcher) -> None:
        """Read the cluster, begin to watch it, and mend from time to time what watches missed."""
        for kind in watching.WATCHED:
            self._metrics.watch_age(kind.plural, partial(self._age_s, kind.plural))
        await self._read_cluster(api, sweeper)
        watcher.follow(self._readable(sweeper))
        watcher.start()
        while True:
            self._sweep_now.clear()
            term = self._elector.terms if self._elector is not None else -1
            # A new leader waits for its sweep; whatever is listed later is no more than a check.
            if self._swept_term == term:
                self._hurry.clear()
            try:
                is_deaf = await sweeper.sweep()
            except ClusterTrouble as error:
                LOG.warning("the cluster was not swept: %s", kube.told_briefly(error))
                await asyncio.sleep(RETRY_S)
                continue
            self._note_sweep(sweeper, term)
            watcher.follow(self._readable(sweeper))
            if is_deaf:
                LOG.warning("a watch has gone deaf; all of them begin anew")
                watcher.restart()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_EVERY_S):
                    await self._sweep_now.wait()

    async def _read_cluster(self, api: Kube, sweeper: Sweeper) -> None:
        told = False
        while True:
            try:
                if await kinds_are_there(api):
                    await sweeper.fill()
                    break
                if not told:
                    told = True
                    LOG.warning("waiting for the definitions of HadisCascade and HadisProfile")
            except NotThere as error:
                LOG.warning("the cluster lacks something: %s", kube.told_briefly(error))
            except ClusterTrouble as error:
                LOG.warning("the cluster cannot be read yet: %s", kube.told_briefly(error))
            await asyncio.sleep(RETRY_S)
        self._filled = True
        LOG.info("the cluster has been read")

    def _readable(self, sweeper: Sweeper) -> list[str]:
        """Return the namespaces that can be watched now, having shown which these are."""
        for namespace, is_readable in sweeper.readable.items():
            self._metrics.readable(namespace, is_readable=is_readable)
        return [namespace for namespace, is_readable in sweeper.readable.items() if is_readable]

    def _note_sweep(self, sweeper: Sweeper, term: int) -> None:
        now_s = self._clock()
        for kind in watching.WATCHED:
            self._right_s[kind.plural] = now_s
            missed = sweeper.mended.pop(kind.plural, 0)
            if missed:
                self._metrics.mended(kind.plural, missed)
        if self._swept_term != term:
            self._swept_term = term
            if self._supervisor is not None:
                self._supervisor.wake_all()

    def _age_s(self, plural: str) -> float:
        return self._clock() - self._right_s.get(plural, self._began_s)


def _begin(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    return asyncio.create_task(work, name=name)
