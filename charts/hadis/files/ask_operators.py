"""What `helm test` runs: all operators answer and are ready, and exactly one of them leads."""

import os
import re
import socket
import sys
import time
import urllib.error
import urllib.request

PATIENCE_S = 60.0
LEADER = re.compile(r"^hadis_operator_leader(?:\{[^}]*\})? ([0-9.e+-]+)$", re.MULTILINE)


def ask(address: str, port: int, path: str) -> str:
    """Return what an operator answers; raises OSError when it does not answer 200."""
    host = f"[{address}]" if ":" in address else address
    with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=5) as reply:
        return str(reply.read().decode())


def trouble(name: str, port: int, replicas: int) -> str | None:
    """Return what is not as it should be, or None."""
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    addresses = sorted({str(entry[4][0]) for entry in found})
    if len(addresses) != replicas:
        return f"{len(addresses)} operators have an address, {replicas} are wanted"
    leading = 0
    for address in addresses:
        ask(address, port, "/readyz")
        told = LEADER.search(ask(address, port, "/metrics"))
        if told is None:
            return f"the operator at {address} does not say whether it leads"
        leading += float(told[1]) == 1
    return None if leading == 1 else f"{leading} of {replicas} operators lead, not one"


def main() -> int:
    """Ask until all is well or patience ends; return the exit status."""
    name, port = os.environ["OPERATORS"], int(os.environ["PORT"])
    replicas = int(os.environ["REPLICAS"])
    give_up_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            why = trouble(name, port, replicas)
        except OSError as error:
            why = str(error)
        if why is None:
            sys.stdout.write(f"{replicas} operators are ready and one leads\n")
            return 0
        if time.monotonic() > give_up_s:
            sys.stderr.write(f"{why}\n")
            return 1
        time.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
