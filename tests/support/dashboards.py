"""The chart's dashboards as a list of queries."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from support import charts

BOARDS = sorted((charts.CHART / "dashboards").glob("*.json"))
VARIABLES = {"$__rate_interval": "1m", "$namespace": ".+", "$cascade": ".+"}
"""What Grafana fills in when everything is shown."""


def queries(path: Path, variables: Mapping[str, str] = VARIABLES) -> list[str]:
    """Return the queries of a dashboard as they reach Prometheus, variables filled in."""
    board = json.loads(path.read_text(encoding="utf-8"))
    found = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    for variable in board["templating"]["list"]:
        asked = re.fullmatch(r"label_values\((.*), \w+\)", variable.get("definition", ""))
        if asked:
            found.append(asked[1])
    for name, value in variables.items():
        found = [query.replace(name, value) for query in found]
    return found
