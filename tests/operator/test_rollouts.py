"""Which slots are made, kept, rolled and deleted, and that no upgrade rolls a GPU pod."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from hadis import resources
from hadis_operator import rollouts
from hadis_operator.objects import Manifest
from hadis_operator.rendering import prefetching, workers
from hadis_operator.rollouts import LiveSlot, Rollout, Wanted
from support import rendered

NEW = Wanted("new", {"w0": "t-new", "w1": "t-new", "w2": "t-new"})


def a_slot(slot: str, **changes: Any) -> LiveSlot:
    """A slot that was rendered from the old spec and serves."""
    return replace(LiveSlot(slot, "t-old", "old", "0.1.0", available=True), **changes)


def current(slot: str, **changes: Any) -> LiveSlot:
    return a_slot(slot, **{"template_hash": "t-new", "spec_hash": "new", **changes})


def decide(*live: LiveSlot, wanted: Wanted = NEW, max_unavailable: int = 1) -> Rollout:
    return rollouts.decide(wanted, live, max_unavailable=max_unavailable)


def test_slots_that_are_missing_are_made() -> None:
    assert decide() == Rollout(create=("w0", "w1", "w2"))
    assert decide(current("w1")) == Rollout(create=("w0", "w2"), keep=("w1",))


def test_what_is_current_is_left_alone_whatever_it_would_be_rendered_as_today() -> None:
    # A new default image: another template from the same spec.
    live = [current(slot, template_hash="t-before-the-upgrade") for slot in ("w0", "w1", "w2")]
    assert decide(*live) == Rollout(keep=("w0", "w1", "w2"))


def test_outdated_slots_are_rolled_one_at_a_time() -> None:
    live = [a_slot("w0"), a_slot("w1"), a_slot("w2")]
    got = decide(*live)
    assert got == Rollout(roll=("w0",), wait=("w1", "w2"))
    assert got.is_under_way
    # w0 is away: nobody else may go.
    live[0] = current("w0", available=False, rolled=True)
    assert decide(*live) == Rollout(keep=("w0",), wait=("w1", "w2"))
    live[0] = current("w0", rolled=True)
    assert decide(*live) == Rollout(keep=("w0",), roll=("w1",), wait=("w2",))
    live[1:] = [current("w1", rolled=True), current("w2", rolled=True)]
    assert not decide(*live).is_under_way


def test_as_many_as_may_be_unavailable_are_rolled_at_once() -> None:
    live = [a_slot("w0"), a_slot("w1"), a_slot("w2")]
    assert decide(*live, max_unavailable=2).roll == ("w0", "w1")
    assert decide(*live, max_unavailable=512).wait == ()


def test_slots_that_only_load_are_rolled_in_their_turn() -> None:
    """A plan swaps ten of forty slots while their template changes: their loads go on."""
    names = [f"w{index}" for index in range(40)]
    wanted = Wanted("new", dict.fromkeys(names, "t-new"))
    swapping = set(names[20:30])
    live = {name: a_slot(name, available=name not in swapping) for name in names}
    rolled: list[str] = []
    while (got := decide(*live.values(), wanted=wanted)).is_under_way:
        assert len(got.roll) <= 1
        before = sum(not one.available for one in live.values())
        for name in got.roll:
            live[name] = current(name, available=False, rolled=True)
            rolled.append(name)
        # Nobody is taken away as long as somebody else is.
        away = sum(not one.available for one in live.values())
        assert away <= max(before, 1)
        for name, one in live.items():
            if one.spec_hash == "new":
                live[name] = replace(one, available=True)
    assert sorted(rolled) == sorted(names)
    assert set(rolled[:10]) == swapping


def test_slots_that_load_count_against_those_that_the_rollout_took() -> None:
    idle = [a_slot(name, available=False) for name in ("w1", "w2")]
    assert decide(current("w0", available=False), *idle) == Rollout(keep=("w0",), wait=("w1", "w2"))
    assert decide(current("w0", available=False), *idle, max_unavailable=2).roll == ("w1",)
    assert decide(current("w0"), *idle) == Rollout(keep=("w0",), roll=("w1",), wait=("w2",))


@pytest.mark.parametrize("fate", [{"stuck": True}, {"unschedulable": True}, {"blocked": "quota"}])
def test_slots_that_are_stuck_are_all_rolled_at_once(fate: dict[str, Any]) -> None:
    live = [a_slot(name, available=False, rolled=True, **fate) for name in ("w0", "w1", "w2")]
    assert decide(*live) == Rollout(roll=("w0", "w1", "w2"))
    # What crashes in the newest rendering holds the others up, until there is another.
    stopped = [current("w0", available=False, stuck=True, rolled=True), a_slot("w1"), live[2]]
    assert decide(*stopped) == Rollout(keep=("w0",), roll=("w2",), wait=("w1",))
    mended = Wanted("mended", dict.fromkeys(("w0", "w1", "w2"), "t-mended"))
    assert decide(*stopped, wanted=mended) == Rollout(roll=("w0", "w2"), wait=("w1",))


def test_a_slot_that_serves_nobody_is_rolled_first_and_takes_the_place_of_another() -> None:
    live = [a_slot("w0"), a_slot("w1", available=False), a_slot("w2")]
    assert decide(*live) == Rollout(roll=("w1",), wait=("w0", "w2"))
    assert decide(*live, max_unavailable=2) == Rollout(roll=("w1", "w0"), wait=("w2",))


def test_a_bad_image_on_a_rolled_slot_can_be_mended() -> None:
    # The roll to "bad" got stuck at w0; "new" mends it.
    live = [
        a_slot(
            "w0", template_hash="t-bad", spec_hash="bad", available=False, rolled=True, stuck=True
        ),
        a_slot("w1"),
        a_slot("w2"),
    ]
    assert decide(*live) == Rollout(roll=("w0",), wait=("w1", "w2"))


def test_slots_that_never_had_a_node_hold_up_nobody() -> None:
    live = [a_slot("w0"), a_slot("w1"), current("w2", available=False, unschedulable=True)]
    assert decide(*live) == Rollout(roll=("w0",), wait=("w1",), keep=("w2",))


def test_pods_tell_which_slots_have_no_node() -> None:
    assert rollouts.without_node(a_slot("w0"), ["w0", "w2"]).unschedulable
    assert not rollouts.without_node(a_slot("w1", unschedulable=True), ["w0"]).unschedulable
    assert rollouts.without_node(a_slot("w0"), [], ["w0"]).stuck
    assert not rollouts.without_node(a_slot("w1", stuck=True), [], ["w0"]).stuck


def test_a_rolled_slot_without_a_node_stops_the_rollout() -> None:
    # Its new template fits no node: rolling the next would take that one away, too.
    live = [
        current("w0", available=False, unschedulable=True, rolled=True),
        a_slot("w1"),
        a_slot("w2"),
    ]
    assert decide(*live) == Rollout(keep=("w0",), wait=("w1", "w2"))


def test_a_changed_spec_that_renders_the_same_pod_touches_no_pod() -> None:
    live = [a_slot(slot, template_hash="t-new") for slot in ("w0", "w1", "w2")]
    got = decide(*live)
    assert got == Rollout(restamp=("w0", "w1", "w2"))
    assert not got.is_under_way


def test_slots_beyond_the_count_are_deleted_once() -> None:
    live = [current("w0"), current("w1"), current("w2"), a_slot("w3"), a_slot("w4", deleting=True)]
    assert decide(*live) == Rollout(keep=("w0", "w1", "w2"), leave=("w3",), ending=("w4",))


def test_a_slot_that_is_being_deleted_is_made_again_when_it_is_gone() -> None:
    live = [current("w0", deleting=True), current("w1"), current("w2")]
    assert decide(*live) == Rollout(keep=("w1", "w2"), ending=("w0",))
    assert decide(*live[1:]).create == ("w0",)


def test_no_slots_are_wanted_when_the_count_is_zero() -> None:
    nothing = Wanted.from_rendered([])
    assert decide(current("w0"), wanted=nothing) == Rollout(leave=("w0",))


def test_replicas_that_somebody_changed_are_set_back() -> None:
    live = [current("w0", replicas=0, available=False), current("w1"), current("w2")]
    assert decide(*live) == Rollout(keep=("w0", "w1", "w2"), rescale=("w0",))


def test_counts_for_the_status() -> None:
    live = [current("w0"), a_slot("w1"), current("w2", version="0.0.9")]
    assert rollouts.updated(NEW, live) == 2
    assert rollouts.older(live, "0.1.0") == 1


def test_slot_names() -> None:
    assert rollouts.slots(3) == ["w0", "w1", "w2"]
    assert rollouts.slots(0) == []


# What is rendered, and what the cluster makes of it.


def a_deployment(*changes: tuple[str, Any], extra: str = "", roll: str | None = None) -> Manifest:
    return workers.render(
        rendered.an_owner(),
        rendered.a_spec(*changes),
        rendered.an_installation(extra),
        "w0",
        roll=roll,
    )


def serving(deployment: Manifest, **status: Any) -> Manifest:
    live = copy.deepcopy(deployment)
    live["metadata"]["generation"] = 1
    live["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "1"
    full = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}
    live["status"] = {**full, **status}
    return live


def what_next(before: Manifest, after: Manifest) -> Rollout:
    live = LiveSlot.from_deployment(serving(before))
    return rollouts.decide(Wanted.from_rendered([after]), [live], max_unavailable=1)


def test_a_live_deployment_is_read_back() -> None:
    deployment = a_deployment()
    got = LiveSlot.from_deployment(serving(deployment))
    want = Wanted.from_rendered([deployment])
    assert got.slot == "w0"
    assert got.spec_hash == want.spec_hash != ""
    assert got.template_hash == want.template_hashes["w0"] != ""
    assert got.version == "0.1.0"
    assert (got.available, got.rolled, got.deleting, got.replicas) == (True, False, False, 1)


@pytest.mark.parametrize(
    "status",
    [
        {"observedGeneration": 0},  # the controller has not seen the newest template yet
        {"updatedReplicas": 0},  # the pod is one of the old template
        {"availableReplicas": 0, "unavailableReplicas": 1},
        {"unavailableReplicas": 1},
    ],
)
def test_a_slot_is_available_only_by_a_ready_pod_of_its_newest_template(
    status: dict[str, int],
) -> None:
    assert not LiveSlot.from_deployment(serving(a_deployment(), **status)).available


def test_a_deployment_that_was_never_seen_by_its_controller_is_not_available() -> None:
    live = serving(a_deployment())
    del live["status"]
    assert not LiveSlot.from_deployment(live).available


def test_a_second_revision_tells_that_a_slot_was_rolled() -> None:
    live = serving(a_deployment())
    live["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "2"
    assert LiveSlot.from_deployment(live).rolled


IMAGE = ("hadis-worker:0.1.0", "hadis-worker:0.2.0")
UPGRADES = [
    IMAGE,
    ("version: 0.1.0", "version: 0.2.0"),
    ("networkPolicy:", "dataPlaneServiceAccount: nobody\nnetworkPolicy:"),
    ("networkPolicy:", "defaults: {worker: {nodeSelector: {pool: gpu}}}\nnetworkPolicy:"),
]


@pytest.mark.parametrize("upgrade", UPGRADES)
def test_another_installation_rolls_no_worker(upgrade: tuple[str, str]) -> None:
    before = a_deployment()
    newer = rendered.an_installation("", upgrade)
    after = workers.render(rendered.an_owner(), rendered.a_spec(), newer, "w0")
    assert after != before
    assert what_next(before, after) == Rollout(keep=("w0",))


ROLLING = [
    ("workers.template.image", "registry.example/mine:1"),
    ("workers.template.resources", {"limits": {"nvidia.com/gpu": 1}}),
    ("workers.template.env", [{"name": "HF_ENDPOINT", "value": "http://mirror"}]),
    ("workers.template.terminationGracePeriod", "5m"),
]


@pytest.mark.parametrize("change", ROLLING)
def test_a_changed_template_rolls(change: tuple[str, Any]) -> None:
    assert what_next(a_deployment(), a_deployment(change)) == Rollout(roll=("w0",))


KEPT = [
    ("slo.latency", "30s"),
    ("workers.count", 4),
    ("workers.maxUnavailable", 2),
    ("planner.interval", "1s"),
    ("router.replicas", 3),
    ("hardness.weights", {"object_count": 2}),
    ("discriminator", {"source": {"path": "another"}, "kind": "clip"}),
    ("weights", "Offline"),
]


@pytest.mark.parametrize("change", KEPT)
def test_whatever_else_changes_rolls_nothing(change: tuple[str, Any]) -> None:
    assert what_next(a_deployment(), a_deployment(change)) == Rollout(keep=("w0",))


def a_judge(**source: str) -> tuple[str, Any]:
    return "discriminator", {"source": source, "kind": "clip"}


def test_another_discriminator_is_fetched_by_a_job_of_its_own_and_rolls_nothing() -> None:
    fetched = {**rendered.SMALL, "source": {"repository": "a/small"}}
    cache = ("workers.template.modelCache", {"claimName": "cache"})
    deployments, jobs = [], []
    for judge in ("a/judge", "a/other"):
        changes = [("models", [fetched]), cache, a_judge(repository=judge)]
        spec, installed = rendered.a_spec(*changes), rendered.an_installation()
        deployments.append(a_deployment(*changes))
        job = prefetching.render(rendered.an_owner(), spec, installed)
        assert job is not None
        jobs.append(job["metadata"]["name"])
    assert what_next(*deployments) == Rollout(keep=("w0",))
    assert len(set(jobs)) == 2


def test_another_discriminator_rolls_nothing_unless_it_is_the_first_thing_to_be_fetched() -> None:
    fetched = {**rendered.SMALL, "source": {"repository": "a/small"}}
    models = ("models", [fetched])
    before = a_deployment(models, a_judge(repository="a/judge"))
    for source in ({"repository": "a/other"}, {"path": "judge"}):
        assert what_next(before, a_deployment(models, a_judge(**source))).keep == ("w0",)
    plain = a_deployment(a_judge(path="judge"))
    # Pods that were rendered for folders alone may not fetch.
    assert what_next(plain, a_deployment(a_judge(repository="a/judge"))) == Rollout(roll=("w0",))
    again = a_deployment(a_judge(repository="a/judge"))
    assert what_next(again, a_deployment(a_judge(repository="a/other"))) == Rollout(keep=("w0",))


def test_another_model_of_the_same_image_needs_no_new_pod() -> None:
    two = [rendered.SMALL, {**rendered.SMALL, "name": "more", "steps": 8}]
    after = a_deployment(("models", two), ("profile", {"name": "photos"}))
    assert what_next(a_deployment(), after) == Rollout(restamp=("w0",))


def test_another_model_lets_a_new_default_image_in() -> None:
    two = [rendered.SMALL, {**rendered.SMALL, "name": "more", "steps": 8}]
    upgraded = rendered.an_installation("", IMAGE)
    spec = rendered.a_spec(("models", two), ("profile", {"name": "photos"}))
    after = workers.render(rendered.an_owner(), spec, upgraded, "w0")
    assert what_next(a_deployment(), after) == Rollout(roll=("w0",))


def test_the_annotation_lets_a_new_rendering_in_once_a_value() -> None:
    upgraded = rendered.an_installation("", IMAGE)
    owner, spec = rendered.an_owner(), rendered.a_spec()
    rolled = workers.render(owner, spec, upgraded, "w0", roll="1")
    assert what_next(a_deployment(), rolled) == Rollout(roll=("w0",))
    assert what_next(rolled, rolled) == Rollout(keep=("w0",))
    assert what_next(a_deployment(), a_deployment(roll="1")) == Rollout(restamp=("w0",))


def test_what_somebody_changed_of_a_pod_is_rolled_back_like_a_rollout() -> None:
    live = [current(slot, edited=True, edited_pod=True) for slot in ("w0", "w1", "w2")]
    assert decide(*live) == Rollout(roll=("w0",), wait=("w1", "w2"))
    live[1] = replace(live[1], available=False)
    assert decide(*live) == Rollout(roll=("w1",), wait=("w0", "w2"))
    rest = [current(slot, edited=True) for slot in ("w0", "w1", "w2")]
    assert decide(*rest) == Rollout(restamp=("w0", "w1", "w2"))


def test_edits_of_a_pod_are_told_from_others() -> None:
    one = current("w0")
    in_pod = rollouts.with_edits(one, ["spec.strategy", "spec.template.spec.hostname"])
    assert (in_pod.edited, in_pod.edited_pod) == (True, True)
    beside = rollouts.with_edits(one, ["spec.strategy"])
    assert (beside.edited, beside.edited_pod) == (True, False)
    assert rollouts.with_edits(one, []) == one


def test_why_no_pod_is_made_is_told_without_names_that_change() -> None:
    def failing(message: str) -> str:
        condition = {"type": "ReplicaFailure", "status": "True", "message": message}
        return rollouts.blocked({"status": {"conditions": [condition]}})

    tries = {
        failing(f'pods "photos-w0-0a1b2c3d-6d4b-{drawn}" is forbidden: exceeded quota: gpus')
        for drawn in ("abcde", "fghij")
    }
    assert tries == {"exceeded quota: gpus"}
    assert rollouts.blocked(serving(a_deployment())) == ""
    assert rollouts.blocked({}) == ""


# Defaults of the definitions.


def test_a_field_that_later_definitions_bring_with_its_default_rolls_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = a_deployment(("workers.template", {"labels": {"a": "b"}}))
    later = copy.deepcopy(resources.schema("hadiscascades"))
    fields = later["properties"]["spec"]["properties"]
    template = fields["workers"]["properties"]["template"]["properties"]
    template["novelty"] = {"type": "string", "default": "on"}
    nested = {"type": "object", "properties": {"depth": {"type": "integer", "default": 3}}}
    template["more"] = {**nested, "default": {}}
    fields["models"]["items"]["properties"]["novelty"] = {"type": "boolean", "default": False}
    monkeypatch.setattr(resources, "schema", lambda plural: later)
    spec = rendered.a_spec(("workers.template", {"labels": {"a": "b"}}))
    assert spec["workers"]["template"]["novelty"] == "on"
    assert spec["workers"]["template"]["more"] == {"depth": 3}
    assert spec["models"][0]["novelty"] is False
    after = workers.render(rendered.an_owner(), spec, rendered.an_installation(), "w0")
    assert what_next(before, after) == Rollout(keep=("w0",))
    # An author who says something else of it does roll.
    spec["workers"]["template"]["more"]["depth"] = 4
    said = workers.render(rendered.an_owner(), spec, rendered.an_installation(), "w0")
    assert LiveSlot.from_deployment(serving(said)).spec_hash != spec_hash_of(before)


def spec_hash_of(deployment: Manifest) -> str:
    return LiveSlot.from_deployment(serving(deployment)).spec_hash


def test_saying_a_default_changes_nothing() -> None:
    plain = a_deployment(("workers.template", {"labels": {"a": "b"}}))
    said = a_deployment(("workers.template", {"labels": {"a": "b"}, "startupTimeout": "30m"}))
    assert spec_hash_of(said) == spec_hash_of(plain)
    assert spec_hash_of(a_deployment(("workers.template", {}))) == spec_hash_of(a_deployment())


DEFAULTS = {
    "models[].guidance": 0,
    "models[].dtype": "float32",
    "workers.template.startupTimeout": "30m",
    "workers.template.modelCache.claimTemplate.accessModes": ["ReadWriteMany"],
}


def test_a_default_that_slots_are_compared_by_is_never_changed() -> None:
    """Stored cascades keep the old one: another one would roll every worker of every cluster."""
    found: dict[str, Any] = {}

    def walk(schema: Manifest, path: str) -> None:
        if "default" in schema:
            found[path] = schema["default"]
        for name, below in schema.get("properties", {}).items():
            walk(below, f"{path}.{name}" if path else name)
        if "items" in schema:
            walk(schema["items"], f"{path}[]")

    walk(resources.schema("hadiscascades")["properties"]["spec"], "")
    assert {path: found.get(path) for path in DEFAULTS} == DEFAULTS


def test_the_hash_of_a_spec_is_the_same_in_every_version() -> None:
    # Another value here rolls every worker of every cluster that is upgraded.
    assert rollouts.spec_hash(rendered.a_spec(), None) == "ab837ed48bc7bf7d"
    full = rendered.a_spec(
        ("workers.template", {"image": "mine:1", "env": [{"name": "A", "value": "b"}]}),
        ("discriminator", {"source": {"path": "d"}, "kind": "clip"}),
    )
    assert rollouts.spec_hash(full, "2") == "95442a98e32dc1d6"
