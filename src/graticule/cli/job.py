"""`graticule job`: what the server does in the background, and how far it has come."""

from typing import Annotated, Final

import typer

from graticule.cli.connection import connect, segment
from graticule.cli.output import Output, note, print_list, print_one

app = typer.Typer(help="Work in the background: scans, syncs, indexes.", no_args_is_help=True)

_COLUMNS: Final = ("id", "kind", "state", "subject_id", "created_at", "finished_at", "error")

JobId = Annotated[str, typer.Argument(help="The job's id", metavar="JOB")]


@app.command("list")
def list_jobs(
    kind: Annotated[str | None, typer.Option(help="Only of this kind, such as scan")] = None,
    state: Annotated[
        str | None, typer.Option(help="queued, running, succeeded, failed or cancelled")
    ] = None,
    output: Output = None,
) -> None:
    """List jobs, the newest first."""
    with connect() as api:
        print_list(api.list("/jobs", {"kind": kind, "state": state}), _COLUMNS, output)


@app.command("show")
def show(job: JobId, output: Output = None) -> None:
    """Show a job, how far it has come, and why it failed."""
    with connect() as api:
        print_one(api.get(f"/jobs/{segment(job)}"), output)


@app.command("cancel")
def cancel(job: JobId) -> None:
    """Cancel a job.  One that runs stops within seconds."""
    with connect() as api:
        found = api.post(f"/jobs/{segment(job)}/cancel")
    if found["cancelling"]:
        note("It stops in a moment.")
    else:
        note(f"The job is {found['state']}.")
