"""Workers that die, stall, refuse or answer nonsense: once more elsewhere, then an error."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hadis.wire.assignments import RoutingTableBody
from support import scripted_workers
from support.router_fixtures import TINY, a_lane, call, learn_latency

LIGHT_ONLY = a_lane(2.0, 0.0)
HEAVY_ONLY = a_lane(-1.0, 0.0)


@pytest.mark.parametrize("fault", ["die", "error", "foreign", "garbage", "unreadable", "refuse"])
def test_an_image_is_made_elsewhere_when_its_worker_fails(fleet, fault):
    fleet.route(LIGHT_ONLY)
    fleet.light.script.faults[:] = [fault]
    told = fleet.told(seed=1)
    assert told["path"] == "light"
    assert fleet.heavy.counts["completed"] == 1


@pytest.mark.parametrize("fault", ["die", "error", "foreign"])
def test_an_image_whose_retry_fails_too_is_an_error(fleet, fault):
    fleet.route(LIGHT_ONLY)
    fleet.light.script.faults[:] = [fault]
    fleet.heavy.script.faults[:] = [fault]
    error = fleet.refused()
    assert error.status_code == 503
    assert error.body["hadis"]["outcome"] == "failed"
    assert fleet.light.counts["received"] + fleet.heavy.counts["received"] == 2


def test_a_worker_whose_queue_is_full_is_passed_over_and_not_avoided(fleet):
    fleet.route(LIGHT_ONLY)
    fleet.light.renew(broken={"tiny": "full"})
    fleet.route(LIGHT_ONLY)
    assert fleet.told()["path"] == "light"
    assert fleet.heavy.counts["completed"] == 1
    assert worker_states(fleet) == {"w0": "ready", "w1": "ready"}


def test_a_request_for_which_every_queue_is_full_is_refused_as_overload(fleet):
    fleet.light.renew(broken={"tiny": "full"})
    fleet.heavy.renew(broken={"tiny": "full"})
    fleet.route(LIGHT_ONLY)
    error = fleet.refused()
    assert (error.status_code, error.body["hadis"]["outcome"]) == (429, "rejected")
    assert 1 <= int(error.response.headers["retry-after"]) <= 60


@pytest.mark.parametrize("hardness", [2.0, -1.0])
def test_a_light_image_is_delivered_when_every_heavy_queue_is_full(fleet, hardness):
    for worker in (fleet.light, fleet.heavy):
        worker.renew(scores={"tiny": 0.1}, broken={"big": "full"})
    fleet.route(a_lane(hardness, 0.5))
    told = fleet.told()
    assert (told["path"], told["model"]) == ("degraded", "tiny")


def test_a_failed_worker_is_avoided_and_comes_back_by_a_probe(fleet, eventually):
    fleet.route(LIGHT_ONLY)
    fleet.light.renew(faults=["die"], healthy=False)
    fleet.route(LIGHT_ONLY)
    fleet.told()
    assert worker_states(fleet)["w0"] == "unreachable"
    fleet.told()
    assert fleet.light.counts["received"] == 1
    fleet.light.script.healthy = True
    eventually(lambda: worker_states(fleet)["w0"] == "ready", within_s=10)
    fleet.told()
    assert fleet.light.counts["received"] == 2


def test_a_model_that_is_not_resident_is_asked_of_the_next_worker_and_remembered(fleet):
    fleet.light.renew(resident=["big"])
    fleet.route(LIGHT_ONLY)
    for _ in range(4):
        assert fleet.told()["model"] == "tiny"
    assert fleet.light.counts["answered 409"] == 1
    assert fleet.heavy.counts["completed"] == 4


def test_a_pinned_model_that_nobody_has_is_a_503_with_retry_after(fleet):
    fleet.light.renew(resident=["tiny"])
    fleet.heavy.renew(resident=["tiny"])
    fleet.route(LIGHT_ONLY)
    error = fleet.refused(model="big")
    assert error.status_code == 503
    assert error.body["hadis"]["outcome"] == "rejected"
    assert 1 <= int(error.response.headers["retry-after"]) <= 60


def test_without_any_worker_requests_are_refused_with_retry_after(fleet):
    fleet.router.route([])
    error = fleet.refused()
    assert error.status_code == 503
    assert int(error.response.headers["retry-after"]) >= 1


def test_a_pool_without_workers_is_served_by_whoever_has_the_model(fleet):
    fleet.router.route([(fleet.light, TINY), (fleet.heavy, TINY)], HEAVY_ONLY)
    assert fleet.told()["path"] == "heavy"


def test_a_light_image_is_kept_when_both_heavy_attempts_fail(fleet):
    fleet.light.renew(scores={"tiny": 0.1}, broken={"big": "error"})
    fleet.heavy.renew(broken={"big": "die"})
    fleet.route(a_lane(2.0, 0.5))
    told = fleet.told(seed=3)
    assert (told["path"], told["outcome"], told["model"]) == ("degraded", "degraded", "tiny")
    assert told["quality_score"] == 0.1
    assert fleet.heavy.counts["received"] + fleet.light.counts["received"] == 3


def test_a_light_image_is_delivered_when_no_worker_has_the_heavy_model(fleet):
    fleet.light.renew(scores={"tiny": 0.1}, resident=["tiny"])
    fleet.heavy.renew(resident=["tiny"])
    fleet.route(a_lane(2.0, 0.5))
    told = fleet.told()
    assert (told["path"], told["model"]) == ("degraded", "tiny")


def test_a_hard_prompt_is_degraded_when_no_worker_has_the_heavy_model(fleet):
    fleet.light.renew(resident=["tiny"])
    fleet.heavy.renew(resident=["tiny"])
    fleet.route(HEAVY_ONLY)
    assert fleet.told()["path"] == "degraded"


def test_a_silent_call_gets_a_twin_and_is_given_up_when_the_twin_wins(fleet, eventually):
    fleet.route(LIGHT_ONLY)
    fleet.light.script.faults[:] = ["hang"]
    told = fleet.told(seed=9)
    assert told["path"] == "light"
    assert fleet.heavy.counts["completed"] == 1
    eventually(lambda: fleet.light.counts["aborted"] == 1)


def test_a_worker_that_dies_while_it_is_probed_for_its_silence_costs_a_retry_and_no_more(fleet):
    fleet.use_cascade(slo_s=60.0)
    fleet.light.renew(faults=["hang", "hang"], dies_when_probed=True)
    fleet.route(LIGHT_ONLY)
    told = fleet.generate(n=2, seed=4).data
    assert [image.hadis["path"] for image in told] == ["light", "light"]
    assert fleet.heavy.counts["completed"] == 2
    assert told[0].hadis["total_s"] < 30


def test_a_connection_that_cannot_be_made_costs_no_time(fleet):
    fleet.light.worker.name, name = "w0", fleet.light.worker.name
    address, fleet.light.address = fleet.light.address, "127.0.0.1:9"
    try:
        fleet.route(LIGHT_ONLY)
        told = fleet.told()
        assert told["path"] == "light"
        assert told["total_s"] < 2
    finally:
        fleet.light.address, fleet.light.worker.name = address, name


class WorkerProcess:
    """A scripted worker that can really be killed and stopped."""

    def __init__(self, name, script):
        self.process = subprocess.Popen(
            [sys.executable, scripted_workers.__file__, "--name", name,
             "--script", json.dumps(script)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(scripted_workers.__file__).parents[1])},
        )  # fmt: skip
        told = json.loads(self.process.stdout.readline())
        self.ref = {"name": name, "address": f"127.0.0.1:{told['port']}", "uid": told["uid"]}

    def stop(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def processes(fleet):
    script = {"latency_s": {"tiny": 0.1, "big": 0.2}, "batch_size": 2}
    fleet.use_cascade(slo_s=30.0)
    learn_latency(fleet, "tiny", 0.1)
    workers = [WorkerProcess(f"p{index}", script) for index in range(2)]
    body = RoutingTableBody.model_validate(
        {
            "version": fleet.router.version + 1,
            "lanes": [
                {"share": 1, "light": "tiny", "heavy": "big",
                 "hardness_threshold": 2, "quality_threshold": 0}
            ],
            "workers": [{**worker.ref, "model": TINY} for worker in workers],
        }
    )  # fmt: skip
    fleet.router.version += 1
    status, _, _ = call("PUT", f"{fleet.router.control}/routing", body.model_dump_json().encode())
    assert status == 200
    yield workers
    for worker in workers:
        worker.stop()


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGSTOP])
def test_a_killed_or_stopped_worker_loses_no_image(fleet, processes, by):
    fleet.told()  # both ends have met
    with ThreadPoolExecutor(16) as pool:

        def one(seed):
            time.sleep(seed * 0.06)
            return fleet.told(f"a red circle {seed}", seed=seed)["path"]

        asked = [pool.submit(one, seed) for seed in range(16)]
        time.sleep(0.4)
        processes[0].process.send_signal(by)
        paths = [each.result() for each in asked]
    assert paths == ["light"] * 16


def test_a_stopped_worker_that_wakes_up_serves_again(fleet, processes, eventually):
    fleet.told()
    processes[0].process.send_signal(signal.SIGSTOP)
    for seed in range(40):  # which of two idle workers is asked is chance
        assert fleet.told(seed=seed)["path"] == "light"
        if worker_states(fleet)["p0"] == "unreachable":
            break
    assert worker_states(fleet)["p0"] == "unreachable"
    processes[0].process.send_signal(signal.SIGCONT)
    eventually(lambda: worker_states(fleet)["p0"] == "ready", within_s=10)


def worker_states(fleet):
    return {worker["name"]: worker["state"] for worker in fleet.router.status()["workers"]}


def test_a_replaced_worker_is_a_new_one(fleet):
    fleet.route(LIGHT_ONLY)
    fleet.light.renew(faults=["die"], healthy=False)
    fleet.route(LIGHT_ONLY)
    fleet.told()
    assert worker_states(fleet)["w0"] == "unreachable"
    fleet.light.renew()
    fleet.route(LIGHT_ONLY)
    assert worker_states(fleet)["w0"] == "ready"
    fleet.told()
    assert fleet.light.counts["completed"] == 1


def test_idle_workers_share_the_images(fleet):
    fleet.router.route([(fleet.light, TINY), (fleet.heavy, TINY)], LIGHT_ONLY)
    for seed in range(24):
        fleet.told(seed=seed)
    assert fleet.light.counts["received"] >= 3
    assert fleet.heavy.counts["received"] >= 3
