"""Traces: when requests arrive and with which prompt; recorded ones, and ones made from a shape.

A trace file has one request a line, `arrival_ms,prompt_index`, prompts counted from 1. Recorded
files are not always sorted; reading sorts them and tells by how much they were off.
"""

import csv
import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hadis.errors import InvalidInput

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CHUNK = 65_536
"""Requests that are handed on at once: a million of them as Python objects would take 60 MB."""

LAST_PROMPT = 10**9
LONGEST_S = 1e7
"""Of a trace: sixteen weeks. Beyond it somebody has written the date instead of a duration."""
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Trace:
    """Arrivals in ascending order with the position of their prompt, from 0.

    `moved` lines of the file were earlier than the line above, by at most `moved_s` than any above.
    """

    at_s: Floats
    prompt: Ints
    moved: int = 0
    moved_s: float = 0.0

    def __len__(self) -> int:
        return len(self.at_s)

    @property
    def duration_s(self) -> float:
        """From the start of time to the last arrival."""
        return float(self.at_s[-1])

    def chunks(self) -> Iterator[tuple[list[float], list[int]]]:
        """Yield arrivals and prompts as plain numbers, a bounded number at a time."""
        for start in range(0, len(self.at_s), CHUNK):
            end = start + CHUNK
            yield self.at_s[start:end].tolist(), self.prompt[start:end].tolist()

    def count(self, start_s: float, end_s: float) -> int:
        """Return how many requests arrive from `start_s` to before `end_s`."""
        first, last = np.searchsorted(self.at_s, [start_s, end_s], side="left")
        return int(last - first)


def parse(text: str, source: str) -> Iterator[tuple[int, float, int | None]]:
    """Yield line number, arrival in seconds and prompt index (from 1) of each line of a trace file.

    The index is None where the line has none. Raises InvalidInput for the first wrong line.
    """
    for number, line in enumerate(text.splitlines(), start=1):
        fields = [field.strip() for field in line.split(",")]
        if fields == [""]:
            continue
        at_ms = _number(fields[0])
        if at_ms is None or at_ms < 0.0:
            raise InvalidInput(
                f"{source}:{number}: arrival_ms is {fields[0][:40]!r}; give milliseconds >= 0",
                field="arrival_ms",
            )
        index = _number(fields[1]) if len(fields) > 1 else None
        if len(fields) > 1 and (
            index is None or not 1 <= index <= LAST_PROMPT or index != int(index)
        ):
            raise InvalidInput(
                f"{source}:{number}: prompt_index is {fields[1][:40]!r}; give a whole number from "
                f"1 to {LAST_PROMPT}",
                field="prompt_index",
            )
        yield number, at_ms / 1000.0, None if index is None else int(index)


def read(text: str, source: str, *, prompts: int | None = None) -> Trace:
    """Read a trace file. A line without an index takes the prompt of its line number.

    With `prompts`, the size of the workload, an index beyond it is InvalidInput; so is an empty
    trace.
    """
    at_s: list[float] = []
    prompt: list[int] = []
    for number, second, index in parse(text, source):
        if index is None:
            index = number if prompts is None else (number - 1) % prompts + 1
        if prompts is not None and index > prompts:
            raise InvalidInput(
                f"{source}:{number}: prompt_index is {index}, but the workload has {prompts} "
                "prompts; use its own indexes, from 1",
                field="prompt_index",
            )
        at_s.append(second)
        prompt.append(index - 1)
    if not at_s:
        raise InvalidInput(
            f"{source}: the trace is empty; write arrival_ms,prompt_index, a request a line",
            field="trace",
        )
    if max(at_s) > LONGEST_S:
        raise InvalidInput(
            f"{source}: the last request arrives after {max(at_s) / DAY_S:,.0f} days; count "
            "arrival_ms from the start of the trace",
            field="arrival_ms",
        )
    return ordered(np.array(at_s), np.array(prompt, dtype=np.int64))


def ordered(at_s: Floats, prompt: Ints) -> Trace:
    """Return the trace of arrivals in any order; equal ones keep theirs."""
    behind = np.maximum.accumulate(at_s) - at_s
    moved = int((np.diff(at_s) < 0).sum())
    order = np.argsort(at_s, kind="stable")
    return Trace(at_s[order], prompt[order], moved, float(behind.max()))


def wrapped(trace: Trace, prompts: int) -> Trace:
    """Return the trace over `prompts` prompts, from the first again where it names more."""
    return Trace(trace.at_s, trace.prompt % prompts, trace.moved, trace.moved_s)


