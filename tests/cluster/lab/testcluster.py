"""A cluster made for the tests: `testcluster`, a tool that this repository only knows from here.

It lives in network, mount and process namespaces of its own, inside which nothing else can be
reached. So images are built outside, and the test process itself moves into the cluster's network
while its tests run; threads and programs that are started then are inside as well.
"""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from cluster.lab.clusters import Access
from support import charts

TOOL = charts.TESTCLUSTER / "testcluster"
NODES, GPUS = 2, 2
"""Four slots of one GPU each fill the pool."""
PROGRAMS = {
    "runc": "runc",
    "iptables": "iptables",
    "nft": "nftables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "openssl": "openssl",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
}
"""What must be on PATH, and Debian's packages that bring it."""
ENDS_S = 240.0
"""Some 30 processes end at once and mounts are undone, on cores that may still be busy."""
CNI_PLUGIN = Path("/usr/lib/cni/bridge")
CLONE_NEWNET = 0x40000000


def lacking() -> str | None:
    """Return why no cluster can be made here; None when one can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "making a cluster needs Linux and root"
    if not TOOL.is_file():
        return f"KUBECONFIG is not set, and {TOOL.name} is not there to make a cluster"
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if not CNI_PLUGIN.exists():
        missing.append("containernetworking-plugins")
    return (
        f"making a cluster needs {', '.join(missing)} (make cluster-packages)" if missing else None
    )


def build_command() -> list[str]:
    """Return what builds an image into an archive."""
    return [str(TOOL), "image"]


@contextmanager
def running(*, nodes: int = NODES, gpus: int = GPUS) -> Iterator[Access]:
    """Make a cluster, move into its network, and leave nothing behind.

    The cluster ends when the command inside it ends, and that ends when its input does: also when
    this process is killed.
    """
    told = 'printf "%s\\n%s\\n%s\\n" "$KUBECONFIG" "$TESTCLUSTER" "$PATH"; exec cat'
    process = subprocess.Popen(
        [str(TOOL), "run", f"--nodes={nodes}", f"--gpus={gpus}", "--", "sh", "-c", told],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        kubeconfig, state, path = (process.stdout.readline().strip() for _ in range(3))
        assert kubeconfig, "the test cluster did not start; see its words above"
        first = _first_inside(process.pid)
        environment = {
            **os.environ,
            "KUBECONFIG": kubeconfig,
            "TESTCLUSTER": state,
            "PATH": path,
            # No proxy can be reached from in there.
            "NO_PROXY": "*",
            "no_proxy": "*",
        }
        enter = ("nsenter", f"--target={first}", "--net", "--mount", "--pid", "--", str(TOOL))
        with _network_of(first):
            yield Access(environment, load=(*enter, "load"), fault=enter, shares_files=True)
    finally:
        process.stdin.close()
        process.wait(ENDS_S)
        process.stdout.close()


def _first_inside(pid: int) -> int:
    """Return the first process in the namespaces: the tool's child's child."""
    outer = psutil.Process(pid).children()
    return int(outer[0].children()[0].pid)


@contextmanager
def _network_of(pid: int) -> Iterator[None]:
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    theirs = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        _set_network(theirs)
        yield
    finally:
        _set_network(own)
        os.close(own)
        os.close(theirs)


def _set_network(descriptor: int) -> None:
    """Move this thread, and those that it will start, into a network (`os.setns` of 3.12)."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "the network cannot be entered")
