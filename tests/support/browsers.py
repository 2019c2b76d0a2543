"""A real Chromium for the tests of pages, found and started the same way everywhere."""

import shutil

import pytest
from playwright.sync_api import Browser, Playwright

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-extensions", "--no-first-run",
    "--in-process-gpu", "--mute-audio",
]  # fmt: skip
PATIENCE_MS = 60_000  # on two busy cores the browser may get little of them


def require_chromium() -> None:
    """Skip the test by name where there is no browser."""
    if CHROMIUM is None:
        pytest.skip("the playground's tests need chromium: apt-get install chromium")


def launch(playwright: Playwright) -> Browser:
    """Start the browser; the first start on a machine may take a while."""
    return playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=3 * PATIENCE_MS)
