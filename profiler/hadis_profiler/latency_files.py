"""`latencies.json`: measured latencies, kept so that a resumed profile does not measure again."""

import json
from pathlib import Path

from hadis.errors import InvalidInput
from hadis.terms.ids import ModelName
from hadis_profiler.latencies import Latencies


def write(latencies: Latencies, path: Path) -> None:
    """Write `latencies` as JSON."""
    document = {
        "hardware": latencies.hardware,
        "processes": latencies.processes,
        "made_of": latencies.made_of,
        "models": latencies.models,
        "scoring": latencies.scoring,
    }
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def read(path: Path) -> Latencies:
    """Read what `write` wrote; InvalidInput names the file when it is something else."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return Latencies(
            models={ModelName(k): _batches(v) for k, v in document["models"].items()},
            scoring=_batches(document["scoring"]),
            hardware=str(document["hardware"]),
            processes=int(document["processes"]),
            made_of=str(document.get("made_of", "")),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{path}: no measured latencies: {error!r}; remove the file") from error


def _batches(seconds: dict[str, float]) -> dict[int, float]:
    return {int(batch): float(value) for batch, value in seconds.items()}
