"""What the operator may do, against a golden file: a change of it is a change of rights."""

from typing import Any

import pytest
import yaml

from support import charts

GOLDEN = yaml.safe_load(
    (charts.ROOT / "tests" / "chart" / "rights.golden.yaml").read_text(encoding="utf-8")
)
ACCOUNT = {"kind": "ServiceAccount", "name": "hadis", "namespace": charts.NAMESPACE}


def _granted(rendered: charts.Rendered) -> dict[str, Any]:
    """Return the rules of each role, by kind, namespace and name."""
    return {
        "/".join(
            filter(
                None, (role["kind"], role["metadata"].get("namespace"), role["metadata"]["name"])
            )
        ): role["rules"]
        for role in rendered.all("Role") + rendered.all("ClusterRole")
    }


@pytest.mark.parametrize(
    ("case", "values"),
    [
        ("clusterwide", {}),
        ("namespaced", {"watchNamespaces": ["images", "lab"], "rbac": {"readSecrets": True}}),
    ],
)
def test_rights_equal_the_golden_file(case: str, values: charts.Manifest) -> None:
    assert _granted(charts.render(values)) == GOLDEN[case]


def test_every_role_of_the_operator_is_bound_to_it_alone() -> None:
    for values in ({}, {"watchNamespaces": ["images"]}):
        rendered = charts.render(values)
        bindings = rendered.all("RoleBinding") + rendered.all("ClusterRoleBinding")
        bound = {
            (one["roleRef"]["kind"], one["metadata"].get("namespace"), one["roleRef"]["name"])
            for one in bindings
        }
        own = {
            (role["kind"], role["metadata"].get("namespace"), role["metadata"]["name"])
            for role in rendered.all("Role") + rendered.all("ClusterRole")
            if not any("aggregate-to" in label for label in role["metadata"]["labels"])
        }
        assert bound == own
        assert all(one["subjects"] == [ACCOUNT] for one in bindings)


def test_namespaced_operators_hold_nothing_in_the_whole_cluster() -> None:
    rendered = charts.render({"watchNamespaces": ["images", "lab"]})
    assert not rendered.all("ClusterRoleBinding")
    assert {role["metadata"]["namespace"] for role in rendered.all("Role")} == {
        charts.NAMESPACE, "images", "lab",
    }  # fmt: skip


def test_nothing_needs_nodes_wildcards_or_the_right_to_grant() -> None:
    for values in ({}, {"watchNamespaces": ["images"]}):
        for rules in _granted(charts.render(values)).values():
            words = {word for rule in rules for part in rule.values() for word in part}
            assert not words & {"*", "nodes", "escalate", "bind", "impersonate", "pods/exec"}


def test_secrets_are_read_on_demand_alone_and_never_listed() -> None:
    def about_secrets(values: charts.Manifest) -> list[Any]:
        granted = _granted(charts.render(values)).values()
        return [rule for rules in granted for rule in rules if "secrets" in rule["resources"]]

    assert about_secrets({}) == []
    assert about_secrets({"rbac": {"readSecrets": True}}) == [
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
    ]


def test_releases_of_one_name_share_nothing_in_the_whole_cluster() -> None:
    """Helm refuses what another release owns; only the definitions are everybody's."""
    values = {"watchNamespaces": ["images"], "crds": {"install": False}}

    def cluster_wide(release_in: str) -> set[tuple[str, str]]:
        rendered = charts.render(values, "--namespace", release_in)
        return {
            (one["kind"], one["metadata"]["name"])
            for one in rendered.manifests
            if "namespace" not in one["metadata"]
        }

    assert cluster_wide("one")
    assert not cluster_wide("one") & cluster_wide("two")


def test_who_may_edit_a_namespace_may_edit_its_cascades() -> None:
    roles = {role["metadata"]["name"]: role for role in charts.render().all("ClusterRole")}
    key = "rbac.authorization.k8s.io/aggregate-to-"
    view, edit = (roles[f"hadis-{name}"]["metadata"]["labels"] for name in ("view", "edit"))
    assert {label.removeprefix(key) for label in view if key in label} == {"view", "edit", "admin"}
    assert {label.removeprefix(key) for label in edit if key in label} == {"edit", "admin"}
