"""From the decoded records of manifests to columns of files: what each field means."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final
from uuid import UUID

import numpy as np

from graticule.iceberg.values import DECIMAL_DIGITS_MAX, decode_value
from graticule.planning.file_columns import ABSENT, FileColumns, encoded_details
from graticule.planning.ragged import ByteMaps, IntMaps, RaggedBytes, RaggedInts
from graticule.storage.avro_columns import Column, Decoder, Ints, NotColumnar
from graticule.storage.manifest_records import CONTENT, DATA_FILE, PATH, STATUS
from graticule.storage.manifests import ADDED, Manifest

_SEQUENCE, _FILE_SEQUENCE = 3, 4
_FORMAT, _PARTITION, _SPLIT_OFFSETS, _EQUALITY_IDS = 101, 102, 132, 135
_NUMBERS: Final = {
    "size_bytes": 104,
    "record_count": 103,
    "sort_order_id": 140,
    "first_row_id": 142,
}
_COUNTS: Final = {
    "column_sizes": 108,
    "value_counts": 109,
    "null_value_counts": 110,
    "nan_value_counts": 137,
}
_BOUNDS: Final = {"lower_bounds": 125, "upper_bounds": 128}
_UNUSUAL: Final = (131, 143, 144, 145)
"""Key metadata, and what deletion vectors refer to."""
WANTED: Final = frozenset(
    {
        *(STATUS, DATA_FILE, _SEQUENCE, _FILE_SEQUENCE),
        *(CONTENT, PATH, _FORMAT, _PARTITION, _SPLIT_OFFSETS, _EQUALITY_IDS),
        *(*_NUMBERS.values(), *_COUNTS.values(), *_BOUNDS.values(), *_UNUSUAL),
    }
)
_REQUIRED: Final = (PATH, _FORMAT, _PARTITION, _NUMBERS["size_bytes"], _NUMBERS["record_count"])


def required_number(record: Column, field_id: int) -> Ints:
    column = record.fields.get(field_id)
    if column is None or column.values is None or column.present is not None:
        raise NotColumnar("a field that is required is missing")
    if column.logical["type"] not in ("int", "long"):
        raise NotColumnar("a number that is none")
    return column.values


def files_of(
    decoder: Decoder,
    records: Column,
    status: Ints,
    owner: Ints,
    manifests: Sequence[Manifest],
) -> tuple[FileColumns, tuple[Sequence[object], ...]]:
    rows = len(status)
    file = records.fields[DATA_FILE]
    if any(field_id not in file.fields for field_id in _REQUIRED):
        raise NotColumnar("a field that is required is missing")
    _refuse_unusual(decoder, file, rows)
    paths = _texts(decoder, file.fields[PATH])
    paths.data.tobytes().decode()
    numbers = {name: _numbers(file.fields.get(i), rows) for name, i in _NUMBERS.items()}
    if any((numbers[name] == ABSENT).any() for name in ("size_bytes", "record_count")):
        raise NotColumnar("a size that is required is missing")
    numbers["spec_id"] = np.full(rows, manifests[0].spec_id, np.int64)
    sequences = np.array([_or_absent(m.sequence_number) for m in manifests], np.int64)[owner]
    # Spec: only added files inherit; in v1 there are no sequence numbers and all of them are 0.
    may = (status == ADDED) | (sequences == 0)
    inherited = np.where(may, sequences, ABSENT)
    for name, field_id in (
        ("sequence_number", _SEQUENCE),
        ("file_sequence_number", _FILE_SEQUENCE),
    ):
        own = _numbers(records.fields.get(field_id), rows)
        numbers[name] = np.where(own == ABSENT, inherited, own)
    _inherit_row_ids(numbers, owner, manifests)
    partition = _partition(decoder, file.fields[_PARTITION])
    columns = FileColumns(
        paths=paths,
        numbers=numbers,
        counts={n: _int_maps(file.fields.get(i), rows) for n, i in _COUNTS.items()},
        bounds={n: _byte_maps(decoder, file.fields.get(i), rows) for n, i in _BOUNDS.items()},
        split_offsets=_lists(file.fields.get(_SPLIT_OFFSETS), rows)[0],
        details=RaggedBytes.of([encoded_details(row, {}) for row in zip(*partition, strict=True)])
        if partition
        else RaggedBytes.repeated(b"{}", rows),
    )
    return columns, partition


def _or_absent(number: int | None) -> int:
    return ABSENT if number is None else number


def _refuse_unusual(decoder: Decoder, file: Column, rows: int) -> None:
    content = file.fields.get(CONTENT)
    if content is not None and required_number(file, CONTENT).any():
        raise NotColumnar("delete files")
    for field_id in _UNUSUAL:
        column = file.fields.get(field_id)
        if column is not None and (column.present is None or column.present.any()) and rows:
            raise NotColumnar("a field that few files have")
    if _lists(file.fields.get(_EQUALITY_IDS), rows)[0].values.size:
        raise NotColumnar("equality deletes")
    formats = _texts(decoder, file.fields[_FORMAT])
    if len(formats.data) != rows * len(b"PARQUET") or (
        formats.data.tobytes().lower() != b"parquet" * rows
    ):
        raise NotColumnar("a format other than Parquet")


def _inherit_row_ids(numbers: dict[str, Ints], owner: Ints, manifests: Sequence[Manifest]) -> None:
    """Spec, first row id inheritance: in the order of the entries, from the manifest's own."""
    row_ids = numbers["first_row_id"]
    for number, manifest in enumerate(manifests):
        if manifest.first_row_id is not None:
            heirs = np.flatnonzero((owner == number) & (row_ids == ABSENT))
            counts = numbers["record_count"][heirs]
            row_ids[heirs] = manifest.first_row_id + np.cumsum(counts) - counts


