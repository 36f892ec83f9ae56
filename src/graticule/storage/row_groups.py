"""What a footer says of its row groups and their columns, whoever has read it.  No I/O."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import pyarrow.parquet as pq

from graticule.storage.arrow_types import FileSchema, Leaf


class Chunks(NamedTuple):
    """One column, by row group.  What is not written is None, also among `lows` and `highs`, which
    are raw; both are empty if they were not asked for.
    """

    sizes: Sequence[int]
    values: Sequence[int]
    nulls: Sequence[int | None]
    lows: Sequence[Any]
    highs: Sequence[Any]


class PlaceStatistics(NamedTuple):
    """Geospatial statistics of one column in one row group."""

    types: Sequence[int]
    xmin: float | None
    xmax: float | None
    ymin: float | None
    ymax: float | None
    zmin: float | None
    zmax: float | None
    mmin: float | None
    mmax: float | None


class RowGroups(Protocol):
    """The row groups of one file, in order."""

    @property
    def rows(self) -> Sequence[int]: ...

    @property
    def starts(self) -> Sequence[tuple[int, int]]:
        """Where the first column of each begins, and its bytes; none for a file without columns."""

    def sizes(self, leaf: Leaf) -> Sequence[int]:
        """The bytes of a column, compressed."""

    def chunks(self, leaf: Leaf, *, with_bounds: bool) -> Chunks: ...

    def place(self, leaf: Leaf, group: int) -> PlaceStatistics | None: ...


class Footer(NamedTuple):
    """As much of a footer as an inspection needs."""

    schema: FileSchema
    rows: int
    row_groups: RowGroups
    key_values: Mapping[bytes, bytes]
    created_by: str


class ArrowRowGroups:
    """As pyarrow has read them."""

    def __init__(self, metadata: pq.FileMetaData) -> None:
        """Take hold of them.

        Raises:
            ValueError: a row group has not the columns of the schema.
        """
        self._groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
        # pyarrow aborts the process when a column is asked for that a row group does not have.
        if any(group.num_columns != metadata.num_columns for group in self._groups):
            raise ValueError("its row groups do not have the columns of its schema")
        self._has_columns = metadata.num_columns > 0
        self.rows: list[int] = [group.num_rows for group in self._groups]

    @property
    def starts(self) -> list[tuple[int, int]]:
        if not self._has_columns:
            return []
        starts = []
        for chunk in [group.column(0) for group in self._groups]:
            start = chunk.data_page_offset
            if chunk.has_dictionary_page and chunk.dictionary_page_offset:
                start = min(start, chunk.dictionary_page_offset)
            starts.append((start, chunk.total_compressed_size))
        return starts

    def sizes(self, leaf: Leaf) -> list[int]:
        return [group.column(leaf.ordinal).total_compressed_size for group in self._groups]

    def chunks(self, leaf: Leaf, *, with_bounds: bool) -> Chunks:
        """Calls of pyarrow are what it costs, so each is made once."""
        chunks = [group.column(leaf.ordinal) for group in self._groups]
        found = [chunk.statistics for chunk in chunks]
        lows: list[Any] = []
        highs: list[Any] = []
        if with_bounds:
            bounded = [each is not None and each.has_min_max for each in found]
            both = list(zip(found, bounded, strict=True))
            lows = [each.min_raw if is_bounded else None for each, is_bounded in both]
            highs = [each.max_raw if is_bounded else None for each, is_bounded in both]
        return Chunks(
            [chunk.total_compressed_size for chunk in chunks],
            [chunk.num_values for chunk in chunks],
            [
                each.null_count if each is not None and each.has_null_count else None
                for each in found
            ],
            lows,
            highs,
        )

    def place(self, leaf: Leaf, group: int) -> PlaceStatistics | None:
        chunk = self._groups[group].column(leaf.ordinal)
        found = chunk.geo_statistics if chunk.is_geo_stats_set else None
        if found is None:
            return None
        return PlaceStatistics(
            found.geospatial_types or (),
            *(found.xmin, found.xmax, found.ymin, found.ymax),
            *(found.zmin, found.zmax, found.mmin, found.mmax),
        )
