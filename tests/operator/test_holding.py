"""While other models are fetched the former ones go on serving, whoever leads."""

from collections.abc import Callable
from typing import Any

import pytest

from hadis_operator import holding, naming, surveying
from hadis_operator.objects import Manifest
from hadis_operator.reading import Given
from hadis_operator.renderings import Renderer
from support import clusters, rendered

INSTALLATION = rendered.an_installation()


def a_given(repository: str, **metadata: Any) -> Given:
    """Two models, the larger from a repository, on a claim."""
    tiny, big = clusters.PAIR["models"]
    source = {"repository": repository}
    return clusters.a_given(
        ("models", [tiny, {**big, "source": source}]),
        ("workers.template", {"modelCache": {"claimName": "weights"}}),
        **metadata,
    )


OLD = a_given("example/old", generation=3)
NEW = a_given("example/new", generation=4)
RECORD = Renderer(INSTALLATION).fleet(OLD, None, {})[0]


def hold(given: Given = NEW, record: Manifest | None = RECORD, **facts: Any) -> Given:
    return holding.hold(given, record, **{"is_fetched": False, "serves": True, **facts})


def test_until_the_new_models_are_there_the_old_ones_are_in_force() -> None:
    held = hold()
    assert held.is_held
    assert [model.source.repository for model in held.cascade.models] == [None, "example/old"]
    assert (held.cascade.generation, held.generation) == (3, 4)
    assert held.models_hash == OLD.models_hash != NEW.models_hash
    assert held.told_profile is not None
    # The plan on record is not touched, although everything else is rendered from the new spec.
    fleet = Renderer(INSTALLATION).fleet(held, None, {})
    assert fleet[0] == RECORD
    names = [manifest["metadata"]["name"] for manifest in fleet]
    assert naming.fetch(NEW.owner, NEW.models_hash) in names


@pytest.mark.parametrize(
    "change",
    [
        lambda: hold(is_fetched=True),
        lambda: hold(is_fetched=None),
        lambda: hold(serves=False),
        lambda: hold(record=None),
        lambda: hold(record={"data": {}}),
        lambda: hold(given=OLD),
        lambda: hold(record={"data": {**RECORD["data"], "cascade.json": "{torn"}}),
    ],
)
def test_otherwise_what_the_author_wants_is_in_force(change: Callable[[], Given]) -> None:
    assert not change().is_held


def test_no_slot_is_rolled_meanwhile_but_more_are_made() -> None:
    renderer = Renderer(INSTALLATION)
    live = dict(renderer.slots(OLD))
    wider = clusters.a_given(
        ("models", NEW.spec["models"]),
        ("workers.template", {**NEW.spec["workers"]["template"], "image": "own.example/w:2"}),
        ("workers.count", 3),
    )
    held = hold(given=wider)
    assert held.cascade.workers == 3
    slots = surveying.render_slots(held, INSTALLATION)
    rollout = surveying.survey(held, INSTALLATION, slots, live).rollout
    assert (rollout.roll, rollout.wait, rollout.create) == ((), (), ("w2",))
    assert sorted(rollout.keep) == ["w0", "w1"]
    rolling = surveying.survey(wider, INSTALLATION, slots, live).rollout
    assert rolling.is_under_way
