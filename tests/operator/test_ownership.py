"""What somebody has changed by hand, read from the API server's own books."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from hadis_operator import objects, ownership
from hadis_operator.objects import Manifest
from hadis_operator.rendering import routers, services
from hadis_operator.restoring import AGAIN_S, Edits
from support import rendered

OWNER = rendered.an_owner()
SERVICE = objects.stamp(services.router(OWNER, rendered.a_spec()))
LABELS = {f"f:{name}": {} for name in SERVICE["metadata"]["labels"]}
PORT = 'k:{"port":80,"protocol":"TCP"}'
# As a 1.36 API server books what it was told to apply.
BOOKS: Manifest = {
    "f:metadata": {
        "f:annotations": {"f:hadis.dev/rendered-hash": {}},
        "f:labels": LABELS,
        "f:ownerReferences": {f'k:{{"uid":"{OWNER.uid}"}}': {}},
    },
    "f:spec": {
        "f:ports": {
            PORT: {
                ".": {},
                "f:appProtocol": {},
                "f:name": {},
                "f:port": {},
                "f:protocol": {},
                "f:targetPort": {},
            }
        },
        "f:selector": {},
        "f:type": {},
    },
}


def entry(fields: Manifest, manager: str = "hadis-operator", **more: str) -> Manifest:
    return {"manager": manager, "operation": "Apply", "fieldsV1": fields, **more}


def live(*entries: Any) -> Manifest:
    found = copy.deepcopy(SERVICE)
    found["metadata"] |= {"uid": "u", "resourceVersion": "9", "managedFields": list(entries)}
    found["spec"] |= {"clusterIP": "10.0.0.1", "sessionAffinity": "None"}
    return found


def without(*path: str) -> Manifest:
    books = copy.deepcopy(BOOKS)
    node = books
    for name in path[:-1]:
        node = node[name]
    del node[path[-1]]
    return books


def test_what_was_applied_and_never_touched_is_all_there() -> None:
    assert ownership.lost(live(entry(BOOKS)), SERVICE) == []


@pytest.mark.parametrize(
    ("path", "want"),
    [
        (("f:spec", "f:type"), ["spec.type"]),
        (("f:spec", "f:selector"), ["spec.selector"]),
        (("f:spec", "f:ports", PORT, "f:targetPort"), ["spec.ports[0].targetPort"]),
        (("f:spec", "f:ports"), ["spec.ports"]),
        (("f:spec",), ["spec"]),
        (("f:metadata", "f:labels", "f:hadis.dev/cascade"), ["metadata.labels.hadis.dev/cascade"]),
    ],
)
def test_what_somebody_took_away_is_named(path: tuple[str, ...], want: list[str]) -> None:
    assert ownership.lost(live(entry(without(*path))), SERVICE) == want


def test_what_others_add_report_or_default_is_theirs() -> None:
    other = entry({"f:metadata": {"f:annotations": {"f:theirs": {}}}}, "kubectl-edit")
    status = entry({"f:status": {"f:loadBalancer": {}}}, "hadis-operator", subresource="status")
    assert ownership.lost(live(entry(BOOKS), other, status), SERVICE) == []
    # What another one has is not ours.
    taken = entry({"f:spec": {"f:type": {}}}, "kubectl-edit")
    assert ownership.lost(live(entry(without("f:spec", "f:type")), taken), SERVICE) == ["spec.type"]


def test_what_we_set_by_a_patch_is_ours_as_well() -> None:
    patched = entry({"f:spec": {"f:type": {}}}, operation="Update")
    assert ownership.lost(live(entry(without("f:spec", "f:type")), patched), SERVICE) == []


def test_an_object_without_books_has_nothing_of_ours() -> None:
    assert ownership.lost(live(), SERVICE) == ["metadata", "spec"]


def test_books_are_kept_as_text_and_read_back() -> None:
    kept = live(entry(BOOKS), entry({"f:spec": {}}, "another"))
    texts = ownership.condensed(kept)
    assert [json.loads(text) for text in texts] == [BOOKS]
    kept["metadata"]["managedFields"] = texts
    assert ownership.condensed(kept) == texts
    assert ownership.lost(kept, SERVICE) == []


def test_a_list_is_matched_by_key_by_value_or_as_a_whole() -> None:
    applied = {"spec": {"env": [{"name": "A", "value": "1"}], "set": ["x"], "atomic": [1, 2]}}
    books = {
        "f:spec": {
            "f:env": {'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}},
            "f:set": {'v:"x"': {}},
            "f:atomic": {},
        }
    }
    found = {"metadata": {"managedFields": [entry(books)]}, **applied}
    assert ownership.lost(found, applied) == []
    books["f:spec"]["f:env"] = {'k:{"name":"B"}': {".": {}}}
    books["f:spec"]["f:set"] = {'v:"y"': {}}
    del books["f:spec"]["f:atomic"]
    assert ownership.lost(found, applied) == ["spec.env[0]", "spec.set[0]", "spec.atomic"]


def test_a_key_that_a_member_leaves_to_its_default_still_names_it() -> None:
    applied = {"spec": {"ports": [{"port": 80}]}}
    books = {"f:spec": {"f:ports": {PORT: {".": {}, "f:port": {}}}}}
    found = {"metadata": {"managedFields": [entry(books)]}}
    assert ownership.lost(found, applied) == []


# When edits are looked for.


class Watching:
    def __init__(self) -> None:
        self.now_s = 0.0
        self.edits = Edits(lambda: self.now_s)

    def of(self, *entries: Any, manifest: Manifest = SERVICE) -> list[str]:
        return self.edits.of(live(*entries), manifest)


@pytest.fixture
def watching() -> Watching:
    return Watching()


EDITED = entry(without("f:spec", "f:type"))


def test_an_edit_is_found_at_once_and_again_only_after_a_while(watching: Watching) -> None:
    assert watching.of(entry(BOOKS)) == []
    assert watching.of(EDITED) == ["spec.type"]
    watching.edits.note_applied(live(entry(BOOKS)), restores=True)
    assert watching.of(entry(BOOKS)) == []
    assert watching.of(EDITED) == []
    watching.now_s = AGAIN_S
    assert watching.of(EDITED) == ["spec.type"]


def test_what_the_api_server_never_keeps_is_written_once(watching: Watching) -> None:
    watching.edits.note_applied(live(EDITED), restores=False)
    assert watching.of(EDITED) == []
    # Another edit still shows.
    assert watching.of(entry(without("f:spec", "f:selector"))) == ["spec.selector"]


def test_what_another_rendering_left_is_no_edit(watching: Watching) -> None:
    newer = objects.stamp(services.router(OWNER, rendered.a_spec(("router.service.port", 81))))
    assert watching.of(EDITED, manifest=newer) == []
    assert watching.edits.of(None, SERVICE) == []


def test_looking_again_at_what_is_right_reads_nothing(
    watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Manifest] = []
    look: Callable[[Manifest, Manifest], list[str]] = ownership.lost

    def counted(found: Manifest, applied: Manifest) -> list[str]:
        looks.append(found)
        return look(found, applied)

    monkeypatch.setattr(ownership, "lost", counted)
    for _ in range(5):
        assert watching.of(entry(BOOKS)) == []
    assert len(looks) == 1


def test_every_list_that_is_rendered_for_routers_has_members_with_their_keys() -> None:
    """The books name members of these lists by their keys, so each must say them itself."""
    keys = {
        "containers": ["name"],
        "env": ["name"],
        "ports": ["containerPort", "protocol"],
        "volumes": ["name"],
        "volumeMounts": ["mountPath"],
        "topologySpreadConstraints": ["topologyKey", "whenUnsatisfiable"],
    }
    deployment = routers.render(OWNER, rendered.a_spec(), rendered.an_installation())
    seen = set()

    def walk(node: Any, name: str = "") -> None:
        if isinstance(node, dict):
            for below, value in node.items():
                walk(value, below)
        elif isinstance(node, list) and node and isinstance(node[0], dict):
            seen.add(name)
            for member in node:
                assert set(keys[name]) <= set(member), name
                walk(member)

    walk(deployment["spec"])
    assert seen == set(keys)
