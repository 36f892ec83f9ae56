"""`graticule audit`: who did what."""

import sys
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from graticule.cli.connection import connect
from graticule.cli.output import Output, print_json, print_list, wants_json

app = typer.Typer(help="The audit log: who did what, on what, when, from where.")

SHOWN_DEFAULT: Final = 50
_COLUMNS: Final = ("at", "type", "on", "by", "outcome")
_SECONDS: Final = len("2026-11-21T00:00:00")

Type = Annotated[str | None, typer.Option("--type", help="An event type; `table.*` for all of it")]
Member = Annotated[str | None, typer.Option(help="Of this member, by name or id")]
Subject = Annotated[str | None, typer.Option(help="On this thing, by name or id")]
Since = Annotated[str | None, typer.Option(help="From this time on, as 2026-11-21T00:00:00Z")]
Until = Annotated[str | None, typer.Option(help="Before this time")]
Denied = Annotated[bool, typer.Option("--denied", help="Only what was refused")]


@app.command("list")
def list_events(  # noqa: PLR0917 - each is an option
    type_: Type = None,
    member: Member = None,
    subject: Subject = None,
    since: Since = None,
    until: Until = None,
    denied: Denied = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many")] = SHOWN_DEFAULT,
    output: Output = None,
) -> None:
    """Show the newest events."""
    asked = _asked(type_, member, subject, since, until, denied=denied)
    with connect() as api:
        events = api.get("/audit", {**asked, "limit": str(limit)})["items"]
    if wants_json(output):
        print_json(events)
        return
    print_list(map(_row, events), _COLUMNS, output)


@app.command("export")
def export(  # noqa: PLR0917 - each is an option
    format_: Annotated[str, typer.Option("--format", help="jsonl or csv")] = "jsonl",
    type_: Type = None,
    member: Member = None,
    subject: Subject = None,
    since: Since = None,
    until: Until = None,
    denied: Denied = False,
) -> None:
    """Write all events to standard output, the oldest first."""
    asked = _asked(type_, member, subject, since, until, denied=denied)
    with connect() as api:
        for chunk in api.stream("/audit/export", {**asked, "format": format_}):
            sys.stdout.buffer.write(chunk)


def _row(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event on one line of a terminal; `-o json` has all of it."""
    return {
        "at": event["at"][:_SECONDS].replace("T", " "),
        "type": event["type"],
        "on": event["subject"]["name"],
        "by": event["member"]["name"],
        "outcome": event["outcome"],
    }


def _asked(
    type_: str | None,
    member: str | None,
    subject: str | None,
    since: str | None,
    until: str | None,
    *,
    denied: bool,
) -> dict[str, str]:
    given = {
        "type": type_,
        "member": member,
        "subject": subject,
        "since": since,
        "until": until,
        "outcome": "denied" if denied else None,
    }
    return {name: value for name, value in given.items() if value is not None}
