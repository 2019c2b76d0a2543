"""Facts about a cascade to the conditions that its status carries.

Every reason is one of a fixed set that people, alerts and tests rely on; every message that tells
of a fault ends in what to do about it. Messages hold nothing that changes while nothing happens, so
that a cascade at rest is not written to.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hadis.planning.problems import PlanStatus
from hadis_operator.attaining import Attainment
from hadis_operator.objects import Manifest
from hadis_operator.observing import View
from hadis_operator.prometheus import Trouble
from hadis_operator.reading import Given, ProfileState
from hadis_operator.slots import Plight, Pod
from hadis_operator.supplying import Supply, SupplyState

TRUE, FALSE = "True", "False"
MAX_MESSAGE_CHARS = 1500
"""Far below what the API takes: a condition is read in one look."""
NAMED = 5
"""Slots named one by one; of more the number is told."""
NODE_FIX = (
    "add such nodes, free GPUs, or correct nodeSelector, tolerations, claim and resources in "
    "spec.workers.template"
)
BLOCKED_FIX = (
    "create what is missing, raise the quota, or correct serviceAccountName, priorityClassName and "
    "resources"
)
WRITE_FIX = "correct the field, or the quota, policy or webhook that is in the way"
_WORST_FIRST = (Plight.OUT_OF_MEMORY, Plight.CRASHING, Plight.UNSCHEDULABLE, Plight.LOADING)


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition without the times that the API keeps of it."""

    type: str
    status: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class SlotFacts:
    """The slots that shall be, and how their Deployments stand."""

    wanted: Sequence[str] = ()
    updated: int = 0
    older: int = 0
    rolling: bool = False
    version: str = ""
    """That of the installation, which renders new slots."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the demand is read: `trouble` is None while Prometheus answers or is not asked."""

    is_prometheus: bool = False
    trouble: Trouble | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that conditions are made of, gathered in one turn of a cascade's loop."""

    given: Given
    view: View
    slots: SlotFacts
    supply: Supply
    source: Source = field(default_factory=Source)
    attainment: Attainment = Attainment.NO_DATA
    plan_status: PlanStatus | None = None
    hardware_trouble: str = ""
    taken: tuple[str, ...] = ()
    """Kind and name of foreign objects that are in the way."""
    faults: tuple[str, ...] = ()
    """What the API refused to write, in its words."""
    plan_trouble: str = ""
    """Why no plan could be made from a profile that is there."""
    blocked: Mapping[str, str] = field(default_factory=dict)
    """Why the API makes no pod, by slot."""
    routers_blocked: str = ""
    """The same of the routers."""
    missing_secret: str = ""
    """The Secret that the routers wait for and that does not exist."""
    refusal: str = ""
    """Who will not take what the operator tells, and what to do about it."""


def ready_workers(view: View) -> list[str]:
    """Return the slots whose worker is loaded and warm."""
    return [
        slot
        for slot, status in sorted(view.workers.items())
        if status.ready and not status.draining
    ]


def derive(facts: Facts) -> list[Condition]:
    """Return the conditions in the order in which they are shown."""
    found = [
        _ready(facts),
        _profile_valid(facts),
        _models_available(facts),
        _workers_ready(facts),
        _metrics_available(facts),
        _slo_attainable(facts),
    ]
    if facts.plan_status is not None:
        found.insert(5, _plan_feasible(facts))
    return [
        Condition(one.type, one.status, one.reason, one.message[:MAX_MESSAGE_CHARS])
        for one in found
    ]


def merge(
    live: Iterable[Mapping[str, Any]], derived: Iterable[Condition], generation: int, now: str
) -> list[Manifest]:
    """Return the conditions as the API keeps them; the time of a transition is that of its status.

    What is in `live` but not derived any more is dropped.
    """
    before = {one.get("type"): one for one in live}
    merged: list[Manifest] = []
    for one in derived:
        known = before.get(one.type, {})
        since = known.get("lastTransitionTime") if known.get("status") == one.status else None
        merged.append(
            {
                "type": one.type,
                "status": one.status,
                "reason": one.reason,
                "message": one.message,
                "lastTransitionTime": since or now,
                "observedGeneration": generation,
            }
        )
    return merged


