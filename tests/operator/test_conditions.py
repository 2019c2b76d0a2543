"""Which condition a fact leads to, and that each fault names its fix."""

from dataclasses import replace
from typing import Any

import pytest

from hadis import resources
from hadis.planning.problems import PlanStatus
from hadis_operator import conditions
from hadis_operator.attaining import Attainment
from hadis_operator.conditions import Condition, Facts, SlotFacts, Source
from hadis_operator.objects import Component
from hadis_operator.observing import View
from hadis_operator.prometheus import Trouble
from hadis_operator.reading import ProfileState
from hadis_operator.supplying import Supply, SupplyState
from support import clusters

SLOTS = SlotFacts(wanted=("w0", "w1"), updated=2, version="0.1.0")
CACHED = Supply(SupplyState.CACHED, "there")


def a_view(**changes: Any) -> View:
    """Two workers and a router, all of them ready."""
    pods = (
        clusters.a_pod("w0", slot="w0"),
        clusters.a_pod("w1", slot="w1"),
        clusters.a_pod("router", component=Component.ROUTER),
    )
    workers = {slot: clusters.a_worker_status(slot) for slot in ("w0", "w1")}
    view = View(0.0, pods, workers, {"router": clusters.a_router_status()})
    return replace(view, **changes)


def some_facts(**changes: Any) -> Facts:
    facts = Facts(clusters.a_given(), a_view(), SLOTS, CACHED, plan_status=PlanStatus.OPTIMAL)
    return replace(facts, **changes)


def condition(facts: Facts, kind: str) -> Condition:
    [found] = [one for one in conditions.derive(facts) if one.type == kind]
    return found


def verdict(facts: Facts, kind: str) -> tuple[str, str]:
    found = condition(facts, kind)
    return found.status, found.reason


def test_all_is_well() -> None:
    got = {one.type: (one.status, one.reason) for one in conditions.derive(some_facts())}
    assert got == {
        "Ready": ("True", "Serving"),
        "ProfileValid": ("True", "Valid"),
        "ModelsAvailable": ("True", "Cached"),
        "WorkersReady": ("True", "AllReady"),
        "MetricsAvailable": ("True", "Direct"),
        "PlanFeasible": ("True", "Optimal"),
        "SLOAttainable": ("Unknown", "NoData"),
    }


def without_router() -> View:
    return a_view(routers={})


READY: list[tuple[dict[str, Any], tuple[str, str], str]] = [
    ({"view": without_router()}, ("False", "RouterUnavailable"), "no router"),
    ({"view": a_view(routers={}, workers={})}, ("False", "NoWorkers"), "WorkersReady"),
    (
        {"view": a_view(routers={}, workers={}), "slots": SlotFacts()},
        ("False", "NoWorkers"),
        "spec.workers.count",
    ),
    ({"taken": ("Service photos",)}, ("False", "NameTaken"), "Service photos"),
    (
        {"view": without_router(), "plan_status": None, "plan_trouble": "no rows; measure them"},
        ("False", "ProfileInvalid"),
        "measure them",
    ),
]


@pytest.mark.parametrize(("changes", "want", "want_words"), READY)
def test_ready_says_what_is_missing(
    changes: dict[str, Any], want: tuple[str, str], want_words: str
) -> None:
    found = condition(some_facts(**changes), "Ready")
    assert (found.status, found.reason) == want
    assert want_words in found.message


@pytest.mark.parametrize(
    ("view", "want"),
    [(a_view(), "True"), (without_router(), "False"), (a_view(routers={}, workers={}), "False")],
)
def test_ready_tells_what_could_not_be_written_whatever_else_it_says(view: View, want: str) -> None:
    found = condition(some_facts(view=view, faults=("Deployment x was refused: no",) * 9), "Ready")
    assert found.status == want
    assert found.message.count("Deployment x was refused: no") == conditions.NAMED
    assert found.message.endswith(conditions.WRITE_FIX)


def test_a_router_that_serves_counts_more_than_workers_that_do_not_answer_us() -> None:
    assert verdict(some_facts(view=a_view(workers={})), "Ready") == ("True", "Serving")


