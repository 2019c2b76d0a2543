"""API keys, and the rule that nothing but loopback is served without them."""

import hmac
from pathlib import Path

from hadis.errors import InvalidInput
from hadis_serving import ports

KEYS_VARIABLE = "HADIS_API_KEYS"
MIN_KEY_CHARS = 8


class ApiKeys:
    """The keys that clients may present; empty means that everyone is let in."""

    def __init__(self, keys: frozenset[str] = frozenset()) -> None:
        self._keys = tuple(key.encode() for key in sorted(keys))

    @property
    def required(self) -> bool:
        """Whether a client must present a key."""
        return bool(self._keys)

    def admits(self, authorization: str | None) -> bool:
        """Return whether an Authorization header opens the door. Compares in constant time."""
        if not self._keys:
            return True
        scheme, _, presented = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            return False
        candidate = presented.strip().encode("utf-8", "surrogateescape")
        matches = [hmac.compare_digest(candidate, key) for key in self._keys]
        return any(matches)


def read_keys(file: Path | None, environment: str | None) -> ApiKeys:
    """Read keys from a file (one a line, # comments) and a variable (commas or white space).

    `file` may be a folder of such files, as a Secret is mounted. Raises InvalidInput for an
    unreadable file, one without keys, or a key too short to be safe.
    """
    keys: set[str] = set()
    if file is not None:
        try:
            lines = [line.strip() for text in _texts(file) for line in text.splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"--api-keys-file {file}: {error}", field="api-keys-file") from error
        found = {line for line in lines if line and not line.startswith("#")}
        if not found:
            raise InvalidInput(
                f"--api-keys-file {file} holds no key: write one a line", field="api-keys-file"
            )
        keys |= found
    if environment:
        keys |= set(environment.replace(",", " ").split())
    if any(len(key) < MIN_KEY_CHARS for key in keys):
        raise InvalidInput(
            f"an API key is shorter than {MIN_KEY_CHARS} characters", field="api-keys"
        )
    return ApiKeys(frozenset(keys))


def _texts(place: Path) -> list[str]:
    """Return what a file holds, or all files of a folder but the hidden ones, which are a mount's
    own."""
    files = [place]
    if place.is_dir():
        files = sorted(file for file in place.iterdir() if not file.name.startswith("."))
    return [file.read_text(encoding="utf-8") for file in files if not file.is_dir()]


def require_safe_binding(host: str, keys: ApiKeys, *, insecure: bool) -> None:
    """Refuse to serve beyond this machine without keys unless that was asked for.

    Raises InvalidInput naming the three ways out.
    """
    if ports.is_loopback(host) or keys.required or insecure:
        return
    raise InvalidInput(
        f"--host {host} is reachable from other machines: give --api-keys-file FILE, set "
        f"{KEYS_VARIABLE}, or accept everyone with --insecure",
        field="host",
    )
