"""The `hadis` command as its users run it: a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

TIMEOUT_S = 120.0


def hadis(
    *arguments: str, cwd: Path | None = None, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end and return what it said."""
    return subprocess.run(
        [sys.executable, "-m", "hadis_cli.main", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200", **(environment or {})},
    )
