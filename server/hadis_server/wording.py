"""What a model makes of the words of a prompt: unknown words, truncation, tokens.

Works with the tokenizers of any pipeline. A pipeline with several text encoders has lost a part of
the prompt only where every one of them cut it off, and knows a word that one of them knows.
"""

import copy
import inspect
import json
from dataclasses import dataclass
from typing import Any

# The report travels in an HTTP header, and clients refuse headers of more than 8 kB.
MAX_UNKNOWN_BYTES = 2000
MAX_WORDS = 1000
PUNCTUATION = ".,;:!?\"'()[]"
# Tokenizers without a limit of their own carry a number far above any text encoder's.
UNLIMITED = 1_000_000


@dataclass(frozen=True, slots=True)
class Reading:
    """How a model reads one prompt. `tokens` counts the prompt's own, before any is cut off."""

    unknown_words: tuple[str, ...] = ()
    truncated: bool = False
    tokens: int = 0


class Reader:
    """The tokenizers of one pipeline, as copies: the originals belong to the denoising thread."""

    def __init__(self, pipeline: Any) -> None:
        default = inspect.signature(type(pipeline).__call__).parameters.get("max_sequence_length")
        self._tokenizers = [
            (copy.deepcopy(part), _limit(part, default.default if default else None))
            for name, part in pipeline.components.items()
            if name.startswith("tokenizer") and part is not None
        ]

    def read(self, prompt: str) -> Reading:
        """Return how the model reads `prompt`; one thread at a time."""
        readings = [_read(tokenizer, limit, prompt) for tokenizer, limit in self._tokenizers]
        if not readings:
            return Reading()
        unknown = [
            word
            for word in readings[0].unknown_words
            if all(word in other.unknown_words for other in readings[1:])
        ]
        return Reading(
            _bounded(unknown),
            all(reading.truncated for reading in readings),
            max(reading.tokens for reading in readings),
        )


def _limit(tokenizer: Any, sequence_default: int | None) -> int:
    longest: int = min(tokenizer.model_max_length, UNLIMITED)
    # `max_sequence_length` is for the T5-like encoder; CLIP's positions end where they end.
    if sequence_default and not type(tokenizer).__name__.startswith("CLIP"):
        return min(longest, sequence_default)
    return longest


def _read(tokenizer: Any, limit: int, prompt: str) -> Reading:
    own = tokenizer(prompt, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
    special = tokenizer.num_special_tokens_to_add()
    return Reading(_unknown_words(tokenizer, prompt, own), len(own) + special > limit, len(own))


def _unknown_words(tokenizer: Any, prompt: str, ids: list[int]) -> tuple[str, ...]:
    """Return the words that become the unknown token, or no token at all."""
    unknown = tokenizer.unk_token_id
    if unknown not in ids and prompt.isascii():
        return ()
    words = dict.fromkeys(word.strip(PUNCTUATION).lower() for word in prompt.split())
    found = []
    for word in [word for word in words if any(map(str.isalnum, word))][:MAX_WORDS]:
        own = tokenizer(word, add_special_tokens=False)["input_ids"]
        if not own or unknown in own:
            found.append(word)
    return tuple(found)


def _bounded(words: list[str]) -> tuple[str, ...]:
    """Return the leading words whose JSON fits into the header."""
    kept: list[str] = []
    left = MAX_UNKNOWN_BYTES
    for word in words:
        left -= len(json.dumps(word)) + 2
        if left < 0:
            break
        kept.append(word)
    return tuple(kept)
