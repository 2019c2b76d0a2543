"""A worker as a process: forked from a preloaded parent, told to stop, told nonsense."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from hadis.wire.assignments import AssignmentBody
from hadis.wire.manifests import dump_manifests, dump_objects
from hadis_server.__main__ import main
from hadis_server.station import Station
from support.live_workers import (
    PATIENCE_S,
    Answer,
    a_cascade,
    a_model,
    a_request,
    an_answer,
)

# What a fleet does to start workers quickly: import once, fork often.
FORKING_PARENT = """
import os, sys, threading
from hadis_server import preloading
preloading.preload()
assert threading.active_count() == 1, threading.enumerate()
pid = os.fork()
if pid == 0:
    from hadis_server.__main__ import main
    os._exit(main(sys.argv[1:]))
print(pid, flush=True)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@dataclass(frozen=True, slots=True)
class Process:
    parent: subprocess.Popen[str]
    pid: int
    ports: dict[str, int]

    def generate(self, **changes: object) -> Answer:
        url = f"http://127.0.0.1:{self.ports['port']}/generate"
        return an_answer(httpx.post(url, json=a_request("m", **changes), timeout=PATIENCE_S))

    def status(self) -> dict[str, object]:
        return httpx.get(f"http://127.0.0.1:{self.ports['control_port']}/status", timeout=30).json()

    def wait_until(self, key: str, value: object) -> None:
        give_up_s = time.monotonic() + PATIENCE_S
        while self.status()[key] != value:
            assert time.monotonic() < give_up_s, self.status()
            time.sleep(0.05)


@pytest.fixture
def process(folders: dict[str, Path], tmp_path: Path) -> Iterator[Process]:
    file = tmp_path / "cascade.yaml"
    file.write_text(dump_manifests(a_cascade(a_model("m", folders["sd"], steps=30))))
    options = ["--cascade", str(file), "--uid", "uid-7", "--grace-s", str(PATIENCE_S)]
    parent = subprocess.Popen(
        [sys.executable, "-c", FORKING_PARENT, *options],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert parent.stdout is not None
    lines = sorted([parent.stdout.readline(), parent.stdout.readline()], key=len)
    try:
        yield Process(parent, int(lines[0]), json.loads(lines[1]))
    finally:
        if parent.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(lines[0]), signal.SIGKILL)
            parent.wait()
        parent.stdout.close()


@pytest.mark.timeout(600)  # importing torch in a process of its own is slow on a busy machine
def test_a_forked_worker_serves_and_finishes_what_it_accepted_before_it_stops(
    process: Process,
) -> None:
    assert process.ports["event"] == "listening"
    assert process.ports["uid"] == "uid-7"
    process.wait_until("ready", True)
    want = process.generate(seed=0)
    assert want.status == 200

    answers: list[Answer] = []
    callers = [
        threading.Thread(target=lambda seed=seed: answers.append(process.generate(seed=seed)))
        for seed in range(4)
    ]
    for caller in callers:
        caller.start()
    give_up_s = time.monotonic() + PATIENCE_S
    while sum(process.status()["queue"][key] for key in ("waiting", "running")) != 4:
        assert time.monotonic() < give_up_s
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGTERM)
    process.wait_until("draining", True)
    refused = process.generate()
    assert (refused.status, refused.reason) == (503, "draining")
    for caller in callers:
        caller.join()
    assert [answer.status for answer in answers] == [200] * 4
    assert process.parent.wait(PATIENCE_S) == 0


def start_beside(
    tmp_path: Path, cascade: str, plan: str, monkeypatch: pytest.MonkeyPatch
) -> Station:
    """Run the program up to where it would serve, with a plan mounted beside its cascade."""
    file = tmp_path / "cascade.json"
    file.write_text(cascade)
    (tmp_path / "assignments.json").write_text(plan)
    built: list[Station] = []

    async def capture(_sockets: object, _chosen: object, station: Station) -> None:
        built.append(station)

    monkeypatch.setattr("hadis_server.__main__._serve_on", capture)
    assert main(["--cascade", str(file), "--name", "w1", "--device", "cpu"]) == 0
    [station] = built
    return station


PART = {"version": 7, "model": "m", "role": "heavy", "batch_size": 3, "quality_threshold": None}


@pytest.mark.usefixtures("_keep_logging")
def test_a_worker_that_starts_while_nobody_plans_learns_its_part_from_the_mounted_plan(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cascade = dump_manifests(a_cascade(a_model("m", folders["sd"])))
    other = {**PART, "role": "light"}
    plan = json.dumps({"w0": other, "w1": PART})
    status = start_beside(tmp_path, cascade, plan, monkeypatch).status()
    assert status.assignment == AssignmentBody.model_validate(PART)
    assert status.generation == 1


@pytest.mark.usefixtures("_keep_logging")
def test_a_worker_starts_from_a_mounted_cascade_of_a_later_version(
    folders: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = dump_objects(a_cascade(a_model("m", folders["sd"])))
    told["cascade"]["spec"]["novelty"] = 1
    station = start_beside(tmp_path, json.dumps(told), "{}", monkeypatch)
    assert set(station.status().models) == {"m"}
    assert "cascade.spec.novelty" in capsys.readouterr().err


@pytest.mark.usefixtures("_keep_logging")
@pytest.mark.parametrize("plan", ['{"w1": {"version"', '{"w0": {}}', "[]"])
def test_a_torn_or_foreign_plan_leaves_a_worker_waiting_to_be_told(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plan: str
) -> None:
    cascade = dump_manifests(a_cascade(a_model("m", folders["sd"])))
    assert start_beside(tmp_path, cascade, plan, monkeypatch).status().assignment is None


@pytest.mark.usefixtures("_keep_logging")
def test_nonsense_on_the_command_line_is_answered_in_one_line(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(dump_manifests(a_cascade(a_model("m", folders["sd"]))))
    bad.write_text(good.read_text().replace('"steps": 3', '"steps": -3'))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for arguments, want in [
            (["--cascade", str(tmp_path / "no.yaml")], "no.yaml"),
            (["--cascade", str(bad)], "steps"),
            (["--cascade", str(good), "--port", port], port),
            (["--cascade", str(good), "--threads", "0"], "--threads"),
            (["--cascade", str(good), "--device", "tpu"], "--device"),
            (["--cascade", str(good), "--device", "cuda:99"], "--device cuda:99"),
            (["--cascade", str(good), "--device", "cuda:one"], "--device cuda:one"),
            (["--cascade", str(good), "--log-level", "LOUD"], "--log-level"),
            (["--cascade", str(good), "--grace-s", "-1"], "--grace-s"),
            (["--cascade", str(good), "--control-port", port], port),
        ]:
            assert main(arguments) == 2
            lines = capsys.readouterr().err.strip().splitlines()
            assert want in lines[-1]
