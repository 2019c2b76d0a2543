"""How commands reach a running HADIS endpoint, and how its refusals read on a terminal."""

import json
import os
from collections.abc import Mapping
from typing import Any

import click

from hadis.errors import HadisError, InvalidInput, RetryLater

DEFAULT_URL = "http://127.0.0.1:8000"


def _checked_url(_context: click.Context, _option: click.Parameter, value: str) -> str:
    url = value.rstrip("/").removesuffix("/v1")
    if not url.startswith(("http://", "https://")):
        raise click.BadParameter("must start with http:// or https://")
    return url


URL_OPTION = click.option(
    "--url",
    default=DEFAULT_URL,
    show_default=True,
    envvar="HADIS_URL",
    callback=_checked_url,
    help="The endpoint, as `hadis up` prints it.",
)
KEY_OPTION = click.option(
    "--api-key",
    envvar="HADIS_API_KEY",
    help="The key to present.  [default: HADIS_API_KEY or OPENAI_API_KEY]",
)


def headers(api_key: str | None) -> dict[str, str]:
    """Return the Authorization header for `api_key` or the environment's; none is fine too."""
    key = api_key or os.environ.get("OPENAI_API_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}


def error_of(text: str) -> Mapping[str, Any]:
    """Return the error object of an answer, or an empty one when it has none."""
    try:
        error = json.loads(text)["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return error if isinstance(error, dict) else {}


def refusal(status: int, text: str) -> HadisError:
    """Return the error that tells the answer's own reason."""
    error = error_of(text)
    message = str(error.get("message") or f"the endpoint answered {status}")
    if status in (429, 503):
        return RetryLater(f"{message} ({status})")
    if status in (400, 401, 404, 413):
        parameter = error.get("param")
        return InvalidInput(f"{message} ({status})", field=str(parameter) if parameter else None)
    return HadisError(f"{message} ({status})")


def unreachable(url: str, error: Exception) -> HadisError:
    """Return the error of an endpoint that does not answer, with the way out."""
    reason = str(error) or type(error).__name__
    return HadisError(f"no answer from {url} ({reason}); start it with: hadis up")
