"""Measure the operator with fifty cascades of twenty slots: is every cycle on time, at what cost?

    PYTHONPATH=tests python benchmarks/operator_scale.py [--cascades 50] [--slots 20] [--seconds S]

Makes a cluster (as the cluster tests do, as root) with nodes that only pretend to run pods. The
operator runs in a real pod from its image and the chart, with twice the memory that it may take, so
that its peak is seen; one process here answers for all routers and workers, and counts a demand
that every cascade's routers see: for a while the same, then with a step of the load somewhere every
second. Prints one JSON object; exits with 1 when a cycle was late, or the operator took more than a
core or 512 MiB.

NetworkPolicies are off, and the test cluster's enforcement of them is stopped: it would be busier
than what is measured.
"""

import argparse
import asyncio
import itertools
import json
import math
import random
import resource
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from cluster.lab import commands, images, testcluster
from cluster.lab.api import Api
from cluster.lab.cascades import restarts, scenes_documents
from cluster.lab.clusters import Cluster, Manifest
from cluster.lab.figures import percentile
from cluster.lab.releases import SELECTOR, samples
from cluster.lab.waiting import NotYet, Unanswered, until
from hadis.wire.assignments import AssignmentBody, RoutingTableBody
from hadis.wire.reports import DemandCounts, ModelState, RouterStatus, WorkerStatus
from hadis_operator import kube
from hadis_operator.metrics import PHASES
from hadis_operator.slots import Pod
from support import charts

CONTROL_PORT = 8001
GPUS_A_NODE = 8
NAMESPACE = "hadis-system"
CASCADES_A_NAMESPACE = 10
MODELS = ("scenes-xs", "scenes-s", "scenes-m", "scenes-l")
LOW_PER_S, HIGH_PER_S = 2.0, 60.0
"""Demands between which twenty workers are planned very differently."""
ESCALATED = 0.4
ON_TIME_S = 2.0
"""How much later than its interval a cycle may be."""
LOOK_EVERY_S = 2.0
"""Often enough to see the stamp of every cycle, and four times as often as a Prometheus does."""
MOST_CORES, MOST_BYTES = 1.0, 512 * 2**20
START_S = 1800.0
SETTLE_S = 60.0
LOOK = """
import os
fields = open("/proc/1/stat").read().rpartition(")")[2].split()
cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
rss = [line.split()[1] for line in open("/proc/1/status") if line.startswith(("VmRSS", "VmHWM"))]
print(cpu_s, *rss)
"""
"""CPU seconds of the operator, and the highest and the present size of its memory in KiB."""


@dataclass
class Demand:
    """A counter that rises by a rate that may change."""

    # Counted until when, and the rate since: one tuple, as another thread reads it.
    _line: tuple[float, float, float] = field(
        default_factory=lambda: (0.0, time.monotonic(), LOW_PER_S)
    )

    def count(self) -> int:
        """Return the images so far."""
        counted, since_s, per_s = self._line
        return int(counted + per_s * (time.monotonic() - since_s))

    def step(self, per_s: float) -> None:
        """Go on at another rate."""
        self._line = float(self.count()), time.monotonic(), per_s


