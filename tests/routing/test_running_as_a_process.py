"""`python -m hadis_router`: starting, refusing to start, draining."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from hadis.wire import manifests
from hadis.wire.assignments import RoutingTableBody
from hadis_router import __main__ as router_program
from support.router_fixtures import TINY, a_cascade, a_profile, call
from support.scripted_workers import RunningWorker


@pytest.fixture
def cascade_file(tmp_path):
    file = tmp_path / "cascade.yaml"
    file.write_text(manifests.dump_manifests(a_cascade(), a_profile()))
    return file


def start(file, *options, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "hadis_router", "--cascade", str(file), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def test_a_process_serves_and_finishes_what_it_holds_when_told_to_stop(cascade_file):
    worker = RunningWorker("w0")
    worker.renew(latency_s={"tiny": 1.0, "big": 1.0})
    process = start(cascade_file, "--port", "0", "--control-port", "0", "--metrics-port", "0")
    try:
        told = json.loads(process.stdout.readline())
        assert set(told) == {"event", "port", "control_port", "metrics_port", "uid"}
        url = f"http://127.0.0.1:{told['port']}"
        probes = f"http://127.0.0.1:{told['metrics_port']}"
        assert call("GET", f"{url}/metrics")[0] == 404  # on its own port
        assert "hadis_requests_total" in call("GET", f"{probes}/metrics")[1]
        body = RoutingTableBody.model_validate(
            {
                "version": 1,
                "lanes": [{"share": 1, "light": "tiny", "heavy": "big",
                           "hardness_threshold": None, "quality_threshold": None}],
                "workers": [{"name": "w0", "address": worker.address,
                             "uid": worker.worker.uid, "model": TINY}],
            }
        )  # fmt: skip
        control = f"http://127.0.0.1:{told['control_port']}"
        call("PUT", f"{control}/routing", body.model_dump_json().encode())
        until_s = time.monotonic() + 120
        while call("GET", f"{probes}/readyz")[0] != 200:
            assert time.monotonic() < until_s
            time.sleep(0.05)
        answers = []
        asking = threading.Thread(
            target=lambda: answers.append(
                call("POST", f"{url}/v1/images/generations", b'{"prompt": "a circle"}')
            )
        )
        asking.start()
        while not worker.counts["received"]:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        asking.join(120)
        assert answers[0][0] == 200
        assert process.wait(120) == 0
        log = process.stderr.read()
        assert "served_light" in log
        assert "Traceback" not in log
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
        worker.stop()


@pytest.fixture
def refused(capsys):
    """Run the program in this process; return its status and the one line that it leaves."""
    handlers, level = logging.root.handlers[:], logging.root.level

    def run(file, *options):
        status = router_program.main(
            ["--cascade", str(file), "--port", "0", "--control-port", "0", *options]
        )
        told = capsys.readouterr().err
        assert len(told.strip().splitlines()) == 1
        return status, told

    yield run
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def test_a_missing_cascade_file_is_named(refused, tmp_path):
    status, told = refused(tmp_path / "none.yaml")
    assert status == 2
    assert "none.yaml" in told


def test_a_wrong_cascade_file_names_the_field(refused, tmp_path):
    file = tmp_path / "cascade.yaml"
    spec = manifests.dump_objects(a_cascade())["cascade"]
    spec["spec"]["slo"]["latency"] = "soon"
    file.write_text(json.dumps(spec))
    status, told = refused(file)
    assert status == 2
    assert "spec.slo.latency" in told


def test_a_port_in_use_is_named(refused, cascade_file):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, told = refused(cascade_file, "--port", str(port))
    assert status == 2
    assert str(port) in told


def test_other_machines_are_served_only_with_keys_or_on_request(refused, cascade_file, tmp_path):
    status, told = refused(cascade_file, "--host", "0.0.0.0")
    assert status == 2
    assert "--insecure" in told
    empty = tmp_path / "keys"
    empty.write_text("# none\n")
    assert refused(cascade_file, "--api-keys-file", str(empty))[0] == 2


def test_keys_from_the_environment_open_the_door(cascade_file):
    process = start(
        cascade_file, "--host", "0.0.0.0", "--port", "0", "--control-port", "0",
        HADIS_API_KEYS="first-key second-key",
    )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}"
        assert call("GET", f"{url}/v1/models")[0] == 401
        heads = {"authorization": "Bearer second-key"}
        assert call("GET", f"{url}/v1/models", headers=heads)[0] == 200
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
