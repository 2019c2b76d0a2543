"""The project's three images, built from its Dockerfiles, and those of a version before.

An archive is kept as long as what it is built from stays the same.
"""

import hashlib
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cluster.lab import commands, testcluster
from support import charts

ROLES = ("operator", "router", "worker")
TAG = "test"
BEFORE = "before"
"""Tag of the operator and the router whose version is the one before."""
ROLES_BEFORE = ("operator", "router")
VERSION_BEFORE = "0.0.9"
CHANGES = {
    "src/hadis/__init__.py": (r'(?m)^__version__ = "[^"]+"$', f'__version__ = "{VERSION_BEFORE}"'),
    # One field of every pod that it renders: routers roll with it, workers must not.
    "operator/hadis_operator/rendering/pods.py": (
        r"(?m)^READINESS_PERIOD_S = 2$",
        "READINESS_PERIOD_S = 1",
    ),
}
LEFT_OUT = ("__pycache__", "recipe")
BUILD_LIMIT_S = 1800.0
AT_ONCE = 2


def reference(role: str, tag: str = TAG) -> str:
    """Return the name under which nodes know an image."""
    return f"localhost/hadis-{role}:{tag}"


def build_all() -> list[Path]:
    """Return archives of all images, built where that has not been done."""
    # The first alone: it makes the base that the others share. Then two at a time, one a core.
    first, *others = ROLES
    archives = [build(first)]
    with tempfile.TemporaryDirectory() as parent, ThreadPoolExecutor(AT_ONCE) as builders:
        before = Path(parent) / "before"
        copy_before(before)
        archives += builders.map(build, others)
        archives += builders.map(lambda role: build(role, BEFORE, before), ROLES_BEFORE)
    for old in set(_cache().glob("*.tar")) - set(archives):
        old.unlink()
    return archives


def build(role: str, tag: str = TAG, context: Path = charts.ROOT) -> Path:
    """Return the archive of an image, built where that has not been done."""
    command = shlex.split(os.environ.get("HADIS_CLUSTER_BUILD", "")) or testcluster.build_command()
    archive = _cache() / f"{role}-{tag}-{_fingerprint(context, role)}.tar"
    if not archive.exists():
        part = archive.with_suffix(f".{os.getpid()}.part")
        dockerfile = context / f"Dockerfile.{role}"
        words = ("-t", reference(role, tag), "-o", str(part), "-f", str(dockerfile), str(context))
        commands.run([*command, *words], timeout_s=BUILD_LIMIT_S)
        part.rename(archive)
    return archive


def copy_before(target: Path) -> None:
    """Copy the sources as an earlier version would have had them."""
    for file in {file for role in ROLES_BEFORE for file in _sources(charts.ROOT, role)}:
        copied = target / file.relative_to(charts.ROOT)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, copied)
    shutil.copy2(charts.ROOT / ".dockerignore", target)
    for name, (pattern, replacement) in CHANGES.items():
        text, count = re.subn(pattern, replacement, (target / name).read_text(encoding="utf-8"))
        assert count == 1, f"{name} has no {pattern}"
        (target / name).write_text(text, encoding="utf-8")


def _fingerprint(context: Path, role: str) -> str:
    """Return a hash of everything that an image is built from."""
    digest = hashlib.sha256()
    for file in _sources(context, role):
        digest.update(f"{file.relative_to(context)}\0{file.stat().st_size}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _sources(context: Path, role: str) -> Iterator[Path]:
    """Yield the Dockerfile and the files that the ignore file lets through."""
    yield context / f"Dockerfile.{role}"
    lines = (charts.ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for line in lines:
        if not line.startswith("!"):
            continue
        source = context / line[1:]
        for file in sorted(source.rglob("*")) if source.is_dir() else [source]:
            if file.is_file() and not set(LEFT_OUT) & set(file.relative_to(context).parts):
                yield file


def _cache() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = home / "hadis-cluster-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
