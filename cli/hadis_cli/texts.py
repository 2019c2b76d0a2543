"""Text files that somebody has named on the command line."""

from pathlib import Path

from hadis.errors import InvalidInput


def read(path: str | Path, option: str) -> str:
    """Return the text of `path`; InvalidInput names the option, the file and what is wrong."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidInput(f"{option} {path}: {error.strerror}", field=option) from error
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{option} {path}: not UTF-8 text at byte {error.start}", field=option
        ) from error
