"""`graticule function`: SQL functions, which engines list and load."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from graticule.cli.connection import connect, segment
from graticule.cli.failures import CommandFailure, ExitCode
from graticule.cli.output import Output, Yes, confirm, note, print_list, print_one
from graticule.cli.table import LEVEL_SEPARATOR, namespace_path, split_identifier, split_name

app = typer.Typer(help="SQL functions.", no_args_is_help=True)

Name = Annotated[
    str,
    typer.Argument(
        help="catalog.namespace.function; a dot inside a name is written \\.", metavar="FUNCTION"
    ),
]
Version = Annotated[
    int | None, typer.Option("--version", min=1, help="Only if it still is at this version")
]
_COLUMNS: Final = ("name", "definitions", "doc", "version", "updated_at")
_STDIN: Final = "-"


@app.command("list")
def list_functions(
    namespace: Annotated[str, typer.Argument(help="catalog.namespace")], output: Output = None
) -> None:
    """List the functions of a namespace."""
    catalog, *levels = split_name(
        namespace, parts_min=2, form="catalog.namespace", what="namespace"
    )
    with connect() as api:
        functions = api.list(_folder(catalog, LEVEL_SEPARATOR.join(levels)))
        print_list(functions, _COLUMNS, output)


@app.command("show")
def show(name: Name, output: Output = None) -> None:
    """Show a function with its metadata."""
    folder, function = _split(name)
    with connect() as api:
        print_one(api.get(f"{folder}/{segment(function)}"), output)


@app.command("set")
def set_function(
    name: Name,
    file: Annotated[
        str, typer.Option("--file", "-f", help="JSON with `definitions`; `-` reads standard input")
    ],
    version: Version = None,
    output: Output = None,
) -> None:
    """Create a function, or say anew what it does.

    Without --version it replaces whatever version there is.
    """
    folder, function = _split(name)
    wanted = _read(file)
    path = f"{folder}/{segment(function)}"
    with connect() as api:
        if version is None:
            version = _current_version(api, path)
        if version is None:
            done = api.post(folder, {**wanted, "name": function})
        else:
            done = api.put(path, {**wanted, "version": version})
    print_one(done, output)


@app.command("drop")
def drop(name: Name, yes: Yes = False, version: Version = None) -> None:
    """Drop a function."""
    folder, function = _split(name)
    confirm(f"Drop the function {name}?", yes=yes)
    with connect() as api:
        api.delete(f"{folder}/{segment(function)}", {"version": version})
    note(f"Dropped {name}.")


def _split(name: str) -> tuple[str, str]:
    catalog, namespace, function = split_identifier(name, what="function")
    return _folder(catalog, namespace), function


def _folder(catalog: str, namespace: str) -> str:
    return f"{namespace_path(catalog, namespace)}/functions"


def _current_version(api: Any, path: str) -> int | None:
    try:
        return int(api.get(path)["version"])
    except CommandFailure as failure:
        if failure.exit_code is ExitCode.NOT_FOUND:
            return None
        raise


def _read(file: str) -> dict[str, Any]:
    text = sys.stdin.read() if file == _STDIN else Path(file).read_text(encoding="utf-8")
    try:
        wanted = json.loads(text)
    except ValueError as error:
        raise CommandFailure(f"`{file}` is not JSON: {error}", exit_code=ExitCode.USAGE) from error
    if not isinstance(wanted, dict):
        raise CommandFailure(f"`{file}` is not a JSON object", exit_code=ExitCode.USAGE)
    return wanted
