"""Tiny models on disk and one worker that serves them all, once a session."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from hadis.terms.cascades import Cascade
from hadis_server import pipelines
from support import foreign_warnings, tiny_pipelines
from support.live_workers import PATIENCE_S, LiveWorker, a_cascade, a_model, a_profile

SLOW_STEPS = 40


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    foreign_warnings.ignore_below(Path(__file__).parent, items)


@pytest.fixture(scope="session", autouse=True)
def _one_quiet_thread() -> None:
    torch.set_num_threads(1)
    pipelines.quiet()


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of complete tiny models: sd, sdxl, sd3 (pipelines) and clip."""
    root = tmp_path_factory.mktemp("models")
    return {
        "sd": tiny_pipelines.save_stable_diffusion(root / "sd"),
        "sdxl": tiny_pipelines.save_stable_diffusion_xl(root / "sdxl"),
        "sd3": tiny_pipelines.save_stable_diffusion_3(root / "sd3"),
        "clip": tiny_pipelines.save_clip(root / "clip"),
    }


@pytest.fixture(scope="session")
def tiny_cascade(folders: dict[str, Path]) -> Cascade:
    """Light, heavy and slow share one folder; sdxl and sd3 have their own."""
    return a_cascade(
        a_model("light", folders["sd"]),
        a_model("heavy", folders["sd"], steps=8, guidance=3.0),
        a_model("slow", folders["sd"], steps=SLOW_STEPS),
        a_model("sdxl", folders["sdxl"], guidance=3.0),
        a_model("sd3", folders["sd3"], guidance=3.0),
        judge=folders["clip"],
    )


@pytest.fixture(scope="session")
def _shared_worker(tiny_cascade: Cascade) -> Iterator[LiveWorker]:
    profile = a_profile(light={1: 0.5, 2: 0.8, 4: 1.2}, heavy={1: 1.0, 4: 3.0})
    with LiveWorker(tiny_cascade, profile, max_waiting=60) as worker:
        worker.assign("light")
        worker.wait_resident(*(model.name for model in tiny_cascade.models))
        yield worker


@pytest.fixture
def worker(_shared_worker: LiveWorker) -> LiveWorker:
    """The session's worker, assigned to `light` in batches of 4, with nothing to do."""
    _shared_worker.assign("light")
    _shared_worker.wait(
        lambda status: status["queue"]["waiting"] == status["queue"]["running"] == 0,
        within_s=PATIENCE_S,
    )
    return _shared_worker


@pytest.fixture
def _keep_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
