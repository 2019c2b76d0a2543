"""What is told about a prompt's words: unknown ones, truncation, tokens."""

import json
from pathlib import Path

import pytest
from diffusers import DiffusionPipeline

from hadis_server.wording import MAX_UNKNOWN_BYTES, Reader
from support.tiny_pipelines import TOKENS


@pytest.fixture(scope="module")
def readers(folders: dict[str, Path]) -> dict[str, Reader]:
    return {
        name: Reader(DiffusionPipeline.from_pretrained(folders[name]))
        for name in ("sd", "sdxl", "sd3")
    }


@pytest.mark.parametrize(
    ("prompt", "want_unknown"),
    [
        ("a red circle", ()),
        ("A RED Circle", ()),
        ("a red zebra, and a GIRAFFE!", ("zebra", "giraffe")),
        ("zebra zebra", ("zebra",)),
        ("日本 red", ("日本",)),
        ("!!! ...", ()),
        ("", ()),
    ],
)
def test_words_outside_the_vocabulary_are_listed_once(
    readers: dict[str, Reader], prompt: str, want_unknown: tuple[str, ...]
) -> None:
    assert readers["sd"].read(prompt).unknown_words == want_unknown


def test_a_byte_level_tokenizer_knows_every_word(readers: dict[str, Reader]) -> None:
    assert readers["sdxl"].read("zebra, giraffe").unknown_words == ()


def test_a_prompt_is_cut_off_one_token_beyond_the_limit(readers: dict[str, Reader]) -> None:
    room = TOKENS - 2  # begin and end take two
    assert readers["sd"].read("red " * room).truncated is False
    assert readers["sd"].read("red " * (room + 1)).truncated is True
    assert readers["sd"].read("red " * (room + 1)).tokens == room + 1


def test_a_prompt_is_cut_off_only_where_every_text_encoder_cuts_it(
    readers: dict[str, Reader],
) -> None:
    assert readers["sdxl"].read("red " * 30).truncated is True
    assert readers["sd3"].read("red " * 30).truncated is False
    assert readers["sd3"].read("red " * 300).truncated is True


def test_unknown_words_stay_within_the_size_of_a_header(readers: dict[str, Reader]) -> None:
    words = readers["sd"].read(" ".join(f"wörd{n}" for n in range(5000))).unknown_words
    assert words[:2] == ("wörd0", "wörd1")
    assert MAX_UNKNOWN_BYTES - 50 < len(json.dumps(words)) <= MAX_UNKNOWN_BYTES