def _ready(facts: Facts) -> Condition:
    reason, message, serving = _readiness(facts)
    if facts.faults:
        told = "; ".join(facts.faults[:NAMED])
        message += f"; not everything could be written: {told} - {WRITE_FIX}"
    if facts.given.paused:
        reason = "Paused"
        message = (
            f"nothing is changed while the annotation hadis.dev/paused is true ({message}); remove "
            "it to go on"
        )
    return Condition("Ready", TRUE if serving else FALSE, reason, message)


def _readiness(facts: Facts) -> tuple[str, str, bool]:
    is_serving = any(status.ready for status in facts.view.routers.values())
    if facts.taken:
        return (
            "NameTaken",
            f"{', '.join(facts.taken)} exists and does not belong to this cascade; it is left "
            "alone. Delete or rename it, or rename the cascade",
            False,
        )
    if is_serving:
        troubles = _router_troubles(facts)
        rest = f"; but not by every router: {troubles}" if troubles else ""
        return "Serving", f"requests are served{rest}", True
    if facts.plan_status is None and not facts.given.has_basis:
        return "ProfileInvalid", facts.given.trouble, False
    if facts.plan_status is None and facts.plan_trouble:
        return "ProfileInvalid", facts.plan_trouble, False
    if not ready_workers(facts.view):
        return "NoWorkers", _why_no_workers(facts), False
    return "RouterUnavailable", _why_no_router(facts), False


def _why_no_workers(facts: Facts) -> str:
    if not facts.slots.wanted:
        return "spec.workers.count is 0; raise it to serve"
    return "no worker is loaded and warm yet; see the conditions WorkersReady and ModelsAvailable"


def _why_no_router(facts: Facts) -> str:
    troubles = _router_troubles(facts)
    if troubles:
        return f"no router serves: {troubles}"
    secret = (facts.given.spec["router"].get("apiKeys") or {}).get("secretName")
    if secret:
        return (
            "no router is ready yet; its pods wait for the Secret that spec.router.apiKeys names "
            f"({secret}) should it not exist"
        )
    return "no router is ready yet"


def _router_troubles(facts: Facts) -> str:
    """Return what keeps routers from starting, with the fix; empty when nothing is known to."""
    found = []
    if facts.missing_secret:
        found.append(
            f"the Secret {facts.missing_secret}, which spec.router.apiKeys names, does not exist "
            "in this namespace; create it with a key for each client, or name another"
        )
    if facts.routers_blocked:
        found.append(f"no pod can be made: {facts.routers_blocked} - {BLOCKED_FIX}")
    found += sorted(
        f"{pod.name}: {pod.why}"
        for pod in facts.view.router_pods.values()
        if pod.why and pod.plight not in (None, Plight.LOADING)
    )
    return "; ".join(found[:NAMED])


def _profile_valid(facts: Facts) -> Condition:
    given = facts.given
    state, message = given.profile_state, given.trouble
    if state is ProfileState.VALID and facts.hardware_trouble:
        state, message = ProfileState.HARDWARE_MISMATCH, facts.hardware_trouble
    if state is ProfileState.VALID and facts.plan_trouble:
        state, message = ProfileState.MODEL_MISSING, facts.plan_trouble
    if state is ProfileState.VALID:
        name = given.cascade.profile_name
        message = f"HadisProfile {name} fits" if name else "a lone model needs no profile"
    return _condition("ProfileValid", state is ProfileState.VALID, state.value, message)


def _models_available(facts: Facts) -> Condition:
    supply = facts.supply
    return _condition(
        "ModelsAvailable", supply.state is SupplyState.CACHED, supply.state.value, supply.message
    )


