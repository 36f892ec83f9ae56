"""Avro records decoded column by column: each step of the schema is taken by all records at once.

Avro gives no lengths of records, so where they begin is found by trying every place that could be a
beginning, and proven by each record ending where the next begins.  What this reader does not know
it refuses; `avro_io` reads the same files record by record.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Json = Any
Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

SKIP: Final = "skip"
"""Key of a field of a schema that is passed over."""

_MAGIC: Final = b"Obj\x01"
_SYNC_BYTES: Final = 16
_VARINT_BYTES_MAX: Final = 10
_ITEMS_MAX: Final = 10_000
"""Of one array; who has more is read record by record."""
_PADDING: Final = np.zeros(64, np.uint8)
_DEFLATED: Final = -zlib.MAX_WBITS
_BLOCK_BYTES_MAX: Final = 256 * 1024 * 1024


class NotColumnar(Exception):
    """Damaged, or of a shape that only the other reader knows."""


@dataclass(frozen=True, slots=True)
class AvroBlocks:
    """A file after its header, decompressed; `counts` and `lengths` are of its blocks."""

    schema_text: bytes
    counts: tuple[int, ...]
    lengths: tuple[int, ...]
    payload: bytes

    @property
    def record_count(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class Column:
    """Values of one field, of the records that have one: `present` is None when all do.

    Numbers are in `values`; bytes lie in the buffer from `values` for `lengths`; a record has
    `fields` by field id, and a list has `counts` and the `items` of all lists in one column.
    """

    present: npt.NDArray[np.bool_] | None = None
    values: npt.NDArray[Any] | None = None
    lengths: Ints | None = None
    fields: Mapping[int, "Column"] = field(default_factory=dict)
    counts: Ints | None = None
    items: "Column | None" = None
    logical: Mapping[str, Any] = field(default_factory=dict)
    """The Avro type of the values."""


def open_blocks(data: bytes) -> AvroBlocks:
    """The blocks of an Avro file, each checked for its sync marker.

    Raises:
        NotColumnar: cut short, damaged, or with a codec other than null and deflate.
    """
    try:
        return _open_blocks(data)
    except (IndexError, ValueError, zlib.error) as error:
        raise NotColumnar(str(error)) from error


def _open_blocks(data: bytes) -> AvroBlocks:
    if not data.startswith(_MAGIC):
        raise NotColumnar("not Avro")
    metadata: dict[bytes, bytes] = {}
    at = len(_MAGIC)
    while True:
        count, at = _long(data, at)
        if count == 0:
            break
        if count < 0:
            count = -count
            _, at = _long(data, at)
        for _ in range(count):
            key, at = _bytes(data, at)
            metadata[key], at = _bytes(data, at)
    sync = data[at : at + _SYNC_BYTES]
    at += _SYNC_BYTES
    codec = metadata.get(b"avro.codec", b"null")
    if codec not in (b"null", b"deflate"):
        raise NotColumnar(f"codec {codec!r}")
    counts, blocks = [], []
    while at < len(data):
        count, at = _long(data, at)
        block, at = _bytes(data, at)
        if data[at : at + _SYNC_BYTES] != sync or count < 0:
            raise NotColumnar("a block is not where it should be")
        at += _SYNC_BYTES
        blocks.append(block if codec == b"null" else _inflated(block))
        # Every record takes a byte at least; a count beyond that would only cost memory.
        if count > len(blocks[-1]):
            raise NotColumnar("a block of more records than bytes")
        counts.append(count)
    return AvroBlocks(
        metadata.get(b"avro.schema", b""), tuple(counts), tuple(map(len, blocks)), b"".join(blocks)
    )


def _inflated(block: bytes) -> bytes:
    inflater = zlib.decompressobj(_DEFLATED)
    data = inflater.decompress(block, _BLOCK_BYTES_MAX)
    if not inflater.eof:
        raise NotColumnar("a block is cut short, or too large")
    return data


def _long(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for number in range(_VARINT_BYTES_MAX):
        byte = data[at + number]
        value |= (byte & 0x7F) << (7 * number)
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at + number + 1
    raise NotColumnar("a number is too long")


def _bytes(data: bytes, at: int) -> tuple[bytes, int]:
    length, at = _long(data, at)
    if length < 0 or at + length > len(data):
        raise NotColumnar("cut short")
    return data[at : at + length], at + length


def parsed_schema(text: bytes) -> Json:
    """The schema with every name replaced by what it names.

    Raises:
        NotColumnar: not a schema, or one that refers to itself.
    """
    try:
        return _resolved(json.loads(text), {})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotColumnar("the schema cannot be read") from error


_PRIMITIVES: Final = frozenset(
    {"null", "boolean", "int", "long", "float", "double", "bytes", "string"}
)


def _resolved(node: Json, names: dict[str, Json]) -> Json:
    if isinstance(node, list):
        return [_resolved(branch, names) for branch in node]
    if isinstance(node, str):
        return {"type": node} if node in _PRIMITIVES else names[node]
    kind = node["type"]
    if isinstance(kind, dict | list):
        return _resolved(kind, names)
    resolved = dict(node)
    match kind:
        case "record":
            if not all(isinstance(one["field-id"], int) and one["name"] for one in node["fields"]):
                raise NotColumnar("a field without an id")
            resolved["fields"] = [
                {**one, "type": _resolved(one["type"], names)} for one in node["fields"]
            ]
        case "array":
            resolved["items"] = item = _resolved(node["items"], names)
            # Iceberg writes a map as a list of pairs.
            if "element-id" not in node and (
                node["logicalType"] != "map"
                or [one["name"] for one in item["fields"]] != ["key", "value"]
            ):
                raise NotColumnar("a list that is none of Iceberg's")
        case "fixed":
            pass
        case _ if kind not in _PRIMITIVES:
            raise NotColumnar(f"type {kind}")
    if "name" in node:
        names[node["name"]] = resolved
    return resolved


class Decoder:
    """Positions in a buffer go from field to field; one that leaves it is lost and stays so."""

    def __init__(self, payload: bytes) -> None:
        self.data: Bytes = np.concatenate([np.frombuffer(payload, np.uint8), _PADDING])
        self.size = len(payload)
        self.lost = self.size + 1

    def read(self, schema: Json, at: Ints, *, keep: bool = True) -> tuple[Column, Ints]:
        """What stands at each position, and where each ends; fields marked `SKIP` are left out.

        Raises:
            NotColumnar: a type that is not known here.
        """
        if isinstance(schema, list):
            return self._union(schema, at, keep=keep)
        match schema["type"]:
            case "null":
                return Column(logical=schema), at
            case "int" | "long":
                numbers, at = self.longs(at)
                return Column(values=numbers, logical=schema), at
            case "boolean":
                return Column(values=self.data[at], logical=schema), self._moved(at, 1)
            case "float" | "double" as kind:
                size = 4 if kind == "float" else 8
                values = None
                if keep:
                    raw = self.data[np.minimum(at, self.size)[:, None] + np.arange(size)]
                    values = np.ascontiguousarray(raw).view(f"<f{size}").reshape(-1)
                return Column(values=values, logical=schema), self._moved(at, size)
            case "bytes" | "string":
                lengths, at = self.longs(at)
                end = self._moved(at, lengths)
                return Column(values=at, lengths=lengths, logical=schema), end
            case "fixed":
                lengths = np.full(len(at), int(schema["size"]), np.int64)
                return Column(values=at, lengths=lengths, logical=schema), self._moved(at, lengths)
            case "record":
                return self._record(schema, at, keep=keep)
            case "array":
                return self._array(schema, at, keep=keep)
        raise NotColumnar(f"type {schema['type']}")

    def longs(self, at: Ints) -> tuple[Ints, Ints]:
        """Zigzag variable-length integers."""
        byte = self.data[at]
        end = at + 1
        more = np.flatnonzero(byte >= 0x80)
        if not more.size:  # as with most counts, keys and branches of unions
            np.minimum(end, self.lost, out=end)
            small = byte.view(np.int8)
            return ((small >> 1) ^ -(small & 1)).astype(np.int64), end
        value = (byte & 0x7F).astype(np.uint64)
        for shift in range(7, 7 * _VARINT_BYTES_MAX, 7):
            if not more.size:
                break
            byte = self.data[np.minimum(end[more], self.lost)]
            value[more] |= (byte & 0x7F).astype(np.uint64) << np.uint64(shift)
            end[more] += 1
            more = more[byte >= 0x80]
        end[more] = self.lost
        np.minimum(end, self.lost, out=end)
        signed = (value >> np.uint64(1)).view(np.int64) ^ -(value & np.uint64(1)).view(np.int64)
        return signed, end

    def _moved(self, at: Ints, by: Ints | int) -> Ints:
        if isinstance(by, int):
            end = at + by
            return np.where(end > self.size, self.lost, end)
        fits = (by >= 0) & (by <= self.size - at)
        return np.where(fits, at + by, self.lost)

    def _record(self, schema: Json, at: Ints, *, keep: bool) -> tuple[Column, Ints]:
        columns = {}
        for one in schema["fields"]:
            wanted = keep and SKIP not in one
            column, at = self.read(one["type"], at, keep=wanted)
            if wanted:
                columns[one["field-id"]] = column
        return Column(fields=columns, logical=schema), at

    def _union(self, branches: list[Json], at: Ints, *, keep: bool) -> tuple[Column, Ints]:
        kinds = [None if isinstance(b, list) else b["type"] for b in branches]
        if len(branches) != 2 or kinds.count("null") != 1:
            raise NotColumnar("a union of more than null and one type")
        null = kinds.index("null")
        branch, at = self.longs(at)
        present = branch == 1 - null
        known = present | (branch == null)
        if not known.all():
            at = np.where(known, at, self.lost)
        if present.all():
            return self.read(branches[1 - null], at, keep=keep)
        rows = np.flatnonzero(present)
        if not rows.size:
            return Column(present=present, logical=branches[1 - null]), at
        column, ends = self.read(branches[1 - null], at[rows], keep=keep)
        if column.present is not None:
            raise NotColumnar("a union in a union")
        at[rows] = ends
        return _with_present(column, present), at

    def _array(self, schema: Json, at: Ints, *, keep: bool) -> tuple[Column, Ints]:
        """Blocks of items until one that has none; most writers write one block."""
        item = schema["items"]
        totals = np.zeros(len(at), np.int64)
        parts: list[Column] = []
        owners: list[Ints] = []
        open_: Ints = np.arange(len(at))
        at = at.copy()
        while open_.size:
            counts, here = self.longs(at[open_])
            sized = np.flatnonzero(counts < 0)
            if sized.size:
                counts[sized] = -counts[sized]
                _, here[sized] = self.longs(here[sized])
            too_many = (counts > _ITEMS_MAX) | (counts < 0)
            counts[too_many], here[too_many] = 0, self.lost
            at[open_] = here
            kept = counts > 0
            open_, counts, here = open_[kept], counts[kept], here[kept]
            totals[open_] += counts
            number, rows = 0, open_
            while rows.size:
                column, here = self.read(item, here, keep=keep)
                at[rows] = here
                if keep:
                    parts.append(column)
                    owners.append(rows)
                number += 1
                going = (counts > number) & (here <= self.size)
                if not going.all():
                    rows, here, counts = rows[going], here[going], counts[going]
            open_ = open_[at[open_] <= self.size]
        if not keep:
            return Column(logical=schema), at
        return Column(counts=totals, items=_in_order(parts, owners), logical=schema), at


def _with_present(column: Column, present: npt.NDArray[np.bool_]) -> Column:
    return Column(
        present,
        column.values,
        column.lengths,
        column.fields,
        column.counts,
        column.items,
        column.logical,
    )


def _in_order(parts: Sequence[Column], owners: Sequence[Ints]) -> Column | None:
    """The items of the first, the second, … place of all lists, list after list."""
    if not parts:
        return None
    if len(parts) == 1:
        return parts[0]
    order = np.argsort(np.concatenate(owners), kind="stable")
    return _joined(parts, order)


def _joined(parts: Sequence[Column], order: Ints) -> Column:
    first = parts[0]
    if any(part.present is not None or part.counts is not None for part in parts):
        raise NotColumnar("a list of lists, or with nulls")
    values = [part.values for part in parts if part.values is not None]
    lengths = [part.lengths for part in parts if part.lengths is not None]
    return Column(
        values=np.concatenate(values)[order] if values else None,
        lengths=np.concatenate(lengths)[order] if lengths else None,
        fields={
            field_id: _joined([part.fields[field_id] for part in parts], order)
            for field_id in first.fields
        },
        logical=first.logical,
    )
