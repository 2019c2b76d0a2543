"""The control port: routing tables and cascades arrive, older ones are ignored, books go back."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from hadis.wire import manifests
from hadis.wire.reports import RouterStatus
from support.router_fixtures import BIG, TINY, a_cascade, a_lane, a_profile, call

LIGHT_ONLY = a_lane(2.0, 0.0)
PLAN = {
    "status": "optimal",
    "quality": {"metric": "fulfilment", "value": 0.81},
    "batch": {"tiny": 4, "big": 1},
    "workers": {"tiny": 1, "big": 1},
    "route_ratio": {"light": 0.9, "heavy": 0.3},
    "mean_latency_s": 0.5,
    "latency_s": float("inf"),
    "solve_s": 0.02,
    "demand": 12.5,
    "reasons": {"binding": "workers"},
}


def control(fleet, method, path, value=None):
    body = None if value is None else json.dumps(value).encode()
    return call(method, f"{fleet.router.control}{path}", body)


def test_an_older_routing_table_is_ignored(fleet):
    version = fleet.route(LIGHT_ONLY)
    assert fleet.router.route([], LIGHT_ONLY, version=version - 1) == version
    fleet.router.version = version
    assert fleet.told()["plan_version"] == version


def test_the_same_version_again_is_taken_as_a_repetition(fleet):
    version = fleet.route(LIGHT_ONLY)
    assert fleet.route(LIGHT_ONLY, version=version) == version
    assert fleet.told()["plan_version"] == version


def test_a_newer_table_replaces_lanes_and_workers_at_once(fleet):
    fleet.route(LIGHT_ONLY)
    assert fleet.told()["model"] == "tiny"
    fleet.route(a_lane(2.0, 0.0, light=BIG))
    assert fleet.told()["model"] == "big"
    workers = fleet.router.status()["workers"]
    assert [(worker["name"], worker["model"], worker["role"]) for worker in workers] == [
        ("w0", "tiny", "idle"),
        ("w1", "big", "light"),
    ]


def test_images_are_sent_to_wait_where_the_model_is_still_loaded(fleet):
    fleet.route(LIGHT_ONLY)
    assert fleet.told()["model"] == "tiny"
    fleet.route(LIGHT_ONLY, arrives_in_s=0.2)
    assert fleet.told()["model"] == "tiny"
    assert [body.waits_for_model for body in fleet.light.worker.bodies[-2:]] == [False, True]


def test_changes_of_pair_under_load_lose_nothing(fleet):
    fleet.use_cascade(slo_s=30.0)

    def ask(seed):
        return fleet.told(seed=seed)["outcome"]

    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(ask, seed) for seed in range(40)]
        for turn in range(10):
            first, second = (TINY, BIG) if turn % 2 else (BIG, TINY)
            old = a_lane(2.0, 0.5, share=0.5, light=first, heavy=second)
            new = a_lane(2.0, 0.5, share=0.5, light=second, heavy=first)
            fleet.route(old, new)
            fleet.route(a_lane(2.0, 0.5, light=second, heavy=first))
        outcomes = {each.result() for each in asked}
    assert outcomes <= {"served_light", "escalated", "degraded"}


@pytest.mark.parametrize(
    ("change", "want_field"),
    [
        ({"version": -1}, "version"),
        ({"lanes": []}, "lanes"),
        ({"lanes": [{"share": 1}]}, "lanes.0.light"),
        ({"workers": [{"name": "w0"}]}, "workers.0.address"),
        ({"version": "new"}, "version"),
    ],
)
def test_a_wrong_routing_table_is_refused_naming_the_field(fleet, change, want_field):
    lane = {"share": 1, "light": "tiny", "heavy": "big",
            "hardness_threshold": 0.5, "quality_threshold": None}  # fmt: skip
    good = {"version": 10**6, "lanes": [lane], "workers": []}
    status, told, _ = control(fleet, "PUT", "/routing", {**good, **change})
    assert status == 400
    assert told["error"]["param"] == want_field
    assert want_field in told["error"]["message"]
    assert fleet.told()["plan_version"] == fleet.router.version


def test_lanes_whose_shares_do_not_add_up_are_refused(fleet):
    lane = {"share": 0.5, "light": "tiny", "heavy": "big",
            "hardness_threshold": 0.5, "quality_threshold": 0.5}  # fmt: skip
    body = {"version": 10**6, "lanes": [lane], "workers": []}
    status, told, _ = control(fleet, "PUT", "/routing", body)
    assert status == 400
    assert "add up to 0.5" in told["error"]["message"]


def test_batch_sizes_that_are_none_are_passed_over(fleet):
    fleet.route(LIGHT_ONLY, plan={**PLAN, "batch": {"tiny": None, "big": "many"}})
    assert fleet.told()["path"] == "light"


def test_a_changed_cascade_holds_for_new_requests(fleet):
    fleet.route(LIGHT_ONLY)
    easy = fleet.told("a red circle")["hardness"]
    fleet.use_cascade(slo_s=9.0, hardness_weights={"prompt_length": 5.0})
    assert fleet.router.status()["slo_s"] == 9.0
    assert fleet.told("a red circle")["hardness"] != easy


def test_the_status_tells_the_generation_in_force(fleet):
    fleet.use_cascade(generation=500)
    assert control(fleet, "GET", "/status")[1]["generation"] == 500


def test_an_older_generation_of_the_cascade_is_passed_over(fleet):
    fleet.use_cascade(slo_s=7.0)
    newest = fleet.generation
    fleet.use_cascade(slo_s=9.0, generation=newest - 1)
    assert control(fleet, "GET", "/status")[1]["generation"] == newest
    assert fleet.router.status()["slo_s"] == 7.0
    # The same one again, with another profile or a held model: that is news.
    fleet.use_cascade(slo_s=8.0, generation=newest)
    assert fleet.router.status()["slo_s"] == 8.0


def test_a_controller_of_a_later_version_may_say_more(fleet, caplog):
    body = manifests.dump_objects(
        a_cascade(slo_s=6.0, generation=fleet.generation + 1), a_profile()
    )
    fleet.generation += 1
    body["cascade"]["spec"]["planner"]["horizon"] = "1m"
    body["profile"]["spec"]["rows"][0]["doubt"] = 0.5
    body["owner"] = {"uid": "1"}
    status, told, _ = control(fleet, "PUT", "/cascade", body)
    assert (status, told["generation"]) == (200, fleet.generation)
    assert fleet.router.status()["slo_s"] == 6.0
    [line] = [one for one in caplog.messages if "more than this version knows" in one]
    for name in ("owner", "cascade.spec.planner.horizon", "profile.spec.rows[0].doubt"):
        assert name in line


def test_what_the_controller_counts_is_there_for_prometheus_too(fleet):
    fleet.route(LIGHT_ONLY)
    before = fleet.router.metrics()
    fleet.told()
    fleet.route(a_lane(2.0, 2.0))  # every light image is sent on
    fleet.told()
    after = fleet.router.metrics()

    def counted(step):
        name = f'hadis_demand_images_total{{cascade="pair",step="{step}"}}'
        return after[name] - before[name]

    steps = ("arrived", "planned", "direct", "judged", "escalated")
    assert {step: counted(step) for step in steps} == {
        "arrived": 2, "planned": 2, "direct": 0, "judged": 2, "escalated": 1,
    }  # fmt: skip
    told = RouterStatus.model_validate(control(fleet, "GET", "/status")[1]).demand
    for step in steps:
        name = f'hadis_demand_images_total{{cascade="pair",step="{step}"}}'
        assert after[name] == getattr(told, step)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"cascade": {}},
        {"cascade": {"kind": "HadisCascade"}},
        manifests.dump_objects(a_cascade(name="another")),
    ],
)
def test_a_wrong_cascade_is_refused_and_changes_nothing(fleet, value):
    status, told, _ = control(fleet, "PUT", "/cascade", value if value is not None else 0)
    assert status == 400
    assert told["error"]["message"]
    assert fleet.router.status()["slo_s"] == 5.0
    assert fleet.told()["outcome"]


def test_the_controller_reads_what_the_router_saw(fleet):
    before = router_status(fleet).demand
    fleet.route(a_lane(-1.0, 0.0))
    fleet.generate(n=2)
    fleet.route(a_lane(2.0, 1.01))
    fleet.generate(n=3)
    fleet.generate(model="tiny")
    status = router_status(fleet)
    after = status.demand
    gained = {
        name: getattr(after, name) - getattr(before, name)
        for name in ("arrived", "planned", "direct", "judged", "escalated", "late", "dropped")
    }
    assert gained == {
        "arrived": 6, "planned": 5, "direct": 2, "judged": 3, "escalated": 3,
        "late": 0, "dropped": 0,
    }  # fmt: skip
    assert after.models["big"].completed - before.models["big"].completed == 5
    assert after.models["tiny"].dispatched - before.models["tiny"].dispatched == 4
    assert (status.uid, status.cascade, status.ready) == ("router-uid", "pair", True)
    assert status.routing is not None
    assert status.routing.version == fleet.router.version


def router_status(fleet):
    _, told, _ = control(fleet, "GET", "/status")
    return RouterStatus.model_validate(told)


def test_a_degraded_image_still_tells_the_demand_for_heavy(fleet):
    fleet.light.renew(scores={"tiny": 0.1}, resident=["tiny"])
    fleet.heavy.renew(resident=["tiny"])
    fleet.route(a_lane(2.0, 0.5))
    before = router_status(fleet).demand.escalated
    assert fleet.told()["path"] == "degraded"
    assert router_status(fleet).demand.escalated == before + 1


def test_the_status_page_shows_plan_workers_demand_and_history(fleet):
    fleet.route(LIGHT_ONLY, plan=PLAN)
    fleet.generate(n=3)
    told = fleet.router.status()
    assert set(told) >= {
        "cascade", "slo_s", "models", "stages", "deliver", "uptime_s", "ready", "plan",
        "workers", "demand", "history",
    }  # fmt: skip
    assert told["stages"] == {"router": True, "discriminator": True}
    assert told["deliver"] == "Better"
    plan = told["plan"]
    assert (plan["version"], plan["light"], plan["heavy"]) == (fleet.router.version, "tiny", "big")
    assert (plan["status"], plan["demand"], plan["latency_s"]) == ("optimal", 12.5, None)
    assert plan["lanes"][0]["share"] == 1
    worker = told["workers"][0]
    assert set(worker) == {"name", "model", "role", "state", "waiting", "running", "free_in_s"}
    history = told["history"]
    lengths = {len(history[name]) for name in history if isinstance(history[name], list)}
    assert len(lengths) == 1
    assert sum(history["demand"]) >= 3
    assert sum(history["served_light"]) >= 3
    assert history["hardness_threshold"][-1] == 2.0
    assert history["workers"]["tiny"][-1] == 1
    assert history["seconds"] == sorted(history["seconds"])


def test_the_plan_is_on_the_routers_metrics(fleet):
    version = fleet.route(LIGHT_ONLY, plan=PLAN)
    samples = fleet.router.metrics()
    assert samples['hadis_plan_version{cascade="pair"}'] == version
    assert samples['hadis_plan_quality{cascade="pair",metric="fulfilment"}'] == 0.81
    assert samples['hadis_plan_workers{cascade="pair",model="tiny"}'] == 1
    assert samples['hadis_plan_threshold{cascade="pair",kind="hardness"}'] == 2.0
    assert samples['hadis_plan_solve_seconds{cascade="pair"}'] == 0.02
    assert samples['hadis_demand_requests_per_second{cascade="pair"}'] == 12.5


def test_every_series_carries_the_cascade_and_the_prefix(fleet):
    fleet.generate()
    for name in fleet.router.metrics():
        assert name.startswith("hadis_")
        assert 'cascade="pair"' in name


def test_control_errors_have_the_same_shape(fleet):
    for method, path in (("GET", "/nothing"), ("POST", "/routing"), ("PUT", "/status")):
        status, told, _ = control(fleet, method, path, {})
        assert status in (404, 405)
        assert told["error"]["message"]
    status, _, _ = call("PUT", f"{fleet.router.control}/routing", b"{")
    assert status == 400
