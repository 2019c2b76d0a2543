"""Where swaps are quick: a worker counts as having a model that it will have in a moment.

A model that comes from pinned memory is there within seconds, sooner than a batch of a large model
is made. So nothing waits for it but the images: lanes go over to a new plan at once, and images
queue at workers that still make what waits for their old model, or load the new one. Otherwise the
few workers that have it already would bear the whole load, with the deadline far away.
"""

from dataclasses import replace

from hadis.planning.snapshots import ObservedWorker, Snapshot

SLO_SHARE = 0.25
"""Of the SLO, the longest that images may wait for a model: they have to be made in time, too."""


def patience_s(interval_s: float, slo_s: float) -> float:
    """Return how long a swap may take to be quick: it is over before the next control cycle, and
    while an image that waits for it still has most of its time."""
    return min(interval_s, SLO_SHARE * slo_s)


def is_quick(longest_swap_s: float, within_s: float) -> bool:
    """Whether a swap costs something, and no more than `within_s`."""
    return 0.0 < longest_swap_s <= within_s


def count_in(snapshot: Snapshot, within_s: float) -> Snapshot:
    """Return the snapshot with every worker holding what it can load in `within_s` seconds.

    Only what a worker has loaded before counts: the first time may take far longer, from a disk.
    """
    workers = tuple(_counted_in(worker, within_s) for worker in snapshot.workers)
    return replace(snapshot, workers=workers)


def _counted_in(worker: ObservedWorker, within_s: float) -> ObservedWorker:
    arriving_s = {
        name: seconds
        for name, seconds in worker.load_s.items()
        if seconds <= within_s and name not in worker.resident and name not in worker.broken
    }
    assigned = None if worker.assignment is None else worker.assignment.model
    return replace(
        worker,
        ready=worker.ready or assigned in arriving_s,
        resident=worker.resident | arriving_s.keys(),
        arriving_s=arriving_s,
    )
