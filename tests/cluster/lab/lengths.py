"""How long scenarios last: short in every run of the tests, longer where figures are taken."""

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lengths:
    """Durations and repetitions of a run."""

    outage_s: float
    """For how long the API server, etcd or Prometheus are away."""
    rest_s: float
    """For how long nothing may be written."""
    steps: int
    """Steps of the load."""
    all_orders: bool
    """Whether things are deleted in every order, or in three of them."""
    other_image: bool
    """Whether workers are rolled for another image, too, which has to be handed to the nodes."""


SHORT = Lengths(outage_s=45.0, rest_s=60.0, steps=5, all_orders=False, other_image=False)
FULL = Lengths(outage_s=180.0, rest_s=300.0, steps=20, all_orders=True, other_image=True)


def chosen() -> Lengths:
    """Return the lengths that HADIS_CLUSTER_FULL asks for."""
    return FULL if os.environ.get("HADIS_CLUSTER_FULL") else SHORT
