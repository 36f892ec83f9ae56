"""`graticule convert`: make a table of files that no engine reads as one where they lie."""

import time
from typing import Annotated, Any, Final

import typer

from graticule.cli.connection import connect, segment
from graticule.cli.failures import CommandFailure, ExitCode
from graticule.cli.output import Output, note, print_one

POLL_S: Final = 0.5
_ACTIVE: Final = {"queued", "running"}


def convert(
    catalog: Annotated[str, typer.Argument(help="Name or id", metavar="CATALOG")],
    source: Annotated[
        str, typer.Argument(help="A file, or a folder of files of one format: s3://bucket/…")
    ],
    to: Annotated[str, typer.Option("--to", help="The new table: NAMESPACE.NAME")],
    *,
    format_: Annotated[
        str | None, typer.Option("--format", help="Such as GeoJSON; needed for a folder")
    ] = None,
    wait: Annotated[bool, typer.Option(help="Follow the conversion until it ends")] = True,
    output: Output = None,
) -> None:
    """Convert GeoJSON, FlatGeobuf, GeoPackage, Shapefile, CSV, KML, GML or TopoJSON to a table.

    The files stay as they are: the table is written as GeoParquet at its own location.
    """
    namespace, _, name = to.rpartition(".")
    if not namespace or not name:
        raise CommandFailure(f"`--to {to}` must be NAMESPACE.NAME", exit_code=ExitCode.USAGE)
    body = {"source": source, "format": format_, "namespace": namespace, "name": name}
    with connect() as api:
        job = api.post(f"/catalogs/{segment(catalog)}/conversions", body)
        if wait:
            job = _follow(api, job)
    print_one(job, output)
    if job["state"] in {"failed", "cancelled"}:
        raise CommandFailure(
            f"the conversion {job['state']}: {job['error'] or 'somebody cancelled it'}",
            exit_code=ExitCode.CHECK_FAILED,
        )


def _follow(api: Any, job: dict[str, Any]) -> dict[str, Any]:
    """Poll and show how far it is.  Ctrl-C leaves the conversion running."""
    from rich.console import Console  # noqa: PLC0415

    try:
        with Console(stderr=True).status("Waiting") as status:
            while job["state"] in _ACTIVE:
                status.update(_words(job["progress"]))
                time.sleep(POLL_S)
                job = api.get(f"/jobs/{segment(job['id'])}")
    except KeyboardInterrupt:
        note(f"Still running. Look at it with: graticule job show {job['id']}")
        raise
    return job


def _words(progress: dict[str, Any]) -> str:
    counts = [
        f"{value:,} {name.replace('_', ' ')}"
        for name, value in progress.items()
        if isinstance(value, int)
    ]
    return ", ".join([str(progress.get("phase", "waiting")).capitalize(), *counts])
