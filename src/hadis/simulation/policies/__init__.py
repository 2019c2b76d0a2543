"""Every policy by its name: production's own, and the baselines of the paper."""

from collections.abc import Callable, Mapping
from functools import partial

from hadis.errors import InvalidInput
from hadis.simulation.directing import Policy
from hadis.simulation.policies import caching, fixed, paper, production, proteus
from hadis.simulation.policies.timing import Clock
from hadis.simulation.scenarios import Scenario

Make = Callable[[Scenario, Clock | None], Policy]

POLICIES: Mapping[str, Make] = {
    "hadis": production.Hadis,
    "hadis-paper": paper.Paper,
    "diffserve": paper.DiffServe,
    "proteus": proteus.Proteus,
    "clipper-light": partial(fixed.Clipper, heavy=False),
    "clipper-heavy": partial(fixed.Clipper, heavy=True),
    "random": paper.Random,
    "router-only": paper.RouterOnly,
    "discriminator-only": paper.DiscriminatorOnly,
    "cache-d": partial(caching.Cached, by_queue=False),
    "cache-dq": partial(caching.Cached, by_queue=True),
}


def make(name: str, scenario: Scenario, *, clock: Clock | None = None) -> Policy:
    """Return a fresh policy; InvalidInput names the ones there are. `clock` times its solves."""
    if name not in POLICIES:
        raise InvalidInput(
            f"policy {name} is unknown; use one of {', '.join(POLICIES)}", field="--policy"
        )
    return POLICIES[name](scenario, clock)
