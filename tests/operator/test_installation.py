"""The chart's file: what it decides, and every fault told by its key."""

from pathlib import Path

import pytest

from hadis.errors import InvalidInput
from hadis_operator import installation
from hadis_operator.installation import Image, Installation, Peers, RouterDefaults
from support import rendered

IMAGES = "version: 1.2.3\nimages: {router: {reference: r:1}, worker: {reference: w:1}}\n"
FULL = """
version: 1.2.3
images:
  router: {reference: r:1, pullPolicy: Always}
  worker: {reference: w@sha256:00, pullPolicy: Never}
imagePullSecrets: [registry]
watchNamespaces: [one, two]
prometheusURL: http://prometheus:9090
networkPolicy:
  enabled: true
  monitoringFrom: [{ipBlock: {cidr: 192.0.2.1/32}}]
  routerFrom: [{namespaceSelector: {}}]
  operator: {namespace: hadis, podSelector: {app: operator}}
dataPlaneServiceAccount: nobody
huggingFace: {tokenSecret: {name: hub, key: hf}, offline: true}
defaults:
  worker:
    nodeSelector: {gpu: l40s}
    tolerations: [{key: nvidia.com/gpu, operator: Exists}]
    runtimeClassName: nvidia
    priorityClassName: images
    topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}
    resources: {limits: {nvidia.com/gpu: 1}}
  router:
    nodeSelector: {pool: front}
    tolerations: [{key: front, operator: Exists}]
    priorityClassName: front
    resources: {requests: {cpu: 200m}}
"""


def test_everything_that_the_chart_decides_is_read() -> None:
    got = installation.read(FULL, source="f")
    assert got.version == "1.2.3"
    assert got.router_image == Image("r:1", "Always")
    assert got.worker_image == Image("w@sha256:00", "Never")
    assert got.image_pull_secrets == ("registry",)
    assert got.watch_namespaces == ("one", "two")
    assert got.prometheus_url == "http://prometheus:9090"
    assert got.peers == Peers(
        enabled=True,
        monitoring=({"ipBlock": {"cidr": "192.0.2.1/32"}},),
        clients=({"namespaceSelector": {}},),
        operator_namespace="hadis",
        operator_labels={"app": "operator"},
    )
    assert got.data_plane_service_account == "nobody"
    hub = got.hugging_face
    assert (hub.token_secret, hub.token_key, hub.offline) == ("hub", "hf", True)
    assert got.worker_defaults.node_selector == {"gpu": "l40s"}
    assert got.worker_defaults.tolerations == ({"key": "nvidia.com/gpu", "operator": "Exists"},)
    assert got.worker_defaults.runtime_class_name == "nvidia"
    assert got.worker_defaults.priority_class_name == "images"
    assert got.worker_defaults.resources == {"limits": {"nvidia.com/gpu": 1}}
    (spread,) = got.worker_defaults.topology_spread_constraints
    assert spread["topologyKey"] == "zone"
    assert got.router_defaults == RouterDefaults(
        node_selector={"pool": "front"},
        tolerations=({"key": "front", "operator": "Exists"},),
        priority_class_name="front",
        resources={"requests": {"cpu": "200m"}},
    )


def test_version_and_images_are_enough() -> None:
    got = installation.read(IMAGES, source="f")
    assert got == Installation("1.2.3", Image("r:1"), Image("w:1"))
    assert got.router_image.pull_policy == "IfNotPresent"
    assert not got.peers.enabled
    assert got.hugging_face.token_key == "token"


def test_empty_values_mean_the_defaults() -> None:
    empty = (
        "imagePullSecrets: []\nprometheusURL: ''\ndefaults: {worker: {}, router: {}}\n"
        "huggingFace: {tokenSecret: {name: '', key: ''}, offline: false}\nnetworkPolicy:\n"
    )
    assert installation.read(IMAGES + empty, source="f") == installation.read(IMAGES, source="f")


def test_pod_labels_may_be_given_as_a_selector() -> None:
    plain = rendered.an_installation()
    text = rendered.INSTALLATION.replace(
        "podSelector: {app.kubernetes.io/name: hadis-operator}",
        "podSelector: {matchLabels: {app.kubernetes.io/name: hadis-operator}}",
    )
    assert installation.read(text, source="f") == plain


@pytest.mark.parametrize(
    ("text", "want_field", "want_words"),
    [
        ("", "version", "is required"),
        ("version: 1\nimages: {}", "version", "must be text"),
        ("version: ''", "version", "must not be empty"),
        ("version: 1.2.3\nimages: {router: {reference: r}}", "images.worker", "is required"),
        (IMAGES + "prometheusUrl: x", "prometheusUrl", "is not a known key; known here: data"),
        (IMAGES + "huggingFace: {token: x}", "huggingFace.token", "is not a known key"),
        (
            IMAGES + "huggingFace: {tokenSecret: {nam: x}}",
            "huggingFace.tokenSecret.nam",
            "is not a known key; known here: key, name",
        ),
        (IMAGES + "huggingFace: {offline: 'yes'}", "huggingFace.offline", "must be true or false"),
        (IMAGES + "watchNamespaces: one", "watchNamespaces", "must be a list"),
        (IMAGES + "watchNamespaces: [1]", "watchNamespaces[0]", "must be text"),
        (IMAGES + "watchNamespaces: ['']", "watchNamespaces[0]", "must be text"),
        (IMAGES + "defaults: {worker: {gpu: 1}}", "defaults.worker.gpu", "is not a known key"),
        (IMAGES + "defaults: {router: []}", "defaults.router", "must be an object"),
        (
            IMAGES + "defaults: {worker: {nodeSelector: {gpu: 1}}}",
            "defaults.worker.nodeSelector",
            "put numbers and true or false in quotes",
        ),
        (
            IMAGES + "defaults: {worker: {tolerations: [gpu]}}",
            "defaults.worker.tolerations[0]",
            "must be an object",
        ),
        (
            IMAGES.replace("r:1", "r:1, pullPolicy: Sometimes"),
            "images.router.pullPolicy",
            "one of Always, IfNotPresent, Never",
        ),
        (
            IMAGES + "networkPolicy: {monitoringFrom: [{cidr: 10.0.0.0/8}]}",
            "networkPolicy.monitoringFrom[0]",
            "podSelector, namespaceSelector, ipBlock",
        ),
        (
            IMAGES + "networkPolicy: {routerFrom: [{}]}",
            "networkPolicy.routerFrom[0]",
            "must be a peer",
        ),
        (
            IMAGES + "networkPolicy: {enabled: true, operator: {podSelector: {a: b}}}",
            "networkPolicy.operator.namespace",
            "is required while networkPolicy.enabled",
        ),
        (
            IMAGES + "networkPolicy: {enabled: true, operator: {namespace: a}}",
            "networkPolicy.operator.podSelector",
            "every pod of the operator's namespace",
        ),
        ("- version", "the file", "must be an object"),
        ("version: [", "installation", "no YAML"),
    ],
)
def test_every_fault_names_its_key(text: str, want_field: str, want_words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        installation.read(text, source="the-file")
    assert str(caught.value).startswith("the-file: ")
    assert want_words in str(caught.value)
    assert caught.value.field == want_field


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        installation.read("version: 1\nimages: {router: {reference: 3}}\nmore: x", source="f")
    for words in ("version: must", "images.router.reference: must", "images.worker", "more: is"):
        assert words in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"nowhere\.yaml"):
        installation.load(tmp_path / "nowhere.yaml")
    file = tmp_path / "installation.yaml"
    file.write_text(IMAGES)
    assert installation.load(file).version == "1.2.3"
