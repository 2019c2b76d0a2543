"""Published measurements as profiles and workloads: `imagenet-l40s` and three `diffserve-*` ones.

`imagenet` reads what an author of the HADIS paper measured (github.com/Tung-I/diffserve-2): FID of
six pairs of four models on an 11 x 11 grid of shares, with eight features and four scores a prompt.
`diffserve` reads the public artifact of DiffServe (github.com/qizhengyang98/DiffServe): latencies,
shares and FID of three cascades with a discriminator only. Callers read the files and pass their
texts by name; what is missing or wrong is InvalidInput with file, row and field.

The tables give shares, a router needs thresholds. They are cut so that comparing with `>=` and `<`
sends exactly the table's shares of the workload's prompts each way; equal values, of which the data
holds many, are told apart by a seeded jitter smaller than their smallest difference.
"""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hadis.errors import InvalidInput
from hadis.profiling import pruning, sweeping
from hadis.profiling.workloads import Floats, Workload
from hadis.terms.ids import ModelName
from hadis.terms.profiles import Direction, ModelLatency, Profile, ProfileRow, QualityMetric

FID = QualityMetric("fid", Direction.LOWER)

IMAGENET = "imagenet-l40s"
IMAGENET_MODELS = tuple(
    map(ModelName, ("sdxl-lightning", "sd3.5-large-turbo", "sd3.5-medium", "sd3.5-large"))
)
IMAGENET_SECONDS = (0.5, 1.3, 13.0, 27.0)
IMAGENET_BATCHES = (1, 2, 4, 8)
BATCH_FACTOR = 0.9
"""A batch of two or more takes this part of its images' time one by one, on every model."""
HARDNESS_WEIGHTS = (0.85, 0.32, 0.72, 0.99, 0.76, 0.07, 0.78, 0.01)
"""Published with the features, in the order of their columns, for z-scored values."""
IMAGENET_FILES = (
    "fid_hybrid.csv",
    "prompt_features_imagenet.csv",
    "discriminator_scores_imagenet.csv",
)

DIFFSERVE = {
    ("SD-Turbo", "SDv1.5"): "diffserve-sd-turbo",
    ("SDXS", "SDv1.5"): "diffserve-sdxs",
    ("SDXL-Lightning", "SDXL"): "diffserve-sdxl-lightning",
}
DIFFSERVE_FILES = (
    "measured_cascades.json",
    "confidence_scores_sdturbo_sdv15.csv",
    "prompts_diffusiondb.txt",
)

DIGITS = 9
"""Values that agree to so many digits are equal: what tells them apart is rounding of sums."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A profile and the workload that its thresholds were cut on."""

    profile: Profile
    workload: Workload


def imagenet(
    texts: Mapping[str, str], *, seed: int = 0, scale: Sequence[float] | None = None
) -> Measured:
    """Return profile and workload of `IMAGENET_FILES`, keyed by name.

    Hardness is the published features' weighted sum. `scale` puts it on another scale without
    changing which prompt is harder: scores that another scorer gives the same prompts, in any
    order. With those of `hadis.hardness` the thresholds send the same shares of such prompts
    straight to heavy in production as here.
    """
    draws = np.random.default_rng(seed)
    prompts, features = _features(texts)
    hardness = untied(_weighted(features), draws)
    if scale is not None:
        hardness = rescaled(hardness, scale)
    scores = {
        model: untied(mean, draws)
        for model, mean in _mean_scores(
            _text(texts, "discriminator_scores_imagenet.csv"), len(prompts)
        ).items()
    }
    workload = Workload(tuple(prompts), hardness, scores)
    grid = tuple(_imagenet_rows(_text(texts, "fid_hybrid.csv"), workload))
    profile = Profile(
        name=IMAGENET,
        quality=FID,
        models=tuple(
            ModelLatency(model, _batches(seconds))
            for model, seconds in zip(IMAGENET_MODELS, IMAGENET_SECONDS, strict=True)
        ),
        rows=pruning.prune_rows(grid, FID),
        grid=grid,
        hardware="NVIDIA L40S",
        notes={
            "source": "FID, features and scores: github.com/Tung-I/diffserve-2 (an author of "
            "arXiv 2509.00642), 5,000 ImageNet-1k captions at 1024x1024",
            "latencies": "seconds an image as published; a batch of b >= 2 takes 0.9 b times one "
            "image. Scoring (7 ms) and hardness (5 ms, section 5.8 of the paper) are within their "
            "rounding and left out",
            "hardness": "published features and weights, "
            + (
                "on the published scale"
                if scale is None
                else "on the scale of hadis.hardness with its default weights"
            ),
            "scores": "the authors' discriminator, mean of 4 images a prompt; with another one the "
            "quality thresholds reject other shares, which the planner corrects as it sees them",
            "rows": f"{len(grid)} measured; a row goes when another of its pair is no worse in "
            "both ratios, in quality and in the stages that it needs",
        },
    )
    return Measured(profile, workload)


def imagenet_prompts(texts: Mapping[str, str]) -> list[str]:
    """Return the prompts of `IMAGENET_FILES`, in their order."""
    return _features(texts)[0]


