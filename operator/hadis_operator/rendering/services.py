"""The two Services of a cascade: the endpoint, and a name for the workers."""

from collections.abc import Mapping
from typing import Any

from hadis_operator import naming, objects
from hadis_operator.objects import Component, Manifest, Owner
from hadis_operator.rendering import pods

DEFAULT_TYPE = "ClusterIP"
DEFAULT_PORT = 80
"""The schema's defaults, for a cascade without `router.service`."""


def router(owner: Owner, spec: Mapping[str, Any]) -> Manifest:
    """Return the Service that clients use. Control and metrics ports are not part of it."""
    given = spec["router"].get("service", {})
    return objects.build(
        owner,
        "v1",
        "Service",
        naming.router_service(owner),
        Component.ROUTER,
        annotations=pods.merged({}, given.get("annotations")),
        spec={
            "type": given.get("type", DEFAULT_TYPE),
            "selector": objects.selector(owner, Component.ROUTER),
            "ports": [
                {
                    "name": "http",
                    "appProtocol": "http",
                    "port": given.get("port", DEFAULT_PORT),
                    "protocol": "TCP",
                    "targetPort": pods.REQUESTS,
                }
            ],
        },
    )


def workers(owner: Owner) -> Manifest:
    """Return the headless Service of the workers, those that still load included.

    Routers reach workers by address. Below this name each slot has one of its own, which leads
    them to a pod that was made while no operator could tell its address.
    """
    return objects.build(
        owner,
        "v1",
        "Service",
        naming.workers(owner),
        Component.WORKER,
        spec={
            "type": "ClusterIP",
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": objects.selector(owner, Component.WORKER),
            "ports": [
                {
                    "name": port["name"],
                    "appProtocol": "http",
                    "port": port["containerPort"],
                    "protocol": "TCP",
                    "targetPort": port["name"],
                }
                for port in pods.ports()
            ],
        },
    )
