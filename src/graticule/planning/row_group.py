"""One row group of one file: its bytes, its rows, and where they lie.  Values only.

The arrays that hold those of many files are `row_groups`.
"""

from dataclasses import dataclass
from typing import NamedTuple

from graticule.spatial.bounding_box import FileBox


class RowGroupSpan(NamedTuple):
    """Which bytes of a file a row group takes, and how many rows it has."""

    offset: int
    size_bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class RowGroup:
    """`ordinal` counts from 0 within the file; `box` is of one geometry column, or of a pair."""

    ordinal: int
    span: RowGroupSpan
    box: FileBox
