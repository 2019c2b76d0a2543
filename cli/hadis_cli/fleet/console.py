"""What `hadis up` says: progress while starting, then events, and every process's log on demand."""

import asyncio
import logging
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.status import Status
from rich.text import Text

COLOURS = ("cyan", "magenta", "green", "yellow", "blue")
TAIL_EVERY_S = 0.25
LOG = logging.getLogger("up")


class Teller:
    """Speaks to the person on stderr and keeps a copy in the fleet's own log."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        self._status: Status | None = None

    def __call__(self, message: str) -> None:
        """Say one thing that happened."""
        LOG.info("%s", message)
        self.console.print(f"[dim]{_now()}[/dim] {message}", markup=True, soft_wrap=True)

    def trouble(self, message: str) -> None:
        """Say what is wrong and needs a person."""
        LOG.error("%s", message)
        said = Text.assemble((_now(), "dim"), " ", ("error: ", "bold red"), message)
        self.console.print(said, soft_wrap=True)

    @contextmanager
    def waiting(self, message: str) -> Iterator[None]:
        """Show a spinner where there is a terminal; say the message once where there is none."""
        if not self.console.is_terminal:
            self(message)
            yield
            return
        with self.console.status(message) as status:
            self._status = status
            yield
        self._status = None

    def progress(self, message: str) -> None:
        """Change what the spinner says."""
        if self._status is not None:
            self._status.update(message)


def _now() -> str:
    return time.strftime("%H:%M:%S")


async def follow_logs(folder: Path, console: Console) -> None:
    """Print every new line of every log in `folder`, each with its process's name."""
    positions: dict[Path, int] = {}
    while True:
        for path in sorted(folder.glob("*.log")):
            if path.name == "up.log":
                continue
            colour = COLOURS[sum(path.stem.encode()) % len(COLOURS)]
            with path.open("rb") as file:
                file.seek(positions.get(path, 0))
                data = file.read()
            complete = data[: data.rfind(b"\n") + 1]
            positions[path] = positions.get(path, 0) + len(complete)
            for line in complete.decode("utf-8", "replace").splitlines():
                console.print(f"[{colour}]{path.stem:>8} |[/{colour}] ", end="")
                console.print(line, markup=False, soft_wrap=True)
        await asyncio.sleep(TAIL_EVERY_S)


def announce(url: str) -> None:
    """Print the URL on stdout, where scripts read it."""
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()


def own_call() -> str:
    """Return how to call this very program from another terminal of the same person.

    Its name where PATH finds this installation by it; else the path of the program that runs.
    """
    program = Path(sys.argv[0]).absolute()
    if program.stem != "hadis":  # started by `python -m`
        return f"{shlex.quote(sys.executable)} -m hadis_cli.main"
    found = shutil.which("hadis")
    if found is not None and Path(found).resolve() == program.resolve():
        return "hadis"
    return shlex.quote(str(program))


def log_to(path: Path) -> None:
    """Send this process's own log to a file; the console is for people."""
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s up %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
