"""Deleting a cascade, its profile and its namespace, in any order, with and without operators."""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from cluster.lab.cascades import NO_GPU, Cascade, scenes_documents
from cluster.lab.clusters import Cluster
from cluster.lab.figures import Figures
from cluster.lab.lengths import Lengths
from cluster.lab.lengths import chosen as chosen_lengths
from cluster.lab.releases import Release
from cluster.lab.waiting import NotYet, until
from hadis_operator import kube

GONE_S = 30.0
NAMESPACES = kube.Kind("", "v1", "Namespace", "namespaces")
THINGS = ("cascade", "profile", "namespace")


@dataclass(frozen=True, slots=True)
class Order:
    """In which order things are deleted, and whether an operator is there."""

    things: tuple[str, ...]
    is_operated: bool

    @property
    def namespace(self) -> str:
        """Where this order has its cascade."""
        operated = "operated" if self.is_operated else "alone"
        return f"doomed-{'-'.join(thing[0] for thing in self.things)}-{operated}"


def _orders(lasting: Lengths) -> list[Order]:
    if lasting.all_orders:
        return [
            Order(things, is_operated)
            for is_operated in (True, False)
            for things in itertools.permutations(THINGS)
        ]
    return [
        Order(("cascade", "profile", "namespace"), is_operated=True),
        Order(("profile", "cascade", "namespace"), is_operated=False),
        Order(("namespace", "profile", "cascade"), is_operated=False),
    ]


ORDERS = _orders(chosen_lengths())


@pytest.fixture(scope="module")
def doomed(installed: Release) -> Iterator[dict[str, Cascade]]:
    """A serving cascade for each order."""
    cluster = installed.cluster
    cascades = {}
    for order in ORDERS:
        cluster.make_namespace(order.namespace)
        cascades[order.namespace] = Cascade(cluster, order.namespace)
        template = {"resources": NO_GPU}
        cascades[order.namespace].apply(
            *scenes_documents(workers={"count": 1, "template": template})
        )
    for cascade in cascades.values():
        cascade.wait_ready(1, 90.0 * len(ORDERS))
    yield cascades
    installed.scale(2)
    for namespace in cascades:
        cluster.kubectl("delete", "namespace", namespace, "--wait=false", "--ignore-not-found")


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: order.namespace)
def test_nothing_is_left_and_nothing_is_stuck(
    order: Order, doomed: dict[str, Cascade], installed: Release, figures: Figures
) -> None:
    cascade, cluster = doomed[order.namespace], installed.cluster
    if not order.is_operated and installed.operators():
        installed.scale(0)
    assert not cascade.live["metadata"].get("finalizers")
    began_s = time.monotonic()
    for thing in order.things:
        _delete(cluster, order.namespace, thing)
        if thing == "cascade":
            _wait_until_gone(cascade)
    until("the namespace is gone", lambda: _is_gone(cluster, order.namespace), 3 * GONE_S + 5)
    operated = "with" if order.is_operated else "without"
    name = f"{', '.join(order.things)} deleted {operated} operators"
    figures.within(name, time.monotonic() - began_s, GONE_S)


def _delete(cluster: Cluster, namespace: str, thing: str) -> None:
    what = {
        "cascade": ["hadiscascade", "scenes", "-n", namespace],
        "profile": ["hadisprofile", "scenes", "-n", namespace],
        "namespace": ["namespace", namespace],
    }[thing]
    cluster.kubectl("delete", *what, "--wait=false", "--ignore-not-found")


def _wait_until_gone(cascade: Cascade) -> None:
    """Wait until nothing is left of a cascade, be its namespace there or not."""

    def gone() -> bool:
        left = cascade.leftovers()
        if left:
            raise NotYet(", ".join(left))
        return True

    until("nothing of the cascade is left", gone, 3 * GONE_S)


def _is_gone(cluster: Cluster, namespace: str) -> bool:
    found = cluster.api.get(NAMESPACES, None, namespace)
    if found is not None:
        raise NotYet(str(found["status"]))
    return True
