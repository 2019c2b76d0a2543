"""What was in force when this operator took over, as the state that the control cycle goes on from.

The plan's ConfigMap is written before anything else hears of a plan, so it is the record; the
annotations and the running processes only say whether something newer was ever told. Then nothing
that they have may be taken for current, and everything is issued again above it.
"""

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from hadis.planning.cycles import CycleState
from hadis.planning.forecasting import DemandState
from hadis.terms.assignments import Assignment, RoutingTable
from hadis.terms.ids import WorkerName
from hadis.wire.assignments import AssignmentBody, RoutingTableBody
from hadis_operator import objects
from hadis_operator.objects import Manifest
from hadis_operator.rendering import plans

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the ConfigMap says; `routing` is None where it says nothing that can be read."""

    routing: RoutingTable | None = None
    assignments: Mapping[WorkerName, Assignment] = field(default_factory=dict)


def recorded(live: Manifest | None) -> Recorded:
    """Return the plan that a live ConfigMap records. A torn one counts as none, and is logged."""
    data: Mapping[str, Any] = (live or {}).get("data") or {}
    if plans.ROUTING_KEY not in data:
        return Recorded()
    try:
        table = RoutingTableBody.model_validate_json(data[plans.ROUTING_KEY]).to_terms()
        told = json.loads(data.get(plans.ASSIGNMENTS_KEY, "{}"))
        assignments = {
            WorkerName(name): AssignmentBody.model_validate(body).to_terms()
            for name, body in told.items()
        }
    except (ValidationError, ValueError, AttributeError) as error:
        LOG.warning("the plan's ConfigMap cannot be read and is made anew: %s", error)
        return Recorded()
    return Recorded(table, assignments)


def recorded_versions(live: Manifest | None, deployments: Iterable[Manifest]) -> list[int]:
    """Return every version that ConfigMap and annotations hold."""
    found = [] if live is None else list(plans.read_versions(live))
    for deployment in deployments:
        text = objects.annotation(deployment, objects.ASSIGNMENT_ANNOTATION)
        version = _version(text)
        if version is not None:
            found.append(version)
    return found


def resume(
    live: Manifest | None, deployments: Iterable[Manifest], demand: DemandState
) -> CycleState:
    """Return the state to go on from, above the highest version of ConfigMap and annotations.

    What routers and workers report is part of each snapshot, and the cycle looks at it itself.
    """
    record = recorded(live)
    highest = max(recorded_versions(live, deployments), default=0)
    if record.routing is None or record.routing.version < highest:
        return CycleState(version=highest, demand=demand)
    return CycleState(
        version=record.routing.version,
        demand=demand,
        routing=record.routing,
        assignments=dict(record.assignments),
    )


def _version(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return AssignmentBody.model_validate_json(text).version
    except ValidationError:
        return None
