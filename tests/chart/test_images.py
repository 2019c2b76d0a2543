"""The Dockerfiles, as far as reading them tells; the cluster tests build and run them."""

import ast
import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from support import charts

IMAGES = ("router", "worker", "operator")
BASE = "python:3.11-slim-bookworm"


def _lines(image: str) -> list[str]:
    text = (charts.ROOT / f"Dockerfile.{image}").read_text(encoding="utf-8")
    joined = text.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("image", IMAGES)
def test_images_have_two_stages_a_user_and_exact_versions(image: str) -> None:
    lines = _lines(image)
    assert [line for line in lines if line.startswith("FROM ")] == [
        f"FROM {BASE} AS build",
        f"FROM {BASE}",
    ]
    assert "USER 10001:10001" in lines
    constrained = next(i for i, line in enumerate(lines) if "PIP_CONSTRAINT=" in line)
    installs = [i for i, line in enumerate(lines) if re.search(r"\bpip\b.* install ", line)]
    assert "PIP_CONSTRAINT=/build/constraints.txt" in lines[constrained]
    assert "PIP_BUILD_CONSTRAINT=/build/constraints.txt" in lines[constrained]
    assert installs
    assert constrained < min(installs)
    assert any("PYTHONSAFEPATH=1" in line for line in lines)
    assert not any("PYTHONPATH" in line for line in lines)


@pytest.mark.parametrize("image", IMAGES)
def test_images_run_their_own_package_and_carry_no_other(image: str) -> None:
    package = {"worker": "hadis_server"}.get(image, f"hadis_{image}")
    (entry,) = [line for line in _lines(image) if line.startswith("ENTRYPOINT ")]
    (removed,) = [line.partition("rm -rf ")[2] for line in _lines(image) if "rm -rf " in line]
    shells = {"hadis_router", "hadis_server", "hadis_operator", "hadis_profiler", "hadis_cli"}
    assert entry == f'ENTRYPOINT ["python", "-m", "{package}"]'
    assert shells - set(removed.split()) == {package}


def _required(extra: str) -> str:
    script = str(charts.ROOT / "scripts" / "requirements.py")
    return subprocess.run(
        [sys.executable, script, extra], capture_output=True, text=True, check=True
    ).stdout


def test_only_the_worker_needs_torch() -> None:
    assert not re.search("^torch", _required("router") + _required("operator"), re.MULTILINE)
    assert re.search("^torch", _required("worker"), re.MULTILINE)


LOADED = {
    "router": "import hadis_router.__main__",
    "operator": "import hadis_operator.__main__",
    # With the families of pipelines that are loaded for most models, and as the fetching Job.
    "worker": "from hadis_server import preloading, prefetching; preloading.preload()",
}


@pytest.mark.parametrize("image", IMAGES)
def test_images_lack_only_what_their_process_never_imports(image: str) -> None:
    (removed,) = [
        re.findall(r"uninstall -y ([-a-z ]+)", line)
        for line in _lines(image)
        if "uninstall" in line
    ]
    lacking = {name.replace("-", "_") for name in removed[0].split()}
    script = f"{LOADED[image]}; import json, sys; print(json.dumps(sorted(sys.modules)))"
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    ).stdout
    assert lacking
    assert not lacking & set(json.loads(told))


