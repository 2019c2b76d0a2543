"""The lookup table as arrays: what each row asks of workers and of the clock, batch by batch.

Rows are on axis 0. A stage is 0 (light) or 1 (heavy); batch choices of a model are numbered, and
unused numbers cost more than anything can. A pair of one model with itself has one pool that
carries both stages: its two batch numbers must be equal. Times are whole microseconds and rounded
once, here, so that filter, integer program and mixture search never disagree about a deadline.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hadis.planning.problems import Problem
from hadis.terms.ids import ModelName
from hadis.terms.profiles import Deliver, Profile, ProfileRow

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

ROUNDING = 1e-9
"""Slack before a worker count is rounded up: 0.1 + 0.2 needs no second worker to make 0.3."""
US_PER_S = 1_000_000
NEVER_US = 2**50
"""Longer than any deadline: 35 years."""


@dataclass(frozen=True, slots=True)
class Table:
    """Costs of every candidate row, for one problem.

    Per row and stage: `model`, the number of its model; `ratio`, the share of all requests that it
    processes; `uses`, whether any; `scored`, the share of its images that the discriminator scores;
    `wait_us`, the wait in its queue. Then by batch number too: `load`, workers kept busy by the
    demand, before any rounding; `batch_us`, the rest of equation 5's term. A stage that a row never
    uses has load and times 0. `quality[k]`: higher is better, whatever the metric's direction.

    Per model: `extra`, workers kept busy by the backlog; `caps`, the workers that it may have;
    `price`, the quality that one swap costs; `held`, the workers that hold it (None: not known).
    `limit_us` is what the SLO leaves of `overhead_s` for the path.
    """

    rows: tuple[ProfileRow, ...]
    models: tuple[ModelName, ...]
    batches: tuple[tuple[int, ...], ...]
    model: Ints
    ratio: Floats
    uses: Bools
    scored: Floats
    quality: Floats
    load: Floats
    batch_us: Ints
    wait_us: Ints
    limit_us: int
    extra: Floats
    caps: Ints
    price: Floats
    held: Ints | None
    overhead_s: float

    @property
    def twins(self) -> Bools:
        """Rows whose two stages share one pool."""
        return np.asarray(self.model[:, 0] == self.model[:, 1])

    @property
    def path_us(self) -> Ints:
        """Equation 5's term of each row and stage, by batch number."""
        return self.batch_us + self.wait_us[:, :, None]

    @property
    def stranded(self) -> Floats:
        """Workers that each row's plan has to leave to the backlog of models it does not use."""
        used = self.spread(self.uses.astype(np.float64)) > 0.0
        return np.asarray(np.where(used, 0.0, self.extra).sum(axis=1))

    def spread(self, stages: NDArray[Any]) -> NDArray[Any]:
        """Return values by row and stage as sums by row and model; later axes stay."""
        shape = (len(self.rows), len(self.models), *stages.shape[2:])
        spread: NDArray[Any] = np.zeros(shape, dtype=stages.dtype)
        number = np.arange(len(self.rows))
        for stage in (0, 1):
            spread[number, self.model[:, stage]] += stages[:, stage]
        return spread

    def index(self, name: ModelName) -> int:
        """Return the number of model `name`."""
        return self.models.index(name)


def build(
    problem: Problem, rows: Sequence[ProfileRow], shares: Sequence[float] | None = None
) -> Table:
    """Return the arrays of `rows` under the problem's demand, queues and latencies.

    Each row is taken as if it ran alone; with `shares` all of them run at once, and requests arrive
    at a model by way of every row that uses it.
    """
    profile = problem.profile
    models = tuple(model.name for model in profile.models)
    number = {name: index for index, name in enumerate(models)}
    batches = tuple(useful_batches(profile, name) for name in models)
    metric = profile.quality.metric
    columns = np.array(
        [
            (
                number[row.light],
                number[row.heavy],
                row.light_ratio,
                row.heavy_ratio,
                row.direct_ratio,
                row.quality_threshold,
                row.measured[metric],
            )
            for row in rows
        ]
    )
    model = columns[:, :2].astype(np.int64)
    ratio = columns[:, 2:4]
    uses = ratio > 0.0
    scored = _scored(columns, profile.deliver)
    offered, sizes, seconds, scoring = _seconds(problem, batches)

    batch_s = seconds[model] + scored[:, :, None] * scoring[model]
    load = problem.demand_per_s * ratio[:, :, None] * batch_s / sizes[model]
    # The bound of equation 5 is for the longest path, on which every image is scored.
    longest_s = seconds[model] + (scored > 0)[:, :, None] * scoring[model]
    residual_s = np.array([problem.residual_s.get(name, 0.0) for name in models])
    longest_s = np.where(uses[:, :, None], longest_s + residual_s[model][:, :, None], 0.0)
    longest_s = np.where(offered[model], longest_s, math.inf)
    wait_s = _waits_s(problem, models, model, ratio, shares)
    return Table(
        rows=tuple(rows),
        models=models,
        batches=batches,
        model=model,
        ratio=ratio,
        uses=uses,
        scored=scored,
        quality=problem.sign * columns[:, 6],
        load=np.where(offered[model], np.where(uses[:, :, None], load, 0.0), math.inf),
        batch_us=in_us(longest_s),
        wait_us=in_us(np.where(uses, wait_s, 0.0)),
        limit_us=min(int(in_us(np.array(problem.slo_s - problem.overhead))), NEVER_US - 1),
        extra=np.array([problem.backlog_s.get(name, 0.0) / problem.drain_s for name in models]),
        caps=_caps(problem, models),
        price=prices(problem, models),
        held=_held(problem, models),
        overhead_s=problem.overhead,
    )


