"""Whether deadlines are kept, judged over the last minute, slowly enough not to flicker.

Between the two limits the last judgement stands, and a quiet minute changes nothing: a condition
that followed every pause of the load would be written with each of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from hadis.planning.snapshots import ObservedRouter

WINDOW_S = 60.0
MISSED_ABOVE = 0.05
MET_BELOW = 0.01
PATIENCE_S = 20.0
"""By then a step of the load has had its plan."""


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
    """Marks of the last minute, the judgement so far, and when the first one was made."""

    judgement: Attainment = Attainment.NO_DATA
    marks: tuple[Mark, ...] = ()
    judged_at_s: float | None = None


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
        return replace(record, marks=(mark,))
    marks = (*kept, mark)
    judgement = _judge(record.judgement, marks)
    is_first = record.judgement is Attainment.NO_DATA and judgement is not record.judgement
    return Record(judgement, marks, now_s if is_first else record.judged_at_s)


def shown(record: Record, now_s: float, *, is_written: bool) -> Attainment:
    """Return the judgement to show.

    That the first images were in time waits a while for a status that is written anyway
    (`is_written`): the load that brought them usually brings another plan, too.
    """
    waits = (
        record.judgement is Attainment.MET
        and record.judged_at_s is not None
        and now_s - record.judged_at_s < PATIENCE_S
        and not is_written
    )
    return Attainment.NO_DATA if waits else record.judgement


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