def test_a_cascade_without_its_profile_is_not_ready_until_there_was_a_plan() -> None:
    given = replace(
        clusters.a_given(),
        profile=None,
        profile_state=ProfileState.NOT_FOUND,
        trouble="HadisProfile pair does not exist; apply it",
    )
    facts = some_facts(given=given, view=without_router(), plan_status=None)
    assert verdict(facts, "Ready") == ("False", "ProfileInvalid")
    assert verdict(facts, "ProfileValid") == ("False", "NotFound")
    assert "apply it" in condition(facts, "ProfileValid").message
    assert all(one.type != "PlanFeasible" for one in conditions.derive(facts))
    # With a plan of earlier days it goes on serving.
    facts = some_facts(given=given)
    assert verdict(facts, "Ready") == ("True", "Serving")


@pytest.mark.parametrize(("view", "want"), [(a_view(), "True"), (without_router(), "False")])
def test_a_paused_cascade_says_so_and_whether_it_serves(view: View, want: str) -> None:
    given = clusters.a_given(annotations={"hadis.dev/paused": "true"})
    found = condition(some_facts(given=given, view=view), "Ready")
    assert (found.status, found.reason) == (want, "Paused")
    assert "hadis.dev/paused" in found.message


def waiting(reason: str, **container: Any) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": "back-off 5m0s restarting"}}
    return {
        "ready": False,
        "containerStatuses": [{"restartCount": 3, "state": state, **container}],
    }


def unscheduled() -> dict[str, Any]:
    return {
        "ready": False,
        "conditions": [
            {
                "type": "PodScheduled",
                "status": "False",
                "message": "0/2 nodes are available: 2 Insufficient nvidia.com/gpu.",
            }
        ],
    }


