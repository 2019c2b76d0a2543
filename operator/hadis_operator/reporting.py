"""Step 6 of the control cycle in a cluster: conditions and status, an event, metrics.

The status is written only when it says something new, and an event only about what became so.
"""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hadis.errors import HadisError
from hadis.planning.cycles import CycleOutput
from hadis.planning.problems import PlanStatus
from hadis_operator import (
    attaining,
    conditions,
    events,
    kube,
    naming,
    reading,
    rollouts,
    slots,
    statuses,
    supplying,
)
from hadis_operator.applying import Applier
from hadis_operator.attaining import Attainment, Record
from hadis_operator.conditions import Facts, SlotFacts, Source
from hadis_operator.events import Outbox, Story
from hadis_operator.installation import Installation
from hadis_operator.kube import ClusterTrouble
from hadis_operator.metrics import Metrics
from hadis_operator.objects import Manifest, Owner
from hadis_operator.observing import View
from hadis_operator.obstacles import Obstacles
from hadis_operator.reading import Given
from hadis_operator.reissuing import Reissue
from hadis_operator.rendering import prefetching, weights
from hadis_operator.statuses import WorkerCounts
from hadis_operator.storing import CascadeKey, Store
from hadis_operator.surveying import Slots


@dataclass(frozen=True, slots=True)
class Turn:
    """What a turn has found and done, ready to be told."""

    given: Given
    live: Manifest
    view: View
    survey: Slots
    obstacles: Obstacles
    source: Source
    attainment: Attainment
    issued: CycleOutput | Reissue | None = None
    plan_status: PlanStatus | None = None
    plan_trouble: str = ""
    missing_secret: str = ""
    refusal: str = ""


