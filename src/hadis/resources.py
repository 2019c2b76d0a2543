"""Files that ship with the package: the custom resource definitions.

They lie in `hadis/crds` of an installed wheel and in `crds/` of a checkout; nothing else is read.
"""

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from hadis.errors import NeverRetry

_CHECKOUT = Path(__file__).resolve().parents[2]


def crd_path(plural: str) -> Path:
    """Return where the definition of `plural` (e.g. "hadiscascades") lies."""
    name = f"hadis.dev_{plural}.yaml"
    packaged = Path(str(resources.files("hadis"))) / "crds" / name
    for path in (packaged, _CHECKOUT / "crds" / name):
        if path.is_file():
            return path
    raise NeverRetry(f"this installation lacks {name}; install hadis again")


@cache
def crd(plural: str) -> dict[str, Any]:
    """Return the parsed definition of `plural`; callers must not change it."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one parses it in a tenth
    parsed = yaml.load(crd_path(plural).read_text(encoding="utf-8"), Loader=loader)
    return dict(parsed)


def schema(plural: str) -> dict[str, Any]:
    """Return the OpenAPI schema of the only version of `plural`."""
    version = crd(plural)["spec"]["versions"][0]
    return dict(version["schema"]["openAPIV3Schema"])
