"""kopf, for watching and nothing else: it tells a store what happens to the objects it is given.

Only `on.event` handlers are registered, so kopf never writes: no finalizers that would keep a
namespace from going, no annotations. It runs in a thread and an event loop of its own, because it
takes every task of its loop for one of its own when it ends, and because a watcher that fails ends
all of kopf; then it is simply begun again.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import kopf

from hadis_operator import kube, objects
from hadis_operator.kube import Kind
from hadis_operator.objects import Manifest

RESTART_S = 2.0
JOIN_S = 5.0
OWN_SELECTOR = f"{objects.MANAGED_BY_LABEL}={objects.OPERATOR_MANAGER}"
WATCHED = (kube.CASCADES, kube.PROFILES, *kube.OWN_KINDS)

Tell = Callable[[Kind, str | None, Manifest], None]
"""Kind, type of the event (None: found by listing) and object."""
LOG = logging.getLogger(__name__)


def selector_of(kind: Kind) -> str:
    """Return the label selector of what is watched of a kind; empty for all of it."""
    return OWN_SELECTOR if kind in kube.OWN_KINDS else ""


class Watcher:
    """Keeps kopf running until `stop`. Without `namespaces` it watches all of them.

    `tell` is called in the loop that called `start`, and so is `failed` whenever watching ended by
    itself: one namespace that may not be watched any more ends the watches of all.
    """

    def __init__(
        self,
        tell: Tell,
        *,
        namespaces: Sequence[str] = (),
        kubeconfig: str | None = None,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._tell = tell
        self._failed = failed
        self._is_everywhere = not namespaces
        self._namespaces = frozenset(namespaces)
        self._kubeconfig = kubeconfig
        self._ended = threading.Event()
        self._round: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._thread: threading.Thread | None = None
        self.starts = 0

    def start(self) -> None:
        """Begin to watch. Must be called in a running event loop."""
        loop = asyncio.get_running_loop()
        # A daemon: kopf may hang in a request, and the process has nothing to lose by leaving it.
        self._thread = threading.Thread(target=self._run, args=(loop,), name="kopf", daemon=True)
        self._thread.start()

    def follow(self, namespaces: Iterable[str]) -> None:
        """Watch these of the namespaces from now on; nothing happens while they are the same."""
        wanted = frozenset(namespaces)
        if not self._is_everywhere and wanted != self._namespaces:
            self._namespaces = wanted
            self.restart()

    def restart(self) -> None:
        """Make every watch begin anew, for instance because one has gone deaf."""
        if self._round is not None:
            loop, stop = self._round
            loop.call_soon_threadsafe(stop.set)

    async def stop(self) -> None:
        """End the thread."""
        self._ended.set()
        self.restart()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, JOIN_S)

    def _run(self, main: asyncio.AbstractEventLoop) -> None:
        # Otherwise every event of every pod is a line of the log.
        logging.getLogger("kopf").setLevel(logging.WARNING)
        while not self._ended.is_set():
            namespaces = sorted(self._namespaces)
            if self._is_everywhere or namespaces:
                self._run_once(main, namespaces)
            self._ended.wait(RESTART_S)

    def _run_once(self, main: asyncio.AbstractEventLoop, namespaces: list[str]) -> None:
        self.starts += 1
        try:
            asyncio.run(self._watch(main, namespaces))
        except Exception:
            # Whatever it was (a role not bound yet, the API away), watching goes on.
            LOG.exception("watching ended; it begins again in %g s", RESTART_S)
            if not self._ended.is_set():
                main.call_soon_threadsafe(self._failed)

    async def _watch(self, main: asyncio.AbstractEventLoop, namespaces: list[str]) -> None:
        stop = asyncio.Event()
        self._round = (asyncio.get_running_loop(), stop)
        try:
            await kopf.operator(
                registry=self._registry(main),
                settings=_settings(),
                standalone=True,
                clusterwide=self._is_everywhere,
                namespaces=namespaces,
                stop_flag=stop,
            )
        finally:
            self._round = None

    def _registry(self, main: asyncio.AbstractEventLoop) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        login = _login_by_file(self._kubeconfig) if self._kubeconfig else _login_by_pod
        kopf.on.login(registry=registry, id="login")(login)
        for kind in WATCHED:
            noted = self._handler(kind, main)
            kopf.on.event(
                kind.group, kind.version, kind.plural, registry=registry, id=f"note-{kind.plural}"
            )(noted)
        return registry

    def _handler(self, kind: Kind, main: asyncio.AbstractEventLoop) -> Callable[..., Any]:
        async def noted(event: Mapping[str, Any], **_: Any) -> None:
            main.call_soon_threadsafe(
                self._tell, kind, event.get("type"), dict(event.get("object") or {})
            )

        return noted


class _NoHistory(kopf.DiffBaseStorage):
    """Nothing is remembered on objects, and nothing compared with it.

    kopf would otherwise make and copy the essence of every object with every event, for handlers
    of changes that are not registered: a third of the time in a cluster of a thousand slots.
    """

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence({})

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.persistence.diffbase_storage = _NoHistory()
    settings.posting.enabled = False
    # Watching namespaces and definitions too would need more rights, and kopf's answer to their
    # changes has left watches dead.
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.process.ultimate_exiting_timeout = None
    # An outage is waited out here, by asking every few seconds; the default would give up what is
    # left of a minute each time.
    settings.networking.error_backoffs = (1, 1, 2)
    settings.networking.connect_timeout = 5.0
    settings.networking.request_timeout = 30.0
    settings.watching.reconnect_backoff = 1.0
    settings.watching.connect_timeout = 5.0
    # Ends watches whose connection died without a word.
    settings.watching.server_timeout = 300  # whole seconds: it goes into the URL as it is
    for kind in kube.OWN_KINDS:
        settings.watching.label_selectors[kind.group, kind.version, kind.plural] = OWN_SELECTOR
    return settings


def _login_by_pod(**given: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_with_service_account(**given)


def _login_by_file(file: str) -> Callable[..., Any]:
    def login(**given: Any) -> kopf.ConnectionInfo | None:
        # kopf reads the file that KUBECONFIG names; `__main__` has made it name this one.
        LOG.debug("logging in by %s", file)
        return kopf.login_with_kubeconfig(**given)

    return login
