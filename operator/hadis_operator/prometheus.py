"""What routers have counted, as Prometheus tells it: one query a cycle, no arithmetic in it.

Raw samples are asked for, with the times at which they were taken, because only they tell a quiet
hour from a scrape that has stopped. Rates are the forecast's business; it takes differences of the
same counters that `GET /status` tells.
"""

import json
import logging
import math
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import aiohttp

from hadis.errors import RetryLater
from hadis_operator import answers
from hadis_operator.counting import Counts

TIMEOUT_S = 2.0
STALE_AFTER_S = 60.0
"""Without a sample for this long a router is not being scraped: four of the usual 15 s, or two of a
lazy 30 s."""
WINDOW_S = 120
MAX_BYTES = 4 * 1024 * 1024
"""Of an answer: a hundred routers, scraped each second, tell a tenth of it."""
MAX_COUNT = 2**53
"""Beyond it a sample does not tell one from two any more; no router counts that far."""
DEMAND = "hadis_demand_images_total"
VIOLATIONS = "hadis_slo_violations_total"
LOG = logging.getLogger(__name__)


class Trouble(StrEnum):
    """Why Prometheus cannot be believed; also the reasons of the condition MetricsAvailable."""

    AWAY = "FallbackDirect"  # silent, an error, or no numbers
    UNAUTHORIZED = "Unauthorized"  # 401 or 403
    STALE = "Stale"  # it answers, but has no recent sample of the routers


class TooEarly(RetryLater):
    """Prometheus knows none of the routers, and has not had the time to: nothing is amiss."""


class NoMetrics(RetryLater):
    """Prometheus has nothing usable; `trouble` says in one word why."""

    def __init__(self, message: str, trouble: Trouble) -> None:
        super().__init__(message)
        self.trouble = trouble


@dataclass(frozen=True, slots=True)
class Source:
    """Where Prometheus is and how it wants to be asked. `ca` is a PEM text."""

    url: str
    token: str = field(default="", repr=False)
    ca: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    matchers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """The newest counts of one scraped router and when they were taken (seconds of the epoch)."""

    pod: str
    instance: str
    at_epoch_s: float
    counts: Counts


def query(source: Source, namespace: str, cascade: str) -> str:
    """Return the query for all counters of a cascade's routers, with the samples' own times."""
    matchers = {**source.matchers, "namespace": namespace, "cascade": cascade}
    selected = ",".join(f"{name}={_quoted(value)}" for name, value in sorted(matchers.items()))
    return f'{{__name__=~"{DEMAND}|{VIOLATIONS}",{selected}}}[{WINDOW_S}s]'


def samples(answer: object) -> list[Sample]:
    """Return what an answer to `query` says, a sample a target.

    NoMetrics for anything but an answer with whole numbers. A target with demand counts only is
    taken as it is; one without any is left out.
    """
    found: dict[tuple[str, str], dict[str, int]] = {}
    newest: dict[tuple[str, str], float] = {}
    for labels, at_s, value in _series(answer):
        name = labels.get("step") or labels.get("reason")
        target = (labels.get("pod", ""), labels.get("instance", ""))
        number = _number(value)
        if not name:
            continue
        found.setdefault(target, {})[name] = number
        if labels.get("__name__") == DEMAND:
            newest[target] = max(newest.get(target, 0.0), at_s)
    return [Sample(*target, newest[target], found[target]) for target in sorted(newest)]


def by_router(found: list[Sample], routers: Mapping[str, str]) -> dict[str, Sample]:
    """Return the newest sample of each router; `routers` maps pods' names to their addresses.

    Series of other pods, for instance of ones that are gone, are left out.
    """
    pods_at = {address: pod for pod, address in routers.items() if address}
    chosen: dict[str, Sample] = {}
    for sample in sorted(found, key=lambda one: one.at_epoch_s):
        host = sample.instance.rpartition(":")[0].strip("[]")
        pod = sample.pod if sample.pod in routers else pods_at.get(host)
        if pod is not None:
            chosen[pod] = sample
    return chosen


