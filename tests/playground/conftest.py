"""A real Chromium and a scripted router for the page's tests.

Playwright's synchronous API keeps an event loop running in the thread that started it, which the
asyncio tests of the same process could not bear: so the browser lives in a thread of its own, and
every test that asks for `page` runs its body there.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import (
    Browser,
    Page,
    expect,
    sync_playwright,
)

from support.browser_journal import Journal
from support.browsers import PATIENCE_MS, launch, require_chromium
from support.scripted_router import Script, create_app

DESKTOP = {"width": 1440, "height": 1000}

expect.set_options(timeout=PATIENCE_MS)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test of the page in the browser's thread."""
    if "page" not in pyfuncitem.fixturenames:
        return None
    thread: ThreadPoolExecutor = pyfuncitem.funcargs["browser_thread"]
    names = pyfuncitem._fixtureinfo.argnames
    wanted = {name: pyfuncitem.funcargs[name] for name in names}
    thread.submit(pyfuncitem.obj, **wanted).result()
    return True


@pytest.fixture(scope="session")
def browser_thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="browser") as thread:
        yield thread


@pytest.fixture(scope="session")
def browser(browser_thread: ThreadPoolExecutor) -> Iterator[Browser]:
    require_chromium()
    playwright = browser_thread.submit(lambda: sync_playwright().start()).result()
    browser = browser_thread.submit(launch, playwright).result()
    yield browser
    browser_thread.submit(browser.close).result()
    browser_thread.submit(playwright.stop).result()


@pytest.fixture
def script() -> Script:
    """The script of the router that the page talks to; a test may change it at any time."""
    return Script()


@pytest.fixture
def base_url(script: Script) -> Iterator[str]:
    """A scripted router on a free port of loopback."""
    sock = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(create_app(script), log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{sock.getsockname()[1]}/"
    server.should_exit = True
    thread.join(timeout=10)
    sock.close()


@pytest.fixture
def view() -> dict[str, Any]:
    """How the browser looks at the page; a test parametrises it for a phone or the dark."""
    return {"viewport": DESKTOP}


@pytest.fixture
def journal(base_url: str) -> Journal:
    return Journal(base_url)


@pytest.fixture(scope="session")
def windows() -> dict[str, Page]:
    """Open windows by how they look: a new one costs a second, a new page in it far less."""
    return {}


@pytest.fixture
def page(
    browser: Browser,
    browser_thread: ThreadPoolExecutor,
    windows: dict[str, Page],
    journal: Journal,
    view: dict[str, Any],
) -> Iterator[Page]:
    """The page, loaded. Every test has a port and so an origin of its own: nothing is shared."""

    def arrive() -> Page:
        if repr(view) not in windows:
            context = browser.new_context(**view)
            context.set_default_timeout(PATIENCE_MS)
            windows[repr(view)] = context.new_page()
        page = windows[repr(view)]
        journal.follow(page)
        page.goto(journal.base_url, timeout=3 * PATIENCE_MS)  # the first one starts the browser
        return page

    def depart() -> None:
        journal.leave(page)
        page.context.set_offline(False)
        page.goto("about:blank")

    page = browser_thread.submit(arrive).result()
    yield page
    browser_thread.submit(depart).result()


@pytest.fixture
def ask(page: Page) -> Callable[[str], None]:
    """Types a prompt and presses Enter."""

    def ask(prompt: str) -> None:
        page.fill("#prompt", prompt)
        page.press("#prompt", "Enter")

    return ask
