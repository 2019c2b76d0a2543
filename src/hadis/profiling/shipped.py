"""Profiles that ship with HADIS, for models and hardware that somebody else has measured."""

from importlib import resources
from pathlib import Path

_FOLDER = Path(str(resources.files("hadis"))) / "profiles"


def names() -> tuple[str, ...]:
    """Return the profiles there are."""
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.json")))


def path(name: str) -> Path:
    """Return where the profile called `name` lies."""
    return _FOLDER / f"{name}.json"
