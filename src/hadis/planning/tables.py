"""The lookup table as arrays: what each row asks of workers and of the clock, batch by batch.

Rows are on axis 0. A stage is 0 (light) or 1 (heavy); batch choices of a model are numbered, and
unused numbers cost infinity. A pair of one model with itself has one pool that carries both stages:
its two batch numbers must be equal.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hadis.planning.problems import Problem
from hadis.terms.ids import ModelName
from hadis.terms.profiles import Deliver, Direction, Profile, ProfileRow

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

ROUNDING = 1e-9
"""Slack before a worker count is rounded up: 0.1 + 0.2 needs no second worker to make 0.3."""


@dataclass(frozen=True, slots=True)
class Table:
    """Costs of every candidate row, for one problem.

    `load[k, stage, b]`: workers kept busy when the stage runs in batches number b, before any
    rounding. `path_s[k, stage, b]`: equation 5's term of the stage. `quality[k]`: higher is better,
    whatever the metric's direction. `scored[k, stage]`: share of the stage's images that the
    discriminator scores. A stage that a row never uses has load and path 0.
    """

    rows: tuple[ProfileRow, ...]
    models: tuple[ModelName, ...]
    batches: tuple[tuple[int, ...], ...]
    model: Ints
    uses: Bools
    scored: Floats
    quality: Floats
    load: Floats
    path_s: Floats
    overhead_s: float

    @property
    def twins(self) -> Bools:
        """Rows whose two stages share one pool."""
        return np.asarray(self.model[:, 0] == self.model[:, 1])

    def index(self, name: ModelName) -> int:
        """Return the number of model `name`."""
        return self.models.index(name)


def build(problem: Problem, rows: Sequence[ProfileRow]) -> Table:
    """Return the arrays of `rows` under the problem's demand, queues and latencies."""
    profile = problem.profile
    models = tuple(model.name for model in profile.models)
    number = {name: index for index, name in enumerate(models)}
    batches = tuple(useful_batches(profile, name) for name in models)
    width = max(len(choices) for choices in batches)
    model = np.array([[number[row.light], number[row.heavy]] for row in rows], dtype=np.int64)
    ratio = np.array([[row.light_ratio, row.heavy_ratio] for row in rows])
    scored = np.array([scored_shares(row, profile.deliver) for row in rows])

    seconds = np.zeros((len(models), width))
    scoring = np.zeros((len(models), width))
    sizes = np.ones((len(models), width))
    offered = np.zeros((len(models), width), dtype=bool)
    for index, name in enumerate(models):
        latency_s = profile.latency_of(name)
        for position, size in enumerate(batches[index]):
            offered[index, position] = True
            sizes[index, position] = size
            seconds[index, position] = latency_s[size] * problem.latency_scale
            scoring[index, position] = (
                seconds_at(profile.scoring_latency_s, size) * problem.latency_scale
            )

    uses = ratio > 0.0
    batch_s = seconds[model] + scored[:, :, None] * scoring[model]
    load = problem.demand_per_s * ratio[:, :, None] * batch_s / sizes[model]
    # The bound of equation 5 is for the longest path, on which every image is scored.
    path_s = seconds[model] + (scored > 0)[:, :, None] * scoring[model]
    path_s += waits(problem, models, model, ratio)[:, :, None]
    load = np.where(offered[model], np.where(uses[:, :, None], load, 0.0), math.inf)
    path_s = np.where(offered[model], np.where(uses[:, :, None], path_s, 0.0), math.inf)

    extra = np.array([problem.backlog_s.get(name, 0.0) / problem.drain_s for name in models])
    load += _first_use(uses, model)[:, :, None] * extra[model][:, :, None]
    sign = 1.0 if profile.quality.direction is Direction.HIGHER else -1.0
    quality = sign * np.array([row.measured[profile.quality.metric] for row in rows])
    overhead_s = profile.overhead_s if problem.overhead_s is None else problem.overhead_s
    return Table(
        tuple(rows), models, batches, model, uses, scored, quality, load, path_s, overhead_s
    )