def test_everything_that_images_copy_gets_past_the_ignore_file() -> None:
    ignore = (charts.ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignore
    for image in IMAGES:
        for line in _lines(image):
            if not line.startswith("COPY ") or "--from" in line:
                continue
            for source in line.split()[1:-1]:
                assert (charts.ROOT / source).exists(), source
                assert {f"!{source}", f"!{source}requirements.py"} & set(ignore), source


@pytest.mark.parametrize(
    ("arguments", "want"),
    [
        ({}, ["--index-url https://download.pytorch.org/whl/cpu torch==9", "torch==9"]),
        ({"TORCH": "cuda"}, ["torch==9"]),
        (
            {"TORCH": "cuda", "TORCH_INDEX": "https://index.example"},
            ["--index-url https://index.example torch==9", "torch==9"],
        ),
    ],
)
def test_the_worker_takes_the_build_of_torch_that_was_asked_for(
    tmp_path: Path, arguments: dict[str, str], want: list[str]
) -> None:
    """The step itself, by a pip that only writes down what it is to install."""
    asked = _run_torch_step(tmp_path, arguments)
    assert asked.returncode == 0, asked.stderr
    told = (tmp_path / "asked").read_text(encoding="utf-8").splitlines()
    assert [line.partition("install ")[2].removeprefix("--no-deps ") for line in told] == want
    # What goes with the usual CUDA goes with no other build.
    constraints = (tmp_path / "constraints.txt").read_text(encoding="utf-8")
    assert ("cuda-thing==1" in constraints.splitlines()) is (arguments == {"TORCH": "cuda"})


def test_what_torch_leaves_open_of_cuda_is_pinned_for_that_build_alone() -> None:
    pins: dict[str, set[str]] = {}
    for name in ("constraints.txt", "constraints-cuda.txt"):
        lines = (charts.ROOT / name).read_text(encoding="utf-8").splitlines()
        found = [Requirement(line) for line in lines if not line.startswith("#")]
        assert all(str(one.specifier).startswith("==") for one in found)
        pins[name] = {canonicalize_name(one.name) for one in found}
    assert not pins["constraints.txt"] & pins["constraints-cuda.txt"]
    # Of what every build of torch needs nothing is left open.
    torch = [Requirement(line) for line in metadata.requires("torch") or ()]
    needed = {one.name for one in torch if one.marker is None}
    assert {canonicalize_name(name) for name in needed} <= pins["constraints.txt"]


def test_an_index_that_cannot_be_reached_ends_the_build_where_it_was_asked_for(
    tmp_path: Path,
) -> None:
    broken = {"FAILS": "--index-url"}
    assert _run_torch_step(tmp_path, broken).returncode == 0
    assert _run_torch_step(tmp_path, {**broken, "TORCH_INDEX": "https://x"}).returncode != 0
    refused = _run_torch_step(tmp_path, {"TORCH": "rocm"})
    assert refused.returncode != 0
    assert "neither cpu nor cuda" in refused.stderr


def _run_torch_step(folder: Path, arguments: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    (step,) = [line for line in _lines("worker") if line.startswith("RUN set -eu; torch=")]
    defaults = dict(re.findall(r"^ARG (\w+)=(\w*)$", "\n".join(_lines("worker")), re.MULTILINE))
    (folder / "constraints.txt").write_text("torch==9\n", encoding="utf-8")
    (folder / "constraints-cuda.txt").write_text("cuda-thing==1\n", encoding="utf-8")
    pip = folder / "pip"
    pip.write_text('#!/bin/sh\necho "$@" >> asked\ncase "$*" in *"${FAILS:-!}"*) exit 1 ;; esac\n')
    pip.chmod(0o700)
    path = f"{folder}:{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-c", step.removeprefix("RUN ")],
        cwd=folder,
        env={**defaults, **arguments, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_worker_finds_the_scenes_cascade() -> None:
    text = (charts.ROOT / "Dockerfile.worker").read_text(encoding="utf-8")
    assert "HADIS_CASCADE_DIR=/opt/cascade" in text
    assert "/opt/cascade/hadis_scenes" in text


def _installed_with(extra: str) -> set[str]:
    """Return the distributions that an extra brings, each with what it needs itself."""
    waiting = [Requirement(line) for line in _required(extra).splitlines()]
    found: set[str] = set()
    while waiting:
        name = canonicalize_name(waiting.pop().name)
        if name not in found:
            found.add(name)
            needed = [Requirement(line) for line in metadata.requires(name) or ()]
            waiting += [r for r in needed if r.marker is None or r.marker.evaluate({"extra": ""})]
    return found


@pytest.mark.parametrize(
    ("image", "package"), [("router", "hadis_router"), ("operator", "hadis_operator")]
)
def test_an_image_has_every_package_that_its_sources_import(image: str, package: str) -> None:
    files = [
        file
        for folder in (f"{image}/{package}", "serving/hadis_serving")
        for file in (charts.ROOT / folder).rglob("*.py")
    ]
    imported = {
        name.partition(".")[0]
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        for name in _imported(node)
    }
    distributions = metadata.packages_distributions()
    foreign = {name for name in imported if name in distributions and not name.startswith("hadis")}
    there = _installed_with(image)
    lacking = [
        name
        for name in foreign
        if there.isdisjoint(canonicalize_name(one) for one in distributions[name])
    ]
    assert {"fastapi", "prometheus_client"} <= foreign
    assert lacking == []


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