def _workers_ready(facts: Facts) -> Condition:
    wanted = facts.slots.wanted
    ready = set(ready_workers(facts.view))
    missing = [slot for slot in wanted if slot not in ready]
    count = f"{len(wanted) - len(missing)} of {len(wanted)} workers are loaded and warm"
    older = _older(facts)
    refusal = f"; {facts.refusal}" if facts.refusal else ""
    if not missing and not facts.slots.rolling:
        return Condition("WorkersReady", TRUE, "AllReady", count + older + refusal)
    pods = facts.view.slot_pods
    plights = {slot: _plight(pods.get(slot), facts.blocked.get(slot, "")) for slot in missing}
    there = {plight for plight, _ in plights.values()}
    worst = next((plight for plight in _WORST_FIRST if plight in there), None)
    in_it = {slot: why for slot, (plight, why) in plights.items() if plight is worst}
    if facts.slots.rolling and worst in (None, Plight.LOADING):
        reason = "RollingOut"
        detail = f"; {facts.slots.updated} of {len(wanted)} are on the newest template"
    else:
        reason = (worst or Plight.LOADING).value
        detail = f"; {_named(list(in_it))} {_WORDS[worst or Plight.LOADING]}"
    whys = sorted(set(in_it.values()) - {""})
    detail += "".join(f"; {why}" for why in whys[:NAMED])
    faults = "".join(f"; {fault}" for fault in facts.faults[:NAMED])
    return Condition("WorkersReady", FALSE, reason, count + detail + faults + older + refusal)


_WORDS = {
    Plight.LOADING: "on the way",
    Plight.UNSCHEDULABLE: "without a node",
    Plight.CRASHING: "crashing",
    Plight.OUT_OF_MEMORY: "out of memory",
}


def _plight(pod: Pod | None, blocked: str) -> tuple[Plight, str]:
    """Return how a slot fares whose worker is not ready, and why, with the fix."""
    if pod is None and blocked:
        return Plight.UNSCHEDULABLE, f"no pod can be made: {blocked} - {BLOCKED_FIX}"
    if pod is None or pod.plight is None:
        return Plight.LOADING, ""
    if pod.plight is Plight.UNSCHEDULABLE:
        return pod.plight, f"{pod.why} - {NODE_FIX}"
    return pod.plight, pod.why


def _named(members: Sequence[str]) -> str:
    if len(members) > NAMED:
        return f"{len(members)} slots are"
    return f"{', '.join(members)} {'is' if len(members) == 1 else 'are'}"


def _older(facts: Facts) -> str:
    if not facts.slots.older:
        return ""
    return (
        f"; {facts.slots.older} run what a version other than {facts.slots.version} rendered, and "
        "keep it until their spec changes or the annotation hadis.dev/roll-workers gets a new value"
    )


def _metrics_available(facts: Facts) -> Condition:
    source = facts.source
    if source.trouble is not None:
        return Condition("MetricsAvailable", FALSE, source.trouble.value, source.message)
    if source.is_prometheus:
        return Condition("MetricsAvailable", TRUE, "Prometheus", "demand is read from Prometheus")
    return Condition("MetricsAvailable", TRUE, "Direct", "demand is read from the routers")


def _plan_feasible(facts: Facts) -> Condition:
    if facts.plan_status is PlanStatus.OVERLOAD:
        return Condition(
            "PlanFeasible",
            FALSE,
            "Overload",
            "no plan carries the demand in time; raise spec.workers.count or spec.slo.latency, or "
            "add faster models; until then spec.planner.onOverload decides",
        )
    return Condition("PlanFeasible", TRUE, "Optimal", "the plan carries the demand")


def _slo_attainable(facts: Facts) -> Condition:
    match facts.attainment:
        case Attainment.MET:
            message = "images come in time"
        case Attainment.MISSED:
            message = (
                "more than one image in twenty of the last minute was late or never came; see "
                "PlanFeasible, WorkersReady and status.plan.reasons for what is short"
            )
        case Attainment.NO_DATA:
            return Condition("SLOAttainable", "Unknown", "NoData", "nobody has asked yet")
    met = facts.attainment is Attainment.MET
    return _condition("SLOAttainable", met, facts.attainment.value, message)


def _condition(kind: str, holds: bool, reason: str, message: str) -> Condition:
    return Condition(kind, TRUE if holds else FALSE, reason, message)