def _numbers(column: Column | None, rows: int) -> Ints:
    numbers = np.full(rows, ABSENT, np.int64)
    if column is None or (column.present is not None and not column.present.any()):
        return numbers
    if column.values is None or column.logical["type"] not in ("int", "long"):
        raise NotColumnar("a number that is none")
    numbers[slice(None) if column.present is None else column.present] = column.values
    return numbers


def _texts(decoder: Decoder, column: Column) -> RaggedBytes:
    if column.values is None or column.lengths is None or column.present is not None:
        raise NotColumnar("a text that is none")
    return RaggedBytes.gathered(decoder.data, column.values, column.lengths)


def _lists(column: Column | None, rows: int) -> tuple[RaggedInts, Column | None]:
    """Lists of numbers; of others the items as they are, and their counts."""
    counts = np.zeros(rows, np.int64)
    if column is None or (column.present is not None and not column.present.any()):
        return RaggedInts.counted(counts, None), None
    if column.counts is None:
        raise NotColumnar("a list that is none")
    counts[slice(None) if column.present is None else column.present] = column.counts
    items = column.items
    if items is None or items.fields:
        return RaggedInts.counted(counts, None), items
    if items.values is None or items.logical["type"] not in ("int", "long"):
        raise NotColumnar("a list of something else")
    return RaggedInts.counted(counts, items.values), items


def _maps(column: Column | None, rows: int) -> tuple[RaggedInts, Column | None]:
    """Keys, and the column of the values; Iceberg's maps are lists of pairs in Avro."""
    lists, items = _lists(column, rows)
    if items is None:
        return lists, None
    if len(items.fields) != 2:
        raise NotColumnar("a map that is none")
    keys, values = items.fields.values()
    if keys.values is None or keys.logical["type"] not in ("int", "long"):
        raise NotColumnar("a map with other keys")
    return RaggedInts(lists.offsets, keys.values), values


def _int_maps(column: Column | None, rows: int) -> IntMaps:
    keys, values = _maps(column, rows)
    if values is None:
        return IntMaps(keys, np.zeros(0, np.int64))
    if values.values is None or values.logical["type"] not in ("int", "long"):
        raise NotColumnar("a map with other values")
    return IntMaps(keys, values.values)


def _byte_maps(decoder: Decoder, column: Column | None, rows: int) -> ByteMaps:
    keys, values = _maps(column, rows)
    if values is None:
        return ByteMaps(keys, RaggedBytes.of([]))
    return ByteMaps(keys, _texts(decoder, values))


# Partition values, as `iceberg.values` has them.


def _partition(decoder: Decoder, record: Column) -> tuple[list[object], ...]:
    if record.present is not None:
        raise NotColumnar("no partition")
    return tuple(_values(decoder, column) for column in record.fields.values())


def _values(decoder: Decoder, column: Column) -> list[object]:
    found = _present_values(decoder, column)
    if column.present is None:
        return found
    values: list[object] = [None] * len(column.present)
    for at, value in zip(np.flatnonzero(column.present).tolist(), found, strict=True):
        values[at] = value
    return values


def _present_values(decoder: Decoder, column: Column) -> list[object]:
    if column.values is None:
        if column.present is None or column.present.any():
            raise NotColumnar("a partition value of another kind")
        return []
    kind = column.logical["type"]
    if column.lengths is None:
        if kind == "boolean":
            return [value != 0 for value in column.values.tolist()]
        return list(column.values.tolist())
    texts = _texts(decoder, Column(values=column.values, lengths=column.lengths))
    data, ends = texts.data.tobytes(), texts.offsets.tolist()
    convert = _converter(column)
    return [convert(data[first:last]) for first, last in pairwise(ends)]


def _converter(column: Column) -> Callable[[bytes], object]:
    logical = column.logical
    match logical["type"], logical.get("logicalType"):
        case "string", _:
            return bytes.decode
        case "fixed", "uuid":
            return lambda data: UUID(bytes=data)
        case _, "decimal":
            exact = f"decimal({DECIMAL_DIGITS_MAX}, {int(logical.get('scale', 0))})"
            return lambda data: decode_value(exact, data)
    return bytes
