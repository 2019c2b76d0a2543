"""What a page did in a browser, written down as it happens."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import ConsoleMessage, Error, Page, Request


@dataclass
class Journal:
    """Messages of the console, errors and requests of a page that belongs to `base_url`."""

    base_url: str
    messages: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def follow(self, page: Page) -> None:
        """Write down what this page does from now on."""
        page.on("console", self._hear)
        page.on("pageerror", self._note)
        page.on("request", self._watch)

    def leave(self, page: Page) -> None:
        """Write down nothing more of it."""
        page.remove_listener("console", self._hear)
        page.remove_listener("pageerror", self._note)
        page.remove_listener("request", self._watch)

    def _hear(self, message: ConsoleMessage) -> None:
        self.messages.append(message.text)

    def _note(self, error: Error) -> None:
        self.messages.append(str(error))

    def _watch(self, request: Request) -> None:
        self.requests.append(request)

    @property
    def strangers(self) -> list[str]:
        """Addresses outside of the page's own origin that it asked for."""
        own = urlsplit(self.base_url).netloc
        urls = [request.url for request in self.requests]
        return [u for u in urls if urlsplit(u).scheme != "data" and urlsplit(u).netloc != own]
