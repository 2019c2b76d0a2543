"""The playground: one page that a browser loads from the router and that needs nothing else."""

from importlib.resources import files
from pathlib import Path

__all__ = ["directory"]


def directory() -> Path:
    """Return the folder of static files to serve at `/`, `index.html` among them."""
    return Path(str(files(__name__))) / "page"
