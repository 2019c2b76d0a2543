"""Which slots' Deployments record another assignment than theirs, and what is applied to them."""

import json
from collections.abc import Mapping

from hadis.terms.assignments import Assignment
from hadis.terms.ids import WorkerName
from hadis.wire.assignments import AssignmentBody
from hadis_operator import objects
from hadis_operator.objects import Manifest


def stale_annotations(
    assignments: Mapping[WorkerName, Assignment], live: Mapping[str, Manifest]
) -> dict[str, str]:
    """Return the annotation of each slot whose Deployment records another assignment."""
    found: dict[str, str] = {}
    for slot, deployment in sorted(live.items()):
        assignment = assignments.get(WorkerName(slot))
        if assignment is None or "deletionTimestamp" in deployment["metadata"]:
            continue
        text = assignment_text(assignment)
        if objects.annotation(deployment, objects.ASSIGNMENT_ANNOTATION) != text:
            found[slot] = text
    return found


def assignment_text(assignment: Assignment) -> str:
    """Return an assignment as the annotation has it."""
    body = AssignmentBody.from_terms(assignment).model_dump(mode="json")
    return json.dumps(body, sort_keys=True, separators=(",", ":"))


def annotation_patch(deployment: Manifest, text: str) -> Manifest:
    """Return what the annotations' own field manager applies; its UID keeps a namesake safe."""
    patch = objects.reference(deployment)
    patch["metadata"]["annotations"] = {objects.ASSIGNMENT_ANNOTATION: text}
    return patch