def diffserve(texts: Mapping[str, str], *, seed: int = 0) -> dict[str, Measured]:
    """Return profile and workload of the three cascades of `DIFFSERVE_FILES`, by profile name.

    The scores are those of one light and one heavy model, and stand for the other cascades' too:
    only which share of them a threshold rejects matters, and that is cut to the cascade's own
    curve. There is no router: hardness is drawn from `seed`, uniform in [0, 1).
    """
    source = "measured_cascades.json"
    judged = _columns(_text(texts, "confidence_scores_sdturbo_sdv15.csv"))
    count = len(next(iter(judged.cells.values())))
    known = _text(texts, "prompts_diffusiondb.txt").text.splitlines()[:count]
    prompts = tuple(known) + ("",) * (count - len(known))
    draws = np.random.default_rng(seed)
    hardness = draws.random(count)
    light_scores, heavy_scores = (
        untied(judged.numbers(column), draws) for column in ("sdturbo", "sdv15")
    )
    try:
        cascades = json.loads(_text(texts, source).text)["cascades"]
        found = {}
        for cascade in cascades:
            name = DIFFSERVE[cascade["light"], cascade["heavy"]]
            light, heavy = (_model_name(cascade[stage]) for stage in ("light", "heavy"))
            workload = Workload(prompts, hardness, {light: light_scores, heavy: heavy_scores})
            found[name] = Measured(
                _diffserve_profile(name, light, heavy, cascade, light_scores), workload
            )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{source}: is not DiffServe's table of cascades: {error!r}") from error
    return found


def untied(values: Floats, draws: np.random.Generator) -> Floats:
    """Return `values` with equal ones told apart by less than half their smallest difference."""
    rounded = np.round(values, DIGITS)
    distinct = np.unique(rounded)
    gap = float(np.diff(distinct).min()) if len(distinct) > 1 else 1.0
    return np.asarray(rounded + draws.random(len(values)) * gap / 2.0)


def rescaled(values: Floats, scale: Sequence[float]) -> Floats:
    """Return `values` on another scale: the k-th smallest becomes the k-th smallest of `scale`.

    Equal values of the scale are told apart far below its own digits, so that the order stays.
    """
    if len(scale) != len(values):
        raise InvalidInput(f"{len(scale)} values of the other scale for {len(values)} prompts")
    ascending = np.sort(np.asarray(scale, dtype=np.float64)) + np.arange(len(values)) * 1e-12
    result = np.empty(len(values))
    result[np.argsort(values, kind="stable")] = ascending
    return result


def threshold_rows(
    workload: Workload,
    light: ModelName,
    heavy: ModelName,
    shares: Sequence[tuple[float, float, float]],
) -> list[ProfileRow]:
    """Return a row for each (direct share, rejected share of the light images, FID) of a pair.

    Ratios are those that the thresholds really have over the workload.
    """
    rows = []
    for direct_share, rejected_share, fid in shares:
        theta, direct = sweeping.cut(workload.hardness, direct_share)
        tau, rejected = sweeping.reject(workload.scores[light], ~direct, rejected_share)
        direct_ratio = float(direct.mean())
        rows.append(
            ProfileRow(
                light=light,
                heavy=heavy,
                hardness_threshold=theta,
                quality_threshold=tau,
                direct_ratio=direct_ratio,
                light_ratio=1.0 - direct_ratio,
                heavy_ratio=direct_ratio + float(rejected.mean()),
                measured={FID.metric: fid},
            )
        )
    return rows


@dataclass(frozen=True, slots=True)
class _Named:
    """A text and the name of its file."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class _Columns:
    """A CSV by column; `name` is its file's."""

    name: str
    cells: dict[str, list[str]]

    def numbers(self, column: str) -> Floats:
        """Return a column as finite numbers."""
        if column not in self.cells:
            raise InvalidInput(f"{self.name}: the column {column} is missing", field=column)
        numbers = np.empty(len(self.cells[column]))
        for position, cell in enumerate(self.cells[column]):
            try:
                numbers[position] = float(cell)
            except ValueError:
                numbers[position] = math.nan
            if not math.isfinite(numbers[position]):
                raise InvalidInput(
                    f"{self.name}: row {position + 2}, column {column}: {cell!r} is no number",
                    field=column,
                )
        return numbers


def _text(texts: Mapping[str, str], name: str) -> _Named:
    if name not in texts:
        raise InvalidInput(f"{name} is missing", field=name)
    return _Named(name, texts[name])


def _columns(named: _Named) -> _Columns:
    lines = csv.reader(io.StringIO(named.text.removeprefix("\ufeff"), newline=""))
    names = next(lines, [])
    cells: dict[str, list[str]] = {name: [] for name in names}
    for fields in lines:
        if len(fields) != len(names):
            raise InvalidInput(
                f"{named.name}: row {lines.line_num}: {len(fields)} cells under {len(names)}"
            )
        for name, field in zip(names, fields, strict=True):
            cells[name].append(field)
    if not names or not cells[names[0]]:
        raise InvalidInput(f"{named.name}: the table is empty")
    return _Columns(named.name, cells)


