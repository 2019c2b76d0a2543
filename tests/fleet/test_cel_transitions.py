"""The CRDs' rules about a change: what may become of a field that is there."""

from collections.abc import Iterator
from typing import Any

import celpy
import pytest

from hadis import resources

CLAIM: dict[str, Any] = {"storage": "10Gi", "accessModes": ["ReadWriteMany"]}
OTHER: dict[str, Any] = {**CLAIM, "storage": "20Gi"}
ENVIRONMENT = celpy.Environment()


def workers(cache: dict[str, Any] | None, **template: Any) -> dict[str, Any]:
    given = template if cache is None else {**template, "modelCache": cache}
    return {"count": 2, "template": given}


def of_claim(claim: dict[str, Any]) -> dict[str, Any]:
    return workers({"claimTemplate": claim})


def refusals(schema: Any, old: Any, new: Any) -> Iterator[str]:
    """The message of each rule about the change from `old` to `new`, the way the API server asks
    them: where the value is there before and after, and nowhere else."""
    if old is None or new is None:
        return
    for rule in schema.get("x-kubernetes-validations", ()):
        if "oldSelf" in rule["rule"]:
            program = ENVIRONMENT.program(ENVIRONMENT.compile(rule["rule"]))
            values = {"self": celpy.json_to_cel(new), "oldSelf": celpy.json_to_cel(old)}
            if not program.evaluate(values):
                yield rule["message"]
    if isinstance(old, dict) and isinstance(new, dict):
        for name, inner in schema.get("properties", {}).items():
            yield from refusals(inner, old.get(name), new.get(name))


def of_change(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    schema = resources.schema("hadiscascades")
    return list(refusals(schema, {"spec": {"workers": old}}, {"spec": {"workers": new}}))


@pytest.mark.parametrize(
    "new",
    [
        of_claim(OTHER),
        of_claim({**CLAIM, "storageClassName": "fast"}),
        workers({"emptyDir": {}}),
        workers({"claimName": "mine"}),
        # The first half of taking it away and giving another one.
        workers(None),
        {"count": 2},
    ],
)
def test_a_claim_template_stays_as_it_was_given(new: dict[str, Any]) -> None:
    assert of_change(of_claim(CLAIM), new) == [
        "a claimTemplate cannot be changed or taken away; make a new cascade"
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (of_claim(CLAIM), of_claim(CLAIM)),
        (of_claim(CLAIM), {**workers({"claimTemplate": CLAIM}, image="mine:2"), "count": 4}),
        ({"count": 2}, of_claim(CLAIM)),
        (workers(None), of_claim(CLAIM)),
        (workers({"emptyDir": {}}), of_claim(CLAIM)),
        (workers({"claimName": "mine"}), workers({"claimName": "yours"})),
    ],
)
def test_everything_around_it_may_change_and_one_may_be_given_later(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    assert of_change(old, new) == []
