"""Whether deadlines are kept, judged over the last minute, slowly enough not to flicker.

Between the two limits the last judgement stands, and a quiet minute changes nothing: a condition
that followed every pause of the load would be written with each of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from hadis.planning.snapshots import ObservedRouter

WINDOW_S = 60.0
MISSED_ABOVE = 0.05
MET_BELOW = 0.01


class Attainment(StrEnum):
    """How the deadlines fared; the values are the reasons of the condition SLOAttainable."""

    MET = "Met"  # almost every image came in time
    MISSED = "Missed"  # more than one in twenty did not
    NO_DATA = "NoData"  # nobody has asked for anything yet


@dataclass(frozen=True, slots=True)
class Mark:
    """Totals over all routers at one moment."""

    at_s: float
    arrived: int
    failed: int


@dataclass(frozen=True, slots=True)
class Record:
    """Marks of the last minute, and the judgement so far."""

    judgement: Attainment = Attainment.NO_DATA
    marks: tuple[Mark, ...] = ()


def note(record: Record, now_s: float, routers: Iterable[ObservedRouter]) -> Record:
    """Return the record with the counters of now."""
    everyone = tuple(routers)
    mark = Mark(
        now_s,
        sum(router.arrived for router in everyone),
        sum(router.late + router.dropped for router in everyone),
    )
    kept = tuple(one for one in record.marks if one.at_s >= now_s - WINDOW_S)
    if kept and (mark.arrived < kept[-1].arrived or mark.failed < kept[-1].failed):
        # A router went, with its counts: differences across that mean nothing.
        return Record(record.judgement, (mark,))
    marks = (*kept, mark)
    return Record(_judge(record.judgement, marks), marks)


def _judge(before: Attainment, marks: tuple[Mark, ...]) -> Attainment:
    arrived = marks[-1].arrived - marks[0].arrived
    failed = marks[-1].failed - marks[0].failed
    if arrived <= 0:
        return before
    ratio = failed / arrived
    if ratio > MISSED_ABOVE:
        return Attainment.MISSED
    if ratio < MET_BELOW or before is Attainment.NO_DATA:
        return Attainment.MET
    return before
