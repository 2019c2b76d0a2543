"""Where a cascade's demand is read: Prometheus, or the routers themselves.

Prometheus is asked where there is one. Of a router whose scrapes come late or seldom the own words
count: they say the same, sooner. Whenever it is silent, refuses, or tells nothing usable all
routers' own counters stand in, which say the same things; the loop never goes without, and goes
back by itself.
"""

import base64
import binascii
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from hadis.planning.snapshots import ObservedRouter
from hadis_operator import conditions, counting, kube, pacing, prometheus
from hadis_operator.counting import Counts, Ledger
from hadis_operator.kube import ClusterTrouble, Kube
from hadis_operator.observing import View
from hadis_operator.pacing import Pace
from hadis_operator.prometheus import NoMetrics, Sample, TooEarly, Trouble
from hadis_operator.reading import Given

SECRET_LIVES_S = 60.0
FAILS_AFTER = 2
"""Failures in a row before the condition says so: one lost answer is no news."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the cascade asks for. `url` is empty when the routers are to be asked."""

    url: str = ""
    token_secret: tuple[str, str] | None = None
    ca_secret: tuple[str, str] | None = None
    headers: Mapping[str, str] | None = None
    matchers: Mapping[str, str] | None = None


def wanted(spec: Mapping[str, Any], default_url: str) -> Wanted:
    """Return where to read: Prometheus when a URL is known, unless Direct is asked for."""
    metrics = spec.get("metrics") or {}
    given = metrics.get("prometheus") or {}
    url = given.get("url") or default_url
    if metrics.get("source") == "Direct" or not url:
        return Wanted()
    return Wanted(
        url=url,
        token_secret=_reference(given.get("bearerTokenSecret"), "token"),
        ca_secret=_reference(given.get("caSecret"), "ca.crt"),
        headers=given.get("headers"),
        matchers=given.get("matchers"),
    )


def direct_counts(view: View) -> dict[str, Counts]:
    """Return what the routers that answer have counted, by pod."""
    return {
        name: {field: getattr(status.demand, field) for field in counting.FIELDS}
        for name, status in view.routers.items()
    }


