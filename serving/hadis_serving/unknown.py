"""What a controller of a later version tells its processes and they do not know, in their logs."""

import logging
from collections.abc import Sequence

MAX_NAMED = 10
log = logging.getLogger(__name__)


def note(fields: Sequence[str], *, source: str) -> None:
    """Say once a message which fields were passed over; nothing without any."""
    if fields:
        rest = f" and {len(fields) - MAX_NAMED} more" if len(fields) > MAX_NAMED else ""
        named = ", ".join(fields[:MAX_NAMED])
        log.warning("%s says more than this version knows: %s%s", source, named, rest)
