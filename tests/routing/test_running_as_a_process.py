"""`python -m hadis_router`: starting, refusing to start, draining."""

import http.client
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
from hadis_cli.fleet import members
from hadis_router import __main__ as router_program
from hadis_router import draining
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


class Served:
    """A router process that serves one scripted worker, and the clients that wait for it."""

    def __init__(self, file, *options):
        self.worker = RunningWorker("w0")
        self.process = start(
            file, "--port", "0", "--control-port", "0", "--metrics-port", "0", *options
        )
        self.told = json.loads(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.told['port']}"
        self.probes = f"http://127.0.0.1:{self.told['metrics_port']}"
        self.answers = []
        self.asking = []

    def until_ready(self):
        body = RoutingTableBody.model_validate(
            {
                "version": 1,
                "lanes": [{"share": 1, "light": "tiny", "heavy": "big",
                           "hardness_threshold": None, "quality_threshold": None}],
                "workers": [{"name": "w0", "address": self.worker.address,
                             "uid": self.worker.worker.uid, "model": TINY}],
            }
        )  # fmt: skip
        control = f"http://127.0.0.1:{self.told['control_port']}"
        call("PUT", f"{control}/routing", body.model_dump_json().encode())
        self.until(lambda: call("GET", f"{self.probes}/readyz")[0] == 200)

    def until(self, condition):
        until_s = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < until_s
            time.sleep(0.05)

    def generate(self):
        return call("POST", f"{self.url}/v1/images/generations", b'{"prompt": "a circle"}')

    def ask(self):
        """Ask for an image in a thread, and return once its worker has the request."""
        asking = threading.Thread(target=lambda: self.answers.append(self.generate()))
        asking.start()
        self.asking.append(asking)
        self.until(lambda: self.worker.counts["received"] == len(self.asking))

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def ended(self):
        """Wait for the end; return the answers and the log."""
        for asking in self.asking:
            asking.join(120)
        assert self.process.wait(120) == 0
        return self.answers, self.process.stderr.read()

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()
        self.worker.stop()


@pytest.fixture
def serve():
    served = []

    def begin(*arguments):
        served.append(Served(*arguments))
        return served[-1]

    yield begin
    for each in served:
        each.stop()


def test_a_process_serves_and_finishes_what_it_holds_when_told_to_stop(serve, cascade_file):
    served = serve(cascade_file)
    served.worker.renew(latency_s={"tiny": 1.0, "big": 1.0})
    assert set(served.told) == {"event", "port", "control_port", "metrics_port", "uid"}
    assert call("GET", f"{served.url}/metrics")[0] == 404  # on its own port
    assert "hadis_requests_total" in call("GET", f"{served.probes}/metrics")[1]
    served.until_ready()
    served.ask()
    served.terminate()
    [(status, _, _)], log = served.ended()
    assert status == 200
    assert "served_light" in log
    assert "1 requests inside" in log
    assert "Traceback" not in log


def a_mounted_table(worker, version):
    return {
        "version": version,
        "lanes": [{"share": 1, "light": "tiny", "heavy": "big",
                   "hardness_threshold": None, "quality_threshold": None}],
        "workers": [{"name": "w0", "address": worker.address,
                     "uid": worker.worker.uid, "model": TINY}],
    }  # fmt: skip


def test_a_router_that_starts_while_nobody_plans_serves_by_the_mounted_plan(serve, cascade_file):
    worker = RunningWorker("w0")
    try:
        table = a_mounted_table(worker, 7)
        (cascade_file.parent / "routing.json").write_text(json.dumps(table))
        served = serve(cascade_file)
        served.until(lambda: call("GET", f"{served.probes}/readyz")[0] == 200)
        assert served.generate()[0] == 200
        control = f"http://127.0.0.1:{served.told['control_port']}"
        told = call("GET", f"{control}/status")[1]
        assert (told["routing"]["version"], told["generation"]) == (7, 1)
        # Whoever plans next goes on above it, and nothing older is taken.
        older = json.dumps(a_mounted_table(worker, 6)).encode()
        assert call("PUT", f"{control}/routing", older)[1] == {"version": 7}
        newer = json.dumps(a_mounted_table(worker, 8)).encode()
        assert call("PUT", f"{control}/routing", newer)[1] == {"version": 8}
    finally:
        worker.stop()


