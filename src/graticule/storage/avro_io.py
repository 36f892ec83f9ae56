"""PyIceberg's Avro files over bytes, and its models built from our JSON documents.

The one place that adapts to what PyIceberg 0.12 can parse: types of format version 3 that it does
not know, or spells differently, are read as what they are in Avro.
"""

import io
import json
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pyiceberg.avro.decoder import BinaryDecoder, new_decoder
from pyiceberg.avro.file import AvroFile, AvroFileHeader, AvroOutputFile
from pyiceberg.avro.reader import DoubleReader, OptionReader, Reader, StructReader
from pyiceberg.io import InputFile, InputStream, OutputFile, OutputStream
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema

from graticule.domain.errors import UnreadableFile

Json = dict[str, Any]

_OPAQUE_IN_AVRO: Final = re.compile(r"(geometry|geography|variant)\b.*", re.IGNORECASE)
_SCHEMA_KEY: Final = "avro.schema"
_NANOSECONDS: Final = frozenset({"timestamp-nanos", "local-timestamp-nanos"})
_MAGIC: Final = b"Obj\x01"
_SYNC_BYTES: Final = 16
_DOUBLE: Final = struct.Struct("<d")


class BytesOutput(OutputFile):
    """An output file whose bytes stay in memory."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self._stream = _KeptStream()

    def create(self, overwrite: bool = False) -> OutputStream:  # noqa: ARG002
        return self._stream

    def getvalue(self) -> bytes:
        return self._stream.kept

    def __len__(self) -> int:
        return len(self._stream.kept)

    def exists(self) -> bool:
        return False

    def to_input_file(self) -> InputFile:
        return BytesInput(self.location, self._stream.kept)


class _KeptStream(io.BytesIO):
    """Keeps its bytes when PyIceberg closes it."""

    kept: bytes = b""

    def close(self) -> None:
        if not self.closed:
            self.kept = self.getvalue()
        super().close()


class BytesInput(InputFile):
    def __init__(self, location: str, data: bytes) -> None:
        super().__init__(location)
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    def exists(self) -> bool:
        return True

    def open(self, seekable: bool = True) -> InputStream:  # noqa: ARG002
        return io.BytesIO(self._data)


class _ExactDoubleReader(DoubleReader):
    """PyIceberg 0.12's compiled decoder returns doubles rounded to float32."""

    def read(self, decoder: BinaryDecoder) -> float:
        value: float = _DOUBLE.unpack(decoder.read(_DOUBLE.size))[0]
        return value


class _File(AvroFile[Any]):
    """PyIceberg 0.12 writes timestamps in nanoseconds, and refuses to read them."""

    def _read_header(self) -> AvroFileHeader:
        header = super()._read_header()
        schema = json.loads(header.meta[_SCHEMA_KEY])
        header.meta[_SCHEMA_KEY] = json.dumps(_without_nanoseconds(schema))
        return header


def _without_nanoseconds(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_nanoseconds(item) for item in node]
    if not isinstance(node, dict):
        return node
    is_nanoseconds = node.get("logicalType") in _NANOSECONDS
    return {
        key: _without_nanoseconds(value)
        for key, value in node.items()
        if not (is_nanoseconds and key == "logicalType")
    }


def _exact(reader: Reader) -> Reader:
    """The same reader with doubles as they are written; manifests hold them in partitions only."""
    if isinstance(reader, DoubleReader):
        return _ExactDoubleReader()  # type: ignore[no-untyped-call]
    if isinstance(reader, OptionReader):
        return OptionReader(_exact(reader.option))
    if isinstance(reader, StructReader):
        fields = tuple((position, _exact(field)) for position, field in reader.field_readers)
        return StructReader(fields, reader.create_struct, reader.struct)
    return reader


def write_avro(
    records: Sequence[Any], *, schema: Schema, name: str, metadata: Mapping[str, str]
) -> bytes:
    """One Avro file with one deflated block; records are tuples in the order of the schema."""
    output = BytesOutput("memory:")
    with AvroOutputFile[Any](
        output, file_schema=schema, schema_name=name, metadata=dict(metadata)
    ) as file:
        file.write_block(list(records))
    return output.getvalue()


def read_avro(data: bytes, *, schema: Schema, of: str) -> Iterator[Any]:
    """Records projected to `schema` by field id; `of` names the file in errors.

    Raises:
        UnreadableFile: not an Avro file, cut short, or without a field that is required.
    """
    if not data.startswith(_MAGIC):
        raise UnreadableFile(f"`{of}` is not an Avro file")
    try:
        with _File(BytesInput(of, data), schema) as file:
            yield from _records(file, len(data))
    # Anything can happen inside a parser that is fed foreign bytes; to the caller it is one thing.
    except Exception as error:
        raise UnreadableFile(f"`{of}` cannot be read as Avro: {error}") from error


def _records(file: AvroFile[Any], size_bytes: int) -> Iterator[Any]:
    """The blocks after the header.  PyIceberg's own loop takes a block that is cut for the end."""
    codec = file.header.compression_codec()
    reader = _exact(file.reader)
    while file.decoder.tell() < size_bytes:
        count = file.decoder.read_int()
        block = file.decoder.read_bytes()
        if file.decoder.read(_SYNC_BYTES) != file.header.sync:
            raise ValueError("two of its blocks are not where they should be")
        decoder = new_decoder(block if codec is None else codec.decompress(block))
        for _ in range(count):
            yield reader.read(decoder)


def schema_model(schema: Json) -> Schema:
    """PyIceberg's model of a schema document, good for partition types; geometry becomes binary."""
    return Schema.model_validate(_parseable(schema))


def spec_model(spec: Json) -> PartitionSpec:
    return PartitionSpec.model_validate(
        {"spec-id": spec["spec-id"], "fields": [_single_source(field) for field in spec["fields"]]}
    )


def _single_source(field: Json) -> Json:
    """Version 3 allows `source-ids`; every transform that exists takes one."""
    if "source-id" in field or not field.get("source-ids"):
        return field
    return {**field, "source-id": field["source-ids"][0]}


_LEFT_OUT: Final = frozenset({"initial-default", "write-default", "doc"})
_HOLDS_A_TYPE: Final = frozenset({"type", "element", "key", "value"})


def _parseable(node: Any) -> Any:
    if isinstance(node, list):
        return [_parseable(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: "binary" if key in _HOLDS_A_TYPE and _is_opaque(value) else _parseable(value)
        for key, value in node.items()
        if key not in _LEFT_OUT
    }


def _is_opaque(type_: Any) -> bool:
    return isinstance(type_, str) and _OPAQUE_IN_AVRO.fullmatch(type_) is not None
