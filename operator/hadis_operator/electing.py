"""Which of several operators acts: the one that holds a Lease.

15, 10 and 2 seconds, as Kubernetes' own controllers: a lease that was not renewed for 15 s may be
taken; its holder stops acting once it has not managed to renew it for 10 s; everyone tries every
2 s, holder or not, outage or not. Times are compared on each process' own clock, by when a renewal
was *seen*, so that hosts' clocks never meet.
"""

import asyncio
import datetime
import logging
from collections.abc import Callable
from dataclasses import dataclass

from hadis_operator import kube
from hadis_operator.kube import ClusterTrouble, Conflicting, Kube, NotThere
from hadis_operator.objects import OPERATOR_MANAGER, Manifest

LEASE_S = 15
RENEW_WITHIN_S = 10.0
RETRY_S = 2.0
LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A lease's last renewal by another holder, and when this process first saw it."""

    holder: str = ""
    renewed: str = ""
    version: str = ""
    seen_s: float = 0.0


def sighted(lease: Manifest, last: Sighting, now_s: float) -> Sighting:
    """Return what is known of the holder's life sign; it is news only when it changed."""
    spec = lease.get("spec", {})
    holder, renewed = str(spec.get("holderIdentity") or ""), str(spec.get("renewTime") or "")
    version = str(lease["metadata"].get("resourceVersion", ""))
    if (holder, renewed, version) == (last.holder, last.renewed, last.version):
        return last
    return Sighting(holder, renewed, version, now_s)


def may_take(lease: Manifest, me: str, seen: Sighting, now_s: float) -> bool:
    """Return whether the lease is mine, nobody's, or was not renewed for its whole duration."""
    if seen.holder in ("", me):
        return True
    duration_s = float(lease.get("spec", {}).get("leaseDurationSeconds") or LEASE_S)
    return now_s - seen.seen_s >= duration_s


def renewed(lease: Manifest, me: str, stamp: str) -> Manifest:
    """Return the lease as `me` holds it from `stamp` on."""
    spec = dict(lease.get("spec", {}))
    if spec.get("holderIdentity") != me:
        spec["acquireTime"] = stamp
        spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + 1
    spec.update(holderIdentity=me, leaseDurationSeconds=LEASE_S, renewTime=stamp)
    return {**lease, "spec": spec}


def released(lease: Manifest, stamp: str) -> Manifest:
    """Return the lease as nobody holds it; the next one need not wait."""
    spec = {**lease.get("spec", {}), "holderIdentity": "", "leaseDurationSeconds": 1}
    return {**lease, "spec": {**spec, "renewTime": stamp}}


class Elector:
    """Takes part in the election until cancelled. `changed` is called when the role changes.

    It stands for as long as `may_stand` says so: one that could do nothing would only keep the
    Lease from those that can.
    """

    def __init__(
        self,
        api: Kube,
        namespace: str,
        name: str,
        me: str,
        *,
        clock: Callable[[], float],
        changed: Callable[[], None] | None = None,
        may_stand: Callable[[], bool] = lambda: True,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._me = me
        self._clock = clock
        self._changed = changed or (lambda: None)
        self._may_stand = may_stand
        self._seen = Sighting()
        self._held_until_s = float("-inf")
        self._was_leading = False
        self.terms = 0
        self.attempted_s = clock()

    @property
    def leading(self) -> bool:
        """Whether this process may act, at this very moment."""
        return self._clock() < self._held_until_s

    async def run(self) -> None:
        """Renew, or try to take over, every `RETRY_S`; an outage ends neither."""
        while True:
            try:
                if self._may_stand():
                    await self._attempt()
                else:
                    self.attempted_s = self._clock()
            except ClusterTrouble as error:
                LOG.warning("the lease was not renewed: %s", kube.told_briefly(error))
            self._note_role()
            await asyncio.sleep(RETRY_S)

    async def release(self) -> None:
        """Give the lease up, so that a standby need not wait for it to lapse."""
        was_leading, self._held_until_s = self.leading, float("-inf")
        self._note_role()
        if not was_leading:
            return
        try:
            lease = await self._api.get(kube.LEASES, self._namespace, self._name)
            if lease.get("spec", {}).get("holderIdentity") == self._me:
                await self._api.replace(released(lease, _now()), manager=OPERATOR_MANAGER)
        except ClusterTrouble as error:
            LOG.warning("the lease was not released: %s", kube.told_briefly(error))

    async def _attempt(self) -> None:
        # Counted from before the request: whoever waits for the lease to lapse begins later.
        self.attempted_s = began_s = self._clock()
        try:
            lease = await self._api.get(kube.LEASES, self._namespace, self._name)
        except NotThere:
            await self._create(began_s)
            return
        self._seen = sighted(lease, self._seen, self._clock())
        if not may_take(lease, self._me, self._seen, self._clock()):
            self._held_until_s = float("-inf")
            return
        try:
            await self._api.replace(renewed(lease, self._me, _now()), manager=OPERATOR_MANAGER)
        except Conflicting:
            return  # somebody was faster; the next look tells who
        self._hold(began_s)

    async def _create(self, began_s: float) -> None:
        empty: Manifest = {
            "apiVersion": kube.LEASES.api_version,
            "kind": kube.LEASES.kind,
            "metadata": {"namespace": self._namespace, "name": self._name},
        }
        try:
            await self._api.create(renewed(empty, self._me, _now()), manager=OPERATOR_MANAGER)
        except Conflicting:
            return
        self._hold(began_s)

    def _hold(self, began_s: float) -> None:
        self._held_until_s = began_s + RENEW_WITHIN_S

    def _note_role(self) -> None:
        is_leading = self.leading
        if is_leading == self._was_leading:
            return
        self._was_leading = is_leading
        if is_leading:
            self.terms += 1
        LOG.info("this operator %s", "leads" if is_leading else "stands by")
        self._changed()


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
