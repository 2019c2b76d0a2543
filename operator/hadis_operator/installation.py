"""What the chart decides for every cascade: images, peers of the network, defaults of pods.

Read once at start from a YAML file, the chart's ConfigMap. A cascade's own fields go before these
defaults; a field that is given there replaces the default as a whole.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from hadis.errors import InvalidInput
from hadis_operator.objects import Manifest

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
PEER_FIELDS = ("podSelector", "namespaceSelector", "ipBlock")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Image:
    """A container image."""

    reference: str
    """Repository with tag or digest."""
    pull_policy: str = "IfNotPresent"
    """When nodes pull it; a released tag never changes, so once is enough."""


@dataclass(frozen=True, slots=True)
class Peers:
    """Who may talk to whom, as NetworkPolicies state it."""

    enabled: bool = False
    """Whether NetworkPolicies are made. Off unless the file says so: they need to know who the
    operator is."""
    monitoring: tuple[Manifest, ...] = ()
    """Peers that may read `/metrics`; empty: only the operator."""
    clients: tuple[Manifest, ...] = ()
    """Peers that may send requests to routers; empty: everyone, because keys guard the door."""
    operator_namespace: str = ""
    """Where the operator runs. Required while policies are made."""
    operator_labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of the operator's pods. Required while policies are made: an empty selector would let
    every pod of that namespace steer workers."""


@dataclass(frozen=True, slots=True)
class HuggingFace:
    """How weights are fetched from repositories."""

    token_secret: str = ""
    """Name of a Secret in each cascade's namespace that holds a token; empty: no token."""
    token_key: str = "token"
    """The key inside that Secret."""
    offline: bool = False
    """Whether nothing may be fetched, whatever a cascade says: caches are filled by hand."""


@dataclass(frozen=True, slots=True)
class WorkerDefaults:
    """What workers get that their cascade says nothing about."""

    node_selector: Mapping[str, str] = field(default_factory=dict)
    """Labels of nodes, e.g. of an L40S pool."""
    tolerations: tuple[Manifest, ...] = ()
    """Taints that GPU nodes carry."""
    runtime_class_name: str = ""
    """E.g. nvidia; empty: the node's default."""
    priority_class_name: str = ""
    """Empty: the cluster's default."""
    topology_spread_constraints: tuple[Manifest, ...] = ()
    """How workers spread; without a selector of their own over those of their cascade."""
    resources: Manifest = field(default_factory=dict)
    """Requests and limits, the GPU among them."""


@dataclass(frozen=True, slots=True)
class RouterDefaults:
    """Where routers run, and what those get whose cascade states no resources."""

    node_selector: Mapping[str, str] = field(default_factory=dict)
    """Labels of nodes."""
    tolerations: tuple[Manifest, ...] = ()
    """Taints that routers put up with: a cluster of GPU nodes alone has no others for them."""
    priority_class_name: str = ""
    """Empty: the cluster's default."""
    resources: Manifest = field(default_factory=dict)
    """Requests and limits."""


@dataclass(frozen=True, slots=True)
class Installation:
    """The chart's word. Two operators with equal installations render equal objects."""

    version: str
    """The chart's appVersion: what renders worker pods, told beside them."""
    router_image: Image
    """Of every router; routers roll with it."""
    worker_image: Image
    """Of workers whose cascade names none; running workers keep theirs until they may roll."""
    image_pull_secrets: tuple[str, ...] = ()
    """Secrets in each cascade's namespace with registry credentials."""
    watch_namespaces: tuple[str, ...] = ()
    """Namespaces whose cascades are served; empty: all."""
    prometheus_url: str = ""
    """Where demand is read; empty: from the routers themselves."""
    peers: Peers = field(default_factory=Peers)
    """Who may talk to routers and workers."""
    data_plane_service_account: str = ""
    """Of routers and workers; empty: their namespace's default. Its token is never mounted."""
    hugging_face: HuggingFace = field(default_factory=HuggingFace)
    """Token and offline switch."""
    worker_defaults: WorkerDefaults = field(default_factory=WorkerDefaults)
    """Placement and resources of workers."""
    router_defaults: RouterDefaults = field(default_factory=RouterDefaults)
    """Placement and resources of routers."""


