"""A cascade in the cluster: its parts, what it says, and what is waited for of it."""

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import yaml

from cluster.lab.clusters import Cluster, Manifest
from cluster.lab.commands import Told
from cluster.lab.waiting import NotYet, Unanswered, until
from hadis_operator import kube, naming, objects
from hadis_operator.objects import Owner
from support import charts

SCENES = charts.ROOT / "cascades" / "scenes" / "cascade.yaml"
START_S = 120.0
"""Two workers on two busy cores import torch and load in less."""
LIGHT = ("scenes-xs", "scenes-s")
"""The pair to pin where workers start and end under load: images follow each other closely, and
those who are left can draw them on cores that they share with who starts."""
NO_GPU: Manifest = {"requests": {"cpu": "10m"}}
"""For cascades beside the main one: it has the GPUs."""


def scenes_documents(**spec: Any) -> list[Manifest]:
    """Return the scenes cascade and its profile, with fields of the cascade's spec replaced.

    One with replaced fields runs beside the main one, and its routers give way to that one's pods.
    """
    cascade, profile = yaml.safe_load_all(SCENES.read_text(encoding="utf-8"))
    cascade["spec"].update(copy.deepcopy(spec))
    if spec:
        cascade["spec"].setdefault("router", {}).setdefault("resources", NO_GPU)
    return [cascade, profile]


