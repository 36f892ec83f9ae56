"""The index of a snapshot as a file: every array is a record batch of one row in an Arrow IPC file.

Arrays differ in length and type, so they are stored as bytes beside their NumPy type and a
checksum.  Reading maps them where they lie: nothing is copied, and processes that map one file
share its pages.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from graticule.domain.errors import UnreadableFile
from graticule.planning.index import FileIndex
from graticule.planning.ragged import narrowed

INDEX_FORMAT_VERSION: Final = 3
_TOLD_CHARACTERS_MAX: Final = 100
_NUMPY_KINDS: Final = frozenset("biuf")
_SCHEMA: Final = pa.schema(
    [
        ("name", pa.string()),
        ("dtype", pa.string()),
        ("crc32", pa.uint32()),
        ("data", pa.large_binary()),
    ]
)


@dataclass(frozen=True, slots=True)
class About:
    """Which snapshot an index is of, and what its boxes are of."""

    snapshot_id: int
    place: str

    @property
    def metadata(self) -> dict[bytes, bytes]:
        return {
            b"graticule.index.version": str(INDEX_FORMAT_VERSION).encode(),
            b"graticule.index.snapshot-id": str(self.snapshot_id).encode(),
            b"graticule.index.place": self.place.encode(),
        }


def write_index(path: Path, index: FileIndex, about: About) -> None:
    """Write array after array, so that none is in memory twice.

    Raises:
        OSError: the file cannot be written.
    """
    with pa.OSFile(str(path), "wb") as sink:
        _write(sink, index, about)


def encode_index(index: FileIndex, about: About) -> bytes:
    """The file as bytes; where there is no disk to write to."""
    sink = pa.BufferOutputStream()
    _write(sink, index, about)
    return bytes(sink.getvalue())


def map_index(path: Path, about: About) -> FileIndex:
    """An index whose arrays lie in the file, which must not change any more.

    Raises:
        UnreadableFile: not an index, damaged, of another version, or about something else.
    """
    try:
        source = pa.memory_map(str(path))
    except OSError as error:
        raise UnreadableFile(f"the index cannot be mapped: {error}") from error
    return replace(_decode(source, about), is_mapped=True)


def decode_index(data: bytes, about: About) -> FileIndex:
    """The inverse of `encode_index`.

    Raises:
        UnreadableFile: not an index, damaged, of another version, or about something else.
    """
    return _decode(pa.BufferReader(data), about)


def _write(sink: pa.NativeFile, index: FileIndex, about: About) -> None:
    schema = _SCHEMA.with_metadata(about.metadata)
    with pa.ipc.new_file(sink, schema) as writer:
        for name, array in index.to_arrays().items():
            narrow = narrowed(np.ascontiguousarray(array))
            # Numbers travel in little-endian order whatever the machine.
            little = narrow.astype(narrow.dtype.newbyteorder("<"), copy=False)
            data = pa.py_buffer(little)
            checksum = np.array([_checksum(name, little.dtype.str, data)], np.uint32)
            # Of buffers: Arrow loads pandas, where there is one, to look at Python's own values.
            row = [
                _one(pa.string(), name.encode(), np.int32),
                _one(pa.string(), little.dtype.str.encode(), np.int32),
                pa.Array.from_buffers(pa.uint32(), 1, [None, pa.py_buffer(checksum)]),
                _one(pa.large_binary(), data, np.int64),
            ]
            writer.write_batch(pa.RecordBatch.from_arrays(row, schema=schema))


def _one(kind: pa.DataType, data: bytes | pa.Buffer, offset: type[np.integer[Any]]) -> pa.Array:
    """An array of one text, or of one run of bytes."""
    buffer = pa.py_buffer(data)
    offsets = pa.py_buffer(np.array([0, buffer.size], offset))
    return pa.Array.from_buffers(kind, 1, [None, offsets, buffer])


def _decode(source: pa.NativeFile, about: About) -> FileIndex:
    try:
        reader = pa.ipc.open_file(source)
        metadata = reader.schema.metadata or {}
        found = {key: metadata.get(key) for key in about.metadata}
        arrays = dict(_array(reader.get_batch(at)) for at in range(reader.num_record_batches))
        index = FileIndex.from_arrays(arrays)
    # A damaged file can hold anything; losing an index only costs building it again.
    except Exception as error:
        raise UnreadableFile(f"the index is damaged: {error}") from error
    if found != about.metadata:
        raise UnreadableFile(f"the index is {_told(found)}, not {_told(about.metadata)}")
    return index


def _told(metadata: Mapping[bytes, bytes | None]) -> str:
    version, snapshot, place = (
        (value or b"?").decode(errors="replace")[:_TOLD_CHARACTERS_MAX]
        for value in metadata.values()
    )
    return f"of snapshot {snapshot} and {place} (version {version})"


def _array(batch: pa.RecordBatch) -> tuple[str, npt.NDArray[np.generic]]:
    # The file lies in somebody's bucket, and Arrow follows offsets blindly unless told to look.
    batch.validate(full=True)
    if batch.schema.remove_metadata() != _SCHEMA:
        raise ValueError("not an array of an index")
    name, dtype, crc32 = (column[0].as_py() for column in batch.columns[:3])
    data = _only(batch.column(3))
    if _checksum(name, dtype, data) != crc32:
        raise ValueError(f"the array `{name}` is not as it was written")
    kind = np.dtype(dtype)
    if kind.kind not in _NUMPY_KINDS:
        raise ValueError(f"`{dtype}` is not a type of an index")
    return name, np.frombuffer(data, kind) if data.size else np.zeros(0, kind)


def _only(column: pa.Array) -> pa.Buffer:
    """The bytes of an array of one run of bytes, where they lie: a scalar's would be a copy."""
    _, offsets, data = column.buffers()
    first, last = np.frombuffer(offsets, np.int64)[column.offset :][:2].tolist()
    return pa.py_buffer(b"") if data is None else data.slice(first, last - first)


def _checksum(name: str, dtype: str, data: pa.Buffer) -> int:
    return zlib.crc32(data, zlib.crc32(f"{name} {dtype}".encode()))
