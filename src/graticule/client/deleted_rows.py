"""Which rows of a data file are deleted: by position, by deletion vector, by equal values.

The server says which delete files apply to a data file; here they are read and applied.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.io import FileIO
from pyiceberg.schema import Schema
from pyiceberg.table.deletion_vector import deletion_vectors_from_puffin_file
from pyiceberg.table.puffin import PuffinFile

from graticule.client.errors import ClientError
from graticule.client.listing import ListedFile

Positions = npt.NDArray[np.int64]
Key = tuple[object, ...]
ReadParquet = Callable[
    [Mapping[str, Any], Schema, Sequence[int] | None], Iterator[tuple[int, pa.RecordBatch]]
]

EQUALITY_DELETES: Final = "equality-deletes"
_NAN: Final = object()
"""Stands for NaN in keys: in Iceberg it equals itself, as null does."""


@dataclass(frozen=True, slots=True)
class EqualRows:
    """Rows that have one of the keys in these columns are deleted."""

    ids: frozenset[int]
    keys: frozenset[Key]


@dataclass(frozen=True, slots=True)
class Deleted:
    """What is deleted of one data file."""

    positions: Positions
    equal: tuple[EqualRows, ...]

    @property
    def equality_ids(self) -> frozenset[int]:
        """Columns that have to be read to know."""
        return frozenset(field_id for each in self.equal for field_id in each.ids)

    def kept(
        self, batch: pa.RecordBatch, start: int, schema: Schema
    ) -> npt.NDArray[np.bool_] | None:
        """Which rows are still there, of a batch that begins at row `start`; None: all."""
        if not len(self.positions) and not self.equal:
            return None
        kept = ~np.isin(np.arange(start, start + batch.num_rows), self.positions)
        for each in self.equal:
            names = _names(schema, each.ids)
            kept &= np.fromiter(
                (key not in each.keys for key in _keys(batch, names)), np.bool_, batch.num_rows
            )
        return kept


NOTHING: Final = Deleted(np.zeros(0, np.int64), ())


class DeletedRows:
    """Reads each delete file once.  Safe to share between threads."""

    def __init__(
        self, io: FileIO, read: ReadParquet, with_ids: Callable[[AbstractSet[int]], Schema]
    ) -> None:
        self._io = io
        self._read = read
        self._with_ids = with_ids
        self._guard = threading.Lock()
        self._positions: dict[str, Mapping[str, Positions]] = {}
        self._equal: dict[str, EqualRows] = {}

    def of(self, file: ListedFile) -> Deleted:
        """What is deleted of a file.

        Raises:
            ClientError: a delete file that cannot be read.
        """
        if not file.deletes:
            return NOTHING
        positions, equal = [np.zeros(0, np.int64)], []
        with self._guard:
            for delete in file.deletes:
                if delete["content"] == EQUALITY_DELETES:
                    equal.append(self._equal_rows(delete))
                else:
                    found = self._positions_of(delete).get(file.path)
                    positions += [] if found is None else [found]
        return Deleted(np.unique(np.concatenate(positions)), tuple(equal))

    def _positions_of(self, delete: Mapping[str, Any]) -> Mapping[str, Positions]:
        path = delete["file-path"]
        if path not in self._positions:
            kind = delete["file-format"].lower()
            if kind not in {"parquet", "puffin"}:
                raise ClientError(f"`{path}` deletes rows in a format that is not read: {kind}")
            with self._io.new_input(path).open() as source:
                if kind == "puffin":
                    vectors = deletion_vectors_from_puffin_file(PuffinFile(source.read()))
                    self._positions[path] = {
                        vector.referenced_data_file: vector.to_vector().to_numpy()
                        for vector in vectors
                    }
                else:
                    self._positions[path] = _by_file(
                        pq.ParquetFile(source).read(columns=["file_path", "pos"])
                    )
        return self._positions[path]

    def _equal_rows(self, delete: Mapping[str, Any]) -> EqualRows:
        path = delete["file-path"]
        if path not in self._equal:
            ids = frozenset(int(field_id) for field_id in delete["equality-ids"])
            schema = self._with_ids(ids)
            names = _names(schema, ids)
            keys: set[Key] = set()
            rows = 0
            for _, batch in self._read(delete, schema, None):
                rows += batch.num_rows
                keys.update(_keys(batch, names))
            if rows != delete["record-count"]:
                raise ClientError(f"`{path}` deletes rows by columns that it does not have")
            self._equal[path] = EqualRows(ids, frozenset(keys))
        return self._equal[path]


def _by_file(deletes: pa.Table) -> Mapping[str, Positions]:
    grouped = deletes.group_by("file_path").aggregate([("pos", "list")])
    return {
        path: np.asarray(positions.values, np.int64)
        for path, positions in zip(
            grouped["file_path"].to_pylist(), grouped["pos_list"].combine_chunks(), strict=True
        )
    }


def _names(schema: Schema, ids: AbstractSet[int]) -> list[str]:
    """Full names, in the order of the ids, so that keys of two schemas compare."""
    return [str(schema.find_column_name(field_id)) for field_id in sorted(ids)]


def _keys(batch: pa.RecordBatch, names: Sequence[str]) -> Iterator[Key]:
    columns = []
    for name in names:
        top, *below = name.split(".")
        column = batch[top]
        for part in below:
            column = pc.struct_field(column, part)
        columns.append([_NAN if v != v else v for v in column.to_pylist()])  # noqa: PLR0124
    return zip(*columns, strict=True)
