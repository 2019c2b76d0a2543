"""Print what the distribution needs, with one extra: `python scripts/requirements.py EXTRA`.

The Dockerfiles install it before the sources, so that a change of those keeps the layer.
"""

import sys
import tomllib
from pathlib import Path


def requirements(pyproject: str, extra: str) -> list[str]:
    """Return the base requirements and the extra's; KeyError names an unknown extra."""
    project = tomllib.loads(pyproject)["project"]
    return [*project["dependencies"], *project["optional-dependencies"][extra]]


if __name__ == "__main__":
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    sys.stdout.write("\n".join(requirements(text, sys.argv[1])) + "\n")
