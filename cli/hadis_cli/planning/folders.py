"""Folders that results are written to."""

from pathlib import Path

from hadis.errors import InvalidInput


def make(folder: Path, option: str) -> None:
    """Make a folder, with those above it. InvalidInput names the option that asked for it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"{option} {folder}: {error.strerror}", field=option) from error
