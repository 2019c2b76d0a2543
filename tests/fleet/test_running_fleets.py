"""`hadis up` as its user sees it: it starts, serves, heals, follows its file and leaves nothing."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from support import cascade_folders
from support.commands import hadis

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(600)]

PATIENCE_S = 120.0  # three times what a machine takes that is busy with other things


class Fleet:
    """A running `hadis up`."""

    def __init__(self, folder: Path, cascade: Path) -> None:
        self.folder, self.cascade = folder, cascade
        self.said = folder / "said.txt"
        with self.said.open("w") as said:
            # SIGINT may be ignored where tests run in the background; a shell would not do that.
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hadis_cli.main", "up", "--cascade", str(cascade),
                 "--port", "0", "--no-browser"],
                stdout=subprocess.PIPE, stderr=said, text=True, cwd=folder,
                env={**os.environ, "XDG_STATE_HOME": str(folder / "state")},
            )  # fmt: skip
        self.url = ""

    def wait_for_url(self) -> None:
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http://127.0.0.1:"), self.said.read_text()

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def named(self, word: str) -> list[psutil.Process]:
        """The processes below `hadis up` whose command line holds a word."""
        found = []
        for process in self.family():
            with contextlib.suppress(psutil.NoSuchProcess):
                if word in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def status(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/v1/status", timeout=30) as reply:
            told: dict[str, Any] = json.load(reply)
        return told

    def until(self, what: str, holds: Callable[[], bool]) -> float:
        """Wait until something holds; return the seconds that it took."""
        began_s = time.monotonic()
        while not holds():
            assert time.monotonic() - began_s < PATIENCE_S, f"{what}\n{self.said.read_text()}"
            time.sleep(0.1)
        return time.monotonic() - began_s

    def ready_workers(self) -> set[str]:
        return {w["name"] for w in self.status()["workers"] if w["state"] == "ready"}

    def save(self, text: str) -> None:
        part = self.cascade.with_suffix(".part")
        part.write_text(text)
        part.replace(self.cascade)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    running = Fleet(folder, cascade_folders.write_cascade(folder))
    try:
        running.wait_for_url()
        yield running
    finally:
        running.end()


def all_gone(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=0)
    return not alive


def test_the_printed_url_serves_at_once(fleet: Fleet, tmp_path: Path) -> None:
    done = hadis("generate", "a red circle", "--url", fleet.url, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (tmp_path / told["file"]).read_bytes().startswith(b"\x89PNG")
    assert told["hadis"]["model"] in ("small", "large")


def test_what_it_says_while_starting_can_be_followed_and_pasted(
    fleet: Fleet, tmp_path: Path
) -> None:
    said = fleet.said.read_text()
    assert "with 1 worker;" in said
    places = [said.index(words) for words in ("(first plan)", "loading weights", "ready after")]
    assert places == sorted(places)
    hint = said.partition("    try: ")[2].partition("\n")[0]
    nowhere = {**os.environ, "PATH": "/usr/bin:/bin"}  # hadis is not there
    done = subprocess.run(
        hint, shell=True, capture_output=True, text=True, cwd=tmp_path, env=nowhere, timeout=120
    )
    assert done.returncode == 0, f"{hint}\n{done.stderr}"
    assert (tmp_path / "a-red-circle.png").exists()


def test_processes_are_told_apart_by_their_command_lines(fleet: Fleet) -> None:
    assert len(fleet.named("hadis_router")) == 1
    (worker,) = fleet.named("hadis_server")
    assert "--name w0" in " ".join(worker.cmdline())
    others = [p for p in fleet.family() if p not in (worker, *fleet.named("hadis_router"))]
    assert {p.cmdline()[2] for p in others} == {
        "hadis_cli.fleet.nursery", "hadis_cli.benching.load_process",
    }  # fmt: skip


def test_the_routers_metrics_carry_plan_and_demand(fleet: Fleet) -> None:
    with urllib.request.urlopen(f"{fleet.url}/metrics", timeout=30) as reply:
        samples = reply.read().decode()
    for want_series in ("hadis_plan_version", "hadis_plan_workers", "hadis_demand_requests_per_"):
        assert re.search(rf'^{want_series}\w*{{cascade="tiny"', samples, re.MULTILINE), want_series


def test_logs_lie_in_one_folder_one_file_a_process(fleet: Fleet) -> None:
    (run,) = (fleet.folder / "state" / "hadis" / "runs").iterdir()
    assert {file.stem for file in run.glob("*.log")} >= {"up", "router", "nursery", "w0"}
    assert str(run) in fleet.said.read_text()


def test_the_load_slider_moves_a_process_of_its_own(fleet: Fleet) -> None:
    def load(rate: float | None = None) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{fleet.url}/playground/load",
            data=None if rate is None else json.dumps({"rate": rate}).encode(),
            method="GET" if rate is None else "PUT",
            headers={"content-type": "application/json", "origin": fleet.url,
                     "sec-fetch-site": "same-origin"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=30) as reply:
            told: dict[str, Any] = json.load(reply)
        return told

    fleet.until("the load process listens", lambda: bool(fleet.named("load_process")))
    assert load(2.0)["rate"] == 2.0
    fleet.until("images are made", lambda: load()["completed"] >= 2)
    assert load(0.0)["rate"] == 0.0
    fleet.until("all have ended", lambda: load()["completed"] == load()["sent"])


def test_an_invalid_file_is_reported_and_changes_nothing(fleet: Fleet) -> None:
    good, before = fleet.cascade.read_text(), fleet.status()
    fleet.save(good.replace("steps: 12", "steps: none"))
    fleet.until("the fault is told", lambda: "spec.models[1].steps" in fleet.said.read_text())
    told = r"^\d\d:\d\d:\d\d error: .*spec\.models\[1\]\.steps"
    assert re.search(told, fleet.said.read_text(), re.MULTILINE)
    fleet.save(good.replace("name: tiny}", "name: other}"))
    fleet.until("the name is refused", lambda: "keeps its name" in fleet.said.read_text())
    after = fleet.status()
    assert (after["cascade"], after["slo_s"]) == (before["cascade"], before["slo_s"])
    assert after["ready"]


def test_a_valid_file_is_applied(fleet: Fleet) -> None:
    planner = (
        "{mode: Pinned, pinned: {light: small, heavy: large, hardnessThreshold: 0.75, "
        "qualityThreshold: 0.25}}"
    )
    fleet.save(cascade_folders.manifest(slo="33s", planner=planner, workers=2))
    fleet.until("the SLO is in force", lambda: fleet.status()["slo_s"] == 33.0)

    def is_pinned() -> bool:
        lanes = fleet.status()["plan"]["lanes"]
        return [lanes[-1]["hardness_threshold"], lanes[-1]["quality_threshold"]] == [0.75, 0.25]

    fleet.until("the pinned plan is in force", is_pinned)
    fleet.until("a second worker serves", lambda: fleet.ready_workers() == {"w0", "w1"})
    fleet.save(cascade_folders.manifest(planner=planner, workers=1))
    fleet.until("it has left", lambda: len(fleet.named("hadis_server")) == 1)
    assert fleet.ready_workers() == {"w0"}


def test_a_killed_worker_is_back_in_time(fleet: Fleet) -> None:
    (victim,) = fleet.named("hadis_server")
    uid_before = victim.pid
    victim.send_signal(signal.SIGKILL)
    fleet.until("the dead one is noticed", lambda: "killed by SIGKILL" in fleet.said.read_text())

    def is_back() -> bool:
        now = fleet.named("hadis_server")
        return [p.pid for p in now] != [uid_before] and fleet.ready_workers() == {"w0"}

    back_after_s = fleet.until("it is back", is_back)
    assert back_after_s < 45  # 15 s on a quiet machine


def test_the_router_is_replaced_on_the_same_port(fleet: Fleet) -> None:
    (victim,) = fleet.named("hadis_router")
    victim.send_signal(signal.SIGKILL)

    def serves_again() -> bool:
        with contextlib.suppress(OSError):
            return bool(fleet.ready_workers()) and fleet.named("hadis_router")[0].pid != victim.pid
        return False

    fleet.until("requests are routed again", serves_again)
    assert fleet.status()["plan"]["lanes"][-1]["hardness_threshold"] == 0.75


def test_ctrl_c_ends_everything(fleet: Fleet) -> None:
    family = fleet.family()
    fleet.process.send_signal(signal.SIGINT)
    assert fleet.process.wait(PATIENCE_S) == 0
    assert all_gone(family)
    assert "stopped" in fleet.said.read_text()


def test_a_killed_fleet_leaves_no_process(tmp_path: Path) -> None:
    cascade = cascade_folders.write_cascade(tmp_path)
    running = Fleet(tmp_path, cascade)
    try:
        running.until("router and nursery run", lambda: len(running.family()) >= 2)
        family = running.family()
        running.process.kill()
        running.process.wait()
        running.until("they are gone", lambda: all_gone(family))
    finally:
        running.end()
