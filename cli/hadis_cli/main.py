"""The `hadis` command: a group whose commands are imported only when they run.

Every error of HADIS becomes one clear message and an exit code: 2 for wrong input, 1 for anything
else that HADIS reports, 130 after Ctrl-C.
"""

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence

import click

import hadis
from hadis.errors import HadisError, InvalidInput, MissingExtra

COMMANDS = {
    "up": "Run a whole cascade on this machine and open its page.",
    "generate": "Make one image and tell how it came about.",
    "score": "Say how hard prompts are, and why.",
    "profile": "Measure a cascade's models and write the lookup table.",
    "plan": "Choose pair, thresholds and workers for a load.",
    "capacity": "Say how many workers a load and a quality need.",
    "simulate": "Replay a trace under virtual time, policy by policy.",
    "theory": "Tell when a hybrid beats router or discriminator alone.",
    "bench": "Put an open-loop load on an endpoint and measure it.",
}
EXTRAS = {"up": "local", "profile": "profiler"}
# A module called profile would shadow the standard library's.
MODULES = {"profile": "profiling"}
OWN_PACKAGES = (
    "hadis",
    "hadis_cli",
    "hadis_profiler",
    "hadis_router",
    "hadis_server",
    "hadis_serving",
)
EPILOG = """
\b
First steps:
  hadis up                                  serve the scenes cascade here
  hadis generate "a red circle"             in a second terminal
  hadis score "a red circle left of a blue square"
  hadis bench --rate 2 --duration 30 --slo 10
"""


class _LazyGroup(click.Group):
    """Imports `hadis_cli.commands.NAME` when NAME is asked for, never for a listing."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Name the commands in the order in which one meets them."""
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002
        cmd_name: str,
    ) -> click.Command | None:
        """Import a command; MissingExtra when its part of the installation is not there."""
        if cmd_name not in COMMANDS:
            return None
        try:
            name = MODULES.get(cmd_name, cmd_name)
            module = importlib.import_module(f"hadis_cli.commands.{name}")
        except ModuleNotFoundError as error:
            raise _missing(error, cmd_name) from error
        command = module.command
        if not isinstance(command, click.Command):
            raise TypeError(f"{module.__name__}.command is no click command")
        return command

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        """List the commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=_LazyGroup,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(hadis.__version__, prog_name="hadis")
def group() -> None:
    """Serve text-to-image cascades.

    Easy prompts go to a light model, hard ones and poor images to a heavy one, and a controller
    keeps choosing models, thresholds and workers so that every prompt gets the best picture that
    the deadline allows.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        result = group.main(args=arguments, prog_name="hadis", standalone_mode=False)
    except InvalidInput as error:
        return _fail(str(error), 2)
    except HadisError as error:
        return _fail(str(error), 1)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _fail("stopped", 130)
    except ModuleNotFoundError as error:
        return _fail(str(_missing(error, next(iter(arguments), ""))), 1)
    except BrokenPipeError:
        # The reader (head, less) went away; nothing may be written to it at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return result if isinstance(result, int) else 0


def _fail(message: str, code: int) -> int:
    click.echo(f"hadis: {message}", err=True)
    return code


def _missing(error: ModuleNotFoundError, command: str) -> Exception:
    """Translate a missing third-party package; a missing module of our own is a defect."""
    name = (error.name or "").partition(".")[0]
    if name in OWN_PACKAGES:
        return error
    return MissingExtra(f"hadis {command} ({name})", extra=EXTRAS.get(command, "local"))


if __name__ == "__main__":
    raise SystemExit(main())
