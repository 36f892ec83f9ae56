"""Inspect Parquet files by their footers.

Works over a callable that reads byte ranges, so it neither knows nor cares where files are.
Whatever is wrong with a file is an `UnreadableFile`; what is wrong with the store passes through.

One exception: pyarrow ends the process over some footers that contradict themselves.  For files of
strangers use `inspection_workers`, which runs the same functions where that does no harm.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from graticule.discovery.inspection import FileInspection
from graticule.domain.errors import CatalogError, UnreadableFile
from graticule.planning.row_group import RowGroupSpan
from graticule.spatial.geoparquet import GEO_KEY, Broken, GeoMetadata, parse_geo
from graticule.storage.arrow_types import read_schema
from graticule.storage.familiar_footers import FamiliarFooters
from graticule.storage.parquet_boxes import BoxReader
from graticule.storage.parquet_metrics import collect
from graticule.storage.parquet_positions import first_positions
from graticule.storage.row_groups import ArrowRowGroups, Footer

ReadRange = Callable[[int, int], bytes]
"""`read(offset, length)` returns exactly that many bytes of one version of one file."""

TAIL_BYTES: Final = 64 * 1024
"""Read first, in one request: most footers fit."""

FOOTER_BYTES_MAX: Final = 64 * 1024 * 1024
_MAGIC: Final = b"PAR1"
_ENCRYPTED_MAGIC: Final = b"PARE"
_TRAILER_BYTES: Final = 8
_FILE_BYTES_MIN: Final = len(_MAGIC) + _TRAILER_BYTES


def inspect(read: ReadRange, size_bytes: int) -> FileInspection:
    """Everything the footer tells, in one read of 64 KiB, or two when the footer is larger.

    Raises:
        UnreadableFile: not a Parquet file, cut short, encrypted, or corrupt.
    """
    return inspect_footer(fetch_footer(read, size_bytes), size_bytes)


def read_tail(read: ReadRange, size_bytes: int, *, tail_bytes: int = TAIL_BYTES) -> bytes:
    """The end of the file, in which most footers are.

    Raises:
        UnreadableFile: too short for a Parquet file, or shorter than it should be.
    """
    if size_bytes < _FILE_BYTES_MIN:
        raise UnreadableFile(f"{size_bytes} bytes are too few for a Parquet file")
    tail_bytes = min(size_bytes, tail_bytes)
    tail = read(size_bytes - tail_bytes, tail_bytes)
    if len(tail) != tail_bytes:
        raise UnreadableFile(f"{len(tail)} bytes were read where {tail_bytes} should be")
    return tail


def read_footer(read: ReadRange, size_bytes: int) -> pq.FileMetaData:
    """Fetch and parse the footer.

    Raises:
        UnreadableFile: not a Parquet file, cut short, encrypted, or corrupt.
    """
    return parse_footer(fetch_footer(read, size_bytes))


def fetch_footer(read: ReadRange, size_bytes: int, *, tail_bytes: int = TAIL_BYTES) -> bytes:
    """The footer as it ends the file, in one read of `tail_bytes`, or two when it is larger.

    Raises:
        UnreadableFile: not a Parquet file, cut short, or encrypted.
    """
    tail = read_tail(read, size_bytes, tail_bytes=tail_bytes)
    if tail.endswith(_ENCRYPTED_MAGIC):
        raise UnreadableFile("the footer is encrypted")
    if not tail.endswith(_MAGIC):
        raise UnreadableFile("it does not end like a Parquet file")
    footer_bytes = int.from_bytes(tail[-_TRAILER_BYTES : -len(_MAGIC)], "little")
    needed = footer_bytes + _TRAILER_BYTES
    if needed + len(_MAGIC) > size_bytes:
        raise UnreadableFile(f"its footer claims {footer_bytes} bytes of {size_bytes}")
    if footer_bytes > FOOTER_BYTES_MAX:
        raise UnreadableFile(
            f"its footer has {footer_bytes} bytes; at most {FOOTER_BYTES_MAX} are read"
        )
    if needed > len(tail):
        tail = read(size_bytes - needed, needed)
        if len(tail) != needed:
            raise UnreadableFile(f"{len(tail)} bytes were read where {needed} should be")
    return tail[-needed:]


def parse_footer(footer: bytes) -> pq.FileMetaData:
    """What `fetch_footer` has fetched.

    Raises:
        UnreadableFile: it is corrupt.
    """
    try:
        # The magic in front makes pyarrow accept the footer as a file without any data.
        return pq.read_metadata(pa.BufferReader(_MAGIC + footer))
    except Exception as error:
        raise UnreadableFile(f"its footer is corrupt: {error}") from error


FAMILIAR: Final = FamiliarFooters()
"""Those that came before, which only save time."""


def inspect_footer(
    footer: bytes, size_bytes: int, familiar: FamiliarFooters = FAMILIAR
) -> FileInspection:
    """What `fetch_footer` has fetched, understood.

    Raises:
        UnreadableFile: it is corrupt, or contradicts itself or the size of the file.
    """
    alike = familiar.read(footer[:-_TRAILER_BYTES])
    if alike is not None:
        return _understood(alike, size_bytes, len(footer))
    metadata = parse_footer(footer)
    try:
        schema = read_schema(metadata)
        read = Footer(
            schema,
            metadata.num_rows,
            ArrowRowGroups(metadata),
            metadata.metadata or {},
            metadata.created_by or "",
        )
    # A footer that parses may still hold anything: to the caller all of it is one thing.
    except Exception as error:
        raise UnreadableFile(f"its footer cannot be understood: {error!r}") from error
    found = _understood(read, size_bytes, len(footer))
    familiar.learn(
        footer[:-_TRAILER_BYTES],
        read,
        lambda other: _understood(other, size_bytes, len(footer)) == found,
    )
    return found


def _understood(footer: Footer, size_bytes: int, footer_bytes: int) -> FileInspection:
    """The pure part of `inspect`.

    Raises:
        UnreadableFile: the footer contradicts itself or the size of the file.
    """
    try:
        return _inspect(footer, size_bytes - footer_bytes)
    except CatalogError:
        raise
    except Exception as error:
        raise UnreadableFile(f"its footer cannot be understood: {error!r}") from error


def _inspect(footer: Footer, data_end: int) -> FileInspection:
    schema, row_groups = footer.schema, footer.row_groups
    names = [*(field["name"] for field in schema.fields), *schema.unsupported]
    if len(set(names)) != len(names):
        raise UnreadableFile("two of its columns have the same name")
    geo = parse_geo(footer.key_values.get(GEO_KEY.encode()))
    notes = [geo.reason] if isinstance(geo, Broken) else []
    boxes = BoxReader(
        row_groups,
        schema,
        geo if isinstance(geo, GeoMetadata) else None,
        _texts(footer.key_values),
    )
    collected = collect(row_groups, schema.leaves, keep=boxes.needed_statistics)
    geometry = boxes.inspect(collected.statistics)
    positions, doubts = first_positions(boxes.position_pairs(collected.statistics))
    notes.extend(doubts)
    notes.extend(
        f"column `{name}` is {type_}: PyIceberg refuses the files"
        for name, type_ in schema.strange.items()
    )
    spans = _spans(footer, collected.group_bytes, data_end)
    return FileInspection(
        rows=footer.rows,
        row_groups=spans,
        split_offsets=_split_offsets(spans),
        fields=schema.fields,
        metrics=collected.metrics,
        geometry=geometry,
        primary_geometry=boxes.primary(),
        positions=positions,
        created_by=footer.created_by,
        unsupported_columns=schema.unsupported,
        notes=tuple(notes),
        field_ids=schema.field_ids,
    )


def _texts(key_values: Mapping[bytes, bytes]) -> dict[str, str]:
    """Entries that a CRS may point at; the schema that Arrow leaves behind is none."""
    return {
        key.decode(errors="replace"): value.decode(errors="replace")
        for key, value in key_values.items()
        if key not in {b"ARROW:schema", GEO_KEY.encode()}
    }


def _spans(footer: Footer, group_bytes: Sequence[int], data_end: int) -> tuple[RowGroupSpan, ...]:
    """Where row groups begin, and what they take; one without columns begins nowhere, at 0."""
    starts = footer.row_groups.starts or [(0, 0)] * len(group_bytes)
    for index, (start, first_bytes) in enumerate(starts):
        if first_bytes and start + first_bytes > data_end:
            raise UnreadableFile(f"row group {index} lies beyond the end of the data")
    group_rows = footer.row_groups.rows
    rows = sum(group_rows)
    if rows != footer.rows:
        raise UnreadableFile(f"it claims {footer.rows} rows but its row groups hold {rows}")
    return tuple(
        RowGroupSpan(start, size_bytes, count)
        for (start, _), size_bytes, count in zip(starts, group_bytes, group_rows, strict=True)
    )


def _split_offsets(spans: Sequence[RowGroupSpan]) -> tuple[int, ...]:
    """Where row groups begin; empty when the offsets are of no use to readers."""
    offsets = [span.offset for span in spans]
    is_ascending = all(a < b for a, b in pairwise(offsets))
    return tuple(offsets) if is_ascending and all(offsets) else ()
