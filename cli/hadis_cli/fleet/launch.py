"""Runs a module's `main(argv)` in a process that dies with the fleet.

`python -m hadis_cli.fleet.launch PARENT_PID MODULE ARGUMENT...`
"""

import importlib
import sys

from hadis_cli.fleet import orphans


def main(argv: list[str]) -> int:
    """Tie this process to its parent, then become the module."""
    parent, module, *arguments = argv
    orphans.die_with(int(parent))
    code: int = importlib.import_module(f"{module}.__main__").main(arguments)
    return code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
