"""The tasks of one answer to a plan, each with the delete files that apply to it.  Pure."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from graticule.iceberg import expressions
from graticule.iceberg.expressions import Expression
from graticule.planning.delete_files import ToldDeletes
from graticule.planning.files import DataFileEntry
from graticule.planning.partition_fields import PartitionField
from graticule.planning.tasks import content_file, file_scan_task, partition_types

Json = dict[str, Any]


class ScanTasks:
    """Collects tasks as JSON; `delete_files` are those that the tasks refer to, once each."""

    def __init__(
        self,
        document: Json,
        specs: Mapping[int, Sequence[PartitionField]],
        deletes: Sequence[DataFileEntry],
        residual: Expression,
        stats: Collection[int],
    ) -> None:
        self.tasks: list[Json] = []
        self._stats = stats
        self._residual = expressions.to_json(expressions.weakened(residual))
        self._partition_types = partition_types(document)
        self._deletes = ToldDeletes(deletes, specs)

    @property
    def delete_files(self) -> list[Json]:
        return [
            content_file(delete, partition_types=self._partition_types[delete.spec_id])
            for delete in self._deletes.files
        ]

    def add(self, entry: DataFileEntry) -> None:
        self.tasks.append(
            file_scan_task(
                entry,
                self._residual,
                partition_types=self._partition_types[entry.spec_id],
                stats_fields=self._stats,
                delete_file_references=self._deletes.of(entry),
            )
        )
