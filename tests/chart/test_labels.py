"""Labels and annotations of the values: what selects is ours, what others select by is theirs."""

import yaml

from support import charts
from support.chart_values import EVERYTHING
from support.charts import Manifest

NAME = "app.kubernetes.io/name"
TAKEN = {NAME: "theirs", "app.kubernetes.io/instance": "theirs", "team": "images"}


def _values(**more: object) -> Manifest:
    return {**EVERYTHING, "commonLabels": TAKEN, **more}


def test_common_labels_are_on_everything_and_displace_nothing() -> None:
    plain = charts.render(EVERYTHING)
    labelled = charts.render(_values())
    for before, after in zip(plain.manifests, labelled.manifests, strict=True):
        if after["kind"] == "CustomResourceDefinition":
            continue
        ours, theirs = before["metadata"]["labels"], after["metadata"]["labels"]
        assert theirs["team"] == "images", after["metadata"]["name"]
        assert theirs[NAME] == ours[NAME]


def test_selectors_find_the_operator_whatever_the_values_say() -> None:
    operator = {**EVERYTHING["operator"], "podLabels": TAKEN}
    rendered = charts.render(_values(operator=operator))
    deployment = rendered.one("Deployment")["spec"]
    pod = deployment["template"]["metadata"]["labels"]
    service = rendered.one("Service")
    budget, policy = rendered.one("PodDisruptionBudget"), rendered.one("NetworkPolicy")
    monitor = rendered.one("ServiceMonitor")["spec"]
    assert pod["team"] == "images"
    for selector in (
        deployment["selector"]["matchLabels"],
        service["spec"]["selector"],
        budget["spec"]["selector"]["matchLabels"],
        policy["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector.items() <= pod.items()
    wanted = monitor["selector"]["matchLabels"]
    assert wanted.items() <= service["metadata"]["labels"].items()
    test = rendered.one("Pod")["metadata"]["labels"]
    admitted = policy["spec"]["ingress"][0]["from"][-1]["podSelector"]["matchLabels"]
    assert admitted.items() <= test.items()


def test_the_checksum_stands_against_an_annotation_of_its_name() -> None:
    operator = {"podAnnotations": {"checksum/installation": "theirs", "note": "x"}}
    template = charts.render({"operator": operator}).one("Deployment")["spec"]["template"]
    annotations = template["metadata"]["annotations"]
    assert annotations["note"] == "x"
    assert len(annotations["checksum/installation"]) == 64


def test_what_prometheus_and_grafana_select_by_is_theirs() -> None:
    labels = {NAME: "watched", "release": "kps"}
    monitoring = {
        name: {"enabled": True, "labels": labels}
        for name in ("serviceMonitor", "podMonitor", "rules")
    }
    dashboards = {"enabled": True, "labels": {NAME: "watched", "grafana_dashboard": "yes"}}
    rendered = charts.render({"monitoring": monitoring, "dashboards": dashboards})
    for kind in ("ServiceMonitor", "PodMonitor", "PrometheusRule"):
        told = rendered.one(kind)["metadata"]["labels"]
        assert labels.items() <= told.items()
    boards = [one for one in rendered.all("ConfigMap") if "dashboard" in one["metadata"]["name"]]
    assert len(boards) == 4
    for board in boards:
        assert board["metadata"]["labels"][NAME] == "watched"
        assert board["metadata"]["labels"]["grafana_dashboard"] == "yes"


def test_no_object_names_a_key_twice() -> None:
    """Which of the two would count is anybody's guess: helm takes the last, other tools refuse."""
    operator = {**EVERYTHING["operator"], "podLabels": TAKEN, "podAnnotations": TAKEN}
    text = charts.template(_values(operator=operator))
    assert len(list(yaml.load_all(text, Loader=_Strict))) > 20


class _Strict(yaml.SafeLoader):
    """A loader that refuses a mapping with a key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, object]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"{sorted(keys)} {node.start_mark}"
        return dict(super().construct_mapping(node, deep=deep))