OUT_OF_MEMORY = {"lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}
EXITED = {"lastState": {"terminated": {"exitCode": 2, "message": "first\nno such model"}}}
PLIGHTS: list[tuple[dict[str, Any], str, str]] = [
    ({"ready": False}, "Loading", "w1 is on the way"),
    (unscheduled(), "Unschedulable", "Insufficient nvidia.com/gpu"),
    (waiting("CrashLoopBackOff", **EXITED), "Crashing", "exit code 2: no such model"),
    (waiting("CrashLoopBackOff", **OUT_OF_MEMORY), "OutOfMemory", "resources.limits.memory"),
    (waiting("ImagePullBackOff", image="x.example/y:z"), "Crashing", "image x.example/y:z"),
]


@pytest.mark.parametrize(("fields", "want_reason", "want_words"), PLIGHTS)
def test_workers_ready_names_the_slot_and_its_plight(
    fields: dict[str, Any], want_reason: str, want_words: str
) -> None:
    pods = (clusters.a_pod("w0", slot="w0"), clusters.a_pod("w1", slot="w1", **fields))
    view = a_view(pods=pods, workers={"w0": clusters.a_worker_status("w0")})
    found = condition(some_facts(view=view), "WorkersReady")
    assert (found.status, found.reason) == ("False", want_reason)
    assert want_words in found.message
    assert "w1" in found.message
    assert "1 of 2" in found.message


def test_a_message_does_not_change_with_the_length_of_a_back_off() -> None:
    def told(pause: str) -> str:
        fields = waiting("CreateContainerConfigError")
        fields["containerStatuses"][0]["state"]["waiting"]["message"] = f"oops back-off {pause}"
        pods = (clusters.a_pod("w0", slot="w0"), clusters.a_pod("w1", slot="w1", **fields))
        view = a_view(pods=pods, workers={"w0": clusters.a_worker_status("w0")})
        return condition(some_facts(view=view), "WorkersReady").message

    assert told("10s") == told("20s")


def pulled(reason: str) -> str:
    fields = waiting(reason, image="x.example/y:z")
    pods = (clusters.a_pod("w0", slot="w0"), clusters.a_pod("w1", slot="w1", **fields))
    view = a_view(pods=pods, workers={"w0": clusters.a_worker_status("w0")})
    return condition(some_facts(view=view), "WorkersReady").message


def test_a_message_does_not_change_with_each_try_to_pull_an_image() -> None:
    assert pulled("ErrImagePull") == pulled("ImagePullBackOff")
    assert "imagePullSecrets" in pulled("ErrImagePull")


def test_an_image_of_an_init_container_that_cannot_be_pulled_is_told_too() -> None:
    state = {"waiting": {"reason": "ErrImagePull"}}
    fields = {
        "ready": False,
        "initContainerStatuses": [{"state": state, "image": "x.example/y:z"}],
        "containerStatuses": [{"state": {"waiting": {"reason": "PodInitializing"}}}],
    }
    pods = (clusters.a_pod("w0", slot="w0"), clusters.a_pod("w1", slot="w1", **fields))
    view = a_view(pods=pods, workers={"w0": clusters.a_worker_status("w0")})
    found = condition(some_facts(view=view), "WorkersReady")
    assert found.reason == "Crashing"
    assert "image x.example/y:z cannot be pulled" in found.message


def test_a_missing_secret_of_a_variable_is_named_with_the_fix() -> None:
    fields = waiting("CreateContainerConfigError")
    state = fields["containerStatuses"][0]["state"]["waiting"]
    state["message"] = 'secret "hub-token" not found'
    pods = (clusters.a_pod("w0", slot="w0"), clusters.a_pod("w1", slot="w1", **fields))
    view = a_view(pods=pods, workers={"w0": clusters.a_worker_status("w0")})
    found = condition(some_facts(view=view), "WorkersReady")
    assert found.reason == "Crashing"
    assert 'create secret "hub-token" in this namespace' in found.message


def test_a_slot_whose_pod_the_api_does_not_make_says_why() -> None:
    view = a_view(
        pods=(clusters.a_pod("w0", slot="w0"),), workers={"w0": clusters.a_worker_status("w0")}
    )
    blocked = {"w1": 'error looking up service account images/painter: "painter" not found'}
    found = condition(some_facts(view=view, blocked=blocked), "WorkersReady")
    assert (found.status, found.reason) == ("False", "Unschedulable")
    assert "painter" in found.message
    assert "serviceAccountName" in found.message


KEYED = clusters.a_given(("router.apiKeys", {"secretName": "clients"}))


def test_routers_that_wait_for_a_secret_that_does_not_exist_say_so() -> None:
    facts = some_facts(given=KEYED, view=without_router(), missing_secret="clients")
    found = condition(facts, "Ready")
    assert (found.status, found.reason) == ("False", "RouterUnavailable")
    assert "the Secret clients, which spec.router.apiKeys names, does not exist" in found.message
    assert "create it" in found.message


def test_routers_whose_pods_the_api_does_not_make_say_why() -> None:
    facts = some_facts(view=without_router(), routers_blocked="exceeded quota: pods")
    found = condition(facts, "Ready")
    assert found.reason == "RouterUnavailable"
    assert "exceeded quota: pods" in found.message


def test_serving_goes_on_beside_a_router_that_does_not_start_and_says_which() -> None:
    facts = some_facts(given=KEYED, missing_secret="clients")
    found = condition(facts, "Ready")
    assert (found.status, found.reason) == ("True", "Serving")
    assert "the Secret clients" in found.message
    newer = clusters.a_pod(
        "newer", component=Component.ROUTER, **waiting("ErrImagePull", image="r.example/router:9")
    )
    found = condition(some_facts(view=a_view(pods=(*a_view().pods, newer))), "Ready")
    assert (found.status, found.reason) == ("True", "Serving")
    assert "newer: image r.example/router:9 cannot be pulled" in found.message
    # One that is only on its way is no trouble.
    loading = clusters.a_pod("loading", component=Component.ROUTER, ready=False)
    found = condition(some_facts(view=a_view(pods=(*a_view().pods, loading))), "Ready")
    assert found.message == "requests are served"


def test_a_rollout_is_told_as_one_unless_a_pod_is_worse_off() -> None:
    rolling = replace(SLOTS, rolling=True, updated=1)
    assert verdict(some_facts(slots=rolling), "WorkersReady") == ("False", "RollingOut")
    pods = (clusters.a_pod("w0", slot="w0"), clusters.a_pod("w1", slot="w1", **unscheduled()))
    view = a_view(pods=pods, workers={"w0": clusters.a_worker_status("w0")})
    assert verdict(some_facts(slots=rolling, view=view), "WorkersReady")[1] == "Unschedulable"


def test_workers_of_another_version_are_counted_without_making_anything_false() -> None:
    found = condition(some_facts(slots=replace(SLOTS, older=2)), "WorkersReady")
    assert (found.status, found.reason) == ("True", "AllReady")
    assert "2 run what a version other than 0.1.0 rendered" in found.message
    assert "hadis.dev/roll-workers" in found.message


def test_whoever_refuses_the_cascade_is_told_whether_workers_are_missing_or_not() -> None:
    for facts in (
        some_facts(refusal="w1 refuses this cascade"),
        some_facts(refusal="w1 refuses this cascade", view=a_view(workers={}, pods=())),
    ):
        assert "; w1 refuses this cascade" in condition(facts, "WorkersReady").message


def test_many_slots_are_counted_and_few_are_named() -> None:
    many = SlotFacts(wanted=tuple(f"w{index}" for index in range(20)))
    found = condition(some_facts(slots=many, view=a_view(workers={}, pods=())), "WorkersReady")
    assert "20 slots are on the way" in found.message
    assert "w19" not in found.message


def test_a_profile_of_other_hardware_is_reported_and_serving_goes_on() -> None:
    facts = some_facts(hardware_trouble="measured on A, workers run on B; measure again")
    assert verdict(facts, "ProfileValid") == ("False", "HardwareMismatch")
    assert verdict(facts, "Ready") == ("True", "Serving")


@pytest.mark.parametrize(
    ("source", "want"),
    [
        (Source(), ("True", "Direct")),
        (Source(is_prometheus=True), ("True", "Prometheus")),
        (Source(True, Trouble.AWAY, "silent"), ("False", "FallbackDirect")),
        (Source(True, Trouble.UNAUTHORIZED, "401"), ("False", "Unauthorized")),
        (Source(True, Trouble.STALE, "old"), ("False", "Stale")),
    ],
)
def test_metrics_available_says_where_the_demand_is_read(
    source: Source, want: tuple[str, str]
) -> None:
    assert verdict(some_facts(source=source), "MetricsAvailable") == want


@pytest.mark.parametrize(
    ("attainment", "want"),
    [
        (Attainment.MET, ("True", "Met")),
        (Attainment.MISSED, ("False", "Missed")),
        (Attainment.NO_DATA, ("Unknown", "NoData")),
    ],
)
def test_slo_attainable_tells_how_deadlines_fare(
    attainment: Attainment, want: tuple[str, str]
) -> None:
    assert verdict(some_facts(attainment=attainment), "SLOAttainable") == want


def test_an_overload_says_what_to_raise() -> None:
    found = condition(some_facts(plan_status=PlanStatus.OVERLOAD), "PlanFeasible")
    assert (found.status, found.reason) == ("False", "Overload")
    assert "spec.workers.count" in found.message


def test_the_time_of_a_transition_is_that_of_the_status() -> None:
    live = [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Serving",
            "message": "m",
            "lastTransitionTime": "2030-01-01T00:00:00Z",
            "observedGeneration": 1,
        }
    ]

    def merged(status: str, reason: str) -> dict[str, Any]:
        derived = [Condition("Ready", status, reason, "m")]
        [one] = conditions.merge(live, derived, 7, "2030-02-02T00:00:00Z")
        return one

    assert merged("True", "Paused") == {
        "type": "Ready",
        "status": "True",
        "reason": "Paused",
        "message": "m",
        "lastTransitionTime": "2030-01-01T00:00:00Z",
        "observedGeneration": 7,
    }
    assert merged("False", "NoWorkers")["lastTransitionTime"] == "2030-02-02T00:00:00Z"


def test_conditions_fit_the_schema_whatever_is_in_them() -> None:
    long = some_facts(faults=("x" * 40_000,), view=a_view(workers={}))
    schema = resources.schema("hadiscascades")["properties"]["status"]["properties"]["conditions"]
    limits = schema["items"]["properties"]
    for one in conditions.derive(long):
        assert len(one.message) <= limits["message"]["maxLength"]
        assert one.status in limits["status"]["enum"]
