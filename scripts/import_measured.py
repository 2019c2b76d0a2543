"""Turn published measurements into profiles and workloads: `python scripts/import_measured.py`.

    python scripts/import_measured.py --data ../shared/data --out out/measured

reads the folders `hadis` and `diffserve` of the data (HADIS_DATA or --data) and writes a profile
(.json) and a workload (.csv) each: imagenet-l40s and three diffserve-* ones. The same seed gives
the same files; src/hadis/profiles/imagenet-l40s.json is what seed 0 gives.
"""

import argparse
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import track

from hadis.errors import HadisError, InvalidInput
from hadis.hardness import scoring
from hadis.profiling import files, importing, workloads
from hadis.profiling.importing import Measured


def texts(folder: Path, names: tuple[str, ...]) -> dict[str, str]:
    """Return the texts of a folder's files; InvalidInput names the one that is missing."""
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise InvalidInput(f"{folder}: {', '.join(missing)} is missing; give --data")
    return {name: (folder / name).read_text(encoding="utf-8-sig") for name in names}


def own_hardness(prompts: list[str]) -> list[float]:
    """Return the hardness that HADIS gives each prompt by default."""
    scoring.load()
    scorer = scoring.Scorer()
    shown = track(prompts, "hardness", console=Console(stderr=True), transient=True)
    return [scorer.score(prompt).score for prompt in shown]


def write(out: Path, measured: Measured) -> None:
    """Write a profile and its workload under the profile's name."""
    name = measured.profile.name
    (out / f"{name}.json").write_text(files.write_profile(measured.profile), encoding="utf-8")
    (out / f"{name}.csv").write_text(workloads.write_csv(measured.workload), encoding="utf-8")
    sys.stdout.write(f"{out / name}: {len(measured.profile.rows)} rows\n")


def main() -> int:
    """Import everything that is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=os.environ.get("HADIS_DATA"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0, help="of the jitter that breaks ties")
    options = parser.parse_args()
    if options.data is None:
        parser.error("neither --data nor HADIS_DATA is given")
    options.out.mkdir(parents=True, exist_ok=True)
    data = Path(options.data)
    try:
        imagenet = texts(data / "hadis", importing.IMAGENET_FILES)
        scale = own_hardness(importing.imagenet_prompts(imagenet))
        write(options.out, importing.imagenet(imagenet, seed=options.seed, scale=scale))
        diffserve = texts(data / "diffserve", importing.DIFFSERVE_FILES)
        for measured in importing.diffserve(diffserve, seed=options.seed).values():
            write(options.out, measured)
    except HadisError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