def test_a_torn_plan_beside_the_cascade_does_not_keep_a_router_from_starting(serve, cascade_file):
    (cascade_file.parent / "routing.json").write_text('{"version": 7, "lanes": [')
    served = serve(cascade_file)
    assert call("GET", f"{served.probes}/readyz")[0] == 503
    served.until_ready()
    served.terminate()
    _, log = served.ended()
    assert "routing.json beside the cascade is of no use" in log


def test_a_finished_answer_reaches_a_slow_client_before_the_process_ends(serve, cascade_file):
    served = serve(cascade_file)
    served.worker.renew(padding_bytes=12_000_000)  # more than sockets buffer
    served.until_ready()
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**18)  # and no more by itself
    slow.connect(("127.0.0.1", served.told["port"]))
    body = b'{"prompt": "a circle"}'
    slow.sendall(b"POST /v1/images/generations HTTP/1.1\r\nhost: x\r\n"
                 b"content-length: %d\r\n\r\n%s" % (len(body), body))  # fmt: skip
    with slow, slow.makefile("rb") as answer:
        assert answer.readline().startswith(b"HTTP/1.1 200")
        served.terminate()
        time.sleep(2.5)
        length = int(http.client.parse_headers(answer)["content-length"])
        assert length > 12_000_000
        received = len(answer.read(length))
        assert received == length
    _, log = served.ended()
    assert "Traceback" not in log


def test_a_fleet_gives_a_router_time_for_its_last_answers():
    assert members.ROUTER_GRACE_S > draining.SETTLING_S + router_program.LAST_ANSWERS_S + 2.0


@pytest.fixture
def patient_file(tmp_path):
    """A cascade whose requests may take an hour."""
    file = tmp_path / "patient.yaml"
    file.write_text(manifests.dump_manifests(a_cascade(slo_s=3600.0), a_profile()))
    return file


def test_a_drain_ends_at_its_limit_with_an_answer_to_everyone_inside(serve, patient_file):
    served = serve(patient_file, "--drain-seconds", "0.5")
    served.worker.renew(broken={"tiny": "hang"})
    served.until_ready()
    served.ask()
    half = socket.create_connection(("127.0.0.1", served.told["port"]))
    half.sendall(b"POST /v1/images/generations HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{")
    served.terminate()
    [(status, told, heads)], log = served.ended()
    assert (status, told["error"]["hadis"]["outcome"]) == (503, "failed")
    assert int(heads["retry-after"]) == 1
    with half, half.makefile("rb") as answer:
        assert answer.readline().startswith(b"HTTP/1.1 503")
        assert b'"outcome": null' in answer.read()
    assert "1 requests are given up" in log
    assert "Traceback" not in log


def test_a_router_that_says_farewell_serves_kept_connections_and_ends_them(serve, patient_file):
    served = serve(patient_file, "--farewell-seconds", "60")
    served.until_ready()
    kept = http.client.HTTPConnection("127.0.0.1", served.told["port"], timeout=30)
    statuses, closings = [], []
    for is_last in (False, True):
        if is_last:
            served.terminate()
            served.until(lambda: call("GET", f"{served.probes}/readyz")[1] == "draining\n")
        kept.request("POST", "/v1/images/generations", json.dumps({"prompt": "a red circle"}))
        answer = kept.getresponse()
        answer.read()
        statuses.append(answer.status)
        closings.append(answer.getheader("connection"))
    kept.close()
    assert statuses == [200, 200]
    assert closings == [None, "close"]
    served.terminate()  # a second signal cuts the farewell short
    assert served.process.wait(30) == 0


def test_a_draining_router_refuses_what_is_new_and_a_second_signal_ends_it(serve, patient_file):
    served = serve(patient_file)
    served.worker.renew(broken={"tiny": "hang"})
    served.until_ready()
    served.ask()
    served.terminate()
    served.until(lambda: call("GET", f"{served.probes}/readyz")[1] == "draining\n")
    status, told, heads = served.generate()
    assert (status, told["error"]["hadis"]["outcome"]) == (503, "rejected")
    assert "shutting down" in told["error"]["message"]
    assert 1 <= int(heads["retry-after"]) <= 60
    assert served.process.poll() is None
    served.terminate()
    [(status, told, _)], log = served.ended()
    assert (status, told["error"]["hadis"]["outcome"]) == (503, "failed")
    assert "Traceback" not in log


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
