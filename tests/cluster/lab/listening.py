"""Hearing which version of its assignment each worker reports, moments after it changes.

The control port is the operator's alone, so the question is asked inside the worker's own pod.
"""

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from cluster.lab.cascades import Cascade

ASK_EVERY_S = 0.2
LISTEN = f"""
import json, time, urllib.request
last = None
while True:
    try:
        with urllib.request.urlopen("http://127.0.0.1:8001/status", timeout=2) as reply:
            told = json.load(reply)["assignment"]
        if told != last:
            print(json.dumps(told), flush=True)
        last = told
    except OSError:
        pass
    time.sleep({ASK_EVERY_S})
"""


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker reported, first heard at a moment of this machine's monotonic clock."""

    at_s: float
    slot: str
    version: int
    model: str | None


class Reports:
    """The reports of all workers of a cascade, while it is open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heard: list[Report] = []

    @classmethod
    @contextmanager
    def of(cls, cascade: Cascade) -> Iterator[Self]:
        """Listen to the workers that there are now; one that comes later is not heard."""
        reports = cls()
        program = str(cascade.cluster.access.program("kubectl"))
        listeners = []
        for slot, pod in cascade.workers().items():
            listener = subprocess.Popen(
                [
                    *(program, "exec", "-n", cascade.namespace, pod["metadata"]["name"]),
                    *("-c", "worker", "--", "python", "-c", LISTEN),
                ],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=dict(cascade.cluster.access.environment),
            )
            listeners.append(listener)
            thread = threading.Thread(target=reports._hear, args=(slot, listener), daemon=True)
            thread.start()
        try:
            yield reports
        finally:
            for listener in listeners:
                listener.kill()
                listener.wait()

    def since(self, at_s: float) -> list[Report]:
        """Return what was heard after a moment."""
        with self._lock:
            return [report for report in self._heard if report.at_s >= at_s]

    def newest(self) -> dict[str, Report]:
        """Return the last report of each slot."""
        with self._lock:
            return {report.slot: report for report in self._heard}

    def _hear(self, slot: str, listener: subprocess.Popen[str]) -> None:
        assert listener.stdout is not None
        with listener.stdout as lines:
            for line in lines:
                told = json.loads(line)
                if told is not None:
                    report = Report(time.monotonic(), slot, told["version"], told["model"])
                    with self._lock:
                        self._heard.append(report)
