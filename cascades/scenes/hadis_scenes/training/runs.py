"""One resumable training run: budget, learning rate, average of weights, checkpoints and log.

A run is measured in seconds of training, not in steps, so that the same recipe fits a laptop and
an accelerator; seconds spent before an interruption count. Under `torchrun` several processes train
one model: each draws a batch of its own, gradients are averaged, the first one writes.
"""

from __future__ import annotations

import copy
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch._dynamo
from torch import distributed, nn

SAVE_EVERY_S = 120.0
LOG_EVERY_STEPS = 100
_PROCESS_SEEDS = 1_000_003


@dataclass(frozen=True, slots=True)
class Recipe:
    """The settings of a run; everything that its result depends on besides the data."""

    budget_s: float
    batch: int
    rate: float
    warmup_steps: int = 150
    weight_decay: float = 0.01
    average: float = 0.998
    text_rate: float = 1.0
    """Learning rate of the text encoder, as a factor."""
    seed: int = 1


def rank() -> int:
    """Return this process's number among those that train together; 0 alone."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def processes() -> int:
    """Return how many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def averaged_over_processes(values: torch.Tensor) -> torch.Tensor:
    """Return the mean of a tensor over the processes that train together."""
    if distributed.is_initialized():
        distributed.all_reduce(values)
        values /= processes()
    return values


def log_line(work: Path, name: str, **values: Any) -> None:
    """Append one JSON line to a run's log."""
    (work / "logs").mkdir(parents=True, exist_ok=True)
    rounded = {k: round(v, 5) if isinstance(v, float) else v for k, v in values.items()}
    with (work / "logs" / f"{name}.jsonl").open("a") as file:
        file.write(json.dumps({"time": time.strftime("%H:%M:%S"), **rounded}) + "\n")


def save(path: Path, value: Any) -> None:
    """Write a file that readers never see half-written."""
    temporary = path.with_suffix(path.suffix + ".part")
    torch.save(value, temporary)
    temporary.replace(path)


class Run:
    """Drives one model through its budget; ``steps`` yields the step number until it is spent."""

    def __init__(
        self, work: Path, name: str, model: nn.Module, recipe: Recipe, device: str
    ) -> None:
        self.work, self.name, self.model, self.recipe, self.device = (
            work,
            name,
            model,
            recipe,
            device,
        )
        text: list[nn.Parameter] = []
        other: list[nn.Parameter] = []
        for key, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            (text if key.startswith(("text.", "matcher.text.")) else other).append(parameter)
        groups = [{"params": other, "factor": 1.0}, {"params": text, "factor": recipe.text_rate}]
        self.optimizer = torch.optim.AdamW(
            [g for g in groups if g["params"]],
            recipe.rate,
            betas=(0.9, 0.98),
            weight_decay=recipe.weight_decay,
        )
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        self.step = 0
        self.examples = 0
        self.elapsed_s = 0.0
        self._sums: dict[str, float] = {}
        self._counted = 0
        torch.manual_seed(recipe.seed + _PROCESS_SEEDS * rank())
        if self.checkpoint.exists():
            self._restore()

    @property
    def checkpoint(self) -> Path:
        """The file that a later start resumes from."""
        return self.work / "checkpoints" / f"{self.name}.pt"

    @property
    def finished(self) -> bool:
        """Whether the whole budget has been spent."""
        return self.elapsed_s >= self.recipe.budget_s

    def _restore(self) -> None:
        state = torch.load(self.checkpoint, map_location=self.device)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.elapsed_s = state["step"], state["elapsed_s"]
        self.examples = state.get("examples", self.step * self.recipe.batch)
        torch.manual_seed(self.recipe.seed + self.step + _PROCESS_SEEDS * rank())

    def save(self) -> None:
        """Write everything that resuming and readers of the averaged weights need."""
        if rank():
            return
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "examples": self.examples,
            "elapsed_s": self.elapsed_s,
        }
        save(self.checkpoint, state)

    def steps(self) -> Iterator[int]:
        """Yield step numbers until the budget is spent; saves along the way and at the end."""
        if self.finished:
            return
        self.model.train()
        if not rank():
            settings = asdict(self.recipe)
            log_line(self.work, self.name, step=self.step, processes=processes(), recipe=settings)
        before, started, saved = self.elapsed_s, time.monotonic(), time.monotonic()
        while not self.finished:
            progress = min(1.0, self.elapsed_s / self.recipe.budget_s)
            warm = min(1.0, (self.step + 1) / self.recipe.warmup_steps)
            # The batch grows with the processes, and Adam's rate with the root of the batch.
            rate = self.recipe.rate * math.sqrt(processes())
            rate = rate * warm * (0.5 + 0.5 * math.cos(math.pi * progress)) + 1e-6
            for group in self.optimizer.param_groups:
                group["lr"] = rate * group["factor"]
            yield self.step
            now = time.monotonic()
            self.elapsed_s = self._agreed_s(before + now - started)
            if now - saved > SAVE_EVERY_S:
                saved = now
                self.save()
        self.save()

    def update(self, loss: torch.Tensor, **terms: torch.Tensor) -> None:
        """Take one optimiser step on a loss and fold the weights into their average."""
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._share_gradients()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self.examples += self.recipe.batch * processes()
        decay = min(self.recipe.average, (self.step + 1) / (self.step + 20))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.average.parameters()), list(self.model.parameters()), 1 - decay
            )
        for key, value in {"loss": loss, **terms}.items():
            self._sums[key] = self._sums.get(key, 0.0) + float(value.detach())
        self._counted += 1
        if self.step % LOG_EVERY_STEPS == 0 and not rank():
            means = {key: value / self._counted for key, value in self._sums.items()}
            rate = self.examples / max(self.elapsed_s, 1e-9)
            log_line(
                self.work,
                self.name,
                step=self.step,
                examples=self.examples,
                elapsed_s=self.elapsed_s,
                examples_per_s=rate,
                **means,
            )
            self._sums, self._counted = {}, 0

    def _agreed_s(self, seconds: float) -> float:
        """Return the mean of what the processes measured, so that all stop at the same step."""
        if processes() == 1:
            return seconds
        return float(averaged_over_processes(torch.tensor([seconds], device=self.device)))

    def _share_gradients(self) -> None:
        """Average the gradients over all processes, in one message."""
        if not distributed.is_initialized():
            return
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        flat = averaged_over_processes(torch.cat([g.flatten() for g in gradients]))
        sizes = [g.numel() for g in gradients]
        parts: tuple[torch.Tensor, ...] = torch.split(flat, sizes)
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))


def compiled(function: Callable[..., torch.Tensor], device: str) -> Callable[..., torch.Tensor]:
    """Compile a hot function, a fifth faster on a CPU; without a compiler it stays as it is."""
    if device == "cpu" and not shutil.which("g++"):
        return function
    torch._dynamo.config.suppress_errors = True  # a failed compilation falls back to eager
    result: Callable[..., torch.Tensor] = torch.compile(function, dynamic=False)
    return result


def averaged(work: Path, name: str, model: nn.Module, device: str = "cpu") -> nn.Module:
    """Load the averaged weights that a run has saved into a model made for inference."""
    state = torch.load(work / "checkpoints" / f"{name}.pt", map_location=device)
    model.load_state_dict(state["average"])
    return model.to(device).eval().requires_grad_(False)
