"""What a worker process is told on its command line."""

import argparse
import logging
import uuid
from dataclasses import dataclass
from pathlib import Path

from hadis.errors import InvalidInput

CASCADE_DIR_VARIABLE = "HADIS_CASCADE_DIR"
"""Where relative folders of a cascade start in a container; elsewhere they start at its file."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of one worker process; every field has a flag of the same name."""

    cascade: Path
    """HadisCascade manifest (YAML or JSON), optionally followed by its HadisProfile. Required."""
    name: str = "w0"
    """Name of the slot that this process fills; stable across restarts."""
    uid: str = ""
    """Tells successive processes of one slot apart; random when empty, a pod's uid in a cluster."""
    host: str = "127.0.0.1"
    """Address of all three ports. Loopback, because `/generate` is for routers only."""
    port: int = 0
    """Port of `/generate`; 0 picks a free one."""
    control_port: int = 0
    """Port of `/assignment`, `/cascade` and `/status`; 0 picks a free one."""
    metrics_port: int = 0
    """Port of `/metrics`, `/healthz` and `/readyz`; 0 picks a free one."""
    device: str = "auto"
    """`cpu`, `cuda` or `cuda:N`; `auto` takes CUDA where there is one."""
    threads: int = 1
    """CPU threads of torch. One, because a machine runs as many workers as it has cores."""
    max_waiting: int = 256
    """Requests that may wait; more are answered 503. Far above what a deadline lets through."""
    memory_budget_bytes: int = 0
    """What resident weights may take; 0 measures: 80 % of the memory free at start (CUDA: of the
    GPU's), so that activations have room."""
    memory_share: float = 1.0
    """Fraction of what was measured, for workers that share the memory of one machine."""
    fixed_batch: int = 0
    """Pad every batch to this many rows, which makes pictures bit-equal whatever shares their
    batch; 0 (default) pads nothing, and batches differ by at most one step of an 8-bit pixel."""
    grace_s: float = 30.0
    """Seconds after SIGTERM in which accepted requests are finished; a pod's default grace."""
    log_level: str = "INFO"
    """Level of the log on stderr."""


def parse(argv: list[str]) -> Settings:
    """Read the command line. Raises InvalidInput naming the option and its fix."""
    parser = argparse.ArgumentParser(prog="hadis_server", description=__doc__)
    defaults = Settings(cascade=Path())
    parser.add_argument("--cascade", type=Path, required=True, metavar="FILE")
    for field, convert in (
        ("name", str),
        ("uid", str),
        ("host", str),
        ("port", int),
        ("control_port", int),
        ("metrics_port", int),
        ("device", str),
        ("threads", int),
        ("max_waiting", int),
        ("memory_budget_bytes", int),
        ("memory_share", float),
        ("fixed_batch", int),
        ("grace_s", float),
        ("log_level", str),
    ):
        parser.add_argument(
            f"--{field.replace('_', '-')}", type=convert, default=getattr(defaults, field)
        )
    values = vars(parser.parse_args(argv))
    settings = Settings(**{**values, "uid": values["uid"] or uuid.uuid4().hex})
    _check(settings)
    return settings


def _check(settings: Settings) -> None:
    if settings.threads < 1:
        raise InvalidInput("--threads must be at least 1", field="threads")
    if settings.max_waiting < 1:
        raise InvalidInput("--max-waiting must be at least 1", field="max-waiting")
    for option, value in (
        ("fixed-batch", settings.fixed_batch),
        ("memory-budget-bytes", settings.memory_budget_bytes),
        ("grace-s", settings.grace_s),
    ):
        if not value >= 0:  # NaN neither
            raise InvalidInput(f"--{option} must be 0 or more", field=option)
    if not 0 < settings.memory_share <= 1:
        raise InvalidInput("--memory-share must be above 0 and at most 1", field="memory-share")
    if settings.log_level not in logging.getLevelNamesMapping():
        raise InvalidInput(
            f"--log-level {settings.log_level} is none of DEBUG, INFO, WARNING, ERROR",
            field="log-level",
        )
    if settings.device not in ("auto", "cpu") and not settings.device.startswith("cuda"):
        raise InvalidInput(
            f"--device {settings.device} is none of auto, cpu, cuda, cuda:N", field="device"
        )