class Crowd:
    """Every router and worker, on one port of this machine; each is told by the address asked."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._pods: dict[str, Pod] = {}
        self._owners: dict[str, str] = {}
        self._assignments: dict[str, AssignmentBody] = {}
        self._tables: dict[str, RoutingTableBody] = {}
        self._generations: dict[str, int] = {}
        self._statuses: dict[str, bytes] = {}
        self.demands: dict[str, Demand] = {}
        self._ending = threading.Event()

    @classmethod
    @contextmanager
    def answering(cls, api: Api) -> Iterator[Self]:
        """Answer from a thread while this is open."""
        crowd = cls(api)
        threading.Thread(target=crowd._follow_pods, daemon=True).start()
        threading.Thread(target=lambda: asyncio.run(crowd._serve()), daemon=True).start()
        try:
            yield crowd
        finally:
            crowd._ending.set()

    async def _serve(self) -> None:
        # Without routes or middleware: the machine's time is for whom this is to measure.
        runner = web.ServerRunner(web.Server(self._answer, access_log=None))
        await runner.setup()
        await web.TCPSite(runner, "0.0.0.0", CONTROL_PORT, backlog=2048).start()
        await asyncio.Event().wait()

    def _follow_pods(self) -> None:
        while not self._ending.is_set():
            try:
                items, version = self._api.listed_at(kube.PODS)
                for live in items:
                    self._note(live)
                for event in self._api.watch(kube.PODS, version):
                    if event["type"] == "ERROR":
                        break
                    if event["type"] != "DELETED":
                        self._note(event["object"])
            except Unanswered:
                time.sleep(0.5)

    def _note(self, live: Manifest) -> None:
        labels = live["metadata"].get("labels") or {}
        address = (live.get("status") or {}).get("podIP")
        if address and "hadis.dev/cascade" in labels:
            pod = Pod.from_live(live)
            owner = f"{live['metadata']['namespace']}/{labels['hadis.dev/cascade']}"
            self._pods[address], self._owners[address] = pod, owner
            self.demands.setdefault(owner, Demand())

    def _asked(self, request: web.BaseRequest) -> tuple[Pod, str]:
        assert request.transport is not None
        address = request.transport.get_extra_info("sockname")[0]
        if address not in self._pods:
            raise web.HTTPServiceUnavailable
        return self._pods[address], self._owners[address]

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        pod, owner = self._asked(request)
        if request.method == "PUT":
            self._take(pod, request.path.strip("/"), await request.read())
            return web.Response(text="{}", content_type="application/json")
        if not pod.slot:
            return web.Response(body=self._router(pod, owner), content_type="application/json")
        if pod.uid not in self._statuses:
            self._statuses[pod.uid] = self._worker(pod, owner)
        return web.Response(body=self._statuses[pod.uid], content_type="application/json")

    def _take(self, pod: Pod, what: str, body: bytes) -> None:
        self._statuses.pop(pod.uid, None)
        match what:
            case "assignment":
                self._assignments[pod.uid] = AssignmentBody.model_validate_json(body)
            case "routing":
                self._tables[pod.uid] = RoutingTableBody.model_validate_json(body)
            case "cascade":
                told = json.loads(body)["cascade"]
                self._generations[pod.uid] = int(told["metadata"]["generation"])

    def _worker(self, pod: Pod, owner: str) -> bytes:
        status = WorkerStatus(
            name=pod.slot or "",
            uid=pod.uid,
            cascade=owner.partition("/")[2],
            hardware="pretended",
            software="hadis",
            generation=self._generations.get(pod.uid, 1),
            ready=True,
            assignment=self._assignments.get(pod.uid),
            models={name: ModelState(resident=True) for name in MODELS},
        )
        return status.model_dump_json().encode()

    def _router(self, pod: Pod, owner: str) -> bytes:
        count = self.demands[owner].count()
        status = RouterStatus(
            name=pod.name,
            uid=pod.uid,
            cascade=owner.partition("/")[2],
            generation=self._generations.get(pod.uid, 1),
            ready=True,
            routing=self._tables.get(pod.uid),
            demand=DemandCounts(
                arrived=count, planned=count, judged=count, escalated=int(ESCALATED * count)
            ),
        )
        return status.model_dump_json().encode()


def main() -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cascades", type=int, default=50)
    parser.add_argument("--slots", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120.0, help="of each of the two stages")
    options = parser.parse_args()
    missing = testcluster.lacking()
    if missing:
        parser.error(missing)
    # The crowd holds a connection for each of its pods.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    archive = images.build("operator")
    with ExitStack() as stack:
        access = stack.enter_context(testcluster.running(nodes=1))
        cluster = stack.enter_context(Cluster.open(access))
        cluster.load([archive])
        operator = _install(cluster)
        _make_crowd(cluster, options.cascades * options.slots)
        crowd = stack.enter_context(Crowd.answering(cluster.api))
        began_s = time.monotonic()
        keys = _apply(cluster, options.cascades, options.slots)
        _wait_until_all_are_planned(operator, keys, options.cascades * options.slots)
        report: dict[str, Any] = {"started_in_s": round(time.monotonic() - began_s, 1)}
        time.sleep(SETTLE_S)
        report["steady"] = _measure(cluster, operator, keys, options.seconds)
        stepping = threading.Event()
        stepper = threading.Thread(target=_step_now_and_then, args=(crowd, stepping), daemon=True)
        stepper.start()
        report["stepping"] = _measure(cluster, operator, keys, options.seconds)
        stepping.set()
        report["restarts"] = _restarts(cluster)
        report["kept"] = report["restarts"] == 0 and all(
            _is_kept(report[stage]) for stage in ("steady", "stepping")
        )
        # Before the cluster is taken down, which may fail in its own ways.
        print(json.dumps(report, indent=1), flush=True)
    return 0 if report["kept"] else 1


def _install(cluster: Cluster) -> Manifest:
    """Install the chart; return the operator's pod."""
    values = {
        "images": {"operator": {"tag": images.TAG}},
        "networkPolicy": {"enabled": False},
        "operator": {"resources": {"limits": {"memory": "1Gi"}}},
    }
    cluster.make_namespace(NAMESPACE)
    cluster.helm(
        *("install", "hadis", str(charts.CHART), "-n", NAMESPACE, "--wait", "-f", "-"),
        stdin=json.dumps(values),
    )
    [pod] = cluster.api.listed(kube.PODS, NAMESPACE, SELECTOR)
    return pod


