"""The account that the demo gives of itself: what was shown, and whether all of it held."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from graticule.demo.map_window import WindowRead

Json = dict[str, Any]

PRUNED_SHARE_MAX: Final = 0.1
"""Of the files of a table in spatial order that a city's window may touch."""


@dataclass(frozen=True, slots=True)
class Account:
    """`reads` has the table in spatial order first.  `failures` is empty when all of it held."""

    window_name: str
    window: str
    objects: int
    bytes_total: int
    checks_passed: int
    checks_skipped: int
    reads: Sequence[WindowRead]
    left_out: Sequence[tuple[str, str]]
    neighbour_refused: bool
    seconds: float
    failures: Sequence[str]

    @property
    def held(self) -> bool:
        return not self.failures

    def to_json(self) -> Json:
        return {
            "tables": len(self.reads),
            "files_total": sum(read.files_total for read in self.reads),
            "files_planned": sum(read.files_planned for read in self.reads),
            "rows_window": sum(read.rows_window for read in self.reads),
            "rows_equal": all(read.rows_equal for read in self.reads),
            "neighbour_refused": self.neighbour_refused,
            "seconds": round(self.seconds, 2),
        }

    def print(self, console: Console) -> None:
        console.print()
        console.print(_headline(self))
        console.print(_tables(self.reads))
        console.print(_remarks(self))


def _headline(account: Account) -> RenderableType:
    return Text.assemble(
        "A map window around ",
        (account.window_name, "bold"),
        f" ({account.window}), read by an unmodified PyIceberg:\n",
    )


def _tables(reads: Sequence[WindowRead]) -> RichTable:
    table = RichTable(box=None, padding=(0, 1), header_style="dim")
    table.add_column("table", no_wrap=True)
    for heading in ("files", "read", "size", "saved", "rows", "in window"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("as full scan", justify="center")
    for read in reads:
        saved = 1 - read.bytes_planned / read.bytes_total if read.bytes_total else 0.0
        table.add_row(
            Text(read.table, style="bold"),
            str(read.files_total),
            str(read.files_planned),
            size(read.bytes_total),
            f"{saved:.0%}",
            f"{read.rows_total:,}",
            f"{read.rows_window:,}",
            _mark(read.rows_equal),
        )
    return table


def _remarks(account: Account) -> RenderableType:
    lines = [
        Text(""),
        Text.assemble(
            _mark(account.neighbour_refused),
            " the credential vended for one table was refused at its neighbour",
        ),
    ]
    lines += [
        Text.assemble(("– ", "yellow"), "left out ", (key, "bold"), f": {reason}")
        for key, reason in account.left_out
    ]
    lines += [Text.assemble(("✗ ", "bold red"), failure) for failure in account.failures]
    lines.append(Text(f"\n{account.seconds:.1f} seconds in all", style="dim"))
    return Group(*lines)


def _mark(holds: bool) -> Text:
    return Text("✓", style="bold green") if holds else Text("✗", style="bold red")


def size(count_bytes: float) -> str:
    """A size as people write it."""
    for unit in ("B", "kB", "MB"):
        if count_bytes < 1000:
            return f"{count_bytes:.0f} {unit}" if unit == "B" else f"{count_bytes:.1f} {unit}"
        count_bytes /= 1000
    return f"{count_bytes:.1f} GB"
