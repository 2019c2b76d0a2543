"""Which worker holds which model: the fewest swaps, a few at a time, no stage without a worker.

A worker that already has a model resident takes it at once and goes on serving its others. One
that must load it is out for that long, so only a part of the fleet loads at any time, and the last
ready worker of a model that the routing table still uses is left alone until others can serve.
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from hadis.planning.snapshots import ObservedWorker
from hadis.terms.ids import ModelName, WorkerName

LOADING_SHARE = 0.25
"""Part of the fleet that may load at the same time; at least one worker."""
SLOW_LOADING_SHARE = 0.2
"""The same where a load outlasts several cycles: three of sixteen, so that thirteen serve."""


@dataclass(frozen=True, slots=True)
class Placement:
    """The model that each worker is assigned now, and whether that is where all should be."""

    models: Mapping[WorkerName, ModelName | None]
    complete: bool


def place(
    wanted: Mapping[ModelName, int],
    workers: Sequence[ObservedWorker],
    assigned: Mapping[WorkerName, ModelName | None],
    in_use: Collection[ModelName],
    *,
    loading_share: float = LOADING_SHARE,
) -> Placement:
    """Return the next step towards `wanted` workers a model.

    `assigned` holds the models of the last placement, `in_use` those of the routing table in force.
    At most `loading_share` of the workers load at the same time.
    """
    present = {w.name: assigned.get(w.name) for w in workers}
    target = _target(wanted, workers, present)
    budget = max(1, math.floor(loading_share * len(workers)))
    # Who was told to load but is not there yet is loading, and uses up the budget.
    loading = {
        w.name for w in workers if (model := present[w.name]) is not None and not _has(w, model)
    }
    budget -= len(loading)
    holders = Counter(
        model
        for w in workers
        if w.ready and (model := present[w.name]) is not None and _has(w, model)
    )
    models: dict[WorkerName, ModelName | None] = {}
    for worker in workers:
        old, new = present[worker.name], target[worker.name]
        if old is None or old == new or new is None or _has(worker, new):
            models[worker.name] = new
            continue
        if worker.name in loading:
            # It ends what it has begun, where that is of use: whoever is sent from one model to the
            # next never arrives.
            useful = wanted.get(old, 0) > 0 and old not in worker.broken
            models[worker.name] = old if useful else new
            continue
        if not worker.ready:
            models[worker.name] = new
            continue
        # Once every wanted model has a ready worker, the old lanes have had their time.
        needed = old in in_use and not all(holders[model] > 0 for model in wanted)
        last = needed and _has(worker, old) and holders[old] <= 1
        if budget > 0 and not last:
            budget -= 1
            holders[old] -= 1
            models[worker.name] = new
        else:
            models[worker.name] = old
    return Placement(models, complete=models == target)


def _target(
    wanted: Mapping[ModelName, int],
    workers: Sequence[ObservedWorker],
    present: Mapping[WorkerName, ModelName | None],
) -> dict[WorkerName, ModelName | None]:
    """Return the final model of each worker: who has it keeps it, then who need not load it."""
    open_places = Counter({model: count for model, count in wanted.items() if count > 0})
    target: dict[WorkerName, ModelName | None] = {}
    # Ready holders first: with fewer places than holders the ones that serve already stay, and of
    # those the ones with most to do: a worker makes what waits before it loads another model.
    for worker in sorted(workers, key=lambda w: (not w.ready, *_least_idle(w), w.name)):
        model = present[worker.name]
        if model is not None and open_places[model] > 0 and model not in worker.broken:
            target[worker.name] = model
            open_places[model] -= 1
    for needs_load in (False, True):
        for worker in sorted(workers, key=lambda w: (not w.ready, w.name)):
            if worker.name in target:
                continue
            fitting = [
                model
                for model, places in open_places.items()
                if places > 0 and model not in worker.broken and (needs_load or _has(worker, model))
            ]
            if fitting:
                model = max(fitting, key=lambda name: (open_places[name], name))
                target[worker.name] = model
                open_places[model] -= 1
    for worker in workers:
        target.setdefault(worker.name, present[worker.name])
    return target


def _least_idle(worker: ObservedWorker) -> tuple[int, float]:
    """Return a key that puts who has most to make first: images that wait, then what runs."""
    return -sum(worker.waiting.values()), -worker.residual_s


def _has(worker: ObservedWorker, model: ModelName) -> bool:
    return model in worker.resident