class DemandReader:
    """Reads the counters of one cascade's routers, cycle after cycle."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        api: Kube,
        default_url: str,
        *,
        epoch: Callable[[], float] = time.time,
    ) -> None:
        self._session = session
        self._api = api
        self._default_url = default_url
        self._epoch = epoch
        self._ledger = Ledger(epoch())
        self._paces: dict[str, Pace] = {}
        self._secrets: dict[tuple[str, str], tuple[float, str]] = {}
        self._failures = 0
        self.source = conditions.Source()

    async def read(self, given: Given, view: View) -> tuple[ObservedRouter, ...]:
        """Return every router that is there with its counts, by Prometheus where that works."""
        asked = wanted(given.spec, self._default_url)
        if not asked.url:
            self._failures = 0
            self.source = conditions.Source()
            return self.read_direct(view)
        try:
            counts = await self._ask(asked, given, view)
        except TooEarly:
            return self.read_direct(view)  # no fault, and nothing to tell
        except NoMetrics as error:
            self._failures += 1
            if self._failures >= FAILS_AFTER or self.source.trouble is not None:
                self.source = _shown(self.source, error)
            return self.read_direct(view)
        self._failures = 0
        self.source = conditions.Source(is_prometheus=True)
        return self._observed(view, {**counts, **self._ahead(given, view)})

    def read_direct(self, view: View) -> tuple[ObservedRouter, ...]:
        """Return the same by the routers' own word alone; a silent one keeps its last counts."""
        return self._observed(view, direct_counts(view))

    async def _ask(self, asked: Wanted, given: Given, view: View) -> dict[str, Counts]:
        source = await self._source(asked, given.owner.namespace)
        try:
            found = await prometheus.ask(
                self._session, source, given.owner.namespace, given.owner.name
            )
        except NoMetrics as error:
            if error.trouble is Trouble.UNAUTHORIZED:
                self._secrets.clear()  # somebody may have renewed the token
            raise
        now_s = self._epoch()
        pods = view.router_pods
        chosen = prometheus.by_router(found, {name: pod.address for name, pod in pods.items()})
        lived_s = {
            name: now_s - pod.process.started_epoch_s
            for name, pod in pods.items()
            if pod.process.started_epoch_s is not None
        }
        prometheus.require_fresh(chosen, lived_s, now_s)
        return self._paced(chosen, now_s, given.cascade.planner.interval_s)

    def _ahead(self, given: Given, view: View) -> dict[str, Counts]:
        """Return the own words of routers of which Prometheus has lagged behind.

        A step of the load must not wait for a scrape that comes late or seldom, and what had
        gathered meanwhile would look like a burst.
        """
        now_s, interval_s = self._epoch(), given.cascade.planner.interval_s
        return {
            name: counts
            for name, counts in direct_counts(view).items()
            if (pace := self._paces.get(name)) is None
            or pacing.lags(pace, now_s, interval_s=interval_s)
        }

    def _paced(
        self, chosen: Mapping[str, Sample], now_s: float, interval_s: float
    ) -> dict[str, Counts]:
        self._paces = {
            name: pacing.follow(self._paces.get(name), sample) for name, sample in chosen.items()
        }
        return {
            name: pacing.counts(pace, now_s, interval_s=interval_s)
            for name, pace in self._paces.items()
        }

    def _observed(self, view: View, counts: Mapping[str, Counts]) -> tuple[ObservedRouter, ...]:
        pods = view.router_pods
        ledger = counting.keep(self._ledger, (pod.process for pod in pods.values()))
        for name, one in counts.items():
            if name in pods:
                ledger = counting.note(ledger, pods[name].process, one)
        self._ledger = ledger
        observed = []
        for name, pod in sorted(pods.items()):
            if pod.process not in ledger.entries:
                continue
            status = view.routers.get(name)
            routing = None if status is None else status.routing
            observed.append(
                counting.observed(
                    ledger,
                    pod.process,
                    routing_version=0 if routing is None else routing.version,
                    unreachable=() if status is None else status.unreachable,
                )
            )
        return tuple(observed)

    async def _source(self, asked: Wanted, namespace: str) -> prometheus.Source:
        return prometheus.Source(
            url=asked.url,
            token=(await self._secret(namespace, asked.token_secret, "bearerTokenSecret")).strip(),
            ca=await self._secret(namespace, asked.ca_secret, "caSecret"),
            headers=asked.headers or {},
            matchers=asked.matchers or {},
        )

    async def _secret(self, namespace: str, reference: tuple[str, str] | None, field: str) -> str:
        if reference is None:
            return ""
        known = self._secrets.get(reference)
        if known is not None and self._epoch() - known[0] < SECRET_LIVES_S:
            return known[1]
        name, key = reference
        try:
            live = await self._api.get(kube.SECRETS, namespace, name)
            text = base64.b64decode((live.get("data") or {})[key]).decode()
        except (*ClusterTrouble, KeyError, binascii.Error, UnicodeDecodeError) as error:
            raise NoMetrics(
                f"spec.metrics.prometheus.{field}: Secret {name} with the key {key} cannot be read "
                f"in this namespace ({type(error).__name__}); create it, and see that the operator "
                "may read Secrets (the chart's rbac.readSecrets)",
                Trouble.UNAUTHORIZED,
            ) from error
        self._secrets[reference] = (self._epoch(), text)
        return text


def _shown(before: conditions.Source, error: NoMetrics) -> conditions.Source:
    """Return what to show of a failure. Refused, silent and 503 are one outage, told as it began:
    each of its moods would be another write."""
    if before.trouble is error.trouble is Trouble.AWAY:
        return before
    return conditions.Source(True, error.trouble, str(error))


def _reference(given: Mapping[str, Any] | None, key: str) -> tuple[str, str] | None:
    return None if not given else (str(given["name"]), str(given.get("key", key)))
