"""Routers' counters, from whichever source, as counts that the forecast can take differences of.

The domain takes a counter that fell, or a router that it has not met, for a router that began at
zero. Here two sources may take turns with one lagging behind the other, and an operator that starts
meets routers that have counted for days; both would look like a storm of requests. So counts are
kept by router process, never fall within one, and start at what they were when first met unless the
process is younger than the watch.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from hadis.planning.snapshots import ObservedRouter
from hadis.terms.ids import WorkerName

FIELDS = ("arrived", "planned", "direct", "judged", "escalated", "late", "dropped")
YOUNG_S = 5.0
"""A process that started up to this long before the watch counts as begun within it: kubelets tell
start times in whole seconds, and clocks of nodes differ a little."""

Counts = Mapping[str, int]
"""`FIELDS` to counts since a router's process started; what a source lacks is left out."""


@dataclass(frozen=True, slots=True)
class Process:
    """One life of a router's container. `started_epoch_s` is None where nobody knows."""

    uid: str
    restarts: int = 0
    started_epoch_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Entry:
    base: Counts
    highest: Counts


@dataclass(frozen=True, slots=True)
class Ledger:
    """Counts by router process since `since_epoch_s`, when the watch began."""

    since_epoch_s: float
    entries: Mapping[Process, _Entry] = field(default_factory=dict)


def note(ledger: Ledger, process: Process, counts: Counts) -> Ledger:
    """Return the ledger with what one source says about one process."""
    known = ledger.entries.get(process)
    if known is None:
        is_young = (
            process.started_epoch_s is not None
            and process.started_epoch_s >= ledger.since_epoch_s - YOUNG_S
        )
        known = _Entry(dict.fromkeys(FIELDS, 0) if is_young else {}, {})
    # What one source lacks starts at what the other says of it first.
    base = {**counts, **known.base}
    highest = {
        name: max(known.highest.get(name, first), counts.get(name, first))
        for name, first in base.items()
    }
    entry = replace(known, base=base, highest=highest)
    return replace(ledger, entries={**ledger.entries, process: entry})


def keep(ledger: Ledger, processes: Iterable[Process]) -> Ledger:
    """Return the ledger without processes that are gone."""
    there = set(processes)
    return replace(ledger, entries={p: e for p, e in ledger.entries.items() if p in there})


def observed(
    ledger: Ledger,
    process: Process,
    *,
    routing_version: int = 0,
    unreachable: Iterable[str] = (),
) -> ObservedRouter:
    """Return the domain's observation of a process that was noted before."""
    entry = ledger.entries[process]
    counts = {name: entry.highest.get(name, 0) - entry.base.get(name, 0) for name in FIELDS}
    return ObservedRouter(
        uid=f"{process.uid}/{process.restarts}",
        routing_version=routing_version,
        unreachable=frozenset(WorkerName(name) for name in unreachable),
        **counts,
    )
