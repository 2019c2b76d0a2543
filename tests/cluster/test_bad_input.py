"""What an author gets wrong: one condition with a reason and the fix; the others keep serving."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from cluster.lab.cascades import NO_GPU, Cascade, scenes_documents
from cluster.lab.clients import Load
from cluster.lab.releases import Release
from cluster.lab.waiting import NotYet, until

NAMESPACE = "mistaken"
RATE = 0.4
TOLD_S = 120.0
UNBOUND = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "unbound"},
    "spec": {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "nobody-provides-it",
        "resources": {"requests": {"storage": "1Gi"}},
    },
}
NO_IMAGE = "registry.invalid/hadis-worker:none"


@dataclass(frozen=True, slots=True)
class Mistake:
    """A cascade that is wrong, and what is to be told of it."""

    name: str
    spec: dict[str, Any]
    condition: str
    reason: str
    words: tuple[str, ...]
    """Parts of the message: what is wrong, and what to do."""
    profile: dict[str, Any] | None = None
    """Fields of the profile's spec that are replaced."""
    serves: bool = False
    """Whether it serves nevertheless."""


def _profile_without(model: str) -> dict[str, Any]:
    spec = scenes_documents()[1]["spec"]
    return {
        "models": [one for one in spec["models"] if one["name"] != model],
        "rows": [row for row in spec["rows"] if model not in (row["light"], row["heavy"])],
    }


def _worker(**template: Any) -> dict[str, Any]:
    return {"count": 1, "template": {"resources": NO_GPU, **template}}


MISTAKES = (
    Mistake(
        "unmeasured",
        {"workers": _worker(nodeSelector={"nowhere": "true"})},
        "ProfileValid",
        "ModelMissing",
        ("scenes-m", "profile"),
        profile=_profile_without("scenes-m"),
    ),
    Mistake(
        "elsewhere",
        {"workers": _worker()},
        "ProfileValid",
        "HardwareMismatch",
        ("NVIDIA L40S", "hadis profile"),
        profile={"hardware": {"product": "NVIDIA L40S"}},
        serves=True,
    ),
    Mistake(
        "keyless",
        {"workers": _worker(), "router": {"apiKeys": {"secretName": "no-keys"}}},
        "Ready",
        "RouterUnavailable",
        ("no-keys", "Secret"),
    ),
    Mistake(
        "unclaimed",
        {"workers": _worker(modelCache={"claimName": "no-claim"})},
        "WorkersReady",
        "Unschedulable",
        ("no-claim", "spec.workers.template"),
    ),
    Mistake(
        "unbound",
        {"workers": _worker(modelCache={"claimName": "unbound"})},
        "WorkersReady",
        "Unschedulable",
        ("unbound", "spec.workers.template"),
    ),
    Mistake(
        "unpulled",
        {"workers": _worker(image=NO_IMAGE)},
        "WorkersReady",
        "Crashing",
        (NO_IMAGE, "imagePullSecrets"),
    ),
    Mistake(
        "nowhere",
        {"workers": _worker(nodeSelector={"nowhere": "true"})},
        "WorkersReady",
        "Unschedulable",
        ("nodeSelector",),
    ),
)


@dataclass(frozen=True, slots=True)
class Mistaken:
    """The cascades with a mistake, and the load on the one without."""

    cascades: dict[str, Cascade]
    load: Load


@pytest.fixture(scope="module")
def mistaken(installed: Release, scenes: Cascade) -> Iterator[Mistaken]:
    """All of them at once, while another cascade serves."""
    cluster = installed.cluster
    cluster.make_namespace(NAMESPACE)
    cluster.apply(UNBOUND, namespace=NAMESPACE)
    cascades = {}
    with Load.on(scenes.url, RATE) as load:
        load.wait_served(2)
        for mistake in MISTAKES:
            cascade, profile = scenes_documents(**mistake.spec)
            for document in (cascade, profile):
                document["metadata"]["name"] = mistake.name
            cascade["spec"]["profile"]["name"] = mistake.name
            profile["spec"].update(mistake.profile or {})
            cluster.apply(cascade, profile, namespace=NAMESPACE)
            cascades[mistake.name] = Cascade(cluster, NAMESPACE, mistake.name)
        yield Mistaken(cascades, load)
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_told_with_its_fix_and_harms_nobody_else(
    mistake: Mistake, mistaken: Mistaken, scenes: Cascade
) -> None:
    cascade, load = mistaken.cascades[mistake.name], mistaken.load

    def told() -> bool:
        condition = cascade.condition(mistake.condition)
        if condition.get("reason") != mistake.reason or condition["status"] != "False":
            raise NotYet(str(cascade.status.get("conditions")))
        return True

    until(f"{mistake.condition} tells {mistake.reason}", told, TOLD_S)
    message = cascade.condition(mistake.condition)["message"]
    assert [word for word in mistake.words if word not in message] == [], message
    if mistake.serves:
        until("it serves", lambda: cascade.condition("Ready")["status"] == "True", TOLD_S)
    load.wait_served(1)
    assert load.lost() == []
    assert scenes.condition("Ready")["status"] == "True"
