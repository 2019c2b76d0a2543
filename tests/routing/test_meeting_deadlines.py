"""Deadlines and overload: degrade, refuse early, give up in time, and never hang."""

import asyncio
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import openai
import pytest

from hadis.routing import admitting
from hadis.terms.cascades import OnOverload, PlannerSettings, RouterLimits
from hadis.terms.profiles import Deliver
from hadis_router.latency_book import Learnt
from support.router_fixtures import a_lane, learn_latency

ESCALATING = a_lane(2.0, 1.01)
LIGHT_ONLY = a_lane(2.0, 0.0)
HEAVY_FIRST = a_lane(-1.0, 0.0)


def test_a_light_image_is_delivered_when_the_heavy_one_would_be_late(fleet):
    fleet.heavy.renew(latency_s={"tiny": 0.01, "big": 3.0})
    learn_latency(fleet, "big", 3.0)
    fleet.route(ESCALATING)
    told = fleet.told(deadline_s=2.0)
    assert (told["path"], told["model"]) == ("degraded", "tiny")
    assert fleet.heavy.counts["received"] == 0


def test_a_heavy_image_that_takes_longer_than_expected_is_given_up_for_the_light_one(
    fleet, eventually
):
    fleet.use_cascade(slo_s=3.0)
    fleet.heavy.renew(latency_s={"tiny": 0.01, "big": 30.0})
    fleet.light.renew(resident=["tiny"])
    fleet.route(ESCALATING)
    told = fleet.told()
    assert told["path"] == "degraded"
    assert 2.0 < told["total_s"] < 4.0
    eventually(lambda: fleet.heavy.counts["aborted"] == 1)


def test_a_hard_prompt_falls_back_to_light_when_heavy_is_slow(fleet):
    fleet.heavy.renew(latency_s={"tiny": 0.01, "big": 30.0})
    fleet.light.renew(resident=["tiny"])
    fleet.route(HEAVY_FIRST)
    told = fleet.told()
    assert (told["path"], told["model"]) == ("degraded", "tiny")
    assert told["total_s"] < 6.0


def test_a_hard_prompt_goes_to_light_at_once_when_heavy_has_no_time(fleet):
    learn_latency(fleet, "big", 3.0)
    fleet.route(HEAVY_FIRST)
    told = fleet.told(deadline_s=1.0)
    assert (told["path"], told["model"]) == ("degraded", "tiny")
    assert fleet.heavy.counts["received"] == 0


def test_what_a_client_asked_of_the_heavy_model_is_refused_rather_than_degraded(fleet):
    learn_latency(fleet, "big", 3.0)
    with another_inside(fleet):
        error = fleet.refused(quality="high", deadline_s=1.0)
    assert (error.status_code, error.code) == (429, "rate_limit_exceeded")
    assert error.body["hadis"]["outcome"] == "rejected"


def test_what_a_client_asked_of_the_heavy_model_is_tried_when_nothing_else_is_inside(fleet):
    learn_latency(fleet, "big", 20.0)
    told = fleet.told(quality="high")
    assert (told["path"], told["model"]) == ("heavy", "big")


def make_most_cautious(fleet, model, *, ago_s=0.0):
    router = fleet.router.router
    router.view.cautions[model] = Learnt(admitting.MOST_CAUTION, router.clock() - ago_s)


@pytest.mark.parametrize("lane", [HEAVY_FIRST, ESCALATING])
def test_a_heavy_model_that_was_late_is_tried_again_once_it_is_idle(fleet, lane):
    fleet.use_cascade(slo_s=8.0, deliver=Deliver.HEAVY)
    learn_latency(fleet, "big", 3.0)
    make_most_cautious(fleet, "big")
    fleet.route(lane)
    assert fleet.told()["model"] == "big"
    assert fleet.router.router.view.cautions["big"].value < admitting.MOST_CAUTION


def test_a_heavy_model_that_was_late_minutes_ago_is_tried_again_though_it_is_busy(fleet):
    fleet.use_cascade(slo_s=20.0, deliver=Deliver.HEAVY)
    learn_latency(fleet, "big", 6.0)
    fleet.route(HEAVY_FIRST)
    router = fleet.router.router
    worker = router.view.workers["w1"]
    router.view.note_sent(worker, "big", router.clock())
    make_most_cautious(fleet, "big")
    assert fleet.told()["path"] == "degraded"
    make_most_cautious(fleet, "big", ago_s=300.0)
    assert fleet.told()["path"] == "heavy"
    router.view.note_ended(worker, "big", router.clock(), dropped=True)


def test_a_request_that_cannot_be_in_time_is_refused_at_once(fleet):
    learn_latency(fleet, "tiny", 2.0)
    with another_inside(fleet):
        error = fleet.refused(deadline_s=1.0)
        assert isinstance(error, openai.RateLimitError)
        assert 1 <= int(error.response.headers["retry-after"]) <= 60
        assert int(error.response.headers["openai-processing-ms"]) < 800
        assert fleet.light.counts["received"] == 0


def test_one_request_is_let_in_to_find_out_whether_the_fleet_is_still_slow(fleet):
    learn_latency(fleet, "tiny", 20.0)
    fleet.route(LIGHT_ONLY)
    assert fleet.told()["path"] == "light"


