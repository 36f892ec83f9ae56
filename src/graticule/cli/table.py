"""`graticule table`: what a catalog has of tables, which of their files an area touches, and how
those are laid out and indexed.
"""

import re
from typing import Annotated, Any, Final

import typer

from graticule.cli.connection import connect, segment
from graticule.cli.failures import CommandFailure, ExitCode
from graticule.cli.output import Format, Output, note, print_json, print_list, print_one, wants_json
from graticule.cli.table_listing import table_of, tables_of

app = typer.Typer(help="Tables and their files.", no_args_is_help=True)

LEVEL_SEPARATOR: Final = "\x1f"
_DOT: Final = re.compile(r"(?<!\\)\.")

QUESTION_TIMEOUT_S: Final = 300.0
"""The first question about a snapshot may have to wait for its index."""

_SHARES: Final = ("files_share", "bytes_share", "ideal_share")
_WINDOW_COLUMNS: Final = ("name", "width", "height", *_SHARES)
_INDEX_COLUMNS: Final = ("snapshot_id", "files", "unknown_files", "created_at", "damage")
_STATES: Final = {
    "ready": "The index of the current snapshot is there.",
    "missing": "The index of the current snapshot is not built yet; who needs it builds it.",
    "damaged": "The index of the current snapshot is damaged: answers are right, and take longer.",
    "not_needed": "The table has no snapshot, or neither geometries nor positions: no index.",
}
_PRINTED_APART: Final = frozenset({"columns", "properties"})
_SCHEMA_COLUMNS: Final = ("name", "type", "required", "doc")
_COLUMNS: Final = ("path", "rows", "size_bytes", "box_status", "boxes")


@app.command("list")
def list_tables(
    catalog: Annotated[str, typer.Argument(help="Name or id", metavar="CATALOG")],
    namespace: Annotated[
        str | None, typer.Option(help="Only in this namespace, and in those inside it")
    ] = None,
    output: Output = None,
) -> None:
    """List the tables of a catalog."""
    levels: list[str] = []
    if namespace is not None:
        levels = split_name(namespace, parts_min=1, form="namespace", what="namespace")
    with connect() as api:
        print_list(tables_of(api, catalog, levels), ("namespace", "name"), output)


@app.command("show")
def show(
    table: Annotated[str, typer.Argument(help="catalog.namespace.table")], output: Output = None
) -> None:
    """Show a table: its columns, where it lies, its snapshot, its rows and files, its places."""
    catalog, namespace, name = split_identifier(table)
    with connect() as api:
        found = table_of(api, catalog, namespace.split(LEVEL_SEPARATOR), name)
    if wants_json(output):
        print_json(found)
        return
    print_one({key: value for key, value in found.items() if key not in _PRINTED_APART}, output)
    typer.echo("\nColumns:")
    print_list(found["columns"], _SCHEMA_COLUMNS, Format.TABLE)
    if found["properties"]:
        typer.echo("\nProperties:")
        properties = [{"name": name, "value": text} for name, text in found["properties"].items()]
        print_list(properties, ("name", "value"), Format.TABLE)


@app.command("files")
def files(  # noqa: PLR0917 - each is an option
    table: Annotated[
        str,
        typer.Argument(help="catalog.namespace.table; a dot inside a name is written \\."),
    ],
    bbox: Annotated[
        str | None,
        typer.Option(help="west,south,east,north; west > east crosses the antimeridian"),
    ] = None,
    geometry: Annotated[str | None, typer.Option(help="WKT or GeoJSON, instead of a box")] = None,
    crs: Annotated[
        str | None, typer.Option(help="The area's reference system, as in EPSG:3857, or native")
    ] = None,
    column: Annotated[str | None, typer.Option(help="A geometry column")] = None,
    ref: Annotated[str | None, typer.Option(help="A branch or tag")] = None,
    row_groups: Annotated[
        bool, typer.Option("--row-groups", help="Look into the files as well (JSON)")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="List at most so many files")] = None,
    output: Output = None,
) -> None:
    """List the files of a table that an area may touch, and what skipping the rest saves."""
    question = {
        "bbox": bbox,
        "geometry": geometry,
        "crs": crs,
        "column": column,
        "ref": ref,
        "level": "row_group" if row_groups else None,
        "limit": limit,
    }
    with connect() as api:
        found = api.post(f"{_path(table)}/files/search", question, timeout_s=QUESTION_TIMEOUT_S)
    if wants_json(output):
        print_json(found)
        return
    print_list(found["files"], _COLUMNS, Format.TABLE)
    note(summary(found["totals"]))
    if found["reason"]:
        note(f"Nothing was left out: {found['reason']}.")


@app.command("layout")
def layout(
    table: Annotated[str, typer.Argument(help="catalog.namespace.table")],
    column: Annotated[str | None, typer.Option(help="A geometry column")] = None,
    ref: Annotated[str | None, typer.Option(help="A branch or tag")] = None,
    output: Output = None,
) -> None:
    """Show how well a table is laid out for windows, and what would help."""
    with connect() as api:
        found = api.get(f"{_path(table)}/layout", {"column": column, "ref": ref})
    if wants_json(output):
        print_json(found)
        return
    windows = [
        {**window, **{name: f"{window[name]:.1%}" for name in _SHARES}}
        for window in found["windows"]
    ]
    print_list(windows, _WINDOW_COLUMNS, Format.TABLE)
    totals, mean = found["totals"], found["overlap_mean"]
    overlap = "" if mean is None else f"; an average point lies in {mean:.1f}"
    note(f"{totals['files']:,} files, {found['unknown_files']:,} of them unknown{overlap}")
    for line in found["advice"] or ["Nothing to improve was found."]:
        note(line)


@app.command("index")
def index(
    table: Annotated[str, typer.Argument(help="catalog.namespace.table")], output: Output = None
) -> None:
    """Show which indexes of a table are stored, and whether they are sound."""
    with connect() as api:
        found = api.get(f"{_path(table)}/index")
    if wants_json(output):
        print_json(found)
        return
    print_list(found["indexes"], _INDEX_COLUMNS, Format.TABLE)
    note(_STATES[found["state"]])
    if found["job_id"]:
        note(f"At work: graticule job show {found['job_id']}")


def _path(table: str) -> str:
    """Where the management API has a table."""
    catalog, namespace, name = split_identifier(table)
    return f"{namespace_path(catalog, namespace)}/tables/{segment(name)}"


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
