"""What commands print: data on stdout as a table or as the API's own JSON, all else on stderr."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Final

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from graticule.cli.failures import CommandFailure, ExitCode

Json = dict[str, Any]

WIDTH_MAX: Final = 10_000
"""No table is wider."""


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


Output = Annotated[
    Format | None,
    typer.Option("-o", "--output", help="table or json; by default a table on a terminal"),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask")]


def wants_json(output: Format | None) -> bool:
    return output is Format.JSON or (output is None and not sys.stdout.isatty())


def print_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_list(items: Iterable[Json], columns: Sequence[str], output: Format | None) -> None:
    if wants_json(output):
        print_json(list(items))
        return
    rows = [[_text(item.get(column)) for column in columns] for item in items]
    console = Console()
    table = _side_by_side(rows, columns)
    unlimited = console.options.update_width(WIDTH_MAX)
    if Measurement.get(console, unlimited, table).minimum <= console.width:
        console.print(table)
        return
    for number, row in enumerate(rows):
        if number:
            console.print()
        console.print(_below_each_other(dict(zip(columns, row, strict=True))))


def _side_by_side(rows: Iterable[Sequence[str]], columns: Sequence[str]) -> Table:
    """Columns that may break between words, and never in one."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, *texts in zip(columns, *rows, strict=True):
        heading = _heading(column).upper()
        least = max(cell_len(word) for text in (heading, *texts) for word in text.split())
        can_break = any(cell_len(text) > least for text in (heading, *texts))
        table.add_column(heading, min_width=least, no_wrap=not can_break)
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _below_each_other(texts: Mapping[str, str]) -> Table:
    """For a terminal where something would be cut in two, which nobody could copy then."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in texts.items():
        table.add_row(_heading(name).upper(), escape(text))
    return table


def print_one(item: Mapping[str, Any], output: Format | None) -> None:
    if wants_json(output):
        print_json(item)
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in item.items():
        table.add_row(_heading(name), escape(_text(value)))
    Console().print(table)


def note(text: str) -> None:
    Console(stderr=True, soft_wrap=True, highlight=False).print(escape(text))


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is deleted; refuse where nobody can answer.

    Raises:
        CommandFailure: the answer was no, or there is no terminal and no `--yes`.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandFailure(
            "this needs a confirmation", remedy="Add `--yes`.", exit_code=ExitCode.USAGE
        )
    if not typer.confirm(question, err=True):
        raise CommandFailure("nothing was changed")


def _heading(name: str) -> str:
    return name.replace("_", " ").replace("-", " ")


def _text(value: Any) -> str:
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case list() if all(isinstance(item, str) for item in value):
            return ", ".join(value)
        case list() | dict():
            return json.dumps(value, ensure_ascii=False)
        case _:
            return str(value)
