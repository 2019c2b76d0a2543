"""One log format for every process: a time, the process, a level, a message, one line each."""

import logging
import sys
import time

FORMAT = "%(asctime)s.%(msecs)03dZ {name} %(levelname)s %(name)s: %(message)s"


class _Indenting(logging.Formatter):
    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        # A prompt or an exception text must not be able to forge a second log line.
        first, *rest = super().format(record).splitlines() or [""]
        return "\n".join([first, *(f"    {line}" for line in rest)])


def configure(name: str, level: str = "INFO") -> None:
    """Send the log of this process to stderr; `name` tells processes apart in one stream."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Indenting(FORMAT.format(name=name), "%Y-%m-%dT%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("uvicorn.access", "uvicorn.error", "httpx", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
