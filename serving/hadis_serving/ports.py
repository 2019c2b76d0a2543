"""Listening sockets, bound before anything slow starts, so that a taken port is told at once."""

import ipaddress
import socket

from hadis.errors import InvalidInput

BACKLOG = 2048


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 picks a free one.

    Raises InvalidInput naming host and port when it is taken or not ours to bind.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OverflowError as error:
        listener.close()
        raise InvalidInput(f"port {port} is not between 0 and 65535", field="port") from error
    except OSError as error:
        listener.close()
        raise InvalidInput(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --port, "
            "or 0 for a free one",
            field="port",
        ) from error
    listener.setblocking(False)
    return listener


def port_of(listener: socket.socket) -> int:
    """Return the port that a listening socket got."""
    port: int = listener.getsockname()[1]
    return port


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches `host`; of names, only localhost does."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