def _make_crowd(cluster: Cluster, gpus: int) -> None:
    """Make pretended nodes, and let nothing more onto the real one."""
    assert cluster.access.fault is not None
    real = list(cluster.nodes())
    count = math.ceil(gpus / GPUS_A_NODE) + 1
    command = [*cluster.access.fault, "crowd", str(count), f"--gpus={GPUS_A_NODE}"]
    commands.run(command, environment=cluster.access.environment)
    # Without policies to enforce it would still list every pod every second.
    commands.run(
        [*cluster.access.fault, "stop", "policies"], environment=cluster.access.environment
    )
    cluster.kubectl("taint", "nodes", "-l", "type=kwok", "kwok.x-k8s.io/node-")
    cluster.kubectl("cordon", *real)


def _apply(cluster: Cluster, cascades: int, count: int) -> list[tuple[str, str]]:
    """Apply the cascades; return their namespaces and names."""
    keys = []
    resources = {"limits": {"nvidia.com/gpu": 1}}
    cascade, profile = scenes_documents(
        workers={"count": count, "template": {"resources": resources}},
        metrics={"source": "Direct"},
    )
    for number in range(cascades):
        namespace = f"crowd-{number // CASCADES_A_NAMESPACE}"
        if number % CASCADES_A_NAMESPACE == 0:
            cluster.make_namespace(namespace)
        name = f"scenes-{number}"
        cascade["metadata"]["name"] = profile["metadata"]["name"] = name
        cascade["spec"]["profile"]["name"] = name
        cluster.apply(profile, cascade, namespace=namespace)
        keys.append((namespace, name))
    return keys


def _wait_until_all_are_planned(
    operator: Manifest, keys: list[tuple[str, str]], slots_wanted: int
) -> None:
    def planned() -> bool:
        told = samples(operator)
        ready = sum(
            value
            for name, value in told.items()
            if name.startswith("hadis_slots{") and 'state="ready"' in name
        )
        plans = sum(name.startswith("hadis_plan_version{") for name in told)
        if plans < len(keys) or ready < slots_wanted:
            raise NotYet(f"{plans} plans, {ready:.0f} of {slots_wanted} slots are ready")
        return True

    until("every cascade is planned and every slot ready", planned, START_S, every_s=5)


def _step_now_and_then(crowd: Crowd, stop: threading.Event) -> None:
    """Change the demand of one cascade every second."""
    draws = random.Random(1)
    while not stop.wait(1.0):
        crowd.demands[draws.choice(sorted(crowd.demands))].step(
            draws.uniform(LOW_PER_S, HIGH_PER_S)
        )


