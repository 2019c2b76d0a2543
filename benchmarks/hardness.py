"""Time the hardness scorer, and ask what its score predicts on measured images.

    python benchmarks/hardness.py [--data DIR] [--prompts F] [--json]

Timing needs no data. With `--data DIR` (or HADIS_DATA) it reads, where they are there:

- ``hadis/prompt_features_imagenet.csv`` and ``hadis/discriminator_scores_imagenet.csv``: captions
  with eight features and the discriminator's scores of four models' images, published by an author
  of the HADIS paper (github.com/Tung-I/diffserve-2);
- ``diffserve/prompts_diffusiondb.txt`` and ``diffserve/confidence_scores_sdturbo_sdv15.csv``: real
  users' prompts (DiffusionDB) and scores of two models, published with DiffServe.

For every light model it reports Spearman's correlation of hardness with the light model's score
(negative is good: hard prompts come out badly) and with the gain of the heavy one, for the default
weights, for weights tuned on half of the prompts, and for the features that were published.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hadis.hardness import features, scoring, weights
from hadis_profiler import tuning

SCENES = (
    "a red circle",
    "two small blue squares",
    "a picture of a large green triangle above a tiny yellow cross",
    "please draw three purple discs to the left of a big red box",
    "a red square in the top left corner, a blue circle in the bottom right corner",
    "there is a cyan cross to the right of a square and below two violet circles",
)
MODELS = ("sdxl-lightning", "sd3.5-large-turbo", "sd3.5-medium", "sd3.5-large")
USERS_PROMPTS = 1000  # enough for a correlation to 0.03
# Their names for what is called object_count here; the other columns have the same names.
PUBLISHED = {"num_objects": "object_count"}


def milliseconds(prompts: Sequence[str]) -> dict[str, float]:
    """Score prompts one after the other; wall and CPU time, because machines are shared."""
    scorer = scoring.Scorer()
    wall, cpu = [], []
    for prompt in prompts:
        started_s = time.thread_time()
        wall.append(scorer.score(prompt).ms)
        cpu.append((time.thread_time() - started_s) * 1e3)
    return {
        "prompts": len(prompts),
        "median_ms": round(statistics.median(wall), 2),
        "p95_ms": round(float(np.percentile(wall, 95)), 2),
        "median_cpu_ms": round(statistics.median(cpu), 2),
        "p95_cpu_ms": round(float(np.percentile(cpu, 95)), 2),
    }


def load_time() -> dict[str, float]:
    """Import and load in a fresh process."""
    code = (
        "import time; t = time.perf_counter(), time.process_time();"
        "from hadis.hardness import scoring; scoring.load();"
        "print(time.perf_counter() - t[0], time.process_time() - t[1])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    wall_s, cpu_s = map(float, done.stdout.split())
    return {"wall_s": round(wall_s, 2), "cpu_s": round(cpu_s, 2)}


def relation(
    rows: list[dict[str, float]], light: Sequence[float], heavy: Sequence[float]
) -> dict[str, float | dict[str, float]]:
    """Correlate hardness with what the light model scored and the heavy one gained."""
    gains = (np.array(heavy) - np.array(light)).tolist()
    resolved = weights.resolve({})
    scores = np.array([scoring.combine(row, resolved) for row in rows])
    found = tuning.tune(rows, gains)
    return {
        "hardness_to_light_score": round(tuning.rank_correlation(scores, np.array(light)), 4),
        "hardness_to_gain": round(tuning.rank_correlation(scores, np.array(gains)), 4),
        "area_default": round(found.baseline_value, 6),
        "area_tuned": round(found.tuned_value, 6),
        "area_gain_low": round(found.gain_low, 6),
        "area_gain_high": round(found.gain_high, 6),
        "area_of_perfect_router": round(tuning.routing_area(np.array(gains), np.array(gains)), 6),
        "weights": found.weights,
    }


def imagenet(folder: Path) -> dict[str, object]:
    """Compare with the published features and scores of ImageNet captions."""
    with (folder / "prompt_features_imagenet.csv").open(encoding="utf-8", newline="") as file:
        captions = list(csv.DictReader(file))
    totals: dict[int, list[list[float]]] = {}
    path = folder / "discriminator_scores_imagenet.csv"
    with path.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            images = totals.setdefault(int(line["prompt_index"]), [])
            images.append([float(line[model]) for model in MODELS])
    means = np.array([np.mean(totals[index], axis=0) for index in range(len(captions))])
    theirs = [
        {PUBLISHED.get(name, name): float(row[name]) for name in row if name != "prompt"}
        for row in captions
    ]
    theirs = [
        {name: 1 - float(np.exp(-row[name] / features.SCALES[name])) for name in features.NAMES}
        for row in theirs
    ]
    scorer = scoring.Scorer()
    ours = [scorer.score(row["prompt"]).features for row in captions]
    agreement = {
        name: round(
            tuning.rank_correlation(
                np.array([row[name] for row in ours]), np.array([row[name] for row in theirs])
            ),
            3,
        )
        for name in features.NAMES
    }
    pairs = {
        f"{MODELS[light]} -> {MODELS[heavy]}": {
            "our features": relation(ours, means[:, light].tolist(), means[:, heavy].tolist()),
            "published features": relation(
                theirs, means[:, light].tolist(), means[:, heavy].tolist()
            ),
        }
        for light, heavy in ((0, 3), (1, 3))
    }
    timing = milliseconds([row["prompt"] for row in captions[:1000]])
    return {"timing": timing, "agreement_with_published": agreement, "pairs": pairs}


def diffusiondb(folder: Path) -> dict[str, object]:
    """Time users' real prompts, and correlate with DiffServe's scores of two models."""
    text = (folder / "prompts_diffusiondb.txt").read_text(encoding="utf-8")
    path = folder / "confidence_scores_sdturbo_sdv15.csv"
    with path.open(encoding="utf-8-sig", newline="") as file:
        judged = {int(row["content_id"]): row for row in csv.DictReader(file)}
    numbered = [
        (prompt, judged[number])
        for number, prompt in enumerate(text.splitlines(), start=1)
        if number in judged
    ][:USERS_PROMPTS]
    scorer = scoring.Scorer()
    rows = [scorer.score(prompt).features for prompt, _ in numbered]
    light = [float(row["sdturbo"]) for _, row in numbered]
    heavy = [float(row["sdv15"]) for _, row in numbered]
    return {
        "timing": milliseconds([prompt for prompt, _ in numbered]),
        "pairs": {"sd-turbo -> sd-v1.5": {"our features": relation(rows, light, heavy)}},
    }


DATASETS = {
    "imagenet": (
        imagenet,
        "hadis",
        ("prompt_features_imagenet.csv", "discriminator_scores_imagenet.csv"),
    ),
    "diffusiondb": (
        diffusiondb,
        "diffserve",
        ("prompts_diffusiondb.txt", "confidence_scores_sdturbo_sdv15.csv"),
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Time and test the hardness scorer.")
    parser.add_argument("--data", type=Path, default=os.environ.get("HADIS_DATA"))
    parser.add_argument("--prompts", type=Path, help="time these prompts too, one a line")
    parser.add_argument("--json", action="store_true", help="print the result on one line")
    options = parser.parse_args()
    report: dict[str, object] = {"load": load_time()}
    scoring.load()
    report["scenes"] = {"timing": milliseconds(SCENES * 100)}
    if options.prompts:
        lines = options.prompts.read_text(encoding="utf-8").splitlines()
        report[options.prompts.name] = {"timing": milliseconds(lines)}
    if options.data is None:
        print("neither --data nor HADIS_DATA is given: timing only", file=sys.stderr)
    else:
        for name, (run, folder, files) in DATASETS.items():
            missing = [file for file in files if not (Path(options.data) / folder / file).exists()]
            if missing:
                where = Path(options.data) / folder
                print(f"{name} is left out: no {', '.join(missing)} in {where}", file=sys.stderr)
            else:
                report[name] = run(Path(options.data) / folder)
    print(json.dumps(report, indent=None if options.json else 2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