def require_fresh(
    chosen: Mapping[str, Sample], lived_s: Mapping[str, float], now_epoch_s: float
) -> None:
    """Raise NoMetrics when a router that has run for a while has no recent sample.

    `lived_s` tells for how long each router that must be there has been running. TooEarly while
    there is no sample because none of them has run for long.
    """
    silent = [
        pod
        for pod, age_s in lived_s.items()
        if age_s > STALE_AFTER_S
        and (pod not in chosen or now_epoch_s - chosen[pod].at_epoch_s > STALE_AFTER_S)
    ]
    if silent:
        raise NoMetrics(
            f"Prometheus has no sample of the last minute of router {', '.join(sorted(silent))}; "
            "let it scrape port 9090 of the routers (the chart's PodMonitor does), and check "
            "spec.metrics.prometheus.matchers",
            Trouble.STALE,
        )
    if not chosen:
        raise TooEarly("Prometheus has no series of this cascade's routers yet")


async def ask(
    session: aiohttp.ClientSession, source: Source, namespace: str, cascade: str
) -> list[Sample]:
    """Return the routers' newest counts. NoMetrics for whatever else comes back."""
    headers = {**source.headers, **answers.HEADERS}
    if source.token:
        headers["Authorization"] = f"Bearer {source.token}"
    try:
        async with session.get(
            f"{source.url.rstrip('/')}/api/v1/query",
            params={"query": query(source, namespace, cascade)},
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            ssl=_tls(source),
            auto_decompress=False,
        ) as reply:
            if reply.status in (401, 403):
                raise NoMetrics(
                    f"Prometheus at {source.url} answers {reply.status}; give a token that may "
                    "query it in spec.metrics.prometheus.bearerTokenSecret",
                    Trouble.UNAUTHORIZED,
                )
            if reply.status != 200:
                raise NoMetrics(
                    f"Prometheus at {source.url} answers {reply.status}; the routers are asked "
                    "directly until it is well",
                    Trouble.AWAY,
                )
            answer = json.loads(await answers.read(reply, MAX_BYTES))
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, RecursionError) as error:
        LOG.debug("Prometheus: %r", error)
        raise NoMetrics(
            f"Prometheus at {source.url} does not answer as it should ({type(error).__name__}); "
            "the routers are asked directly until it does",
            Trouble.AWAY,
        ) from error
    return samples(answer)


def _series(answer: object) -> list[tuple[dict[str, str], float, object]]:
    """Return the labels of each series, and time and value of its newest sample."""
    try:
        if not isinstance(answer, dict) or answer["status"] != "success":
            raise ValueError("no success")
        if answer["data"]["resultType"] != "matrix":
            raise ValueError("no matrix")
        return [_newest(one) for one in answer["data"]["result"] if one["values"]]
    except (AttributeError, LookupError, TypeError, ValueError, OverflowError) as error:
        raise NoMetrics(
            f"Prometheus answered something that is no list of series ({error!r}); the routers "
            "are asked directly",
            Trouble.AWAY,
        ) from error


def _newest(series: Any) -> tuple[dict[str, str], float, object]:
    labels, (told_s, value) = series["metric"], series["values"][-1]
    at_s = float(told_s)
    if not math.isfinite(at_s):
        raise ValueError("a sample without a time")
    return {str(name): str(label) for name, label in labels.items()}, at_s, value


def _number(value: object) -> int:
    text = str(value) if isinstance(value, str | int | float) else type(value).__name__
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= MAX_COUNT:
        raise NoMetrics(
            f"Prometheus returned {text[:40]} for a counter; the routers are asked directly",
            Trouble.AWAY,
        )
    return int(number)


def _tls(source: Source) -> ssl.SSLContext | bool:
    if not source.ca:
        return True
    try:
        return ssl.create_default_context(cadata=source.ca)
    except (ssl.SSLError, ValueError) as error:
        raise NoMetrics(
            "spec.metrics.prometheus.caSecret holds no PEM certificate; put the authority's "
            "certificate under its key",
            Trouble.AWAY,
        ) from error


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
