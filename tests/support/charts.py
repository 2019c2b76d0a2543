"""The chart as its users meet it: rendered by the real helm, its rules run by the real promtool."""

import json
import lzma
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "hadis"
RELEASE, NAMESPACE = "hadis", "hadis-system"
TESTCLUSTER = ROOT.parent / "shared" / "testcluster"

Manifest = dict[str, Any]


class Refused(Exception):
    """Helm's words about values that it does not take."""


@cache
def helm() -> str:
    """Return a helm: HADIS_HELM, the one on PATH, or the test cluster's; skips without any."""
    found = os.environ.get("HADIS_HELM") or shutil.which("helm")
    if found:
        return found
    packed = TESTCLUSTER / "bin" / "helm.xz"
    if not packed.is_file():
        pytest.skip("helm is neither on PATH nor in HADIS_HELM")
    program = Path(gettempdir()) / f"hadis-helm-{os.getuid()}-{packed.stat().st_mtime_ns}" / "helm"
    if not program.is_file():
        program.parent.mkdir(mode=0o700, exist_ok=True)
        fresh = program.with_suffix(f".{os.getpid()}")
        fresh.write_bytes(lzma.decompress(packed.read_bytes()))
        fresh.chmod(0o700)
        fresh.rename(program)
    return str(program)


@cache
def promtool() -> str:
    """Return promtool; skips where it is missing."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is missing: apt-get install prometheus")
    return found


@dataclass(frozen=True)
class Rendered:
    """What the chart makes of some values."""

    manifests: tuple[Manifest, ...]

    def all(self, kind: str) -> list[Manifest]:
        """Return the manifests of a kind."""
        return [one for one in self.manifests if one["kind"] == kind]

    def one(self, kind: str, name: str | None = None) -> Manifest:
        """Return the only manifest of a kind and, where given, a name."""
        found = [one for one in self.all(kind) if name in (None, one["metadata"]["name"])]
        assert len(found) == 1, [one["metadata"]["name"] for one in self.all(kind)]
        return found[0]

    def pods(self) -> Iterator[Manifest]:
        """Return the specs of all pods."""
        for one in self.manifests:
            if one["kind"] == "Pod":
                yield one["spec"]
            elif one["kind"] == "Deployment":
                yield one["spec"]["template"]["spec"]


def render(
    values: Mapping[str, object] | None = None, *arguments: str, chart: Path = CHART
) -> Rendered:
    """Return the chart's objects under these values; Refused with helm's words."""
    text = template(values, *arguments, chart=chart)
    parsed = yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return Rendered(tuple(one for one in parsed if one))


def template(
    values: Mapping[str, object] | None = None, *arguments: str, chart: Path = CHART
) -> str:
    """Return the same as helm writes it."""
    return _helm("template", values, *arguments, chart=chart)


def notes(values: Mapping[str, object] | None = None) -> str:
    """Return what helm tells after an installation."""
    text = _helm("install", values, "--dry-run=client")
    return text.partition("\nNOTES:\n")[2]


def chart_values() -> Manifest:
    """Return the chart's own values."""
    return dict(yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8")))


def _helm(
    verb: str, values: Mapping[str, object] | None, *arguments: str, chart: Path = CHART
) -> str:
    ran = subprocess.run(
        [helm(), verb, RELEASE, str(chart), "-n", NAMESPACE, "-f", "-", *arguments],
        input=json.dumps(values or {}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if ran.returncode:
        raise Refused(ran.stderr)
    return ran.stdout
