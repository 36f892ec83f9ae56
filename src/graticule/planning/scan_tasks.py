"""The tasks of one answer to a plan, each with the delete files that apply to it.  Pure."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from graticule.iceberg import expressions, metadata
from graticule.iceberg.expressions import Expression
from graticule.planning.columns import fields_by_name, unpartitioned
from graticule.planning.delete_files import DeleteFiles
from graticule.planning.files import DataFileEntry
from graticule.planning.partition_fields import PartitionField, result_type
from graticule.planning.tasks import content_file, file_scan_task

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
        self.delete_files: list[Json] = []
        self._stats = stats
        self._residual = expressions.to_json(expressions.weakened(residual))
        types = _all_types(document)
        self._partition_types = {
            spec_id: [result_type(f.transform, types.get(f.source_id, "string")) for f in fields]
            for spec_id, fields in specs.items()
        }
        self._deletes = deletes
        self._applying = DeleteFiles(deletes, unpartitioned_specs=unpartitioned(specs))
        self._places: dict[int, int] = {}

    def add(self, entry: DataFileEntry) -> None:
        self.tasks.append(
            file_scan_task(
                entry,
                self._residual,
                partition_types=self._partition_types[entry.spec_id],
                stats_fields=self._stats,
                delete_file_references=[self._place(at) for at in self._applying.of(entry)],
            )
        )

    def _place(self, position: int) -> int:
        """Where in `delete_files` a delete file is."""
        if position not in self._places:
            delete = self._deletes[position]
            self._places[position] = len(self.delete_files)
            self.delete_files.append(
                content_file(delete, partition_types=self._partition_types[delete.spec_id])
            )
        return self._places[position]


def _all_types(document: Json) -> dict[int, str]:
    """Types of all columns there ever were: a spec may name one that is gone."""
    return {
        int(field["id"]): field["type"]
        for schema in metadata.schemas(document)
        for _, field in fields_by_name(schema)
    }
