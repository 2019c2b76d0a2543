"""The eight hardness features of table 1 and how each raw amount becomes a number in [0, 1].

A raw amount (words, objects, modifiers ...) saturates as ``1 - exp(-amount / scale)``: zero stays
zero, the first few count most, and no prompt leaves [0, 1]. The maps are fixed, so a score never
depends on which other prompts were seen.
"""

import math
from collections.abc import Mapping
from typing import Final

SCALES: Final[Mapping[str, float]] = {
    "prompt_length": 20.0,  # words
    "token_rarity": 1.5,  # words, each counted by how rare it is
    "object_count": 3.0,  # objects beyond the first
    "abstractness": 1.5,  # abstract words
    "attribute_density": 4.0,  # modifiers
    "spatial_relations": 1.5,  # relations
    "action_verbs": 1.5,  # verbs of motion or doing
    "named_entities": 1.0,  # names
}
"""The amount at which a feature reaches 0.63; the order is the order of table 1."""

NAMES: Final = tuple(SCALES)
DIGITS: Final = 6  # of features and scores, so that printed and compared values are the same


def normalise(amounts: Mapping[str, float]) -> dict[str, float]:
    """Map the raw amount of every feature into [0, 1], in the order of `NAMES`."""
    return {
        name: round(-math.expm1(-amounts[name] / scale), DIGITS) for name, scale in SCALES.items()
    }
