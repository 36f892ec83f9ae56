"""`graticule integration browse`, `download` and `link`: what lies in a storage integration."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Final

import typer

from graticule.cli.connection import connect, segment
from graticule.cli.failures import CommandFailure, ExitCode
from graticule.cli.output import Output, note, print_list, print_one

if TYPE_CHECKING:
    from graticule.cli.client import ManagementApi

STDOUT: Final = "-"
LINK_LIFETIME_S: Final = 300

Name = Annotated[str, typer.Argument(help="Name or id", metavar="INTEGRATION")]
FilePath = Annotated[str, typer.Argument(help="Path of the file inside the integration")]
_COLUMNS: Final = ("kind", "path", "size_bytes", "last_modified", "etag")


def browse(
    name: Name,
    prefix: Annotated[
        str, typer.Argument(help="A folder, with its `/`, or how names begin", metavar="[PREFIX]")
    ] = "",
    *,
    recursive: Annotated[
        bool, typer.Option("--recursive", help="Everything below, not folder by folder")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many")] = None,
    output: Output = None,
) -> None:
    """List folders and files of an integration."""
    with connect() as api:
        params = {"prefix": prefix, "delimiter": "" if recursive else "/"}
        print_list(_first(api.list(_objects(name), params), limit), _COLUMNS, output)


def download(
    name: Name,
    path: FilePath,
    *,
    to: Annotated[
        str | None, typer.Option(help="File to write, or `-`; default: the same name, here")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there")] = False,
) -> None:
    """Download a file.  It appears under its name once it is there as a whole."""
    target = to or path.rpartition("/")[2]
    with connect() as api:
        if target == STDOUT:
            _copy(api, name, path, sys.stdout.buffer)
            return
        file = Path(target)
        if file.is_dir():
            file /= path.rpartition("/")[2]
        if file.exists() and not force:
            raise CommandFailure(
                f"`{file}` exists", remedy="Add `--force` to replace it.", exit_code=ExitCode.USAGE
            )
        draft = file.with_name(f".{file.name}.{os.getpid()}.part")
        try:
            with draft.open("xb") as sink:
                size = _copy(api, name, path, sink)
            draft.replace(file)
        except OSError as error:
            raise CommandFailure(f"could not write `{file}`: {error.strerror}") from error
        finally:
            draft.unlink(missing_ok=True)
    note(f"Wrote {file} ({size} bytes).")


def link(
    name: Name,
    path: FilePath,
    lifetime_s: Annotated[
        int, typer.Option(min=1, max=LINK_LIFETIME_S, help="How long it works, in seconds")
    ] = LINK_LIFETIME_S,
    output: Output = None,
) -> None:
    """Make a link that reads one file without a credential, for a few minutes."""
    with connect() as api:
        body = {"path": path, "lifetime_s": lifetime_s}
        print_one(api.post(f"{_objects(name)}/link", body), output)


def _copy(api: "ManagementApi", name: str, path: str, sink: BinaryIO) -> int:
    """Write the file to `sink`, with a progress bar; how many bytes it has."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        Progress,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    size = 0
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=_size_of(api, name, path))
        for chunk in api.stream(f"{_objects(name)}/content", {"path": path}):
            sink.write(chunk)
            size += len(chunk)
            bar.update(task, completed=size)
    return size


def _size_of(api: "ManagementApi", name: str, path: str) -> int | None:
    page = api.get(_objects(name), {"prefix": path, "limit": 1})
    sizes = [item["size_bytes"] for item in page["items"] if item["path"] == path]
    return sizes[0] if sizes else None


def _first(items: Iterator[dict[str, Any]], limit: int | None) -> Iterator[dict[str, Any]]:
    for number, item in enumerate(items):
        if number == limit:
            return
        yield item


def _objects(name: str) -> str:
    return f"/integrations/{segment(name)}/objects"
