"""The index of a snapshot as a file: every array is one row of one Arrow IPC record batch.

Arrays differ in length and type, so they are stored as bytes beside their NumPy type.  Reading maps
them where they lie; nothing is copied.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from graticule.domain.errors import UnreadableFile
from graticule.planning.index import FileIndex

INDEX_FORMAT_VERSION: Final = 2
_VERSION_KEY: Final = b"graticule.index.version"
_SNAPSHOT_KEY: Final = b"graticule.index.snapshot-id"
_NUMPY_KINDS: Final = frozenset("biuf")
_SCHEMA: Final = pa.schema(
    [("name", pa.string()), ("dtype", pa.string()), ("data", pa.large_binary())]
)


def encode_index(index: FileIndex, *, snapshot_id: int) -> bytes:
    """Serialise; the answer names its version and the snapshot that it is about."""
    arrays = {name: np.ascontiguousarray(array) for name, array in index.to_arrays().items()}
    # Numbers travel in little-endian order whatever the machine.
    little = [
        narrow.astype(narrow.dtype.newbyteorder("<"), copy=False)
        for narrow in map(_narrowed, arrays.values())
    ]
    batch = pa.record_batch(
        [
            pa.array(list(arrays), pa.string()),
            pa.array([array.dtype.str for array in little], pa.string()),
            pa.array([array.tobytes() for array in little], pa.large_binary()),
        ],
        schema=_SCHEMA.with_metadata(
            {_VERSION_KEY: str(INDEX_FORMAT_VERSION), _SNAPSHOT_KEY: str(snapshot_id)}
        ),
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def _narrowed(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Whole numbers in the fewest bytes that hold them all: field ids and offsets are small."""
    if array.dtype != np.int64 or not array.size or int(array.min()) < 0:
        return array
    return array.astype(np.min_scalar_type(int(array.max())))


def decode_index(data: bytes, *, snapshot_id: int) -> FileIndex:
    """The inverse of `encode_index`.

    Raises:
        UnreadableFile: not an index, of another version, or about another snapshot.
    """
    try:
        with pa.ipc.open_file(pa.BufferReader(data)) as reader:
            metadata = reader.schema.metadata or {}
            table = reader.read_all()
        # The file lies in somebody's bucket, and Arrow follows offsets blindly unless told to look.
        table.validate(full=True)
        arrays = {
            name.as_py(): _array(dtype.as_py(), array.as_buffer())
            for name, dtype, array in zip(*table.columns, strict=True)
        }
        index = FileIndex.from_arrays(arrays)
    # A damaged file can hold anything; losing an index only costs building it again.
    except Exception as error:
        raise UnreadableFile(f"the index is damaged: {error}") from error
    found = (metadata.get(_VERSION_KEY), metadata.get(_SNAPSHOT_KEY))
    expected = (str(INDEX_FORMAT_VERSION).encode(), str(snapshot_id).encode())
    if found != expected:
        raise UnreadableFile(f"the index is of {found}, not of {expected}")
    return index


def _array(dtype: str, buffer: pa.Buffer) -> npt.NDArray[np.generic]:
    kind = np.dtype(dtype)
    if kind.kind not in _NUMPY_KINDS:
        raise ValueError(f"`{dtype}` is not a type of an index")
    return np.frombuffer(buffer, kind) if buffer is not None and buffer.size else np.zeros(0, kind)
