"""`graticule table`: what a map window touches of a table."""

import re
from typing import Annotated, Any, Final

import typer

from graticule.cli.connection import connect, segment
from graticule.cli.failures import CommandFailure, ExitCode
from graticule.cli.output import Format, Output, note, print_json, print_list, wants_json

app = typer.Typer(help="Tables and their files.", no_args_is_help=True)

LEVEL_SEPARATOR: Final = "\x1f"
_DOT: Final = re.compile(r"(?<!\\)\.")

_COLUMNS: Final = ("path", "rows", "size_bytes", "box_status", "boxes")


@app.command("files")
def files(
    table: Annotated[
        str,
        typer.Argument(help="catalog.namespace.table; a dot inside a name is written \\."),
    ],
    bbox: Annotated[
        str | None,
        typer.Option(help="west,south,east,north; west > east crosses the antimeridian"),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="List at most so many files")] = None,
    output: Output = None,
) -> None:
    """List the files of a table that a map window may touch, and what skipping the rest saves."""
    catalog, namespace, name = split_identifier(table)
    path = f"{namespace_path(catalog, namespace)}/tables/{segment(name)}/files"
    with connect() as api:
        found = api.get(path, {"bbox": bbox, "limit": limit})
    if wants_json(output):
        print_json(found)
        return
    print_list(found["files"], _COLUMNS, Format.TABLE)
    note(summary(found["totals"]))


def split_identifier(text: str, *, what: str = "table") -> tuple[str, str, str]:
    """Catalog, namespace levels joined by 0x1F, and table.

    Raises:
        CommandFailure: fewer than three parts, or an empty one.
    """
    parts = split_name(text, parts_min=3, form=f"catalog.namespace.{what}", what=what)
    return parts[0], LEVEL_SEPARATOR.join(parts[1:-1]), parts[-1]


def split_name(text: str, *, parts_min: int, form: str, what: str) -> list[str]:
    """The parts of a dotted name.

    Raises:
        CommandFailure: too few, or an empty one.
    """
    parts = [part.replace("\\.", ".") for part in _DOT.split(text)]
    if len(parts) < parts_min or not all(parts):
        raise CommandFailure(
            f"`{text}` does not name a {what}", remedy=f"Write {form}.", exit_code=ExitCode.USAGE
        )
    return parts


def namespace_path(catalog: str, namespace: str) -> str:
    """Where the management API has a namespace.  0x1F at the end keeps dots inside one level."""
    one_level = LEVEL_SEPARATOR not in namespace and "." in namespace
    text = namespace + LEVEL_SEPARATOR if one_level else namespace
    return f"/catalogs/{segment(catalog)}/namespaces/{segment(text)}"


def summary(totals: dict[str, Any]) -> str:
    return (
        f"{totals['files_kept']:,} of {totals['files']:,} files, "
        f"{totals['rows_kept']:,} of {totals['rows']:,} rows, "
        f"{totals['bytes_kept']:,} of {totals['bytes']:,} bytes"
    )