def poisson(
    rate: Callable[[Floats], Floats],
    peak_per_s: float,
    duration_s: float,
    draws: np.random.Generator,
) -> Floats:
    """Return Poisson arrivals of `rate` (requests a second at each second), none above the peak."""
    count = draws.poisson(peak_per_s * duration_s)
    at_s = np.sort(draws.uniform(0.0, duration_s, count))
    return at_s[draws.random(count) * peak_per_s < rate(at_s)]


def read_curve(text: str, source: str) -> Floats:
    """Read the last column of a CSV with a header, such as hourly invocations: a load's shape."""
    values: list[float] = []
    for number, fields in enumerate(csv.reader(io.StringIO(text)), start=1):
        if not fields:
            continue
        if number == 1:
            if _number(fields[-1]) is not None:
                raise InvalidInput(
                    f"{source}:1: a load's shape begins with a header, as in hour,invocations; "
                    "a trace is replayed as it is",
                    field="invocations",
                )
            continue
        value = _number(fields[-1])
        if value is None or value < 0.0:
            raise InvalidInput(
                f"{source}:{number}: {fields[-1][:40]!r} is no amount; give a number >= 0",
                field="invocations",
            )
        values.append(value)
    if len(values) < 2 or max(values) == min(values):
        raise InvalidInput(
            f"{source}: a load's shape needs two different amounts", field="invocations"
        )
    return np.array(values)


def from_curve(
    curve: Floats,
    *,
    low_per_s: float,
    high_per_s: float,
    duration_s: float,
    prompts: int,
    seed: int,
) -> Trace:
    """Return Poisson arrivals along a curve: its shape, from `low_per_s` to `high_per_s`.

    The curve is stretched over the duration and interpolated between its points.
    """
    share = (curve - curve.min()) / (curve.max() - curve.min())
    rates = low_per_s + share * (high_per_s - low_per_s)
    places = np.linspace(0.0, duration_s, len(curve))
    draws = np.random.default_rng(seed)
    at_s = poisson(lambda t: np.interp(t, places, rates), high_per_s, duration_s, draws)
    return _drawn(at_s, np.arange(prompts), draws)


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of constant demand; only the easier or harder half of the prompts, or all."""

    duration_s: float
    rate_per_s: float
    only: str = ""  # "easy", "hard" or "" for all


def read_phases(text: str) -> tuple[Phase, ...]:
    """Read phases written as SECONDSxRATE, separated by commas; easy or hard may follow each.

    For example `60x4,120x24,60x8easy`.
    """
    phases = []
    for entry in text.split(","):
        word = entry.strip()
        only = next((name for name in ("easy", "hard") if word.endswith(name)), "")
        duration, _, rate = word.removesuffix(only).partition("x")
        duration_s, rate_per_s = _number(duration), _number(rate)
        if duration_s is None or rate_per_s is None or duration_s <= 0.0 or rate_per_s < 0.0:
            raise InvalidInput(
                f"--phases: {word!r} is no phase; write SECONDSxRATE, like 60x4 or 60x4hard",
                field="--phases",
            )
        phases.append(Phase(duration_s, rate_per_s, only))
    return tuple(phases)


def from_phases(phases: Sequence[Phase], hardness: Floats, seed: int) -> Trace:
    """Return Poisson arrivals through the phases, over prompts of the given hardness."""
    draws = np.random.default_rng(seed)
    order = np.argsort(hardness, kind="stable")
    half = max(len(order) // 2, 1)
    offered = {"": order, "easy": order[:half], "hard": order[-half:]}
    start_s = 0.0
    parts: list[tuple[Floats, Ints]] = []
    for phase in phases:
        count = draws.poisson(phase.rate_per_s * phase.duration_s)
        at_s = start_s + np.sort(draws.uniform(0.0, phase.duration_s, count))
        parts.append((at_s, draws.choice(offered[phase.only], count)))
        start_s += phase.duration_s
    at_s = np.concatenate([part for part, _ in parts])
    if not len(at_s):
        raise InvalidInput("--phases: nothing arrives; give a rate above 0", field="--phases")
    return Trace(at_s, np.concatenate([part for _, part in parts]))


def _drawn(at_s: Floats, prompts: Ints, draws: np.random.Generator) -> Trace:
    if not len(at_s):
        raise InvalidInput("nothing arrives; give a higher rate or more time", field="trace")
    return Trace(at_s, draws.choice(prompts, len(at_s)))


def _number(text: str) -> float | None:
    """Return the finite number that `text` is, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
