"""What was measured of every prompt: hardness, and of each model's images score and fulfilment."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hadis.errors import InvalidInput
from hadis.terms.ids import ModelName

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Measurements over prompts (axis 1) and seeds (axis 0).

    Every model has the same number of seeds, two or more where a pair of one model with itself is
    to be measured. Scores lie in [0, 1]. `fulfilled` is 1 or 0, or any quality of a single image
    for which the mean over prompts makes sense. `features` (axis 2) serve the Frechet distance to
    `reference` images; they are there for every model or for none.
    """

    prompts: tuple[str, ...]
    hardness: Floats
    scores: Mapping[ModelName, Floats]
    fulfilled: Mapping[ModelName, Floats]
    features: Mapping[ModelName, Floats] = field(default_factory=dict)
    reference: Floats | None = None

    def __post_init__(self) -> None:
        """Raise InvalidInput for shapes that do not match and for values that are no numbers."""
        count = len(self.prompts)
        if count == 0 or self.hardness.shape != (count,):
            raise InvalidInput(f"{len(self.hardness)} hardness scores for {count} prompts")
        if set(self.scores) != set(self.fulfilled):
            raise InvalidInput("scores and fulfilment are measured for different models")
        shapes = {table.shape for part in (self.scores, self.fulfilled) for table in part.values()}
        if len(shapes) != 1 or next(iter(shapes))[1:] != (count,):
            raise InvalidInput(f"scores and fulfilment have shapes {sorted(shapes)}, not one")
        for name in self.scores:
            whole = np.isfinite(self.scores[name]) & np.isfinite(self.fulfilled[name])
            if not whole.all():
                seed, prompt = (int(place[0]) for place in np.nonzero(~whole))
                raise InvalidInput(
                    f"model {name} has no score or fulfilment for prompt {prompt}, seed {seed}"
                )
            if self.scores[name].min() < 0.0 or self.scores[name].max() > 1.0:
                raise InvalidInput(f"model {name} has scores outside [0, 1]")
        self._check_features(next(iter(shapes)))

    def _check_features(self, shape: tuple[int, ...]) -> None:
        if self.reference is None:
            return
        if self.reference.ndim != 2:
            raise InvalidInput("the reference features are no table: give a row an image")
        for name in self.scores:
            wanted = (*shape, self.reference.shape[1])
            found = self.features[name].shape if name in self.features else None
            if found != wanted:
                raise InvalidInput(
                    f"features of model {name} have shape {found}, not {wanted} (seeds, prompts, "
                    "numbers of the reference)"
                )

    @property
    def models(self) -> tuple[ModelName, ...]:
        """The models, in the order given."""
        return tuple(self.scores)

    @property
    def seeds(self) -> int:
        """Images a prompt and model."""
        return int(next(iter(self.scores.values())).shape[0])
