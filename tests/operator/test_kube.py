"""What requests to the API server become, and what its answers do."""

import asyncio

import pytest

from hadis.errors import InvalidInput
from hadis_operator import kube
from hadis_operator.kube import (
    ClusterRefused,
    ClusterUnreachable,
    Conflicting,
    Kind,
    Kube,
    NotThere,
)
from hadis_operator.objects import Manifest
from support.api_server import ApiServer, Write


def a_config_map(name: str = "plan", **metadata: object) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "images", **metadata},
        "data": {"a": "1"},
    }


@pytest.mark.parametrize(
    ("kind", "arguments", "want"),
    [
        (kube.PODS, (None,), "/api/v1/pods"),
        (kube.PODS, ("images", "w0"), "/api/v1/namespaces/images/pods/w0"),
        (kube.DEPLOYMENTS, ("images",), "/apis/apps/v1/namespaces/images/deployments"),
    ],
)
def test_a_kind_knows_its_paths(kind: Kind, arguments: tuple[str, ...], want: str) -> None:
    assert kind.path(*arguments) == want
    status = kube.CASCADES.path("images", "photos", part="status")
    assert status == "/apis/hadis.dev/v1alpha1/namespaces/images/hadiscascades/photos/status"


async def test_applying_names_its_manager_and_returns_what_is_there(
    server: ApiServer, api: Kube
) -> None:
    told = await api.apply(a_config_map(), manager="hadis-operator")
    assert told["metadata"]["uid"]
    assert server.writes == [Write("apply", "configmaps", "plan", "", "hadis-operator")]
    assert (await api.get(kube.CONFIG_MAPS, "images", "plan"))["data"] == {"a": "1"}


async def test_applying_reaches_the_object_that_was_meant_and_no_namesake(
    server: ApiServer, api: Kube
) -> None:
    live = await api.apply_new(a_config_map(), manager="hadis-operator")
    changed = {**a_config_map(), "data": {"a": "2"}}
    with pytest.raises(ClusterRefused):
        await api.apply(changed, manager="hadis-operator", uid="another")
    told = await api.apply(changed, manager="hadis-operator", uid=live["metadata"]["uid"])
    assert told["data"] == {"a": "2"}
    assert told["metadata"]["uid"] == live["metadata"]["uid"]
    # What somebody else has made is not taken over by what should be new.
    server.put({**a_config_map("theirs"), "data": {"a": "3"}})
    with pytest.raises(Conflicting):
        await api.apply_new(a_config_map("theirs"), manager="hadis-operator")
    server.remove("configmaps", "plan")
    with pytest.raises(Conflicting):
        await api.apply(changed, manager="hadis-operator", uid=live["metadata"]["uid"])


def test_the_apis_words_are_told_whole_on_one_line_and_not_too_long() -> None:
    error = ClusterUnreachable("PATCH /x: 500 ...", status=500, words="errors:\n  .spec.x: unknown")
    assert kube.words_of(error) == "errors: .spec.x: unknown"
    assert len(kube.words_of(ClusterUnreachable("x", words="y" * 2000))) == kube.MAX_WORDS_CHARS


async def test_writes_are_told_by_kind_and_verb(server: ApiServer) -> None:
    counted: list[tuple[str, str]] = []
    api = server.kube()
    api._wrote = lambda kind, verb: counted.append((kind, verb))
    live = await api.create(a_config_map(), manager="m")
    await api.replace({**live, "data": {}}, manager="m")
    await api.merge({**a_config_map(), "data": {"b": "2"}}, manager="m")
    await api.delete(kube.CONFIG_MAPS, "images", "plan", uid=live["metadata"]["uid"])
    await api.delete(kube.CONFIG_MAPS, "images", "plan", uid=live["metadata"]["uid"])
    await api.close()
    assert [verb for _, verb in counted] == ["create", "replace", "merge", "delete"]
    assert {kind for kind, _ in counted} == {"configmaps"}


async def test_refusals_are_told_apart(server: ApiServer, api: Kube) -> None:
    with pytest.raises(NotThere):
        await api.get(kube.CONFIG_MAPS, "images", "absent")
    live = await api.create(a_config_map(), manager="m")
    with pytest.raises(Conflicting):
        await api.create(a_config_map(), manager="m")
    await api.replace({**live, "data": {"a": "2"}}, manager="m")
    with pytest.raises(Conflicting):
        await api.replace({**live, "data": {"a": "3"}}, manager="m")
    server.refusals["configmaps"] = (403, "exceeded quota")
    with pytest.raises(ClusterRefused, match="exceeded quota") as refused:
        await api.apply(a_config_map(), manager="m")
    assert refused.value.status == 403


async def test_a_namesake_is_not_deleted(server: ApiServer, api: Kube) -> None:
    server.put(a_config_map(uid="new"))
    await api.delete(kube.CONFIG_MAPS, "images", "plan", uid="old")
    assert server.get("configmaps", "plan")


async def test_an_api_that_is_away_or_silent_is_unreachable(
    server: ApiServer, api: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.down = True
    with pytest.raises(ClusterUnreachable):
        await api.get(kube.CONFIG_MAPS, "images", "plan")
    server.down, server.silent = False, True
    monkeypatch.setattr(kube, "TIMEOUT_S", 0.2)
    async with asyncio.timeout(5):
        with pytest.raises(ClusterUnreachable):
            await api.get(kube.CONFIG_MAPS, "images", "plan")


async def test_lists_are_of_one_namespace_or_all_by_label(server: ApiServer, api: Kube) -> None:
    server.put(a_config_map("a", labels={"x": "1"}), a_config_map("b"))
    elsewhere = a_config_map("c", labels={"x": "1"})
    elsewhere["metadata"]["namespace"] = "other"
    server.put(elsewhere)

    async def names(namespace: str | None, selector: str = "") -> list[str]:
        items, _ = await api.list(kube.CONFIG_MAPS, namespace, selector=selector)
        return [item["metadata"]["name"] for item in items]

    assert await names("images") == ["a", "b"]
    assert await names(None) == ["a", "b", "c"]
    assert await names(None, "x=1") == ["a", "c"]
    items, version = await api.list(kube.CONFIG_MAPS, metadata_only=True)
    assert "data" not in items[0]
    assert version == str(server.version)


async def test_a_kind_is_served_once_its_definition_is_there(server: ApiServer, api: Kube) -> None:
    assert await api.serves(kube.CASCADES)
    assert not await api.serves(Kind("hadis.dev", "v1alpha1", "Other", "others"))


async def test_without_credentials_the_way_out_is_named() -> None:
    with pytest.raises(InvalidInput, match="--kubeconfig"):
        await Kube.connect("/no/such/file")
