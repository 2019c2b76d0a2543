"""Measure the shipped scenes models on held-out prompts.

    python -m hadis_scenes.evaluation [--work DIR] [--device cpu|cuda] [STAGE ...]

Stages: ``generate`` (every variant, two seeds, test and profile prompts), ``judge`` (checker and
discriminators), ``latency`` (one thread, batch 1: on an idle machine), ``report``. Resumes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from hadis_scenes.compositions import CATEGORIES
from hadis_scenes.evaluation import cascades, figures, outcomes, tables
from hadis_scenes.variants import VARIANTS

PACKAGE: Final = Path(__file__).parents[1]
STAGES: Final = ("generate", "judge", "latency", "report")


def _report(work: Path, recipe: Path) -> None:
    profile, test = (outcomes.Outcomes.load(work, name) for name in ("profile", "test"))
    measured = json.loads((work / "latency.json").read_text())
    names = [variant.name for variant in VARIANTS]
    generate_s = {name: measured["seconds"][name] for name in names}
    comparisons = [
        cascades.compare(
            profile,
            test,
            cascades.Costs(generate_s, measured["seconds"][kind]),
            kind,
            names,
            better,
        )
        for kind, better in (("matching", True), ("matching", False), ("real-fake", True))
    ]
    result: dict[str, Any] = {
        "variants": {v.name: {"steps": v.steps} for v in VARIANTS},
        "prompts": {
            name: {c: int((o.category == c).sum()) for c in CATEGORIES}
            for name, o in (("profile", profile), ("test", test))
        },
        "fulfilment": tables.fulfilment(test),
        "fulfilment_profile": tables.fulfilment(profile),
        "fulfilment_shuffled": tables.shuffled(work),
        "auc": tables.areas(profile, test),
        **measured,
        "cascades": comparisons,
    }
    recipe.mkdir(parents=True, exist_ok=True)
    (recipe / "evaluation.json").write_text(json.dumps(result, indent=1) + "\n")
    figures.cascades(comparisons, recipe / "cascades.png")
    figures.samples(work, recipe / "samples.png")
    columns = [*CATEGORIES, "all"]
    fulfilled = {
        name: {**row, "seconds": generate_s[name]} for name, row in result["fulfilment"].items()
    }
    parts = [
        tables.markdown(fulfilled, [*columns, "seconds"]),
        tables.markdown(result["fulfilment_shuffled"], columns, 3),
        tables.markdown(result["auc"], ["matching", "real-fake", "category alone"], 3),
    ]
    for c in comparisons:
        summary = {k: v for k, v in c.items() if k not in ("policies", "fixed", "curve")}
        parts.append(json.dumps(summary))
    sys.stdout.write("\n\n".join(parts) + "\n")


def main() -> None:
    """Run the named stages, or all."""
    parser = argparse.ArgumentParser(prog="python -m hadis_scenes.evaluation", description=__doc__)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"of {', '.join(STAGES)}")
    parser.add_argument("--work", type=Path, default=Path("scenes-work"), help="folder to work in")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--sets", nargs="+", choices=outcomes.SETS, default=list(outcomes.SETS))
    parser.add_argument("--first", type=int, default=10_000, help="prompts of a set, at most")
    parser.add_argument("--package", type=Path, default=PACKAGE)
    parser.add_argument("--single", action="store_true", help="generate in single precision")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.stages if name not in STAGES]
    if unknown:
        sys.exit(f"unknown stage {unknown[0]!r}; choose among {', '.join(STAGES)}")
    work, package = arguments.work, arguments.package
    torch.set_num_threads(1)
    np.seterr(all="raise", under="ignore")
    for stage in arguments.stages or STAGES:
        if stage == "generate":
            half = not arguments.single
            outcomes.generate(
                work,
                package,
                arguments.device,
                half=half,
                sets=arguments.sets,
                first=arguments.first,
            )
        elif stage == "judge":
            for name in arguments.sets:
                outcomes.judge(work, package, name)
        elif stage == "latency":
            values = {"seconds": tables.latencies(package), "agreement": tables.agreement(package)}
            (work / "latency.json").write_text(json.dumps(values, indent=1) + "\n")
        else:
            _report(work, package.parent / "recipe")


if __name__ == "__main__":
    main()
