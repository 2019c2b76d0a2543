"""`PUT /assignment` and `PUT /routing`: the controller's word to workers and routers."""

import math
from typing import Annotated, Self

from pydantic import Field, model_validator

from hadis.terms import assignments as terms
from hadis.terms.ids import ModelName, WorkerName
from hadis.wire.bodies import Body, OpenBody

SHARE_TOLERANCE = 1e-6


class AssignmentBody(OpenBody):
    """The JSON of `PUT /assignment` and of the annotation `hadis.dev/assignment`."""

    version: Annotated[int, Field(ge=0)]
    model: str | None
    role: terms.Role
    batch_size: Annotated[int, Field(ge=1)]
    quality_threshold: float | None = None

    def to_terms(self) -> terms.Assignment:
        """Return the domain's value."""
        model = None if self.model is None else ModelName(self.model)
        return terms.Assignment(
            self.version, model, self.role, self.batch_size, self.quality_threshold
        )

    @classmethod
    def from_terms(cls, value: terms.Assignment) -> Self:
        """Build the body of a domain value."""
        return cls(
            version=value.version,
            model=value.model,
            role=value.role,
            batch_size=value.batch_size,
            quality_threshold=None
            if value.quality_threshold is None
            else finite_or_none(value.quality_threshold),
        )


class LaneBody(Body):
    """One lane. A threshold of null is a disabled stage."""

    share: Annotated[float, Field(ge=0, le=1)]
    light: str
    heavy: str
    hardness_threshold: float | None
    quality_threshold: float | None

    def to_terms(self) -> terms.Lane:
        """Return the domain's value; null thresholds become the infinite ones."""
        return terms.Lane(
            self.share,
            ModelName(self.light),
            ModelName(self.heavy),
            math.inf if self.hardness_threshold is None else self.hardness_threshold,
            -math.inf if self.quality_threshold is None else self.quality_threshold,
        )

    @classmethod
    def from_terms(cls, value: terms.Lane) -> Self:
        """Build the body of a domain value; infinite thresholds travel as null."""
        return cls(
            share=value.share,
            light=value.light,
            heavy=value.heavy,
            hardness_threshold=finite_or_none(value.hardness_threshold),
            quality_threshold=finite_or_none(value.quality_threshold),
        )


class WorkerRefBody(OpenBody):
    """One worker of a routing table."""

    name: str
    address: str
    uid: str
    model: str | None
    arrives_in_s: Annotated[float, Field(ge=0)] = 0.0

    def to_terms(self) -> terms.WorkerRef:
        """Return the domain's value."""
        model = None if self.model is None else ModelName(self.model)
        return terms.WorkerRef(
            WorkerName(self.name), self.address, self.uid, model, self.arrives_in_s
        )

    @classmethod
    def from_terms(cls, value: terms.WorkerRef) -> Self:
        """Build the body of a domain value."""
        return cls(
            name=value.name,
            address=value.address,
            uid=value.uid,
            model=value.model,
            arrives_in_s=value.arrives_in_s,
        )


class RoutingTableBody(OpenBody):
    """The JSON of `PUT /routing`. `plan` is the controller's summary for `/v1/status`, opaque."""

    version: Annotated[int, Field(ge=0)]
    lanes: Annotated[list[LaneBody], Field(min_length=1, max_length=8)]
    workers: Annotated[list[WorkerRefBody], Field(max_length=4096)]
    plan: dict[str, object] | None = None

    @model_validator(mode="after")
    def _shares_add_up(self) -> Self:
        total = sum(lane.share for lane in self.lanes)
        if abs(total - 1.0) > SHARE_TOLERANCE:
            raise ValueError(f"the shares of the lanes add up to {total:g}, not to 1")
        return self

    def to_terms(self) -> terms.RoutingTable:
        """Return the domain's value."""
        return terms.RoutingTable(
            self.version,
            tuple(lane.to_terms() for lane in self.lanes),
            tuple(worker.to_terms() for worker in self.workers),
        )

    @classmethod
    def from_terms(
        cls, value: terms.RoutingTable, *, plan: dict[str, object] | None = None
    ) -> Self:
        """Build the body of a domain value."""
        return cls(
            version=value.version,
            lanes=[LaneBody.from_terms(lane) for lane in value.lanes],
            workers=[WorkerRefBody.from_terms(worker) for worker in value.workers],
            plan=plan,
        )


def finite_or_none(value: float) -> float | None:
    """Return `value`, or None for an infinite threshold, which JSON cannot carry."""
    return value if math.isfinite(value) else None
