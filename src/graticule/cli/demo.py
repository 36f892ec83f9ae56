"""`graticule demo`: see the whole idea work on real data, without an account."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from graticule.cli.failures import CommandFailure, ExitCode


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Check, print the account and exit; do not serve")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the account as one JSON object on stdout")
    ] = False,
    port: Annotated[int, typer.Option(help="Port to serve on; with --once any free one")] = 8181,
) -> None:
    """Run store and server on this machine, show everything, then keep serving.

    Exits with 0 only if all that it shows held.
    """
    from rich.console import Console  # noqa: PLC0415

    from graticule import logs  # noqa: PLC0415

    try:
        from graticule.demo.seaweedfs import EngineFailed, EngineMissing  # noqa: PLC0415
        from graticule.demo.show import DemoFailed, demonstrate  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise CommandFailure(
            f"the demo needs `{error.name}`",
            remedy="Install what it needs: pip install 'graticule[demo]'",
        ) from error

    # A polite termination cleans up like Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(stderr=True)
    logs.configure(log_format="console", level="error")
    try:
        with demonstrate(console, port=0 if once else port) as running:
            running.account.print(console)
            if as_json:
                typer.echo(json.dumps(running.account.to_json()))
            if not running.account.held:
                raise typer.Exit(ExitCode.CHECK_FAILED)
            if not once:
                guide = _how_to_connect(running.url, running.credential)
                console.print(guide, highlight=False, soft_wrap=True)
                running.wait()
    except OSError as error:
        raise CommandFailure(
            f"cannot listen on port {port}: {error.strerror}",
            remedy="Choose another one: graticule demo --port 8182, or make demo PORT=8182",
        ) from error
    except (DemoFailed, EngineFailed, EngineMissing) as error:
        raise CommandFailure(str(error)) from error
    except KeyboardInterrupt:
        console.print("\nStopped; everything the demo made is gone.")


def _how_to_connect(url: str, credential: str) -> str:
    return f"""
[bold]Serving at {url}[/]  until Ctrl-C; everything is thrown away then.

  from pyiceberg.catalog import load_catalog

  catalog = load_catalog(
      "places", type="rest", uri="{url}/catalog", warehouse="places",
      credential="{credential}",
  )
  catalog.load_table("world.cities_hilbert").scan(
      row_filter="file_xmin <= 2.6 and file_xmax >= 2.1 and "
                 "file_ymin <= 49.05 and file_ymax >= 48.7"
  ).to_arrow()

And on the command line:

  export GRATICULE_URL={url}
  export GRATICULE_CREDENTIAL={credential}
  {_program()} table files places.world.cities_hilbert --bbox 2.1,48.7,2.6,49.05
"""


def _program() -> str:
    """How to call this very program from here: it need not be on the PATH."""
    own = Path(sys.argv[0]).absolute()
    found = shutil.which(own.name)
    if found is not None and Path(found).samefile(own):
        return own.name
    return os.path.relpath(own)
