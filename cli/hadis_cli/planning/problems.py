"""Planning problems as people state them: JSON objects, one a line, or options."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from hadis.errors import InvalidInput
from hadis.planning import solving
from hadis.planning.problems import Problem
from hadis.terms.ids import ModelName
from hadis.terms.profiles import Profile

FIELDS = frozenset(
    {
        "demand",
        "workers",
        "slo_s",
        "queue",
        "arrival",
        "current",
        "swap_s",
        "residual_s",
        "queue_safety_factor",
        "utilisation_limit",
    }
)


def read_lines(text: str, source: str, profile: Profile, lanes: int) -> list[Problem]:
    """Return the problem of every line; InvalidInput names the first line that is wrong."""
    problems = []
    for number, line in enumerate(text.splitlines(), start=1):
        where = f"{source}, line {number}: "
        if not line.strip():
            continue
        try:
            document = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise InvalidInput(f"{where}no JSON object: {error}") from error
        problems.append(read(document, profile, lanes, where))
    if not problems:
        raise InvalidInput(f"{source} holds no problem: write one JSON object a line")
    return problems


def read(document: object, profile: Profile, lanes: int, where: str = "") -> Problem:
    """Return the problem of one object; InvalidInput begins with `where` and names the field."""
    if not isinstance(document, dict):
        raise InvalidInput(f"{where}a problem is a JSON object")
    unknown = sorted(set(document) - FIELDS)
    if unknown:
        raise InvalidInput(
            f"{where}{unknown[0]} is no field of a problem; use {', '.join(sorted(FIELDS))}"
        )
    current = {
        name: _whole(n, f"current.{name}", where)
        for name, n in _by_model(document, "current", where).items()
    }
    problem = Problem(
        profile=profile,
        demand_per_s=_number(document, "demand", where),
        workers=_whole(_number(document, "workers", where), "workers", where),
        slo_s=_number(document, "slo_s", where),
        queue=_by_model(document, "queue", where),
        arrival_per_s=_by_model(document, "arrival", where),
        current_workers=current if document.get("current") is not None else None,
        swap_s=_by_model(document, "swap_s", where),
        residual_s=_by_model(document, "residual_s", where),
        queue_safety_factor=_number(document, "queue_safety_factor", where, 1.0),
        utilisation_limit=_number(document, "utilisation_limit", where, 1.0),
        max_lanes=lanes,
    )
    try:
        solving.check(problem)
    except InvalidInput as error:
        raise InvalidInput(f"{where}{error}", field=error.field) from error
    return problem


def by_option(entries: Iterable[str], option: str) -> dict[str, float]:
    """Return the numbers of options like `--queue MODEL=N`."""
    return dict(_entry(entry, option) for entry in entries)


def _entry(entry: str, option: str) -> tuple[str, float]:
    name, _, count = entry.rpartition("=")
    try:
        return name, float(count)
    except ValueError:
        raise InvalidInput(f"{option} {entry}: write MODEL=N, like large=3", field=option) from None


def _number(
    document: Mapping[str, Any], field: str, where: str, default: float | None = None
) -> float:
    value = document.get(field, default)
    if value is None:
        raise InvalidInput(f"{where}{field} is missing; give a number", field=field)
    return _finite(value, field, where)


def _whole(value: float, field: str, where: str) -> int:
    if value != int(value):
        raise InvalidInput(f"{where}{field} is {value:g}; give a whole number", field=field)
    return int(value)


def _by_model(document: Mapping[str, Any], field: str, where: str) -> dict[ModelName, float]:
    value = document.get(field)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(f"{where}{field} is no object of numbers by model", field=field)
    return {ModelName(k): _finite(v, f"{field}.{k}", where) for k, v in value.items()}


def _finite(value: object, field: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(f"{where}{field} is {value!r}; give a finite number", field=field)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InvalidInput(f"{where}{field} is {value!r}; give a finite number", field=field)
    return number