def _features(texts: Mapping[str, str]) -> tuple[list[str], _Columns]:
    """Return the prompts and the columns of their features."""
    features = _columns(_text(texts, "prompt_features_imagenet.csv"))
    if "prompt" not in features.cells:
        raise InvalidInput(f"{features.name}: the column prompt is missing", field="prompt")
    return features.cells.pop("prompt"), features


def _weighted(features: _Columns) -> Floats:
    """Return the published score: the weighted sum of the z-scored features."""
    if len(features.cells) != len(HARDNESS_WEIGHTS):
        raise InvalidInput(
            f"{features.name}: {len(features.cells)} features for {len(HARDNESS_WEIGHTS)} weights"
        )
    total = np.zeros(len(next(iter(features.cells.values()))))
    for column, weight in zip(features.cells, HARDNESS_WEIGHTS, strict=True):
        values = features.numbers(column)
        total += weight * (values - values.mean()) / (values.std() or 1.0)
    return total


def _mean_scores(named: _Named, prompts: int) -> dict[ModelName, Floats]:
    """Return each model's mean score over the images of a prompt."""
    table = _columns(named)
    places = table.numbers("prompt_index").astype(np.int64)
    if places.min() < 0 or places.max() >= prompts:
        row = int(np.argmax((places < 0) | (places >= prompts))) + 2
        raise InvalidInput(
            f"{named.name}: row {row}, column prompt_index: there are {prompts} prompts, from 0",
            field="prompt_index",
        )
    images = np.bincount(places, minlength=prompts)
    if images.min() == 0:
        raise InvalidInput(f"{named.name}: prompt {int(np.argmin(images))} has no score")
    return {
        model: np.bincount(places, weights=table.numbers(model), minlength=prompts) / images
        for model in IMAGENET_MODELS
    }


def _imagenet_rows(named: _Named, workload: Workload) -> list[ProfileRow]:
    """Return every measured cell; without light images the rejected share says nothing."""
    table = _columns(named)
    names = ("light_model", "heavy_model", "router_ratio", "disc_ratio", "fid")
    pairs: dict[tuple[int, int], list[tuple[float, float, float]]] = {}
    for cell in zip(*(table.numbers(name).tolist() for name in names), strict=True):
        light, heavy, direct, rejected, fid = cell
        shares = pairs.setdefault((int(light), int(heavy)), [])
        if direct < 1.0 or not any(other[0] >= 1.0 for other in shares):
            shares.append((direct, rejected if direct < 1.0 else 0.0, fid))
    rows = []
    for (light, heavy), shares in pairs.items():
        models = IMAGENET_MODELS[light], IMAGENET_MODELS[heavy]
        rows += threshold_rows(workload, *models, shares)
    return rows


def _batches(seconds: float) -> dict[int, float]:
    return {
        size: round(seconds * size * (1.0 if size == 1 else BATCH_FACTOR), 6)
        for size in IMAGENET_BATCHES
    }


def _model_name(published: str) -> ModelName:
    return ModelName({"SDv1.5": "sd-v1.5"}.get(published, published.lower()))


def _diffserve_profile(
    name: str,
    light: ModelName,
    heavy: ModelName,
    cascade: Mapping[str, Any],
    scores: Floats,
) -> Profile:
    """Return the profile of one cascade: a row for each share that some threshold rejects."""
    latency_s, curve = cascade["latency_s"], cascade["fid_by_light_fraction"]
    fractions = sorted({float(share) for share in cascade["deferral"]["fraction"]})
    places = sorted(curve, key=float)
    light_shares = [float(place) for place in places]
    fids = np.interp([1.0 - f for f in fractions], light_shares, [curve[p] for p in places])
    workload = Workload(("",) * len(scores), np.zeros(len(scores)), {light: scores})
    grid = tuple(
        threshold_rows(
            workload,
            light,
            heavy,
            [(0.0, f, round(float(fid), 4)) for f, fid in zip(fractions, fids, strict=True)],
        )
    )
    profile = Profile(
        name=name,
        quality=FID,
        models=tuple(
            ModelLatency(model, _ascending(latency_s[stage]))
            for model, stage in ((light, "light"), (heavy, "heavy"))
        ),
        rows=grid,
        grid=grid,
        hardware="NVIDIA A100 80GB",
        notes={
            "source": "github.com/qizhengyang98/DiffServe: latencies, deferral and FID by light "
            "fraction, MS-COCO 2017 captions; FID between its 11 points is interpolated",
            "scores": "SD-Turbo's and SDv1.5's on 5,000 DiffusionDB prompts, also where they stand "
            "for another cascade's: thresholds are cut to the cascade's own deferral",
            "hardness": "there is no router",
        },
    )
    return replace(profile, rows=pruning.prune_rows(grid, FID))


def _ascending(latency_s: Mapping[str, float]) -> dict[int, float]:
    return dict(sorted((int(size), seconds) for size, seconds in latency_s.items()))
