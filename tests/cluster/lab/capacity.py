"""Loads that a plan in force cannot carry, found from how busy it expects its workers to be.

So slow machines and fast ones are asked for the same: a little more than they do now.
"""

from cluster.lab.cascades import Cascade
from cluster.lab.releases import Release, samples
from cluster.lab.waiting import NotYet, until

BEYOND = 1.4
"""A step's load, as a multiple of what the plan in force carries."""
LEAST_BUSY = 0.05


def carried(scenes: Cascade, installed: Release, rate: float) -> float:
    """Return the load, in images a second, that the plan in force can just carry.

    `rate` is the present load, which must have lasted for a planning interval.
    """

    def busy() -> list[float]:
        name, where = "hadis_plan_utilisation_ratio", f'cascade_namespace="{scenes.namespace}"'
        exposed = samples(installed.leader())
        told = [value for key, value in exposed.items() if key.startswith(name) and where in key]
        if not told:
            raise NotYet("the operator does not tell how busy the plan's workers are")
        return told

    return rate / max(LEAST_BUSY, *until("the operator tells how busy workers are", busy, 30))


def beyond(scenes: Cascade, installed: Release, rate: float) -> float:
    """Return a load that the plan in force cannot carry."""
    return BEYOND * carried(scenes, installed, rate)
