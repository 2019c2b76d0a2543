"""What `hadis up` was asked to do, and where its files go."""

import importlib.util
import os
import time
from dataclasses import dataclass
from pathlib import Path

from hadis.errors import InvalidInput, MissingExtra

KEPT_RUNS = 10
EXAMPLES = "examples.json"


@dataclass(frozen=True, slots=True)
class Options:
    """The choices of one run. `workers` None follows the cascade file."""

    cascade: Path
    workers: int | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    api_keys_file: Path | None = None
    insecure: bool = False
    open_browser: bool = True
    verbose: bool = False


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run: logs, and the cascade as it is in force."""

    path: Path

    @classmethod
    def create(cls) -> "RunFolder":
        """Make the folder under the user's state, and forget all but the newest runs."""
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
        runs = state / "hadis" / "runs"
        stamp = time.strftime("%Y%m%d-%H%M%S")
        path = runs / f"{stamp}-{os.getpid()}"
        try:
            path.mkdir(parents=True)
        except OSError as error:
            raise InvalidInput(
                f"cannot write to {runs} ({error.strerror}); set XDG_STATE_HOME to another folder"
            ) from error
        for old in sorted(entry for entry in runs.iterdir() if entry.is_dir())[:-KEPT_RUNS]:
            for file in old.iterdir():
                file.unlink(missing_ok=True)
            old.rmdir()
        return cls(path)

    @property
    def cascade(self) -> Path:
        """The manifest that processes start with: always the one in force."""
        return self.path / "cascade.json"

    @property
    def prompts(self) -> Path:
        """What the load generator sends."""
        return self.path / "prompts.txt"

    def log(self, name: str) -> Path:
        """Return the log of the process called `name`."""
        return self.path / f"{name}.log"


def default_cascade() -> Path:
    """Return the cascade that ships with HADIS."""
    spec = importlib.util.find_spec("hadis_scenes")
    if spec is None or spec.origin is None:
        raise MissingExtra("the scenes cascade", extra="local")
    path = Path(spec.origin).parent / "cascade.yaml"
    if not path.is_file():
        raise InvalidInput(f"this installation lacks {path}; give --cascade FILE", field="cascade")
    return path


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def memory_share(workers: int | None) -> float:
    """Return the part of the machine's memory for one worker on the CPU.

    Each would take most of what is free for its own, and all of them together too much. The most
    that can come count: the cascade file may ask for more of them at any time, one a core at most.
    """
    return 1.0 / (workers or cores())


def gpus() -> int:
    """Return how many NVIDIA GPUs this machine has, without waking any."""
    return len([p for p in Path("/dev").glob("nvidia*") if p.name[len("nvidia") :].isdigit()])
