"""What `hadis profile` leaves behind: files, a cascade file brought up to date, a table."""

import json
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from hadis.profiling import files
from hadis_profiler import assembling
from hadis_profiler.assembling import Assembly


def write(out: Path, assembly: Assembly) -> None:
    """Write the profile, the same as a resource, and the hardness weights that go with it."""
    (out / "profile.json").write_text(files.write_profile(assembly.profile), encoding="utf-8")
    (out / "profile.yaml").write_text(manifest(assembly), encoding="utf-8")
    weights = yaml.safe_dump({"hardness": {"weights": assembly.hardness_weights}})
    (out / "hardness.yaml").write_text(weights, encoding="utf-8")


def manifest(assembly: Assembly) -> str:
    """Return the profile as the resource that `kubectl apply` takes."""
    return files.write_manifest(assembly.profile)


def updated(text: str, assembly: Assembly) -> str:
    """Return a cascade file with new hardness weights and profile; its first comments stay."""
    comments = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        comments.append(line)
    documents = [d for d in yaml.safe_load_all(text) if d and d.get("kind") == "HadisCascade"]
    cascade = documents[0]
    if assembly.hardness_weights:
        cascade["spec"]["hardness"] = {"weights": assembly.hardness_weights}
    cascade["spec"]["profile"] = {"name": assembly.profile.name}
    parts = ["\n".join(comments)] if comments else []
    parts.append(files.flow_yaml(cascade).rstrip("\n"))
    parts += ["---", manifest(assembly)]
    return "\n".join(parts)


def summary(out: Path, assembly: Assembly) -> dict[str, Any]:
    """Return what was measured, without the rows."""
    profile = assembly.profile
    alone = assembling.fixed_quality(profile)
    return {
        "profile": str(out / "profile.json"),
        "metric": profile.quality.metric,
        "standard_error": round(assembly.standard_error, assembling.DIGITS),
        "models": {
            model.name: {
                "latency_s": {str(batch): value for batch, value in model.latency_s.items()},
                "quality": alone.get(model.name),
            }
            for model in profile.models
        },
        "hardness_weights": assembly.hardness_weights,
        "rows_swept": assembly.rows_swept,
        "rows": len(profile.rows),
        "notes": dict(profile.notes),
    }


def show(out: Path, assembly: Assembly, *, as_json: bool) -> None:
    """Print the front of the models and how the rows came about."""
    found = summary(out, assembly)
    if as_json:
        print(json.dumps(found))
        return
    table = Table(box=None, pad_edge=False)
    for title in ("model", "s an image", "batch 4, s each", found["metric"]):
        table.add_column(title, justify="left" if title == "model" else "right")
    for name, model in found["models"].items():
        four, quality = model["latency_s"].get("4"), model["quality"]
        table.add_row(
            name,
            f"{model['latency_s']['1']:.3f}",
            "" if four is None else f"{four / 4:.3f}",
            "" if quality is None else f"{quality:.3f}",
        )
    console = Console()
    console.print(table)
    for name in ("prompts", "rows", "hardness"):
        if name in found["notes"]:
            console.print(f"{name}: {found['notes'][name]}", markup=False, soft_wrap=True)
    console.print(f"written to {found['profile']}", markup=False, soft_wrap=True)
