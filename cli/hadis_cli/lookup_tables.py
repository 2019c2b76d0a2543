"""Lookup tables that somebody has named on the command line: a file, or one that ships."""

from pathlib import Path

from hadis.errors import InvalidInput
from hadis.profiling import files, shipped
from hadis.terms.profiles import Profile
from hadis_cli import texts


def read(given: str, option: str = "--profile") -> Profile:
    """Return the profile of a file, or the one of that name which ships with HADIS.

    A file goes first; InvalidInput names the option, the file and what is wrong.
    """
    path = Path(given)
    if not path.exists():
        if given in shipped.names():
            path = shipped.path(given)
        elif "/" not in given and not path.suffix:
            raise InvalidInput(
                f"{option} {given}: no such file, and no profile of that name ships with HADIS; "
                f"give a file or {' or '.join(shipped.names())}",
                field=option,
            )
    return files.read_profile(texts.read(path, option), str(path))
