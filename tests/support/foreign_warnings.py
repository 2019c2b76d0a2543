"""What libraries of others say about their own use of numpy and of each other."""

from pathlib import Path

import pytest

FROM_DIFFUSERS = (
    "ignore:__array__ implementation:DeprecationWarning:diffusers.*",
    "ignore::FutureWarning:diffusers.*",
)


def ignore_below(folder: Path, items: list[pytest.Item]) -> None:
    """Let the tests in `folder` pass over these warnings, which are errors elsewhere."""
    for item in items:
        if folder in item.path.parents:
            for warning in FROM_DIFFUSERS:
                item.add_marker(pytest.mark.filterwarnings(warning))