class Reporter:
    """Tells about one cascade, and remembers what was told."""

    def __init__(
        self,
        key: CascadeKey,
        store: Store,
        installation: Installation,
        metrics: Metrics,
        applier: Applier,
        *,
        me: str,
    ) -> None:
        self._key = key
        self._store = store
        self._installation = installation
        self._metrics = metrics
        self._applier = applier
        self._me = me
        self._outbox = Outbox()
        self._has_keys = True

    def hear(self, stories: Iterable[Story], now_s: float) -> None:
        """Take up stories at once: a report that fails later must not lose them."""
        self._outbox.put(stories, now_s)

    def hear_of(self, found: Obstacles, now_s: float) -> None:
        """Take up what was in the way and what was put back."""
        self.hear(map(events.restored, found.restored), now_s)
        self.hear(map(events.refused, found.faults[: conditions.NAMED]), now_s)

    def stand_by(self) -> None:
        """Leave what was not told to the operator that acts now."""
        self._outbox.empty()

    async def report(self, turn: Turn, now_s: float, now_epoch_s: float) -> None:
        """Write what is new. Raises ClusterTrouble, and NotLeading when there is something to."""
        live = turn.live.get("status") or {}
        derived = conditions.derive(self._facts(turn, now_epoch_s))
        counts = WorkerCounts(
            total=len(turn.survey.live),
            ready=len(
                [s for s in conditions.ready_workers(turn.view) if s in turn.survey.rendered]
            ),
            updated=turn.survey.updated,
        )
        status = statuses.compose(turn.given, live, derived, counts, turn.issued, now=_now())
        self._metrics.counted(self._key, counts, turn.source)
        self._outbox.note(live.get("conditions") or (), status["conditions"], now_s)
        self._outbox.put(self._unguarded(turn.given, live), now_s)
        owner = turn.given.owner
        await self._write(turn.live, statuses.manifest(owner.name, owner.namespace, status), now_s)

    async def report_unreadable(self, live: Manifest, why: str, now_s: float) -> None:
        """Tell that this version cannot read a cascade: nothing is done about it until it can.

        Raises what `report` does.
        """
        before, metadata = live.get("status") or {}, live["metadata"]
        status = statuses.unreadable(before, why, int(metadata.get("generation", 1)), now=_now())
        self._outbox.note(before.get("conditions") or (), status["conditions"], now_s)
        manifest = statuses.manifest(metadata["name"], metadata["namespace"], status)
        await self._write(live, manifest, now_s)

    async def _write(self, live: Manifest, manifest: Manifest, now_s: float) -> None:
        """Write a status if it says anything new, and tell what is to be told in any case."""
        trouble: HadisError | None = None
        if statuses.is_news(live.get("status") or {}, manifest["status"]):
            try:
                await self._applier.write_status(manifest, uid=str(live["metadata"]["uid"]))
            except ClusterTrouble as error:
                trouble = error
                # Neither an outage, nor a deletion, nor another one of its name.
                if error.status not in (None, 404, 409, 503):
                    fault = f"HadisCascade {self._key.name} cannot be given its status"
                    self.hear([events.refused(f"{fault}: {kube.words_of(error)}")], now_s)
        await self._tell(live)
        if trouble is not None:
            raise trouble

    async def _tell(self, live: Manifest) -> None:
        story = self._outbox.next()
        if story is None:
            return
        metadata = live["metadata"]
        owner = Owner(metadata["name"], metadata["namespace"], metadata["uid"])
        version = str(metadata.get("resourceVersion", ""))
        event = events.manifest(owner, story, instance=self._me, resource_version=version)
        if await self._applier.tell(event):
            self._outbox.empty()
            self._metrics.told(is_warning=story.is_warning)

    def _unguarded(self, given: Given, live: Manifest) -> list[Story]:
        """Return what is told once, when routers are, or become, open to everybody."""
        had_keys, self._has_keys = self._has_keys, bool(given.spec["router"].get("apiKeys"))
        # A spec that was looked at before was told of then, if by another operator.
        is_known = live.get("observedGeneration") == given.generation
        return [] if self._has_keys or not had_keys or is_known else [events.INSECURE]

    def _facts(self, turn: Turn, now_epoch_s: float) -> Facts:
        survey, view, owner = turn.survey, turn.view, turn.given.owner
        routers = self._store.get(kube.DEPLOYMENTS, owner.namespace, naming.router(owner))
        workers = {slot: one for slot, one in view.workers.items() if slot in survey.rendered}
        return Facts(
            given=turn.given,
            view=view,
            slots=SlotFacts(
                wanted=tuple(survey.rendered),
                updated=survey.updated,
                older=survey.older,
                rolling=survey.rollout.is_under_way,
                version=self._installation.version,
            ),
            supply=supplying.judge(
                workers,
                slots.fetchers(view.pods),
                job_is_complete=is_fetched(self._store, self._installation, turn.given),
                now_epoch_s=now_epoch_s,
            ),
            source=turn.source,
            attainment=turn.attainment,
            plan_status=turn.plan_status,
            hardware_trouble=reading.hardware_trouble(
                turn.given.profile, [one.hardware for one in workers.values()]
            ),
            taken=turn.obstacles.taken,
            faults=turn.obstacles.faults,
            plan_trouble=turn.plan_trouble,
            blocked={one.slot: one.blocked for one in survey.live if one.blocked},
            routers_blocked=rollouts.blocked(routers or {}),
            missing_secret=turn.missing_secret,
            refusal=turn.refusal,
        )


def is_fetched(store: Store, installation: Installation, given: Given) -> bool | None:
    """Return whether the models that the author wants are fetched; None when no Job fetches."""
    if weights.supply(given.spec, installation) is not weights.Supply.JOB:
        return None
    owner = given.owner
    name = naming.fetch(owner, weights.models_hash(given.spec))
    return prefetching.is_complete(store.get(kube.JOBS, owner.namespace, name))


def attained_before(live: Manifest) -> Record:
    """Return the judgement of the deadlines that a cascade's status tells."""
    reason = _condition(live, "SLOAttainable").get("reason")
    known = {one.value: one for one in (Attainment.MET, Attainment.MISSED)}
    return attaining.Record(known[reason]) if reason in known else attaining.Record()


def planned_before(live: Manifest) -> PlanStatus | None:
    """Return the status of the plan in force that a cascade's status tells."""
    reason = _condition(live, "PlanFeasible").get("reason")
    return {"Optimal": PlanStatus.OPTIMAL, "Overload": PlanStatus.OVERLOAD}.get(str(reason))


def _condition(live: Manifest, kind: str) -> dict[str, Any]:
    for one in (live.get("status") or {}).get("conditions") or ():
        if one.get("type") == kind:
            return dict(one)
    return {}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
