"""A Hugging Face hub for tests: a real HTTP server that answers what the hub's client asks.

It serves folders and bytes as repositories, in one commit each, and counts what it is asked for. It
can want a token, refuse one, and stop in the middle of a file.
"""

import hashlib
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

TOKEN = "hf_pretended"
OUTSIDERS_TOKEN = "hf_outsider"
LARGE = (".safetensors", ".bin")
API = re.compile(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?")
FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder by their names in a repository."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository with one commit; a gated one shows its files to TOKEN alone."""

    name: str
    files: Mapping[str, bytes]
    gated: bool = False

    @property
    def commit(self) -> str:
        told = json.dumps({name: _sha1(content) for name, content in self.files.items()})
        return _sha1((self.name + told).encode())


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, headers and body of an answer."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class PretendedHub:
    """Listens on `host` from entry to exit; `url` is what HF_ENDPOINT says."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._repositories: dict[str, Repository] = {}
        self._stalled: set[str] = set()
        self._released = threading.Event()
        self.stalling = threading.Event()
        self.asked: list[tuple[str, str]] = []
        self._server = ThreadingHTTPServer((host, 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add(
        self, name: str, content: Path | Mapping[str, bytes], *, gated: bool = False
    ) -> Repository:
        files = files_of(content) if isinstance(content, Path) else content
        self._repositories[name] = Repository(name, files, gated)
        return self._repositories[name]

    def stall(self, path: str) -> None:
        """Send but half of this file, and wait; `stalling` is set once that is so."""
        self._stalled.add(path)

    def release(self) -> None:
        """Stall no more, and drop the connections that do."""
        self._stalled.clear()
        self._released.set()

    def downloads(self) -> list[str]:
        """Return repository and name of each file whose content was asked for."""
        found = [FILE.fullmatch(path) for method, path in self.asked if method == "GET"]
        return sorted(f"{match[1]}/{match[3]}" for match in found if match)

    def answer(self, path: str, headers: Message) -> Reply:
        """Return the answer to a GET; that to a HEAD lacks only the body."""
        token = (headers.get("Authorization") or "").removeprefix("Bearer ")
        if token not in ("", TOKEN, OUTSIDERS_TOKEN):
            said = "Invalid credentials in Authorization header"
            return Reply(401, {"X-Error-Message": said})
        matched = API.fullmatch(path) or FILE.fullmatch(path)
        repository = self._repositories.get(matched[1]) if matched else None
        if matched is None or repository is None:
            # Whoever shows no token does not learn whether a repository is private or none.
            return Reply(404 if token else 401, {"X-Error-Code": "RepoNotFound"})
        revision = repository.commit if matched.re is API and not matched[3] else None
        revision = revision or matched[3 if matched.re is API else 2]
        if revision not in ("main", repository.commit):
            return Reply(404, {"X-Error-Code": "RevisionNotFound"})
        if matched.re is FILE:
            return _file(repository, matched[3], token)
        return _listing(repository) if matched[2] == "tree" else _info(repository)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._reply(has_body=True)

            def do_HEAD(self) -> None:
                self._reply(has_body=False)

            def _reply(self, *, has_body: bool) -> None:
                path = unquote(urlsplit(self.path).path)
                hub.asked.append((self.command, path))
                reply = hub.answer(path, self.headers)
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                if not has_body:
                    return
                if any(path.endswith(stalled) for stalled in hub._stalled):
                    self.wfile.write(reply.body[: len(reply.body) // 2])
                    self.wfile.flush()
                    hub.stalling.set()
                    hub._released.wait()
                    self.close_connection = True
                    return
                self.wfile.write(reply.body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _info(repository: Repository) -> Reply:
    siblings = [{"rfilename": name} for name in repository.files]
    return _json({"id": repository.name, "sha": repository.commit, "siblings": siblings})


def _listing(repository: Repository) -> Reply:
    entries = []
    for name, content in repository.files.items():
        entry = {"type": "file", "path": name, "oid": _sha1(content), "size": len(content)}
        if name.endswith(LARGE):
            entry["lfs"] = {"oid": _sha256(content), "size": len(content), "pointerSize": 134}
        entries.append(entry)
    return _json(entries)


def _file(repository: Repository, name: str, token: str) -> Reply:
    commit = {"X-Repo-Commit": repository.commit}
    if repository.gated and token != TOKEN:
        return Reply(403 if token else 401, {**commit, "X-Error-Code": "GatedRepo"})
    content = repository.files.get(name)
    if content is None:
        return Reply(404, {**commit, "X-Error-Code": "EntryNotFound"})
    tag = _sha256(content) if name.endswith(LARGE) else _sha1(content)
    return Reply(200, {**commit, "ETag": f'"{tag}"'}, content)


def _json(value: object) -> Reply:
    return Reply(200, {"Content-Type": "application/json"}, json.dumps(value).encode())


def _sha1(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
