"""The real thing under test: `hadis up` with the scenes cascade, driven and harmed from outside."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import yaml

import hadis_scenes

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 30.0
Document = dict[str, Any]


def held_out_prompts() -> list[str]:
    """The prompts that no training and no threshold has seen."""
    file = Path(hadis_scenes.__file__).parent / "prompts" / "test.jsonl"
    return [json.loads(line)["prompt"] for line in file.read_text().splitlines()]


class ScenesFleet:
    """A running fleet on a copy of the packaged cascade file, which tests may change."""

    def __init__(self, folder: Path, *, workers: int = 2) -> None:
        self.folder = folder
        self.cascade_file = folder / "cascade.yaml"
        self.log_file = folder / "up.log"
        self._workers = workers
        self._process: subprocess.Popen[str] | None = None
        self.url = ""
        self.started_in_s = 0.0
        source = Path(hadis_scenes.__file__).parent
        self.documents: list[Document] = list(
            yaml.safe_load_all((source / "cascade.yaml").read_text())
        )
        spec = self.cascade["spec"]
        for entry in [*spec["models"], spec["discriminator"]]:
            entry["source"]["path"] = str(source / entry["source"]["path"])
        shutil.copyfile(source / "examples.json", folder / "examples.json")
        self.write()

    @property
    def cascade(self) -> Document:
        """The HadisCascade as it was last written."""
        return self.documents[0]

    def write(self) -> None:
        """Save the cascade file in one step, as an editor does."""
        temporary = self.folder / ".cascade.yaml.part"
        temporary.write_text(yaml.safe_dump_all(self.documents, sort_keys=False))
        temporary.replace(self.cascade_file)

    def start(self) -> None:
        """Start `hadis up` and wait until it prints its URL."""
        command = [sys.executable, "-m", "hadis_cli.main", "up", "--no-browser", "--port", "0"]
        command += ["--cascade", str(self.cascade_file), "--workers", str(self._workers)]
        environment = {**os.environ, "XDG_STATE_HOME": str(self.folder / "state")}
        began_s = time.monotonic()
        with self.log_file.open("w") as log:
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
            )
        # A fleet that hangs must not hang the test: its end closes the pipe that is read here.
        alarm = threading.Timer(START_TIMEOUT_S, self._process.kill)
        alarm.start()
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        alarm.cancel()
        self.started_in_s = time.monotonic() - began_s
        if not self.url.startswith("http"):
            self.stop()
            raise AssertionError(f"hadis up did not start:\n{self.log_file.read_text()}")

    def stop(self) -> list[psutil.Process]:
        """Press Ctrl-C, wait, and return what is left running (killed then)."""
        assert self._process is not None
        try:
            family = [self.parent, *self.parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            family = []
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        _, alive = psutil.wait_procs(family, timeout=3)
        for process in alive:
            process.kill()
        return alive

    @property
    def parent(self) -> psutil.Process:
        """The `hadis up` process."""
        assert self._process is not None
        return psutil.Process(self._process.pid)

    def workers(self) -> dict[str, psutil.Process]:
        """The live worker processes by name, found as an operator would: by command line."""
        found = {}
        for process in self.parent.children(recursive=True):
            try:
                line = " ".join(process.cmdline())
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
            name = re.search(r"hadis_server.* --name (\S+)", line)
            if name is not None:
                found[name.group(1)] = process
        return found

    def router(self) -> psutil.Process:
        """The router process."""
        for process in self.parent.children(recursive=True):
            if "hadis_router" in " ".join(process.cmdline()):
                return process
        raise AssertionError("no router runs")

    def status(self) -> Document:
        """GET /v1/status."""
        with urllib.request.urlopen(f"{self.url}/v1/status", timeout=10) as reply:
            answer: Document = json.load(reply)
        return answer

    def metrics(self) -> dict[str, float]:
        """GET /metrics: every sample by its name and labels as written."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as reply:
            lines = reply.read().decode().splitlines()
        samples = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    def outcomes(self) -> dict[str, float]:
        """Requests so far by outcome, from the metrics."""
        counts: dict[str, float] = {}
        for name, value in self.metrics().items():
            label = re.match(r'hadis_requests_total\{.*outcome="(\w+)"', name)
            if label:
                counts[label.group(1)] = counts.get(label.group(1), 0.0) + value
        return counts

    def wait_until(
        self, what: str, holds: Callable[[Document], bool], timeout_s: float = 30.0
    ) -> Document:
        """Poll the status until it holds; fail with `what` and the last status."""
        give_up_s = time.monotonic() + timeout_s
        while True:
            status = self.status()
            if holds(status):
                return status
            assert time.monotonic() < give_up_s, f"not within {timeout_s} s: {what}\n{status}"
            time.sleep(0.1)

    def pin(self, light: str, heavy: str, *, hardness: float, quality: float) -> Document:
        """Pin a pair and thresholds through the cascade file and wait until routers use them."""
        self.cascade["spec"]["planner"] = {
            "mode": "Pinned",
            "pinned": {
                "light": light,
                "heavy": heavy,
                "hardnessThreshold": hardness,
                "qualityThreshold": quality,
            },
        }
        self.write()

        def in_force(status: Document) -> bool:
            lanes = (status["plan"] or {}).get("lanes", [])
            want = [light, heavy, hardness, quality]
            keys = ("light", "heavy", "hardness_threshold", "quality_threshold")
            return len(lanes) == 1 and [lanes[0][key] for key in keys] == want

        return self.wait_until(f"{light} and {heavy} pinned", in_force)

    def unpin(self) -> None:
        """Let the planner decide again."""
        self.cascade["spec"].pop("planner", None)
        self.write()