def waits(problem: Problem, models: Sequence[ModelName], model: Ints, ratio: Floats) -> Floats:
    """Return the seconds that each row's stages wait: Little's law, running batches, loading.

    A queue that nothing arrives at never drains by Little's law: an infinite wait.
    """
    total = np.where(model[:, :1] == model[:, 1:], ratio.sum(axis=1, keepdims=True), ratio)
    arrival = problem.demand_per_s * total
    for index, name in enumerate(models):
        if name in problem.arrival_per_s:
            arrival = np.where(model == index, problem.arrival_per_s[name], arrival)
    queue = np.array([problem.queue.get(name, 0.0) for name in models])[model]
    with np.errstate(divide="ignore", invalid="ignore"):
        wait_s = np.where(queue > 0, problem.queue_safety_factor * queue / arrival, 0.0)
    current = problem.current_workers or {}
    start_s = np.array(
        [
            problem.residual_s.get(name, 0.0)
            if current.get(name, 0) > 0 or problem.current_workers is None
            else problem.swap_s.get(name, 0.0)
            for name in models
        ]
    )
    return np.asarray(wait_s + start_s[model], dtype=np.float64)


def scored_shares(row: ProfileRow, deliver: Deliver) -> tuple[float, float]:
    """Return the share of light and of heavy images that the discriminator scores."""
    light = 1.0 if math.isfinite(row.quality_threshold) and row.light_ratio > 0 else 0.0
    escalated = max(row.heavy_ratio - row.direct_ratio, 0.0)
    if deliver is Deliver.HEAVY or row.heavy_ratio <= 0.0 or light == 0.0:
        return light, 0.0
    return light, min(escalated / row.heavy_ratio, 1.0)


def useful_batches(profile: Profile, name: ModelName) -> tuple[int, ...]:
    """Return the batch sizes that raise throughput over every smaller one, scored or not."""
    latency_s = profile.latency_of(name)
    useful: list[tuple[int, float, float]] = []
    for size in sorted(latency_s):
        bare = latency_s[size] / size
        scored = bare + seconds_at(profile.scoring_latency_s, size) / size
        if not any(b <= bare + ROUNDING and s <= scored + ROUNDING for _, b, s in useful):
            useful.append((size, bare, scored))
    return tuple(size for size, _, _ in useful)


def seconds_at(latency_s: Mapping[int, float], size: int) -> float:
    """Return the seconds of a batch of `size`, interpolated between the measured sizes.

    Beyond the largest one the last two sizes' slope continues; of one size alone, the time an
    image is constant. An empty measurement costs nothing.
    """
    if not latency_s:
        return 0.0
    if size in latency_s:
        return latency_s[size]
    sizes = sorted(latency_s)
    if len(sizes) == 1 or size < sizes[0]:
        return latency_s[sizes[0]] * max(size / sizes[0], 1.0)
    upper = next((s for s in sizes if s > size), sizes[-1])
    lower = sizes[sizes.index(upper) - 1]
    slope = (latency_s[upper] - latency_s[lower]) / (upper - lower)
    return latency_s[lower] + slope * (size - lower)


def whole_workers(load: Floats, uses: Bools, limit: float) -> Floats:
    """Return equation 4's whole workers for `load`, each busy at most `limit` of the time.

    A stage that is used at all has one, also without any load.
    """
    rounded = np.ceil(load / limit - ROUNDING)
    return np.asarray(np.maximum(rounded, uses), dtype=np.float64)


def _first_use(uses: Bools, model: Ints) -> Floats:
    """Mark one stage a pool, so that what a pool carries extra is not counted twice."""
    first = uses.astype(np.float64)
    twins = (model[:, 0] == model[:, 1]) & uses[:, 0]
    first[twins, 1] = 0.0
    return first