def _measure(
    cluster: Cluster, operator: Manifest, keys: list[tuple[str, str]], for_s: float
) -> dict[str, Any]:
    """Watch the operator for a while: a cycle is late by what exceeds the planning interval."""
    interval_s = 5.0
    began, before = _look(cluster, operator), samples(operator)
    seen: dict[str, list[float]] = {}
    began_s, unanswered, longest_s = time.monotonic(), 0, 0.0
    while time.monotonic() < began_s + for_s:
        asked_s = time.monotonic()
        try:
            told = samples(operator)
        except Unanswered:
            told, unanswered = {}, unanswered + 1
        longest_s = max(longest_s, time.monotonic() - asked_s)
        for name, value in told.items():
            if name.startswith("hadis_operator_cycle_timestamp_seconds"):
                stamps = seen.setdefault(name, [])
                if not stamps or stamps[-1] != value:
                    stamps.append(value)
        time.sleep(LOOK_EVERY_S)
    ended, after = _look(cluster, operator), samples(operator)
    took_s = time.monotonic() - began_s
    late_s = [
        max(0.0, later - earlier - interval_s)
        for stamps in seen.values()
        for earlier, later in itertools.pairwise(stamps)
    ]
    # One that stands still has no next stamp: its age at the end counts as well.
    late_s += [max(0.0, time.time() - stamps[-1] - interval_s) for stamps in seen.values()]
    assert len(seen) == len(keys), f"{len(seen)} of {len(keys)} cascades are planned"
    cycles = "hadis_operator_cycles_total"
    return {
        "cycles": _risen(before, after, cycles),
        "seen": len(late_s),
        "failed": _risen(before, after, cycles, 'result="failed"'),
        "late_s": {f"p{share:.0%}"[:-1]: percentile(late_s, share) for share in (0.5, 0.99)}
        | {"max": max(late_s)},
        "phases_s": _phases(before, after),
        "cores": (ended[0] - began[0]) / took_s,
        "peak_bytes": ended[1],
        "bytes": ended[2],
        "unanswered": unanswered,
        "longest_look_s": round(longest_s, 2),
        "plan_changes": _risen(before, after, "hadis_plan_changes_total"),
        "writes": _risen(before, after, "hadis_operator_writes_total"),
    }


def _risen(before: dict[str, float], after: dict[str, float], name: str, labels: str = "") -> float:
    """Return by how much a counter has risen, over all of its series with such labels."""
    return sum(
        value - before.get(key, 0.0)
        for key, value in after.items()
        if key.startswith(f"{name}{{") and labels in key
    )


def _phases(before: dict[str, float], after: dict[str, float]) -> dict[str, dict[str, float]]:
    """Return how often each phase of a turn ran, and how long it took on average."""
    found = {}
    for phase in PHASES:
        label = f'phase="{phase}"'
        runs = _risen(before, after, "hadis_operator_phase_seconds_count", label)
        total_s = _risen(before, after, "hadis_operator_phase_seconds_sum", label)
        found[phase] = {"runs": runs, "mean_s": round(total_s / max(1.0, runs), 3)}
    return found


def _look(cluster: Cluster, operator: Manifest) -> tuple[float, int, int]:
    """Return the operator's CPU seconds and the peak and present size of its memory."""
    told = cluster.kubectl(
        *("exec", "-n", NAMESPACE, operator["metadata"]["name"], "--", "python", "-c", LOOK)
    ).text.split()
    return float(told[0]), int(told[1]) * 1024, int(told[2]) * 1024


def _restarts(cluster: Cluster) -> int:
    pods = cluster.api.listed(kube.PODS, NAMESPACE, SELECTOR)
    return sum(restarts(pods).values())


def _is_kept(stage: dict[str, Any]) -> bool:
    return bool(
        stage["late_s"]["max"] <= ON_TIME_S
        and stage["unanswered"] == 0
        and stage["cores"] <= MOST_CORES
        and stage["peak_bytes"] <= MOST_BYTES
    )


if __name__ == "__main__":
    sys.exit(main())
