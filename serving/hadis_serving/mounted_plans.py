"""The plan that lies beside a mounted cascade file, for a process that starts while nobody plans.

In a cluster the controller keeps its plan in a ConfigMap that routers and workers mount. What they
find there at their start is as good as a delivery, and older than any that comes later. A plan that
is not there, or that cannot be read, is no fault: the controller will tell.
"""

import json
import logging
from pathlib import Path

from pydantic import ValidationError

from hadis.wire.assignments import AssignmentBody, RoutingTableBody

ROUTING_FILE = "routing.json"
ASSIGNMENTS_FILE = "assignments.json"
log = logging.getLogger(__name__)


def read_routing(cascade_file: Path) -> RoutingTableBody | None:
    """Return the routing table beside a cascade file; None when there is none to be read."""
    text = _read(cascade_file.parent / ROUTING_FILE)
    if text is None:
        return None
    try:
        return RoutingTableBody.model_validate_json(text)
    except ValidationError as error:
        _note_torn(ROUTING_FILE, error)
        return None


def read_assignment(cascade_file: Path, slot: str) -> AssignmentBody | None:
    """Return a slot's assignment beside a cascade file; None when there is none to be read."""
    text = _read(cascade_file.parent / ASSIGNMENTS_FILE)
    if text is None:
        return None
    try:
        told = json.loads(text)
        if not isinstance(told, dict):
            raise ValueError("it is no object")
        return AssignmentBody.model_validate(told[slot]) if slot in told else None
    except (ValueError, ValidationError) as error:
        _note_torn(ASSIGNMENTS_FILE, error)
        return None


def _read(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        _note_torn(file.name, error)
        return None


def _note_torn(name: str, error: Exception) -> None:
    log.warning("%s beside the cascade is of no use (%s); waiting to be told", name, error)
