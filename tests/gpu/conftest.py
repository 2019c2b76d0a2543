"""What runs on a GPU: `make test-gpu`. Without a CUDA device every test is skipped by name.

HADIS_TEST_DEVICE=cpu runs them on a CPU instead, which shows that the tests themselves work.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hadis_server import hardware, pipelines
from support import foreign_warnings, tiny_pipelines


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    foreign_warnings.ignore_below(Path(__file__).parent, items)


@pytest.fixture(scope="session")
def device() -> torch.device:
    """The device under test."""
    return torch.device(os.environ.get("HADIS_TEST_DEVICE", "cuda"))


@pytest.fixture(scope="session", autouse=True)
def _needs_a_gpu(device: torch.device) -> None:
    if device.type == "cuda" and not torch.cuda.is_available():
        pytest.skip("this machine has no CUDA device")
    torch.set_num_threads(1)
    pipelines.quiet()
    hardware.compute_exactly()


@pytest.fixture
def on_a_gpu(device: torch.device) -> None:
    """Skip where the test is about a GPU's own memory or queue."""
    if device.type != "cuda":
        pytest.skip("says nothing on a CPU")


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print a figure past the capture: what was measured is half of what these tests are for."""

    def line(text: str) -> None:
        with capsys.disabled():
            print(f"\n  {text}", flush=True)

    return line


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory, _needs_a_gpu: None) -> dict[str, Path]:
    """Folders of complete tiny pipelines."""
    root = tmp_path_factory.mktemp("models")
    return {
        "sd": tiny_pipelines.save_stable_diffusion(root / "sd"),
        "sdxl": tiny_pipelines.save_stable_diffusion_xl(root / "sdxl"),
        "sd3": tiny_pipelines.save_stable_diffusion_3(root / "sd3"),
    }
