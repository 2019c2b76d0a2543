"""Loads that a plan in force cannot carry, found from how busy it expects its workers to be.

So slow machines and fast ones are asked for the same: plainly more than they do now.
"""

from cluster.lab.cascades import Cascade
from cluster.lab.releases import Release, samples
from cluster.lab.waiting import NotYet, until

BEYOND = 1.6
"""A step's load, as a multiple of what the plan in force carries. At a few images a second a
smaller one is not told from chance within an interval, whoever looks."""
LEAST_BUSY = 0.05


def carried(scenes: Cascade, installed: Release) -> float:
    """Return the load, in images a second, that the plan in force can just carry."""
    return until("the operator tells what it plans for", lambda: _carried(scenes, installed), 30)


def _carried(scenes: Cascade, installed: Release) -> float:
    # Both of one cycle: the load that there is, and the one that the operator has seen so far, are
    # not the same.
    exposed = samples(installed.leader())
    where = f'cascade_namespace="{scenes.namespace}"'
    demand, busy = (
        [value for key, value in exposed.items() if key.startswith(name) and where in key]
        for name in ("hadis_demand_requests_per_second", "hadis_plan_utilisation_ratio")
    )
    if not demand or not busy or demand[0] <= 0.0:
        raise NotYet("the operator does not tell the demand and how busy the plan's workers are")
    return demand[0] / max(LEAST_BUSY, *busy)


def beyond(scenes: Cascade, installed: Release) -> float:
    """Return a load that the plan in force cannot carry."""
    return BEYOND * carried(scenes, installed)
