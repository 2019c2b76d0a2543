"""When requests are sent and with which prompt: Poisson arrivals or a recorded trace."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from hadis.errors import InvalidInput
from hadis.profiling import traces

MAX_SEED = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request of the schedule; `at_s` counts from the run's start."""

    at_s: float
    prompt: str
    seed: int


def poisson(
    prompts: Sequence[str], *, rate_per_s: float, duration_s: float, seed: int
) -> list[Arrival]:
    """Return arrivals with exponential gaps over `duration_s`; equal seeds give equal schedules."""
    draw = random.Random(seed)
    arrivals: list[Arrival] = []
    at_s = draw.expovariate(rate_per_s)
    while at_s < duration_s:
        arrivals.append(Arrival(at_s, draw.choice(prompts), draw.randint(0, MAX_SEED)))
        at_s += draw.expovariate(rate_per_s)
    return arrivals


def from_trace(
    text: str, prompts: Sequence[str], *, source: str, seed: int, duration_s: float | None = None
) -> list[Arrival]:
    """Read a trace, one `arrival_ms,prompt_index` a line, indexes from 1; the prompt may be absent.

    Recorded traces are not always sorted, and may name more prompts than there are: they wrap.
    """
    draw = random.Random(seed)
    arrivals: list[Arrival] = []
    for number, at_s, index in traces.parse(text, source):
        prompt = prompts[((index or number) - 1) % len(prompts)]
        arrivals.append(Arrival(at_s, prompt, draw.randint(0, MAX_SEED)))
    if not arrivals:
        raise InvalidInput(f"{source}: the trace is empty", field="trace")
    arrivals.sort(key=lambda arrival: arrival.at_s)
    if duration_s is None:
        return arrivals
    return [arrival for arrival in arrivals if arrival.at_s < duration_s]


def read_prompts(text: str, *, source: str) -> list[str]:
    """Return one prompt a line; empty lines and lines that start with # are left out."""
    lines = [line.strip() for line in text.splitlines()]
    prompts = [line for line in lines if line and not line.startswith("#")]
    if not prompts:
        raise InvalidInput(f"{source}: no prompt found; write one a line", field="prompts")
    return prompts