@dataclass(frozen=True)
class Cascade:
    """A handle on one HadisCascade, there or not."""

    cluster: Cluster
    namespace: str
    name: str = "scenes"

    # What people do to it.

    def apply(self, *documents: Manifest) -> Told:
        """Apply its manifests."""
        return self.cluster.apply(*documents, namespace=self.namespace)

    def patch(self, **spec: Any) -> None:
        """Merge into its spec, as `kubectl patch` does."""
        self._patch({"spec": spec})

    def annotate(self, **annotations: str | None) -> None:
        """Set annotations `hadis.dev/...`; None removes one."""
        given = {f"hadis.dev/{name.replace('_', '-')}": v for name, v in annotations.items()}
        self._patch({"metadata": {"annotations": given}})

    def scale(self, count: int) -> None:
        """Set the number of workers, as `kubectl scale` does."""
        self.cluster.kubectl(
            "scale", "hadiscascade", self.name, "-n", self.namespace, f"--replicas={count}"
        )

    @contextmanager
    def pinned(self, light: str, heavy: str) -> Iterator[None]:
        """Have a plan in force for a while, whatever the load is: one that sends nothing on."""
        pinned = {"light": light, "heavy": heavy, "hardnessThreshold": 1, "qualityThreshold": 0}
        self.patch(planner={"mode": "Pinned", "pinned": pinned})
        try:
            yield
        finally:
            self.patch(planner={"mode": "Auto", "pinned": None})

    def wait_replanned(self, within_s: float = 90.0) -> None:
        """Ask for another plan, and wait until one above that of now is told."""
        version = self.version
        with self.pinned("scenes-s", "scenes-l"):
            until("another plan is made", lambda: self.version > version, within_s)

    def delete(self) -> None:
        """Delete it, without waiting for what it owns."""
        self.cluster.kubectl("delete", "hadiscascade", self.name, "-n", self.namespace)

    def _patch(self, patch: Manifest) -> None:
        self.cluster.kubectl(
            *("patch", "hadiscascade", self.name, "-n", self.namespace),
            *("--type=merge", "-p", json.dumps(patch)),
        )

    # What it says.

    @property
    def live(self) -> Manifest:
        """The resource as it is; NotYet without it."""
        found = self.cluster.api.get(kube.CASCADES, self.namespace, self.name)
        if found is None:
            raise NotYet(f"there is no HadisCascade {self.namespace}/{self.name}")
        return found

    @property
    def owner(self) -> Owner:
        """Who its objects belong to."""
        return Owner(self.name, self.namespace, self.live["metadata"]["uid"])

    @property
    def status(self) -> Manifest:
        """Its status, empty before there is one."""
        return dict(self.live.get("status") or {})

    def condition(self, kind: str) -> Manifest:
        """Return a condition; empty while there is none."""
        found = [one for one in self.status.get("conditions") or () if one["type"] == kind]
        return dict(found[0]) if found else {}

    def reason(self, kind: str) -> str:
        """Return a condition's reason; empty while there is none."""
        return str(self.condition(kind).get("reason", ""))

    @property
    def version(self) -> int:
        """The version of the plan that its status tells; 0 before there is one."""
        return int((self.status.get("plan") or {}).get("version", 0))

    def events(self) -> list[Manifest]:
        """Return what the operator told of it, the oldest first."""
        found = [
            event
            for event in self.cluster.api.listed(kube.EVENTS, self.namespace)
            if event["involvedObject"].get("name") == self.name
            and event.get("reportingComponent") == "hadis.dev/operator"
        ]
        return sorted(found, key=lambda event: event["metadata"]["creationTimestamp"])

    def wait_rolled(self, within_s: float = START_S) -> None:
        """Wait until the routers' Deployment has rolled, and the routers of before are gone."""

        def rolled() -> bool:
            name = naming.router(self.owner)
            live = self.cluster.api.get(kube.DEPLOYMENTS, self.namespace, name)
            if live is None:
                raise NotYet(f"there is no Deployment {self.namespace}/{name}")
            told, wanted = live.get("status") or {}, live["spec"]["replicas"]
            return (
                told.get("observedGeneration") == live["metadata"]["generation"]
                and told.get("updatedReplicas") == told.get("availableReplicas") == wanted
                and len(self.pods("router")) == wanted
            )

        until(f"the routers of {self.namespace}/{self.name} have rolled", rolled, within_s)

    # What it is made of.

    def pods(self, component: str | None = None) -> list[Manifest]:
        """Return its pods, those that are leaving as well."""
        selector = f"hadis.dev/cascade={self.name}"
        if component is not None:
            selector += f",app.kubernetes.io/component={component}"
        return self.cluster.api.listed(kube.PODS, self.namespace, selector)

    def leaving(self) -> list[Manifest]:
        """Return its pods that finish what they have and go."""
        return [pod for pod in self.pods() if "deletionTimestamp" in pod["metadata"]]

    def workers(self) -> dict[str, Manifest]:
        """Return the pod of each slot that is not leaving."""
        return {
            pod["metadata"]["labels"]["hadis.dev/slot"]: pod
            for pod in self.pods("worker")
            if "deletionTimestamp" not in pod["metadata"]
        }

    def routers(self) -> list[Manifest]:
        """Return the routers' pods that are not leaving."""
        return [pod for pod in self.pods("router") if "deletionTimestamp" not in pod["metadata"]]

    def slots(self) -> dict[str, Manifest]:
        """Return the Deployment of each slot."""
        selector = f"hadis.dev/cascade={self.name},hadis.dev/slot"
        found = self.cluster.api.listed(kube.DEPLOYMENTS, self.namespace, selector)
        return {one["metadata"]["labels"]["hadis.dev/slot"]: one for one in found}

    def assignments(self) -> dict[str, Manifest]:
        """Return the assignment that is recorded on each slot."""
        texts = {
            slot: objects.annotation(live, objects.ASSIGNMENT_ANNOTATION)
            for slot, live in self.slots().items()
        }
        return {slot: json.loads(text) for slot, text in texts.items() if text}

    def routing(self) -> Manifest:
        """Return the routing table that the plan's ConfigMap records; NotYet without one."""
        name = naming.plan(self.owner)
        plan = self.cluster.api.get(kube.CONFIG_MAPS, self.namespace, name) or {}
        text = (plan.get("data") or {}).get("routing.json")
        if text is None:
            raise NotYet("the plan's ConfigMap has no routing table")
        return dict(json.loads(text))

    def leftovers(self) -> list[str]:
        """Return what is still there of it, pods included, as `Kind/name`."""
        selector = f"hadis.dev/cascade={self.name}"
        return [
            f"{kind.kind}/{live['metadata']['name']}"
            for kind in kube.OWN_KINDS
            for live in self.cluster.api.listed(kind, self.namespace, selector)
        ]

    # How it serves.

    @property
    def url(self) -> str:
        """The endpoint by the address of the router's Service; NotYet without one."""
        service = self.cluster.api.get(kube.SERVICES, self.namespace, self.name)
        if service is None:
            raise NotYet(f"there is no Service {self.namespace}/{self.name}")
        return f"http://{service['spec']['clusterIP']}:{service['spec']['ports'][0]['port']}"

    def running(self) -> set[str]:
        """Return the slots that are drawing an image right now."""
        return {worker["name"] for worker in self.told()["workers"] if worker["running"]}

    def told(self) -> Manifest:
        """Return `GET /v1/status` of a router; Unanswered while none answers."""
        try:
            reply = httpx.get(f"{self.url}/v1/status", timeout=5, trust_env=False)
            return dict(reply.raise_for_status().json())
        except httpx.HTTPError as error:
            raise Unanswered(f"{self.namespace}/{self.name}: {error!r}") from error

    def wait_ready(self, workers: int, within_s: float = START_S) -> None:
        """Wait until it serves with so many workers, all of them up to date."""

        def ready() -> bool:
            live, told = self.live, self.status
            counts = told.get("workers") or {}
            is_current = told.get("observedGeneration") == live["metadata"]["generation"]
            conditions = {one["type"]: one for one in told.get("conditions") or ()}
            states = [conditions.get(kind, {}) for kind in ("Ready", "WorkersReady")]
            if (
                is_current
                and all(state.get("status") == "True" for state in states)
                and counts.get("ready") == counts.get("total") == workers
                and len(self.told()["workers"]) == workers
            ):
                return True
            raise NotYet("; ".join(str(state.get("message")) for state in states))

        until(f"{self.namespace}/{self.name} serves with {workers} workers", ready, within_s)


def pod_ready(pod: Manifest) -> bool:
    """Return whether a pod counts as ready."""
    return any(
        one["type"] == "Ready" and one["status"] == "True"
        for one in pod["status"].get("conditions") or ()
    )


def restarts(pods: list[Manifest]) -> dict[str, int]:
    """Return how often the containers of pods were started anew, by the pods' UIDs."""
    return {
        pod["metadata"]["uid"]: sum(
            status["restartCount"] for status in pod["status"].get("containerStatuses") or ()
        )
        for pod in pods
    }