def load(file: Path) -> Installation:
    """Return what a file says. Raises InvalidInput naming the file, the key and the fix."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file}: {error}", field="installation") from error
    return read(text, source=str(file))


def read(text: str, *, source: str) -> Installation:
    """Return what a YAML text says. Raises InvalidInput naming each faulty key."""
    try:
        parsed = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidInput(f"{source}: no YAML: {error}", field="installation") from error
    faults: list[str] = []
    installation = _installation(_Node({} if parsed is None else parsed, "", faults))
    if faults:
        raise InvalidInput(f"{source}: {'; '.join(faults)}", field=faults[0].partition(":")[0])
    return installation


def _installation(root: "_Node") -> Installation:
    version = root.text("version", required=True)
    images = root.node("images", required=True)
    defaults = root.node("defaults")
    installation = Installation(
        version=version,
        router_image=_image(images.node("router", required=True)),
        worker_image=_image(images.node("worker", required=True)),
        image_pull_secrets=root.texts("imagePullSecrets"),
        watch_namespaces=root.texts("watchNamespaces"),
        prometheus_url=root.text("prometheusURL"),
        peers=_peers(root.node("networkPolicy")),
        data_plane_service_account=root.text("dataPlaneServiceAccount"),
        hugging_face=_hugging_face(root.node("huggingFace")),
        worker_defaults=_worker_defaults(defaults.node("worker")),
        router_defaults=_router_defaults(defaults.node("router")),
    )
    for node in (images, defaults, root):
        node.close()
    return installation


def _image(node: "_Node") -> Image:
    image = Image(
        node.text("reference", required=True),
        node.choice("pullPolicy", PULL_POLICIES, "IfNotPresent"),
    )
    node.close()
    return image


def _peers(node: "_Node") -> Peers:
    operator = node.node("operator")
    peers = Peers(
        enabled=node.flag("enabled"),
        monitoring=node.peers("monitoringFrom"),
        clients=node.peers("routerFrom"),
        operator_namespace=operator.text("namespace"),
        operator_labels=operator.labels("podSelector"),
    )
    if peers.enabled:
        if not peers.operator_namespace:
            operator.fault("namespace", "is required while networkPolicy.enabled is true")
        if not peers.operator_labels:
            operator.fault(
                "podSelector",
                "needs at least one label while networkPolicy.enabled is true: without any, every "
                "pod of the operator's namespace could steer workers",
            )
    for one in (operator, node):
        one.close()
    return peers


def _hugging_face(node: "_Node") -> HuggingFace:
    secret = node.node("tokenSecret")
    hugging_face = HuggingFace(
        token_secret=secret.text("name"),
        token_key=secret.text("key") or "token",
        offline=node.flag("offline"),
    )
    for one in (secret, node):
        one.close()
    return hugging_face


def _worker_defaults(node: "_Node") -> WorkerDefaults:
    defaults = WorkerDefaults(
        node_selector=node.labels("nodeSelector"),
        tolerations=node.objects("tolerations"),
        runtime_class_name=node.text("runtimeClassName"),
        priority_class_name=node.text("priorityClassName"),
        topology_spread_constraints=node.objects("topologySpreadConstraints"),
        resources=node.mapping("resources"),
    )
    node.close()
    return defaults


def _router_defaults(node: "_Node") -> RouterDefaults:
    defaults = RouterDefaults(
        node_selector=node.labels("nodeSelector"),
        tolerations=node.objects("tolerations"),
        priority_class_name=node.text("priorityClassName"),
        resources=node.mapping("resources"),
    )
    node.close()
    return defaults


class _Node:
    """One object of the file: hands out its keys once, and tells about those nobody asked for."""

    def __init__(self, value: object, path: str, faults: list[str]) -> None:
        self._path = path
        self._faults = faults
        self._values: dict[str, Any] = {}
        self._asked: set[str] = set()
        if isinstance(value, dict):
            self._values = {str(key): member for key, member in value.items()}
        else:
            faults.append(f"{path.rstrip('.') or 'the file'}: must be an object with keys")

    def close(self) -> None:
        """Tell about keys that mean nothing here."""
        for name in self._values:
            if name not in self._asked:
                known = ", ".join(sorted(self._asked))
                self.fault(name, f"is not a known key; known here: {known}")

    def fault(self, name: str, message: str) -> None:
        """Note what is wrong with one key."""
        self._faults.append(f"{self._path}{name}: {message}")

    def node(self, name: str, *, required: bool = False) -> "_Node":
        """Return an object below this one, an empty one where there is none."""
        value = self._take(name, required=required)
        return _Node({} if value is None else value, f"{self._path}{name}.", self._faults)

    def text(self, name: str, *, required: bool = False) -> str:
        """Return text, empty where there is none."""
        value = self._typed(name, str, "text", "", required=required)
        if required and not value.strip() and isinstance(self._values.get(name), str):
            self.fault(name, "must not be empty")
        return value

    def flag(self, name: str) -> bool:
        """Return true or false, false where there is none."""
        return self._typed(name, bool, "true or false", False)

    def choice(self, name: str, known: tuple[str, ...], default: str) -> str:
        """Return one of a few words."""
        value = self.text(name) or default
        if value not in known:
            self.fault(name, f"must be one of {', '.join(known)}; is {value!r}")
        return value

    def mapping(self, name: str) -> Manifest:
        """Return an object as it stands, empty where there is none."""
        return dict(self._typed(name, dict, "an object", {}))

    def objects(self, name: str) -> tuple[Manifest, ...]:
        """Return a list of objects as they stand."""
        return self._list(name, lambda member: isinstance(member, dict), "an object")

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts."""
        return self._list(name, lambda member: isinstance(member, str) and member != "", "text")

    def peers(self, name: str) -> tuple[Manifest, ...]:
        """Return a list of NetworkPolicy peers."""
        found = self.objects(name)
        for index, peer in enumerate(found):
            if not peer or not set(peer) <= set(PEER_FIELDS):
                self.fault(f"{name}[{index}]", f"must be a peer of {', '.join(PEER_FIELDS)}")
        return found

    def labels(self, name: str) -> dict[str, str]:
        """Return labels, given plainly or as `matchLabels`."""
        value = self.mapping(name)
        if set(value) == {"matchLabels"} and isinstance(value["matchLabels"], dict):
            value = value["matchLabels"]
        if not all(isinstance(member, str) for member in value.values()):
            self.fault(name, "must hold text only; put numbers and true or false in quotes")
        return {str(key): str(member) for key, member in value.items()}

    def _list(self, name: str, holds: Callable[[Any], bool], wanted: str) -> tuple[Any, ...]:
        members: list[Any] = self._typed(name, list, "a list", [])
        for index, member in enumerate(members):
            if not holds(member):
                self.fault(f"{name}[{index}]", f"must be {wanted}")
        return tuple(member for member in members if holds(member))

    def _typed(
        self, name: str, kind: type[T], wanted: str, default: T, *, required: bool = False
    ) -> T:
        value = self._take(name, required=required)
        if value is None:
            return default
        if not isinstance(value, kind):
            self.fault(name, f"must be {wanted}, is {value!r}")
            return default
        return value

    def _take(self, name: str, *, required: bool = False) -> Any:
        self._asked.add(name)
        value = self._values.get(name)
        if value is None and required:
            self.fault(name, "is required")
        return value
