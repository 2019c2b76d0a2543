"""`python -m hadis_operator`: one operator process."""

import asyncio
import os
import sys
from collections.abc import Sequence

from hadis.errors import HadisError, InvalidInput
from hadis_operator import installation, settings
from hadis_operator.installation import Installation
from hadis_operator.metrics import Metrics
from hadis_operator.operating import Operator
from hadis_operator.settings import Settings
from hadis_serving import logs, ports, probes, servers
from hadis_serving.servers import Listener

SWITCH_INTERVAL_S = 0.0005
"""After this long a planner's thread hands Python's lock to the event loop. The default is ten
times as much, which the loop would wait after each of its hundreds of reads and writes a second."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; return the exit status."""
    chosen = settings.parse(list(sys.argv[1:] if argv is None else argv))
    logs.configure("operator", chosen.log_level)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        if chosen.kubeconfig:
            os.environ["KUBECONFIG"] = chosen.kubeconfig  # kopf looks nowhere else
        asyncio.run(_run(chosen, installation.load(chosen.installation)))
    except InvalidInput as error:
        sys.stderr.write(f"hadis_operator: {error}\n")
        return 2
    except HadisError as error:
        sys.stderr.write(f"hadis_operator: {error}\n")
        return 1
    return 0


async def _run(chosen: Settings, installed: Installation) -> None:
    socket = ports.bind(chosen.host, chosen.metrics_port)
    metrics = Metrics()
    operator = Operator(chosen, installed, metrics)
    stop, leave = asyncio.Event(), asyncio.Event()
    servers.stop_on_signals(stop)
    app = probes.create_probe_app(
        healthy=operator.unhealthy, ready=operator.unready, registry=metrics.registry
    )
    serving = asyncio.create_task(
        servers.serve([Listener(app, socket, "metrics")], leave, grace_s=1.0)
    )
    try:
        await operator.run(stop)
    finally:
        leave.set()
        await asyncio.gather(serving, return_exceptions=True)


if __name__ == "__main__":
    sys.exit(main())
