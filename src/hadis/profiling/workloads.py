"""Workloads: for each prompt its hardness, and the score that each model's image of it got.

A replay lets its requests carry them. Files are CSV or Parquet with a row a prompt and the columns
`prompt`, `hardness` and `score:<model>`; reading checks every cell and names row and column.
Callers read and write the files, this module only knows their bytes.
"""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hadis.errors import InvalidInput, MissingExtra
from hadis.terms.ids import ModelName

Floats = NDArray[np.float64]

PROMPT = "prompt"
HARDNESS = "hardness"
SCORE = "score:"
_PARQUET = b"PAR1"


@dataclass(frozen=True, slots=True)
class Workload:
    """Prompts with hardness and scores, one position each; texts may be empty.

    `ranks` tells that both are uniform in [0, 1) and stand for shares: a prompt of hardness 0.9
    belongs to the hardest tenth, and an image of score 0.1 to the worst.
    """

    prompts: tuple[str, ...] = field(repr=False)
    hardness: Floats = field(repr=False)
    scores: Mapping[ModelName, Floats] = field(repr=False)
    ranks: bool = False

    def __len__(self) -> int:
        return len(self.hardness)


def uniform(count: int, models: Iterable[ModelName], seed: int) -> Workload:
    """Return `count` prompts whose hardness and scores are ranks drawn from `seed`."""
    draws = np.random.default_rng(seed)
    return Workload(
        prompts=("",) * count,
        hardness=draws.random(count),
        scores={model: draws.random(count) for model in models},
        ranks=True,
    )


def check_scores(workload: Workload, models: Iterable[ModelName], source: str) -> None:
    """Raise InvalidInput for the first of `models` that the workload has no scores of."""
    for model in models:
        if model not in workload.scores:
            raise InvalidInput(
                f"{source}: the column {SCORE}{model} is missing; add the discriminator's scores "
                f"of the images of {model}",
                field=f"{SCORE}{model}",
            )


def read(data: bytes, source: str) -> Workload:
    """Read a workload file; `source` names it in every InvalidInput."""
    is_parquet = data.startswith(_PARQUET)
    columns: Mapping[str, Sequence[object]]
    columns = _parquet(data, source) if is_parquet else _csv(data, source)
    first_row = 1 if is_parquet else 2  # the first row of a CSV holds the names
    if HARDNESS not in columns:
        raise InvalidInput(f"{source}: the column {HARDNESS} is missing", field=HARDNESS)
    count = len(columns[HARDNESS])
    if count == 0:
        raise InvalidInput(f"{source}: the workload is empty; write a row a prompt", field=None)
    return Workload(
        prompts=tuple("" if p is None else str(p) for p in columns.get(PROMPT, ("",) * count)),
        hardness=_numbers(columns[HARDNESS], HARDNESS, source, first_row),
        scores={
            ModelName(name.removeprefix(SCORE)): _numbers(cells, name, source, first_row)
            for name, cells in columns.items()
            if name.startswith(SCORE)
        },
    )


def write_csv(workload: Workload) -> str:
    """Return the CSV text of a workload; every number reads back equal."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([PROMPT, HARDNESS, *(f"{SCORE}{model}" for model in workload.scores)])
    columns = [workload.hardness.tolist(), *(s.tolist() for s in workload.scores.values())]
    writer.writerows(zip(workload.prompts, *columns, strict=True))
    return text.getvalue()


def _csv(data: bytes, source: str) -> dict[str, list[str]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{source}: not UTF-8 text at byte {error.start}") from error
    lines = csv.reader(io.StringIO(text, newline=""))
    try:
        names = next(lines, [])
        columns: dict[str, list[str]] = {name.strip(): [] for name in names}
        if len(columns) < len(names):
            raise InvalidInput(f"{source}: row 1: two columns have the same name")
        for cells in lines:
            if len(cells) != len(names):
                if not cells:
                    continue
                raise InvalidInput(
                    f"{source}: row {lines.line_num}: {len(cells)} cells under {len(names)} columns"
                )
            for column, cell in zip(columns.values(), cells, strict=True):
                column.append(cell)
    except csv.Error as error:
        raise InvalidInput(f"{source}: row {lines.line_num}: {error}") from error
    return columns


def _parquet(data: bytes, source: str) -> dict[str, list[object]]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise MissingExtra(f"reading {source} (Parquet)", extra="parquet") from error
    try:
        table = parquet.read_table(pyarrow.BufferReader(data))
    except (pyarrow.ArrowException, OSError) as error:
        raise InvalidInput(f"{source}: is no readable Parquet file: {error}") from error
    return {str(name): column for name, column in table.to_pydict().items()}


def _numbers(cells: Sequence[object], column: str, source: str, first_row: int) -> Floats:
    numbers = np.empty(len(cells))
    for position, cell in enumerate(cells):
        try:
            number = float(cell)  # type: ignore[arg-type]  # whatever it is, it shall be a number
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise InvalidInput(
                f"{source}: row {position + first_row}, column {column}: {cell!r} is no finite "
                "number",
                field=column,
            )
        numbers[position] = number
    return numbers
