"""What was measured: asserted with room for busy machines, reported as it is.

The issue's figures hold on a quiet machine. A test fails at three times a figure; the table at the
end of a run tells by how much it was kept or missed.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOM = 3.0
"""A test fails at this many times the figure."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement; `bound` is what a quiet machine shall keep, None where nothing is asked."""

    name: str
    value: float
    unit: str = "s"
    bound: float | None = None

    @property
    def is_kept(self) -> bool:
        """Whether the bound is kept without any room."""
        return self.bound is None or self.value <= self.bound


@dataclass(slots=True)
class Figures:
    """All measurements of a run, in the order in which they were made."""

    made: list[Figure] = field(default_factory=list)

    def note(self, name: str, value: float, unit: str = "s") -> None:
        """Report a measurement that nothing is asked of."""
        self.made.append(Figure(name, value, unit))

    def within(self, name: str, value_s: float, bound_s: float) -> None:
        """Report a time, and fail when it is beyond three times its bound."""
        self.made.append(Figure(name, value_s, "s", bound_s))
        assert value_s <= ROOM * bound_s, f"{name}: {value_s:.1f} s; {bound_s:g} s on its own"

    def table(self) -> list[str]:
        """Return the measurements as lines for people."""
        if not self.made:
            return []
        width = max(len(one.name) for one in self.made)
        return [
            f"{one.name:{width}}  {one.value:10.2f} {one.unit:3}"
            + ("" if one.bound is None else f"  of {one.bound:g}")
            + ("" if one.is_kept else "  (missed)")
            for one in self.made
        ]

    def write(self, file: Path) -> None:
        """Write the measurements as JSON."""
        told = [{**asdict(one), "kept": one.is_kept} for one in self.made]
        file.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of all values do not exceed."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]
