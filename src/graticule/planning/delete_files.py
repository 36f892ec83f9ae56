"""Which delete files apply to a data file.

Spec: https://iceberg.apache.org/spec/#scan-planning
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from graticule.planning.columns import unpartitioned
from graticule.planning.files import DATA, EQUALITY_DELETES, DataFileEntry
from graticule.planning.partition_fields import PartitionField

PUFFIN: Final = "puffin"
"""The format of deletion vectors, and of nothing else."""

FILE_PATH_ID: Final = 2_147_483_546
"""Field id of `file_path` in position delete files."""

_Partition = tuple[int, tuple[object, ...]]


class DeleteFiles:
    """The delete files of a snapshot, ready to be asked about many data files.

    A position delete and a deletion vector apply to data of their own commit or older, an equality
    delete only to older data; all within one partition, but an equality delete of a spec without
    partitions applies everywhere.  What names one data file, or says between which paths those lie
    that it is about, applies to nothing else.  Where there is a deletion vector it says all that
    position deletes say, so these are left out.
    """

    def __init__(
        self, deletes: Sequence[DataFileEntry], *, unpartitioned_specs: Collection[int] = ()
    ) -> None:
        self._deletes = deletes
        self._vectors: dict[str, list[int]] = defaultdict(list)
        self._of_file: dict[str, list[int]] = defaultdict(list)
        self._of_partition: dict[_Partition, list[int]] = defaultdict(list)
        self._equality: dict[_Partition, list[int]] = defaultdict(list)
        self._everywhere: list[int] = []
        for at, delete in enumerate(deletes):
            if delete.content == DATA:
                continue
            if delete.content == EQUALITY_DELETES:
                if not delete.partition or delete.spec_id in unpartitioned_specs:
                    self._everywhere.append(at)
                else:
                    self._equality[_partition(delete)].append(at)
            elif delete.file_format == PUFFIN:
                self._vectors[delete.referenced_data_file or ""].append(at)
            elif delete.referenced_data_file is not None:
                self._of_file[delete.referenced_data_file].append(at)
            else:
                self._of_partition[_partition(delete)].append(at)
        self._paths = {at: _Paths.of(deletes[at]) for at in _flat(self._of_partition)}

    def of(self, entry: DataFileEntry) -> list[int]:
        """The positions, rising, of the delete files that may delete rows of a data file."""
        if not self._deletes:
            return []
        age, partition = _age(entry), _partition(entry)
        vectors = [
            at
            for at in self._vectors.get(entry.path, ())
            if self._age(at) >= age and _partition(self._deletes[at]) == partition
        ]
        found = vectors or list(self._positions(entry, age, partition))
        for of_equality in (self._everywhere, self._equality.get(partition, ())):
            found += [at for at in of_equality if self._age(at) > age]
        return sorted(found)

    def _positions(self, entry: DataFileEntry, age: int, partition: _Partition) -> Iterator[int]:
        for at in self._of_file.get(entry.path, ()):
            if self._age(at) >= age and _partition(self._deletes[at]) == partition:
                yield at
        path = entry.path.encode()
        for at in self._of_partition.get(partition, ()):
            if self._age(at) >= age and self._paths[at].may_hold(path):
                yield at

    def _age(self, at: int) -> int:
        return _age(self._deletes[at])


class ToldDeletes:
    """The delete files that one answer tells: each once, in the order in which files need them."""

    def __init__(
        self, deletes: Sequence[DataFileEntry], specs: Mapping[int, Sequence[PartitionField]]
    ) -> None:
        self.files: list[DataFileEntry] = []
        self._deletes = deletes
        self._applying = DeleteFiles(deletes, unpartitioned_specs=unpartitioned(specs))
        self._places: dict[int, int] = {}

    def of(self, entry: DataFileEntry) -> list[int]:
        """Where in `files` the delete files are that apply to a data file."""
        return [self._place(at) for at in self._applying.of(entry)]

    def _place(self, position: int) -> int:
        if position not in self._places:
            self._places[position] = len(self.files)
            self.files.append(self._deletes[position])
        return self._places[position]


class _Paths:
    """Between which paths the data files lie that a position delete file is about.

    Writers cut bounds short, and not all of them round the upper one up: so only as much of a path
    is compared as the bound has of it.
    """

    __slots__ = ("lower", "upper")

    def __init__(self, lower: bytes, upper: bytes | None) -> None:
        self.lower = lower
        self.upper = upper

    @classmethod
    def of(cls, delete: DataFileEntry) -> "_Paths":
        return cls(
            delete.lower_bounds.get(FILE_PATH_ID, b""), delete.upper_bounds.get(FILE_PATH_ID)
        )

    def may_hold(self, path: bytes) -> bool:
        if path < self.lower:
            return False
        return self.upper is None or path[: len(self.upper)] <= self.upper


def _age(entry: DataFileEntry) -> int:
    """What has no sequence number is older than everything (format version 1)."""
    return entry.sequence_number or 0


def _partition(entry: DataFileEntry) -> _Partition:
    """Partitions are one if no value differs: NaN is itself there, and -0.0 is not 0.0."""
    return entry.spec_id, tuple(
        value.hex() if isinstance(value, float) else value for value in entry.partition
    )


def _flat(groups: Mapping[_Partition, list[int]]) -> Iterator[int]:
    for group in groups.values():
        yield from group
