"""Rendering that is done again only when what it is rendered from has changed.

A loop has a turn every two seconds, and most of them change nothing.
"""

from collections.abc import Mapping
from typing import Any

from hadis.terms.assignments import Assignment, RoutingTable
from hadis.terms.ids import WorkerName
from hadis_operator import surveying
from hadis_operator.installation import Installation
from hadis_operator.objects import Manifest
from hadis_operator.reading import Given
from hadis_operator.rendering import fleet, plans
from hadis_operator.rendering.plans import Record


class Renderer:
    """The newest rendering of one cascade."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._slots: tuple[Given, dict[str, Manifest]] | None = None
        self._fleet: tuple[Given, Record, list[Manifest]] | None = None
        self._document: tuple[Given, dict[str, Any]] | None = None

    def slots(self, given: Given) -> dict[str, Manifest]:
        """Return every slot's Deployment, by slot; callers must not change them."""
        if self._slots is None or self._slots[0] is not given:
            self._slots = (given, surveying.render_slots(given, self._installation))
        return self._slots[1]

    def document(self, given: Given) -> Mapping[str, Any]:
        """Return the cascade as it is told to processes, the same object while it is the same."""
        if self._document is None or self._document[0] is not given:
            told = plans.cascade_document(given.cascade, given.told_profile)
            self._document = (given, told)
        return self._document[1]

    def fleet(
        self,
        given: Given,
        routing: RoutingTable | None,
        assignments: Mapping[WorkerName, Assignment],
    ) -> list[Manifest]:
        """Return everything but the slots, in the order of writing.

        The plan records the last word to each slot that shall be, also of one that is away now.
        """
        wanted = self.slots(given)
        kept = {name: assignments[name] for name in sorted(assignments) if name in wanted}
        record = Record(
            given.cascade,
            given.models_hash,
            given.told_profile,
            routing=routing,
            assignments=kept,
        )
        if self._fleet is None or self._fleet[0] is not given or self._fleet[1] != record:
            rendered = fleet.render(given.owner, given.spec, self._installation, record)
            self._fleet = (given, record, rendered)
        return self._fleet[2]
