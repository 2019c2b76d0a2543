"""What a worker holds: sets of weights, and the models that can be called with them."""

from dataclasses import dataclass

from hadis_server.pipelines import Pipeline, Variant
from hadis_server.wording import Reader


@dataclass(slots=True)
class Weights:
    """A set of weights in memory and the tokenizers that read its prompts."""

    pipeline: Pipeline
    reader: Reader
    size_bytes: int
    used_s: float
    on_device: bool = True


@dataclass(frozen=True, slots=True)
class Resident:
    """A model that can be called now."""

    variant: Variant
    reader: Reader
