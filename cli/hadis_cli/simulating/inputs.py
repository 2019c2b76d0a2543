"""What `hadis simulate` was asked to replay, read and checked before anything runs."""

import math
from dataclasses import dataclass
from pathlib import Path

import click

from hadis.errors import InvalidInput
from hadis.profiling import traces, workloads
from hadis.profiling.traces import Trace
from hadis.profiling.workloads import Workload
from hadis.simulation import scenarios
from hadis.simulation.policies import POLICIES
from hadis.simulation.scenarios import Scenario
from hadis.terms.ids import ModelName
from hadis.terms.profiles import Profile
from hadis_cli import lookup_tables, texts

PROMPTS = 5000
"""How many prompts are drawn where no workload is given."""


@dataclass(frozen=True, slots=True)
class Options:
    """The command's options, as they were given."""

    profile: str
    workload: str | None
    trace: str | None
    between: str | None
    phases: str | None
    duration: float
    workers: int
    slo: float
    policy: str
    seed: int
    swap: tuple[str, ...]
    pair: str | None
    lanes: int
    interval: float
    out: Path
    as_json: bool


def read(options: Options) -> Scenario:
    """Read all files and values; InvalidInput names the one that is wrong."""
    profile = lookup_tables.read(options.profile)
    models = [model.name for model in profile.models]
    workload = _workload(options, models)
    scenario = Scenario(
        profile=profile,
        trace=_trace(options, workload),
        workload=workload,
        workers=options.workers,
        slo_s=options.slo,
        swap_s=_swaps(options.swap, profile),
        seed=options.seed,
        interval_s=options.interval,
        lanes=options.lanes,
        pair=_pair(options.pair),
    )
    scenarios.check(scenario)
    trace = scenario.trace
    if trace.moved:
        click.echo(
            f"{options.trace}: arrivals went back {trace.moved} times, by up to "
            f"{trace.moved_s:.3g} s; they are sorted",
            err=True,
        )
    return scenario


def policies(text: str) -> list[str]:
    """Return the names in a list separated by commas, each once; `all` stands for all."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names == ["all"]:
        names = list(POLICIES)
    for name in names:
        if name not in POLICIES:
            raise InvalidInput(
                f"--policy {name} is unknown; use all, or some of {', '.join(POLICIES)}",
                field="--policy",
            )
    if not names:
        raise InvalidInput("--policy names no policy", field="--policy")
    return list(dict.fromkeys(names))


def _workload(options: Options, models: list[ModelName]) -> Workload:
    if options.workload is None:
        return workloads.uniform(PROMPTS, models, options.seed)
    try:
        data = Path(options.workload).read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"--workload {options.workload}: {error.strerror}", field="--workload"
        ) from error
    workload = workloads.read(data, options.workload)
    workloads.check_scores(workload, models, options.workload)
    return workload


def _trace(options: Options, workload: Workload) -> Trace:
    if (options.trace is None) == (options.phases is None):
        raise InvalidInput("give either --trace F or --phases", field="--trace")
    if options.phases is not None:
        return traces.from_phases(
            traces.read_phases(options.phases), workload.hardness, options.seed
        )
    source = str(options.trace)
    text = texts.read(source, "--trace")
    if options.between is not None:
        # A range does not refuse what is no number.
        if math.isnan(options.duration):
            raise InvalidInput("--duration is nan; give seconds", field="--duration")
        low, high = _range(options.between)
        return traces.from_curve(
            traces.read_curve(text, source),
            low_per_s=low,
            high_per_s=high,
            duration_s=options.duration,
            prompts=len(workload),
            seed=options.seed,
        )
    trace = traces.read(text, source, prompts=None if workload.ranks else len(workload))
    if workload.ranks:
        return traces.wrapped(trace, len(workload))
    return trace


def _swaps(given: tuple[str, ...], profile: Profile) -> dict[ModelName, float]:
    """Return the seconds of loading each model: one number for all, or MODEL=SECONDS."""
    found: dict[ModelName, float] = {}
    for entry in given:
        name, _, seconds = entry.rpartition("=")
        try:
            value = float(seconds)
        except ValueError:
            raise InvalidInput(
                f"--swap {entry}: write seconds, or MODEL=SECONDS", field="--swap"
            ) from None
        names = [ModelName(name)] if name else [model.name for model in profile.models]
        found.update(dict.fromkeys(names, value))
    return found


def _pair(given: str | None) -> tuple[ModelName, ModelName] | None:
    if given is None:
        return None
    light, _, heavy = given.partition(",")
    return ModelName(light.strip()), ModelName(heavy.strip())


def _range(given: str) -> tuple[float, float]:
    low, _, high = given.partition(":")
    try:
        numbers = float(low), float(high)
    except ValueError:
        numbers = (1.0, 0.0)
    if not 0.0 <= numbers[0] < numbers[1] < 1e6:
        raise InvalidInput(
            f"--between {given}: write LOW:HIGH in requests a second, like 1:32", field="--between"
        )
    return numbers
