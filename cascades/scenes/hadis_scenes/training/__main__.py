"""Train everything that the scenes cascade ships, in one command.

    python -m hadis_scenes.training [--work DIR] [--device D] [--budget-minutes M]
        [--set KEY=VALUE ...] [STAGE ...]

Without stages, all but ``restore`` run in order, each in processes of its own. On a CPU both
denoisers are trained by as many processes as there are cores, since two of one thread do more than
one of two. Every stage resumes where it was interrupted and is skipped once done. Two CPU cores
take about two hours. ``--set rate=6e-4`` changes the recipe of the stages named; the log says so.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Final

import torch

from hadis_scenes import prompts
from hadis_scenes.training import (
    autoencoder,
    curves,
    dataset,
    diffusion,
    distillation,
    embedding,
    exporting,
    matching,
    restoring,
    runs,
    text,
    tuning,
)
from hadis_scenes.variants import model_of

PACKAGE: Final = Path(__file__).parents[1]
DEFAULT_MINUTES: Final = 120.0
_TEAM_STAGES: Final = ("heavy", "light")
_MEMORY: Final = {
    # Fresh pages for every large tensor took up to half of the CPU; these keep them.
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
    "MALLOC_TOP_PAD_": "268435456",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}


class Stages:
    """What each stage does; the budgets of all scale together."""

    def __init__(
        self, work: Path, device: str, scale: float, package: Path, settings: dict[str, float]
    ) -> None:
        self.work, self.device, self.scale, self.package = work, device, scale, package
        self.settings = settings
        self.by_name: dict[str, Callable[[], None]] = {
            "restore": lambda: restoring.restore(work, package),
            "data": lambda: dataset.make(work),
            "prompts": lambda: prompts.make(dataset.wordings(work)),
            "text": lambda: text.train(work, self._adapted(text.RECIPE), device),
            "autoencoder": lambda: autoencoder.train(
                work, self._adapted(autoencoder.RECIPE), device
            ),
            "decoder": lambda: autoencoder.refine(
                work, self._adapted(autoencoder.REFINING), device
            ),
            "matching": lambda: matching.train(work, self._adapted(matching.RECIPE), device),
            "embedding": lambda: embedding.train(work, self._adapted(embedding.RECIPE), device),
            "heavy": lambda: diffusion.train(work, self._adapted(diffusion.RECIPE), device),
            "light": lambda: distillation.train(work, self._adapted(distillation.RECIPE), device),
            "export": lambda: exporting.export(work, package),
            "tuning": self._tune,
            "curves": lambda: curves.write(work, package.parent / "recipe"),
        }

    def _adapted(self, recipe: runs.Recipe) -> runs.Recipe:
        scaled = replace(recipe, budget_s=recipe.budget_s * self.scale)
        given = {key: type(getattr(recipe, key))(value) for key, value in self.settings.items()}
        return replace(scaled, **given)

    def _tune(self) -> None:
        made = tuning.make(self.work, model_of(self.package), self.device)
        matching.tune(self.work, made, self._adapted(matching.TUNING), self.device)
        embedding.train_head(self.work, made.images, self._adapted(embedding.HEAD), self.device)
        exporting.export_discriminators(self.work, self.package / "discriminators")


def _setting(text: str) -> tuple[str, float]:
    """Read ``key=value``, a setting of a recipe."""
    key, _, value = text.partition("=")
    known = [field.name for field in fields(runs.Recipe)]
    if key not in known:
        raise argparse.ArgumentTypeError(
            f"unknown setting {key!r}; choose among {', '.join(known)}"
        )
    try:
        return key, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{key}={value}: not a number") from None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m hadis_scenes.training", description=__doc__)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="stages to run; default: all")
    parser.add_argument("--work", type=Path, default=Path("scenes-work"), help="folder to work in")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--budget-minutes", type=float, default=DEFAULT_MINUTES, help="time for all trainings"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=_setting,
        metavar="KEY=VALUE",
        help="change a setting of the recipes, such as rate, batch or average",
    )
    parser.add_argument(
        "--package", type=Path, default=PACKAGE, help="package folder that the weights go into"
    )
    return parser.parse_args()


def _run_all(arguments: argparse.Namespace, names: list[str]) -> None:
    """Run one stage after the other, each as one process or as a team of them."""
    for name in names:
        command = [sys.executable, "-m", "hadis_scenes.training", name]
        command += ["--work", str(arguments.work), "--device", arguments.device]
        command += ["--budget-minutes", str(arguments.budget_minutes)]
        command += ["--package", str(arguments.package)]
        command += [f"--set={key}={value}" for key, value in arguments.set]
        is_team = arguments.device == "cpu" and name in _TEAM_STAGES
        size = len(os.sched_getaffinity(0)) if is_team else 1
        if not _run_together(command, size):
            sys.exit(f"stage {name} failed; run the same command again to resume")


def _run_together(command: list[str], size: int) -> bool:
    """Run processes that share their gradients; return whether all of them ended well."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    team = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    started = [
        subprocess.Popen(
            command,
            env={**os.environ, **_MEMORY, **team, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(size)
    ]
    try:
        return not any(process.wait() for process in started)
    finally:
        for process in started:
            process.terminate()


def main() -> None:
    """Run the named stages in this process, or all of them in processes of their own."""
    arguments = _arguments()
    arguments.work.mkdir(parents=True, exist_ok=True)
    scale = arguments.budget_minutes / DEFAULT_MINUTES
    stages = Stages(arguments.work, arguments.device, scale, arguments.package, dict(arguments.set))
    unknown = [name for name in arguments.stages if name not in stages.by_name]
    if unknown:
        sys.exit(f"unknown stage {unknown[0]!r}; choose among {', '.join(stages.by_name)}")
    if not arguments.stages:
        _run_all(arguments, [name for name in stages.by_name if name != "restore"])
        return
    if arguments.device == "cpu":
        torch.set_num_threads(1)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        if arguments.device == "cuda":
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        torch.distributed.init_process_group("gloo" if arguments.device == "cpu" else "nccl")
    for name in arguments.stages:
        stages.by_name[name]()


if __name__ == "__main__":
    main()
