"""Folders whose names are values and not words: dates, tiles, numbers, hashes.  Text only.

A word names what lies below it.  A value only says which part of it lies there, so the folders of
many values are one table.
"""

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Final


class FolderKind(StrEnum):
    WORD = "word"
    DATE = "date"
    TILE = "tile"
    NUMBER = "number"
    HASH = "hash"


_YEAR: Final = r"(?:19|20)\d\d"
_DATE: Final = re.compile(
    rf"{_YEAR}"
    rf"|{_YEAR}[-_.]?(?:0[1-9]|1[0-2])"
    rf"|{_YEAR}[-_.]?(?:0[1-9]|1[0-2])[-_.]?(?:0[1-9]|[12]\d|3[01])"
    r"(?:[T_-]?[0-2]\d(?:[-_:.]?[0-5]\d){0,2}(?:\.\d+)?Z?)?"
    rf"|{_YEAR}[-_]?[QqWw]\d{{1,2}}"
)
_TILE: Final = re.compile(r"[zxy]\d{1,8}")
_NUMBER: Final = re.compile(
    r"-?\d+|(?:part|chunk|batch|run|shard|bucket|task|split|partition)[-_.]?\d+", re.IGNORECASE
)
_HASH: Final = re.compile(
    r"(?=.*\d)(?=.*[0-9a-f])[0-9a-f]{12,}"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    re.IGNORECASE,
)
_TILE_DEPTH: Final = 2
"""`z/x/y.parquet` has two folders, and `z/x/y/part-0.parquet` three."""


def kind_of(name: str) -> FolderKind:
    """What the name of one folder looks like."""
    if _DATE.fullmatch(name):
        return FolderKind.DATE
    if _TILE.fullmatch(name):
        return FolderKind.TILE
    if _NUMBER.fullmatch(name):
        return FolderKind.NUMBER
    if _HASH.fullmatch(name):
        return FolderKind.HASH
    return FolderKind.WORD


def describe(values: Sequence[str]) -> tuple[FolderKind, str]:
    """What a row of value folders means together, and how to say it.

    Two digits below a year are months, days and hours.  Numbers below a number are tiles.
    """
    kinds = [kind_of(value) for value in values]
    path = "/".join(values)
    if FolderKind.DATE in kinds:
        return FolderKind.DATE, f"folders by date, such as `{path}`"
    if FolderKind.HASH in kinds:
        return FolderKind.HASH, f"folders by hash, such as `{path}`"
    if FolderKind.TILE in kinds or len(values) >= _TILE_DEPTH:
        return FolderKind.TILE, f"folders by tile, such as `{path}`"
    if values and len(values[0]) > 1 and set(values[0]) <= set("0123"):
        return FolderKind.TILE, f"folders by quadkey, such as `{path}`"
    return FolderKind.NUMBER, f"numbered folders, such as `{path}`"