def in_us(seconds: Floats) -> Ints:
    """Return whole microseconds; what lasts longer than any deadline becomes NEVER_US."""
    return np.asarray(np.minimum(np.rint(seconds * US_PER_S), NEVER_US)).astype(np.int64)


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


def has_queues(problem: Problem) -> bool:
    """Return whether anything waits that counts: a safety factor of 0 stands for no wait at all."""
    return problem.queue_safety_factor > 0.0 and any(problem.queue.values())


def prices(problem: Problem, models: Sequence[ModelName]) -> Floats:
    """Return what one swap to each model costs: its share of all workers' time, in quality."""
    if problem.current_workers is None or not any(problem.swap_s.values()):
        return np.zeros(len(models))
    metric = problem.profile.quality.metric
    values = [row.measured[metric] for row in problem.profile.rows]
    each = (max(values) - min(values)) / (problem.swap_horizon_s * max(problem.workers, 1))
    return np.array([each * problem.swap_s.get(name, 0.0) for name in models])


def _scored(columns: Floats, deliver: Deliver) -> Floats:
    """Return the share of light and of heavy images that the discriminator scores."""
    light_ratio, heavy_ratio, direct_ratio, threshold = columns[:, 2:6].T
    light = np.isfinite(threshold) & (light_ratio > 0.0)
    if deliver is Deliver.HEAVY:
        return np.stack([light, np.zeros(len(columns))], axis=1).astype(np.float64)
    escalated = np.maximum(heavy_ratio - direct_ratio, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(light & (heavy_ratio > 0.0), escalated / heavy_ratio, 0.0)
    return np.stack([light.astype(np.float64), np.minimum(share, 1.0)], axis=1)


def _seconds(
    problem: Problem, batches: Sequence[Sequence[int]]
) -> tuple[Bools, Floats, Floats, Floats]:
    """Return by model and batch number: whether offered, size, seconds a batch and of scoring."""
    profile = problem.profile
    shape = len(batches), max(len(choices) for choices in batches)
    offered = np.zeros(shape, dtype=bool)
    sizes, seconds, scoring = np.ones(shape), np.zeros(shape), np.zeros(shape)
    for index, choices in enumerate(batches):
        latency_s = profile.models[index].latency_s
        for position, size in enumerate(choices):
            offered[index, position] = True
            sizes[index, position] = size
            seconds[index, position] = latency_s[size]
            scoring[index, position] = seconds_at(profile.scoring_latency_s, size)
    return offered, sizes, seconds * problem.latency_scale, scoring * problem.latency_scale


def _waits_s(
    problem: Problem,
    models: Sequence[ModelName],
    model: Ints,
    ratio: Floats,
    shares: Sequence[float] | None,
) -> Floats:
    """Return the seconds that each row's stages wait in their queues, by Little's law.

    A queue that nothing arrives at never drains by that law: an infinite wait. A safety factor of 0
    stands for no wait at all.
    """
    if not has_queues(problem):
        return np.zeros(ratio.shape)
    if shares is None:
        same = model[:, :1] == model[:, 1:]
        arriving = np.where(same, ratio.sum(axis=1, keepdims=True), ratio)
    else:
        arriving_at = np.zeros(len(models))
        np.add.at(arriving_at, model, np.asarray(shares)[:, None] * ratio)
        arriving = arriving_at[model]
    arrival = problem.demand_per_s * arriving
    for index, name in enumerate(models):
        if name in problem.arrival_per_s:
            arrival = np.where(model == index, problem.arrival_per_s[name], arrival)
    queue = np.array([problem.queue.get(name, 0.0) for name in models])[model]
    with np.errstate(divide="ignore", invalid="ignore"):
        wait_s = np.where(queue > 0, problem.queue_safety_factor * queue / arrival, 0.0)
    return np.asarray(wait_s, dtype=np.float64)


def _caps(problem: Problem, models: Sequence[ModelName]) -> Ints:
    if problem.pools is None:
        return np.full(len(models), problem.workers, dtype=np.int64)
    return np.array([min(problem.pools.get(n, 0), problem.workers) for n in models], dtype=np.int64)


def _held(problem: Problem, models: Sequence[ModelName]) -> Ints | None:
    if problem.current_workers is None:
        return None
    return np.array([problem.current_workers.get(name, 0) for name in models], dtype=np.int64)
