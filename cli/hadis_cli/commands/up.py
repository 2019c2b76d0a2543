"""`hadis up`: a whole cascade on this machine."""

import importlib.util
from pathlib import Path

import click

from hadis.errors import MissingExtra

NEEDED = ("torch", "diffusers", "fastapi", "uvicorn", "setproctitle", "watchfiles", "spacy")


@click.command(name="up")
@click.option(
    "--cascade",
    type=click.Path(path_type=Path),
    help="A HadisCascade manifest, followed by its HadisProfile.  [default: scenes]",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 512),
    help="How many workers.  [default: spec.workers.count, at most one a core]",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of the endpoint.")
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 for any."
)
@click.option(
    "--api-keys-file",
    type=click.Path(path_type=Path),
    help="Keys that clients must show, one a line; HADIS_API_KEYS adds to them.",
)
@click.option("--insecure", is_flag=True, help="Serve other machines without keys.")
@click.option("--no-browser", is_flag=True, help="Do not open the page.")
@click.option("--verbose", is_flag=True, help="Show every process's log, line by line.")
def command(
    cascade: Path | None,
    workers: int | None,
    host: str,
    port: int,
    api_keys_file: Path | None,
    insecure: bool,
    no_browser: bool,
    verbose: bool,
) -> int:
    """Run a whole cascade on this machine and open its page.

    Starts a router, workers and the controller as processes here, prints the URL once requests
    are served, and follows the cascade file: save a change, and it is applied as kubectl apply
    would. Ctrl-C drains and stops everything; a second one stops at once.

    \b
    hadis up
    hadis up --cascade cascade.yaml --workers 4 --port 9000
    """
    for package in NEEDED:
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(f"hadis up ({package})", extra="local")
    from hadis_cli.fleet import cascade_files, options, running

    path = options.default_cascade() if cascade is None else cascade
    given = cascade_files.load(path)
    return running.run(
        options.Options(
            cascade=path,
            workers=workers,
            host=host,
            port=port,
            api_keys_file=api_keys_file,
            insecure=insecure,
            open_browser=not no_browser,
            verbose=verbose,
        ),
        given,
    )
