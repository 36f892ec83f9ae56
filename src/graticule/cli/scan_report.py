"""How `graticule scan` shows what was found: tables with their reasons, then what is left over."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

Json = dict[str, Any]

SKIPPED_SHOWN: Final = 10
REASONS_SHOWN: Final = 6

_COLOURS: Final = {"high": "green", "medium": "yellow", "low": "red"}
_THOUSAND: Final = 1000
_UNITS: Final = ("bytes", "kB", "MB", "GB", "TB", "PB")
_QUOTED: Final = re.compile(r"`[^`]*`|\d+")


def print_report(report: Json, *, catalog: str, scan: str, console: Console | None = None) -> None:
    """The report of a scan on a terminal."""
    out = console or Console()
    tables, convertible = report.get("tables", []), report.get("convertible", [])
    out.print(_tables(tables) if tables else "Nothing that could be a table.")
    for table in tables:
        out.print()
        out.print(f"[bold]{escape(name_of(table))}[/bold]  [dim]{escape(table['root'])}[/dim]")
        for reason in _shortened(table["reasons"]):
            out.print(f"  • {escape(reason)}")
    if convertible:
        out.print("\n[bold]Could be tables after a conversion[/bold]")
        for files in convertible:
            count = _files(files["file-count"])
            out.print(
                f"  • {escape(name_of(files))}: {escape(files['format'])}, {count}, "
                f"{size_of(files['size-bytes'])}  [dim]{escape(files['root'])}[/dim]"
            )
    if report.get("skipped-count"):
        out.print(f"\n[bold]Passed over: {report['skipped-count']:,}[/bold]")
        for line in _skipped(report["skipped"]):
            out.print(f"  • {escape(line)}")
    if any(table["registered-as"] is None for table in tables):
        out.print(
            f"\nRegister all:      graticule scan register {escape(catalog)} {scan}"
            f"\nOnly the sure:     graticule scan register {escape(catalog)} {scan} "
            "--auto-approve high"
            f"\nOne, with a name:  graticule scan register {escape(catalog)} {scan} "
            f"--table {escape(name_of(tables[0]))}=new_name"
        )


def name_of(table: Mapping[str, Any]) -> str:
    """The name that `--table` takes."""
    return ".".join(part for part in (table["namespace"], table["name"]) if part)


def _tables(tables: Sequence[Json]) -> Table:
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("TABLE", "FILES", "ROWS", "SIZE", "PLACE", "PARTITIONED BY", "SURE"):
        justify = "right" if heading in {"FILES", "ROWS", "SIZE"} else "left"
        shown.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for table in tables:
        sure = table["confidence"]
        shown.add_row(
            escape(name_of(table)),
            _number(table["file-count"]),
            _number(table["row-count"]),
            "–" if table["size-bytes"] is None else size_of(table["size-bytes"]),
            escape(_place(table)),
            escape(", ".join(column["name"] for column in table["partitioned-by"]) or "–"),
            f"[dim]is {escape(table['registered-as'])}[/dim]"
            if table["registered-as"]
            else f"[{_COLOURS[sure]}]{sure}[/{_COLOURS[sure]}]",
        )
    return shown


def _place(table: Json) -> str:
    if table["kind"] == "iceberg":
        return "Iceberg table"
    place = table["place"]
    if place is None:
        return "–"
    if place["column"] is None:
        columns = place["box-columns"] or {}
        return f"{columns.get('xmin', 'x')}/{columns.get('ymin', 'y')}"
    return f"{place['column']}, {place['crs'] or 'CRS unknown'}"


def _shortened(reasons: Sequence[str]) -> Iterator[str]:
    yield from reasons[:REASONS_SHOWN]
    if len(reasons) > REASONS_SHOWN:
        yield f"and {len(reasons) - REASONS_SHOWN} more: see `--output json`"


def _skipped(skipped: Sequence[Json]) -> Iterator[str]:
    """Alike reasons once, with an example: a thousand of them are one fact."""
    alike = Counter(_QUOTED.sub("…", entry["reason"]) for entry in skipped)
    first = {_QUOTED.sub("…", entry["reason"]): entry for entry in reversed(skipped)}
    for pattern, count in alike.most_common(SKIPPED_SHOWN):
        entry = first[pattern]
        more = f" (and {count - 1:,} like it)" if count > 1 else ""
        yield f"{entry['key']}: {entry['reason']}{more}"
    if len(alike) > SKIPPED_SHOWN:
        yield f"and {len(alike) - SKIPPED_SHOWN} other reasons: see `--output json`"


def size_of(count: int) -> str:
    """Bytes, as people say them."""
    size, unit = float(count), 0
    while size >= _THOUSAND and unit < len(_UNITS) - 1:
        size, unit = size / _THOUSAND, unit + 1
    return f"{size:,.1f} {_UNITS[unit]}" if unit else f"{count} bytes"


def _number(count: int | None) -> str:
    return "–" if count is None else f"{count:,}"


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"
