"""The files of one proposed table, found among those of the bucket whenever they are asked for.

Pure.  A proposal over a million files is no larger than one over ten: what belongs to it is told
by the folder, the name and the columns of each file.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from graticule.discovery.assembly import Membership
from graticule.discovery.bunches import Inspections
from graticule.discovery.grouping import CandidateFiles
from graticule.discovery.hive_columns import hive_text
from graticule.discovery.inspection import FileInspection
from graticule.discovery.proposal import HiveColumn, ProposedFile


@dataclass(frozen=True, slots=True, eq=False)
class ProposedFiles:
    """In the order of keys.  `number` is that of the draft, and `root` is around all files."""

    files: CandidateFiles
    inspections: Inspections
    membership: Membership
    number: int
    root: str
    hive_columns: Sequence[HiveColumn] = ()

    def with_hive_columns(self, columns: Sequence[HiveColumn]) -> "ProposedFiles":
        return replace(self, hive_columns=columns)

    def __iter__(self) -> Iterator[ProposedFile]:
        for file in self.files.below(self.root):
            inspection = self.inspections.get(file.object.key)
            if not isinstance(inspection, FileInspection):
                continue
            if self.membership.of(file, inspection) == self.number:
                yield ProposedFile(
                    key=file.object.key,
                    size_bytes=file.object.size_bytes,
                    etag=file.object.etag,
                    rows=inspection.rows,
                    hive=tuple(hive_text(file, column.name) for column in self.hive_columns),
                )

    def first_stranger(self) -> str | None:
        """The first key of another table's file below the root."""
        for file in self.files.below(self.root):
            number = self.membership.of(file, self.inspections.get(file.object.key))
            if isinstance(number, int) and number != self.number:
                return file.object.key
        return None
