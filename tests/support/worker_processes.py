"""A worker as a process of its own, started as a pod starts it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from hadis.terms.cascades import Cascade
from hadis.wire.manifests import dump_manifests
from support.live_workers import PATIENCE_S, WorkerClient


class WorkerProcess(WorkerClient):
    """`python -m hadis_server` on a cascade; its log is `folder/worker.log`."""

    def __init__(self, cascade: Cascade, folder: Path, *options: str) -> None:
        file = folder / "cascade.yaml"
        file.write_text(dump_manifests(cascade))
        self.log = folder / "worker.log"
        self._command = [sys.executable, "-m", "hadis_server", "--cascade", str(file), *options]

    def __enter__(self) -> Self:
        began_s = time.monotonic()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self._command,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log.read_text()
        self.listening_s = time.monotonic() - began_s
        ports = json.loads(line)
        self.port, self.control_port = ports["port"], ports["control_port"]
        self.metrics_port = ports["metrics_port"]
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def terminate(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE_S)
