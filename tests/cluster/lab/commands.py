"""Programs that tests run: what they say, and what they say when they refuse."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class Refused(Exception):
    """A program ended with another status than 0; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a program said. kubectl and helm print the API server's warnings to `aside`."""

    text: str
    aside: str


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout_s: float = 120.0,
) -> Told:
    """Run a program to its end. Raises Refused with its words when it fails."""
    done = subprocess.run(
        command,
        input="" if stdin is None else stdin,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=None if environment is None else dict(environment),
        check=False,
    )
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip())[-4000:]
        raise Refused(f"{' '.join(command)[:300]} ended with {done.returncode}: {words}")
    return Told(done.stdout, done.stderr)
