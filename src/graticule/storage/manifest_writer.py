"""Write manifests and manifest lists of format versions 2 and 3.  Reading is next door.

Values in, bytes out; nothing here talks to a store.
Spec: https://iceberg.apache.org/spec/#manifests, #manifest-lists, #sequence-number-inheritance,
#first-row-id-inheritance.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from pyiceberg.manifest import (
    MANIFEST_LIST_FILE_SCHEMAS,
    data_file_with_partition,
    manifest_entry_schema_with_data_file,
)
from pyiceberg.types import NestedField, StructType

from graticule.domain.batches import batched
from graticule.domain.errors import UnreadableFile
from graticule.iceberg.values import encode_value
from graticule.planning.files import DATA, DataFileEntry
from graticule.storage.avro_io import Json, schema_model, spec_model, write_avro
from graticule.storage.manifests import ADDED, CONTENTS, DELETED, EXISTING, FieldSummary, Manifest

FormatVersion = Literal[2, 3]

MANIFEST_ENTRIES_MAX: Final = 1000
"""Few enough that the summary of a spatially ordered manifest is a small box."""


@dataclass(frozen=True, slots=True)
class WrittenManifest:
    """A manifest that has yet to be stored, at `manifest.path`."""

    manifest: Manifest
    data: bytes


def manifest_path(folder: str, *, token: str, number: int) -> str:
    return f"{folder.rstrip('/')}/{token}-m{number}.avro"


def manifest_list_path(folder: str, *, token: str, snapshot_id: int, attempt: int = 1) -> str:
    return f"{folder.rstrip('/')}/snap-{snapshot_id}-{attempt}-{token}.avro"


def write_manifests(
    entries: Sequence[DataFileEntry],
    *,
    schema: Json,
    spec: Json,
    snapshot_id: int,
    folder: str,
    token: str,
    format_version: FormatVersion = 2,
    deleted: Sequence[DataFileEntry] = (),
    entries_max: int = MANIFEST_ENTRIES_MAX,
) -> list[WrittenManifest]:
    """Data manifests of at most `entries_max` entries each, in the order given.

    An entry without a sequence number is new in this snapshot; one with is carried over.  `deleted`
    are entries that this snapshot removes, which go to manifests of their own.  `token` makes the
    paths unique, `folder` is the table's metadata folder.
    """
    for entry in (*entries, *deleted):
        if entry.spec_id != spec["spec-id"] or entry.content != DATA:
            raise ValueError(f"`{entry.path}` does not belong into a data manifest of this spec")
    writer = _ManifestWriter(schema, spec, snapshot_id, format_version)
    added = [entry for entry in entries if entry.sequence_number is None]
    existing = [entry for entry in entries if entry.sequence_number is not None]
    batches = [(batch, False) for kind in (added, existing) for batch in batched(kind, entries_max)]
    batches += [(batch, True) for batch in batched(deleted, entries_max)]
    return [
        writer.write(batch, manifest_path(folder, token=token, number=number), removed=removed)
        for number, (batch, removed) in enumerate(batches)
    ]


def stream_manifests(
    entries: Iterable[DataFileEntry],
    *,
    schema: Json,
    spec: Json,
    snapshot_id: int,
    folder: str,
    token: str,
) -> Iterator[WrittenManifest]:
    """Manifests of version 2 of entries that are all new, each as soon as it is full."""
    writer = _ManifestWriter(schema, spec, snapshot_id, 2)
    for number, batch in enumerate(batched(entries, MANIFEST_ENTRIES_MAX)):
        yield writer.write(batch, manifest_path(folder, token=token, number=number), removed=False)


def _in_avro(partition_type: StructType) -> StructType:
    """The same fields under names that every Avro library takes; readers go by their ids.

    Java and PyIceberg allow letters of any script, but Avro's C library, which DuckDB has, ends the
    process over them.
    """
    return StructType(
        *(
            NestedField(field.field_id, _avro_name(field.name), field.field_type, required=False)
            for field in partition_type.fields
        )
    )


def _avro_name(name: str) -> str:
    """Spelled as the reference implementation spells what it has to: `_x` and the code point."""
    plain = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter == "_") else f"_x{ord(letter):X}"
        for letter in name
    )
    return f"_{plain}" if plain[0].isdigit() else plain


class _ManifestWriter:
    """Everything that manifests of one spec share."""

    def __init__(
        self, schema: Json, spec: Json, snapshot_id: int, format_version: FormatVersion
    ) -> None:
        self._format_version = format_version
        partition_type = _in_avro(spec_model(spec).partition_type(schema_model(schema)))
        self._types = [str(field.field_type) for field in partition_type.fields]
        self._avro_schema = manifest_entry_schema_with_data_file(
            format_version, data_file_with_partition(partition_type, format_version)
        )
        self._spec_id = int(spec["spec-id"])
        self._snapshot_id = snapshot_id
        self._metadata = {
            # Our document and not PyIceberg's view of it, which lacks geometry types.
            "schema": json.dumps(schema, separators=(",", ":")),
            "schema-id": str(schema.get("schema-id", 0)),
            "partition-spec": json.dumps(spec["fields"], separators=(",", ":")),
            "partition-spec-id": str(self._spec_id),
            "format-version": str(format_version),
            "content": "data",
            "avro.codec": "deflate",
        }

    def write(
        self, entries: Sequence[DataFileEntry], path: str, *, removed: bool
    ) -> WrittenManifest:
        files, rows = [0, 0, 0], [0, 0, 0]
        records = []
        for entry in entries:
            status = _status(entry, removed=removed)
            files[status] += 1
            rows[status] += entry.record_count
            records.append(self._record(entry, status))
        data = write_avro(
            records, schema=self._avro_schema, name="manifest_entry", metadata=self._metadata
        )
        manifest = Manifest(
            path=path,
            size_bytes=len(data),
            spec_id=self._spec_id,
            added_snapshot_id=self._snapshot_id,
            min_sequence_number=min((entry.sequence_number or 0 for entry in entries), default=None)
            if files[EXISTING]
            else None,
            added_files_count=files[ADDED],
            existing_files_count=files[EXISTING],
            deleted_files_count=files[DELETED],
            added_rows_count=rows[ADDED],
            existing_rows_count=rows[EXISTING],
            deleted_rows_count=rows[DELETED],
            partitions=tuple(self._summaries(entries)),
        )
        return WrittenManifest(manifest, data)

    def _record(self, entry: DataFileEntry, status: int) -> tuple[Any, ...]:
        is_new = status == ADDED
        return (
            status,
            # None is inherited by readers.  Who added a carried-over file is not known here.
            self._snapshot_id if status != EXISTING else None,
            None if is_new else entry.sequence_number,
            None if is_new else entry.file_sequence_number,
            (
                CONTENTS.index(entry.content),
                entry.path,
                entry.file_format.upper(),
                entry.partition,
                entry.record_count,
                entry.size_bytes,
                dict(entry.column_sizes),
                dict(entry.value_counts),
                dict(entry.null_value_counts),
                dict(entry.nan_value_counts),
                dict(entry.lower_bounds),
                dict(entry.upper_bounds),
                entry.key_metadata,
                list(entry.split_offsets) or None,
                list(entry.equality_ids) or None,
                entry.sort_order_id,
                *self._of_version_3(entry, is_new=is_new),
            ),
        )

    def _of_version_3(self, entry: DataFileEntry, *, is_new: bool) -> tuple[Any, ...]:
        """What a data file has since then; rows that are new inherit their ids."""
        if self._format_version == 2:
            return ()
        referenced_data_file = content_offset = content_size_bytes = None
        first_row_id = None if is_new else entry.first_row_id
        return (first_row_id, referenced_data_file, content_offset, content_size_bytes)

    def _summaries(self, entries: Sequence[DataFileEntry]) -> Iterator[FieldSummary]:
        for position, type_ in enumerate(self._types):
            values = [entry.partition[position] for entry in entries]
            present = [value for value in values if value is not None and not _is_nan(value)]
            yield FieldSummary(
                contains_null=any(value is None for value in values),
                contains_nan=any(_is_nan(value) for value in values),
                lower=_bound(type_, min(present, default=None)),  # type: ignore[type-var]
                upper=_bound(type_, max(present, default=None)),  # type: ignore[type-var]
            )


def _status(entry: DataFileEntry, *, removed: bool) -> int:
    if removed:
        return DELETED
    return ADDED if entry.sequence_number is None else EXISTING


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _bound(type_: str, value: object) -> bytes | None:
    return None if value is None else encode_value(type_, value)


def _summary_records(partitions: tuple[FieldSummary, ...] | None) -> list[tuple[Any, ...]] | None:
    if partitions is None:
        return None
    return [(part.contains_null, part.contains_nan, part.lower, part.upper) for part in partitions]


def with_row_ids(manifests: Iterable[Manifest], next_row_id: int) -> tuple[list[Manifest], int]:
    """Give the rows of data manifests their ids, where they have none; and the next id after them.

    Also those that were carried over from a version without: there is room for all of their rows.

    Raises:
        UnreadableFile: a manifest of an old writer, whose rows nobody has counted.
    """
    numbered = []
    for manifest in manifests:
        if manifest.holds_deletes or manifest.first_row_id is not None:
            numbered.append(manifest)
            continue
        counts = (manifest.added_rows_count, manifest.existing_rows_count)
        if None in counts:
            raise UnreadableFile(
                f"the manifest list does not say how many rows `{manifest.path}` has"
            )
        numbered.append(replace(manifest, first_row_id=next_row_id))
        next_row_id += sum(count or 0 for count in counts)
    return numbered, next_row_id


def write_manifest_list(
    manifests: Iterable[Manifest],
    *,
    snapshot_id: int,
    parent_snapshot_id: int | None,
    sequence_number: int,
    first_row_id: int | None = None,
) -> bytes:
    """The manifest list of a snapshot; manifests that this commit wrote get `sequence_number`.

    With the snapshot's `first_row_id` it is one of version 3, whose manifests have theirs already.
    """
    format_version: FormatVersion = 2 if first_row_id is None else 3
    records = []
    for manifest in manifests:
        is_new = manifest.sequence_number is None
        if is_new and manifest.added_snapshot_id != snapshot_id:
            raise ValueError(f"`{manifest.path}` has no sequence number and is of another snapshot")
        least = manifest.min_sequence_number
        records.append(
            (
                manifest.path,
                manifest.size_bytes,
                manifest.spec_id,
                int(manifest.holds_deletes),
                sequence_number if is_new else manifest.sequence_number,
                sequence_number if least is None else least,
                manifest.added_snapshot_id,
                manifest.added_files_count or 0,
                manifest.existing_files_count or 0,
                manifest.deleted_files_count or 0,
                manifest.added_rows_count or 0,
                manifest.existing_rows_count or 0,
                manifest.deleted_rows_count or 0,
                None
                if manifest.partitions is None
                else [
                    (s.contains_null, s.contains_nan, s.lower, s.upper) for s in manifest.partitions
                ],
                manifest.key_metadata,
                *(() if format_version == 2 else (manifest.first_row_id,)),
            )
        )
    parent = "null" if parent_snapshot_id is None else str(parent_snapshot_id)
    return write_avro(
        records,
        schema=MANIFEST_LIST_FILE_SCHEMAS[format_version],
        name="manifest_file",
        metadata={
            "snapshot-id": str(snapshot_id),
            "parent-snapshot-id": parent,
            "sequence-number": str(sequence_number),
            **({} if first_row_id is None else {"first-row-id": str(first_row_id)}),
            "format-version": str(format_version),
            "avro.codec": "deflate",
        },
    )
