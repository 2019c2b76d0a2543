"""Make the paper's figures from its authors' measurements.

    python -m benchmarks.paper [--data DIR] [--figure N ...] [--seeds 5] [--jobs 2]

writes a picture and its numbers a figure (2, 3, 4, 5, 7 to 12) to docs/images/paper, and
docs/paper-results.md once all of them are there. 4 and 5 follow from formulas; the others read the
published measurements (--data or HADIS_DATA) and are left out by name without them. Equal seeds
give equal figures. `--redraw` draws and writes again from the JSON files without running anything.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from benchmarks.paper import files, measurements, overheads, page, running
from benchmarks.paper.catalogue import PLATES
from benchmarks.paper.measurements import Measurements
from benchmarks.paper.running import Task
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hadis.errors import InvalidInput

ROOT = Path(__file__).parents[2]
TENTHS = 10
"""Where no progress bar can move a line is printed after every tenth of the replays."""


def make(options: argparse.Namespace, data: Measurements | None, numbers: list[int]) -> None:
    """Run what the figures need, and write them one by one."""
    plates = {number: PLATES[number] for number in numbers}
    tasks = [task for plate in plates.values() for task in plate.tasks(options.seeds)]
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("replays", total=len(set(tasks)))

        total = len(set(tasks))

        def on_done(_: Task) -> None:
            progress.advance(bar)
            done = int(progress.tasks[bar].completed)
            if not console.is_terminal and done * TENTHS // total > (done - 1) * TENTHS // total:
                console.print(f"{done} of {total} replays")

        results = (
            running.run_all(data.folder, tasks, options.jobs, on_done) if data is not None else {}
        )
        bar = progress.add_task("figures", total=len(plates))
        for number, plate in plates.items():
            told = plate.numbers(data, results, options.seeds)
            files.write(options.out, number, {"seeds": options.seeds, **told})
            progress.advance(bar)
            console.print(f"figure {number}: {plate.title}")


def main() -> int:
    """Make the figures that were asked for, and the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("HADIS_DATA"))
    parser.add_argument("--figure", type=int, action="append", metavar="N", choices=list(PLATES))
    parser.add_argument("--seeds", type=int, default=5, help="replays of each kind")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="replays at a time")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "paper")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "paper-results.md")
    parser.add_argument("--redraw", action="store_true", help="from the JSON files only")
    options = parser.parse_args()
    if options.seeds < 1 or options.jobs < 1:
        parser.error("--seeds and --jobs take whole numbers from 1")
    started_s = time.monotonic()
    wanted = sorted(set(options.figure or PLATES))
    if options.redraw:
        for number in wanted:
            files.draw(options.out, number)
    else:
        data, why = _read(options.data)
        if data is None:
            lost = [number for number in wanted if PLATES[number].needs_data]
            if lost:
                print(f"left out: figures {', '.join(map(str, lost))}: {why}", file=sys.stderr)
            wanted = [number for number in wanted if number not in lost]
        make(options, data, wanted)
        if data is not None and options.figure is None:
            files.write_numbers(options.out / files.OVERHEADS, overheads.measure(data))
    missing = page.write(options.out, options.page)
    if missing:
        print(f"{options.page.name} waits for figures {', '.join(missing)}", file=sys.stderr)
    print(f"{time.monotonic() - started_s:.0f} s", file=sys.stderr)
    return 2 if options.figure and not wanted else 0


def _read(folder: Path | None) -> tuple[Measurements | None, str]:
    """Return the measurements, or why there are none."""
    if folder is None:
        return None, "neither --data nor HADIS_DATA is given"
    try:
        return measurements.read(Path(folder).resolve()), ""
    except InvalidInput as error:
        return None, str(error)


if __name__ == "__main__":
    raise SystemExit(main())
