"""Read manifest lists and manifests of any format version and writer.  Writing is next door.

Bytes in, values out; nothing here talks to a store.
Spec: https://iceberg.apache.org/spec/#manifests, #manifest-lists, #sequence-number-inheritance.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from pyiceberg.manifest import DATA_FILE_TYPE, PARTITION_FIELD_SUMMARY_TYPE
from pyiceberg.schema import Schema
from pyiceberg.types import (
    BinaryType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    StructType,
)

from graticule.domain.errors import UnreadableFile
from graticule.planning.files import DATA, EQUALITY_DELETES, POSITION_DELETES, DataFileEntry
from graticule.storage.avro_io import read_avro

EXISTING, ADDED, DELETED = 0, 1, 2
"""Status of an entry."""

CONTENTS: Final = (DATA, POSITION_DELETES, EQUALITY_DELETES)
"""Content of a data file by its number."""


@dataclass(frozen=True, slots=True)
class FieldSummary:
    """Of one partition field over all entries of a manifest; bounds in binary."""

    contains_null: bool
    contains_nan: bool | None
    lower: bytes | None
    upper: bytes | None


@dataclass(frozen=True, slots=True)
class Manifest:
    """One row of a manifest list.

    Sequence numbers are None until the list of the commit that wrote the manifest assigns them.
    Counts are None where old writers left them out.
    """

    path: str
    size_bytes: int
    spec_id: int
    added_snapshot_id: int
    holds_deletes: bool = False
    sequence_number: int | None = None
    min_sequence_number: int | None = None
    added_files_count: int | None = None
    existing_files_count: int | None = None
    deleted_files_count: int | None = None
    added_rows_count: int | None = None
    existing_rows_count: int | None = None
    deleted_rows_count: int | None = None
    partitions: tuple[FieldSummary, ...] | None = None
    key_metadata: bytes | None = None
    first_row_id: int | None = None

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def entry_count(self) -> int | None:
        counts = (self.added_files_count, self.existing_files_count, self.deleted_files_count)
        return None if None in counts else sum(count or 0 for count in counts)

    @property
    def may_hold_live_files(self) -> bool:
        return self.added_files_count != 0 or self.existing_files_count != 0


def _optional(field_id: int, name: str, type_: Any, default: Any = None) -> NestedField:
    return NestedField(field_id, name, type_, required=False, initial_default=default)


_LIST_SCHEMA: Final = Schema(
    NestedField(500, "manifest_path", StringType(), required=True),
    _optional(501, "manifest_length", LongType()),
    _optional(502, "partition_spec_id", IntegerType()),
    _optional(503, "added_snapshot_id", LongType()),
    _optional(517, "content", IntegerType(), 0),
    _optional(515, "sequence_number", LongType(), 0),
    _optional(516, "min_sequence_number", LongType(), 0),
    _optional(504, "added_files_count", IntegerType()),
    _optional(505, "existing_files_count", IntegerType()),
    _optional(506, "deleted_files_count", IntegerType()),
    _optional(512, "added_rows_count", LongType()),
    _optional(513, "existing_rows_count", LongType()),
    _optional(514, "deleted_rows_count", LongType()),
    _optional(507, "partitions", ListType(508, PARTITION_FIELD_SUMMARY_TYPE)),
    _optional(519, "key_metadata", BinaryType()),
    _optional(520, "first_row_id", LongType()),
)
"""Of all versions at once: what a version lacks is None, or the default the spec gives."""

_ENTRY_SCHEMA: Final = Schema(
    NestedField(0, "status", IntegerType(), required=True),
    _optional(3, "sequence_number", LongType()),
    _optional(4, "file_sequence_number", LongType()),
    NestedField(
        2,
        "data_file",
        StructType(
            *DATA_FILE_TYPE[3].fields,
            # Deprecated and not used, but PyIceberg cannot skip a map that it is not asked for.
            _optional(111, "distinct_counts", MapType(123, IntegerType(), 124, LongType())),
        ),
        required=True,
    ),
)
_DATA_FILE_FIELDS: Final = range(len(DATA_FILE_TYPE[3].fields))


def read_manifest_list(data: bytes, *, of: str = "manifest list") -> list[Manifest]:
    """Read the manifests of a snapshot; `of` names the file in errors.

    Raises:
        UnreadableFile: not a manifest list.
    """
    return [_manifest(record) for record in read_avro(data, schema=_LIST_SCHEMA, of=of)]


def _manifest(record: Any) -> Manifest:
    (
        path,
        size_bytes,
        spec_id,
        snapshot_id,
        content,
        sequence_number,
        min_sequence_number,
        added_files,
        existing_files,
        deleted_files,
        added_rows,
        existing_rows,
        deleted_rows,
        partitions,
        key_metadata,
        first_row_id,
    ) = (record[position] for position in range(len(_LIST_SCHEMA.fields)))
    return Manifest(
        path=path,
        size_bytes=size_bytes or 0,
        spec_id=spec_id or 0,
        added_snapshot_id=snapshot_id or 0,
        holds_deletes=content != 0,
        sequence_number=sequence_number or 0,
        min_sequence_number=min_sequence_number or 0,
        added_files_count=added_files,
        existing_files_count=existing_files,
        deleted_files_count=deleted_files,
        added_rows_count=added_rows,
        existing_rows_count=existing_rows,
        deleted_rows_count=deleted_rows,
        partitions=None if partitions is None else tuple(map(_field_summary, partitions)),
        key_metadata=key_metadata,
        first_row_id=first_row_id,
    )


def _field_summary(record: Any) -> FieldSummary:
    return FieldSummary(record[0], record[1], record[2], record[3])


def read_entries(manifest_list: bytes, fetch: Callable[[str], bytes]) -> Iterator[DataFileEntry]:
    """Every live file of a snapshot: data files, and delete files as they come.

    Raises:
        UnreadableFile: the list or a manifest is not one, or is cut short.
    """
    for manifest in read_manifest_list(manifest_list):
        if manifest.may_hold_live_files:
            yield from read_manifest(fetch(manifest.path), manifest)


def read_manifest(data: bytes, manifest: Manifest) -> list[DataFileEntry]:
    """The live entries of one manifest, with everything inherited that they inherit.

    Raises:
        UnreadableFile: not a manifest, or not as many entries as the manifest list says.
    """
    return [entry for status, entry in read_statuses(data, manifest) if status != DELETED]


def read_statuses(data: bytes, manifest: Manifest) -> list[tuple[int, DataFileEntry]]:
    """All entries of one manifest, those too that its snapshot deleted, each with its status.

    Raises:
        UnreadableFile: not a manifest, or not as many entries as the manifest list says.
    """
    entries = []
    count = 0
    next_row_id = manifest.first_row_id
    for record in read_avro(data, schema=_ENTRY_SCHEMA, of=manifest.path):
        count += 1
        status = record[0]
        entry = _entry(record, manifest)
        # Spec, first row id inheritance: in the order of the entries, from the manifest's own.
        if (
            next_row_id is not None
            and status != DELETED
            and entry.first_row_id is None
            and entry.content == DATA
        ):
            entry = replace(entry, first_row_id=next_row_id)
            next_row_id += entry.record_count
        entries.append((status, entry))
    # PyIceberg takes an Avro file that is cut between two blocks for a complete one.
    if manifest.entry_count is not None and count != manifest.entry_count:
        raise UnreadableFile(
            f"`{manifest.path}` has {count} entries, but its manifest list says "
            f"{manifest.entry_count}"
        )
    return entries


def _entry(record: Any, manifest: Manifest) -> DataFileEntry:
    status, sequence, file_sequence, file = (record[position] for position in range(4))
    # Spec: only added files inherit; in v1 there are no sequence numbers and all of them are 0.
    inherited = (
        manifest.sequence_number if status == ADDED or not manifest.sequence_number else None
    )
    (
        content,
        path,
        file_format,
        partition,
        record_count,
        size_bytes,
        column_sizes,
        value_counts,
        null_value_counts,
        nan_value_counts,
        lower_bounds,
        upper_bounds,
        key_metadata,
        split_offsets,
        equality_ids,
        sort_order_id,
        first_row_id,
        referenced_data_file,
        content_offset,
        content_size_bytes,
    ) = (file[position] for position in _DATA_FILE_FIELDS)
    if content not in range(len(CONTENTS)):
        raise UnreadableFile(f"`{manifest.path}` has a file of content {content}, which is none")
    return DataFileEntry(
        path=path,
        size_bytes=size_bytes,
        record_count=record_count,
        spec_id=manifest.spec_id,
        partition=tuple(partition[position] for position in range(len(partition))),
        content=CONTENTS[content],
        file_format=str(file_format).lower(),
        sort_order_id=sort_order_id,
        column_sizes=column_sizes or {},
        value_counts=value_counts or {},
        null_value_counts=null_value_counts or {},
        nan_value_counts=nan_value_counts or {},
        lower_bounds=lower_bounds or {},
        upper_bounds=upper_bounds or {},
        split_offsets=tuple(split_offsets or ()),
        equality_ids=tuple(equality_ids or ()),
        sequence_number=inherited if sequence is None else sequence,
        file_sequence_number=inherited if file_sequence is None else file_sequence,
        key_metadata=key_metadata,
        referenced_data_file=referenced_data_file,
        content_offset=content_offset,
        content_size_bytes=content_size_bytes,
        first_row_id=first_row_id,
    )