def test_an_admitted_request_without_an_image_expires_with_no_retry(fleet, eventually):
    fleet.use_cascade(slo_s=300.0)
    fleet.light.renew(broken={"tiny": "hang"})
    fleet.heavy.renew(broken={"tiny": "hang"})
    fleet.route(LIGHT_ONLY)
    started_s = time.monotonic()
    client = fleet.router.client(max_retries=2)
    with client, pytest.raises(openai.InternalServerError) as failed:
        client.images.generate(prompt="a circle", extra_headers={"Hadis-Deadline-Seconds": "0.8"})
    assert failed.value.status_code == 504
    assert failed.value.body["hadis"]["outcome"] == "expired"
    assert "the deadline was 0.8 s" in failed.value.body["message"]
    assert "quality low" in failed.value.body["message"]
    assert failed.value.response.headers["x-should-retry"] == "false"
    assert 0.5 < time.monotonic() - started_s < 100.0  # far from the cascade's own deadline
    assert fleet.router.router.view.cautions["tiny"].value > admitting.LEAST_CAUTION
    for worker in (fleet.light, fleet.heavy):
        eventually(lambda worker=worker: worker.counts["aborted"] == worker.counts["received"])


def test_a_deadline_can_be_lowered_but_not_raised(fleet):
    fleet.use_cascade(slo_s=1.0)
    fleet.light.renew(broken={"tiny": "hang"})
    fleet.heavy.renew(broken={"tiny": "hang"})
    fleet.route(LIGHT_ONLY)
    started_s = time.monotonic()
    assert fleet.refused(deadline_s=60).status_code == 504
    assert time.monotonic() - started_s < 10


@pytest.mark.parametrize(
    ("options", "want_way_out"),
    [
        ({"quality": "low"}, "Try again later."),
        ({"quality": "high"}, "without quality high"),
        ({"model": "big"}, "without naming a model"),
    ],
)
def test_an_expired_request_is_told_its_deadline_and_a_way_out(fleet, options, want_way_out):
    for worker in (fleet.light, fleet.heavy):
        worker.renew(broken={"tiny": "hang", "big": "hang"})
    error = fleet.refused(deadline_s=0.8, **options)
    assert error.status_code == 504
    assert "the deadline was 0.8 s" in error.body["message"]
    assert want_way_out in error.body["message"]


def test_the_images_in_the_router_are_bounded(fleet):
    fleet.use_cascade(limits=RouterLimits(max_in_flight=2))
    error = fleet.refused(n=3)
    assert (error.status_code, error.body["hadis"]["outcome"]) == (429, "rejected")
    assert len(fleet.generate(n=2).data) == 2


def test_under_shed_a_request_needs_room_for_the_heavy_image(fleet):
    learn_latency(fleet, "big", 3.0)
    fleet.route(LIGHT_ONLY)
    assert fleet.told(deadline_s=1.0)["path"] == "light"
    fleet.use_cascade(planner=PlannerSettings(on_overload=OnOverload.SHED))
    learn_latency(fleet, "big", 3.0)
    with another_inside(fleet):
        assert fleet.refused(deadline_s=1.0).status_code == 429


@contextmanager
def another_inside(fleet):
    """Keep one other request, on the heavy worker, in the router."""
    fleet.heavy.renew(broken={"big": "hang"})
    fleet.light.renew(resident=["tiny"])
    fleet.route(LIGHT_ONLY)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(fleet.refused, model="big")
        while not fleet.heavy.counts["received"]:
            time.sleep(0.01)
        yield
        assert other.result().status_code == 504


async def test_ten_times_too_much_load_is_refused_early_and_the_rest_is_on_time(fleet):
    # Alone, the light worker makes 2 images a second; 20 are asked for.
    script = {"latency_s": {"tiny": 0.5, "big": 2.0}, "batch_size": 1}
    fleet.use_cascade(slo_s=8.0, deliver=Deliver.HEAVY)
    fleet.light.renew(**script)
    fleet.heavy.renew(**script)
    learn_latency(fleet, "tiny", 0.5)
    learn_latency(fleet, "big", 2.0)
    fleet.route(a_lane(0.3, 0.3))
    ends: Counter[str] = Counter()
    statuses: set[int] = set()
    late = 0

    async def one(client, seed):
        nonlocal late
        try:
            answer = await client.images.generate(prompt="a circle", extra_body={"seed": seed})
            ends[answer.data[0].hadis["outcome"]] += 1
            late += answer.data[0].hadis["total_s"] > 8.0
        except openai.APIStatusError as error:
            ends[error.body["hadis"]["outcome"]] += 1
            statuses.add(error.status_code)

    before = fleet.outcomes()
    async with fleet.router.async_client(timeout=30) as client:
        asked = []
        for seed in range(120):
            asked.append(asyncio.create_task(one(client, seed)))
            await asyncio.sleep(0.05)
        await asyncio.gather(*asked)
    counted = {name: value - before[name] for name, value in fleet.outcomes().items()}
    assert {name: value for name, value in counted.items() if value} == ends
    admitted = 120 - ends["rejected"]
    assert statuses <= {429, 503, 504}
    assert ends["rejected"] > 30
    assert admitted > 15
    assert late + ends["expired"] <= 0.05 * admitted
    assert ends["failed"] == 0
