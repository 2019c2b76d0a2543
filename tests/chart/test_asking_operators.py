"""What `helm test` runs, against stand-ins for operators on addresses of this machine."""

import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any

import pytest

from support import charts

Serve = Callable[..., int]


@pytest.fixture(name="asking")
def _asking() -> ModuleType:
    spec = spec_from_file_location("ask_operators", charts.CHART / "files" / "ask_operators.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(name="operators")
def _operators(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    servers: list[http.server.ThreadingHTTPServer] = []

    def serve(*leading: float, ready: int = 200, metrics: str | None = None) -> int:
        port = 0
        addresses = [f"127.0.0.{index + 1}" for index in range(len(leading))]
        for address, leads in zip(addresses, leading, strict=True):
            text = metrics if metrics is not None else f"hadis_operator_leader {leads}\n"
            server = http.server.ThreadingHTTPServer((address, port), _handler(text, ready))
            port = server.server_address[1]
            servers.append(server)
            threading.Thread(target=server.serve_forever, daemon=True).start()

        def found(_name: str, port: int, **_: object) -> list[Any]:
            return [(socket.AF_INET, 1, 6, "", (address, port)) for address in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", _only_for("operators", found))
        return port

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def _only_for(name: str, found: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *arguments: int, **options: int) -> list[Any]:
        if host == name:
            return found(host, port)
        return list(real(host, port, *arguments, **options))

    return getaddrinfo


def _handler(metrics: str, ready: int) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_metrics = self.path == "/metrics"
            self.send_response(200 if is_metrics else ready)
            self.end_headers()
            self.wfile.write(metrics.encode() if is_metrics else b"ok\n")

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def test_one_leader_among_two_is_well(asking: ModuleType, operators: Serve) -> None:
    assert asking.trouble("operators", operators(0.0, 1.0), 2) is None


def test_labels_on_the_metric_do_not_matter(asking: ModuleType, operators: Serve) -> None:
    port = operators(1.0, metrics='# HELP x\nhadis_operator_leader{pod="a"} 1.0\n')
    assert asking.trouble("operators", port, 1) is None


def test_nobody_leads(asking: ModuleType, operators: Serve) -> None:
    assert "0 of 2" in asking.trouble("operators", operators(0.0, 0.0), 2)


def test_two_leaders_are_one_too_many(asking: ModuleType, operators: Serve) -> None:
    assert "2 of 2" in asking.trouble("operators", operators(1.0, 1.0), 2)


def test_an_operator_is_missing(asking: ModuleType, operators: Serve) -> None:
    assert "1 operators have an address" in asking.trouble("operators", operators(1.0), 2)


def test_an_operator_is_not_ready(asking: ModuleType, operators: Serve) -> None:
    port = operators(1.0, ready=503)
    with pytest.raises(OSError, match="503"):
        asking.trouble("operators", port, 1)


def test_a_page_without_the_metric(asking: ModuleType, operators: Serve) -> None:
    port = operators(1.0, metrics="up 1\n")
    assert "does not say whether it leads" in asking.trouble("operators", port, 1)


def test_patience_ends(
    asking: ModuleType,
    operators: Serve,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(asking, "PATIENCE_S", 0.0)
    for name, value in (("OPERATORS", "operators"), ("REPLICAS", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PORT", str(operators(0.0)))
    assert asking.main() == 1
    assert "0 of 1 operators lead" in capsys.readouterr().err
