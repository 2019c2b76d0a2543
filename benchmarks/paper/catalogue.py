"""Every figure that is made here, by its number in the paper."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.paper import (
    deadlines,
    frontiers,
    hardness_phases,
    hybrid_routing,
    load_phases,
    pairs,
    plan_caches,
    real_traces,
    regions,
)
from benchmarks.paper.claims import Story
from benchmarks.paper.running import Numbers, Results, Task
from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Plate:
    """A figure: the tasks it needs for so many seeds, its numbers, its pictures by name's ending,
    and what its numbers say of the paper's claims.

    `numbers` is given None for data where the figure `needs_data` not.
    """

    title: str
    tasks: Callable[[int], list[Task]]
    numbers: Callable[[Any, Results, int], Numbers]
    pictures: Callable[[Numbers], Mapping[str, Figure]]
    story: Callable[[Numbers], Story]
    needs_data: bool = True


def _plate(title: str, module: Any) -> Plate:
    """Return the plate that a module makes."""
    return Plate(title, module.tasks, module.numbers, module.pictures, module.story)


PLATES: Mapping[int, Plate] = {
    2: _plate("models, pairs and triples", frontiers),
    3: _plate("fixed pairs at two loads", pairs),
    4: Plate(
        "discriminators that help",
        regions.tasks,
        regions.discriminator_numbers,
        regions.discriminator_pictures,
        regions.discriminator_story,
        needs_data=False,
    ),
    5: Plate(
        "routers that help",
        regions.tasks,
        regions.router_numbers,
        regions.router_pictures,
        regions.router_story,
        needs_data=False,
    ),
    7: _plate("real traces", real_traces),
    8: _plate("phases of load", load_phases),
    9: _plate("hybrid routing", hybrid_routing),
    10: _plate("cached plans", plan_caches),
    11: _plate("deadlines", deadlines),
    12: _plate("phases of hardness", hardness_phases),
}
