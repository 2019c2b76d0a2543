"""Durations as manifests write them: `10s`, `1m30s`, `500ms`."""

import re

_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str) -> float:
    """Return the seconds of `text`; ValueError when it is no duration."""
    if not re.fullmatch(f"(?:{_PART.pattern})+", text):
        raise ValueError(f"{text!r} is no duration; write e.g. 10s, 1m30s or 500ms")
    return sum(float(amount) * _SECONDS[unit] for amount, unit in _PART.findall(text))


def text(value_s: float) -> str:
    """Return `value_s` in seconds, the way that `seconds` reads it, to the millisecond."""
    return f"{round(value_s * 1000)}ms" if value_s % 1 else f"{value_s:.0f}s"
