"""Manifests of data files read as columns, many at once.

What is unusual (delete files, codecs, damage, another shape) is left to the reader of single
entries in `manifests`, which also words the errors.  Both say the same of every file.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from graticule.planning.file_columns import FileColumns
from graticule.planning.files import DATA, DataFileEntry
from graticule.storage.avro_columns import (
    AvroBlocks,
    Decoder,
    NotColumnar,
    open_blocks,
    parsed_schema,
)
from graticule.storage.manifest_fields import WANTED, files_of, required_number
from graticule.storage.manifest_records import STATUS, find_records, passing_over
from graticule.storage.manifests import ADDED, DELETED, Manifest, read_statuses

_BATCH_BYTES: Final = 8 * 1024 * 1024
"""Of records that are decoded at once: enough to be fast, little enough to be no burden."""


@dataclass(frozen=True, slots=True)
class ManifestFiles:
    """The live files of manifests of one partition spec, data files as columns.

    `counts` are the data files of each manifest, `partition` the values of each partition field,
    and `added` says which of the files their manifest added, as against carried along.
    """

    manifests: tuple[Manifest, ...]
    counts: tuple[int, ...]
    columns: FileColumns
    partition: tuple[Sequence[object], ...]
    added: npt.NDArray[np.bool_]
    deletes: tuple[DataFileEntry, ...] = ()

    @property
    def spec_id(self) -> int:
        return self.manifests[0].spec_id


def read_manifests(
    manifests: Iterable[tuple[Manifest, bytes]],
) -> Iterator[ManifestFiles]:
    """The live files of manifests, in their order, with everything inherited that they inherit.

    Raises:
        UnreadableFile: not a manifest, or not as many entries as the manifest list says.
    """
    for batch in _batches(manifests):
        try:
            yield _decoded(batch)
        except NotColumnar:
            for one in batch:
                yield _one(one)


@dataclass(frozen=True, slots=True)
class _Source:
    manifest: Manifest
    data: bytes
    blocks: AvroBlocks | None
    """None when only the other reader may know."""


def _batches(manifests: Iterable[tuple[Manifest, bytes]]) -> Iterator[list[_Source]]:
    batch: list[_Source] = []
    size = 0
    for manifest, data in manifests:
        source = _Source(manifest, data, _blocks(manifest, data))
        alike = batch and _kind(batch[0]) == _kind(source)
        length = 0 if source.blocks is None else len(source.blocks.payload)
        if batch and (not alike or size + length > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(source)
        size += length
    if batch:
        yield batch


def _kind(source: _Source) -> tuple[int, bytes]:
    text = b"" if source.blocks is None else source.blocks.schema_text
    return source.manifest.spec_id, text


def _blocks(manifest: Manifest, data: bytes) -> AvroBlocks | None:
    if manifest.holds_deletes:
        return None
    try:
        blocks = open_blocks(data)
    except NotColumnar:
        return None
    if manifest.entry_count is not None and manifest.entry_count != blocks.record_count:
        return None
    return blocks


def _one(source: _Source) -> ManifestFiles:
    try:
        return _decoded([source])
    except NotColumnar:
        entries = [
            (status, entry)
            for status, entry in read_statuses(source.data, source.manifest)
            if status != DELETED
        ]
    live = [(status, entry) for status, entry in entries if entry.content == DATA]
    files = [entry for _, entry in live]
    return ManifestFiles(
        (source.manifest,),
        (len(files),),
        FileColumns.from_entries(files),
        tuple(zip(*(entry.partition for entry in files), strict=True)),
        np.array([status == ADDED for status, _ in live], np.bool_),
        tuple(entry for _, entry in entries if entry.content != DATA),
    )


def _decoded(batch: Sequence[_Source]) -> ManifestFiles:
    blocks = [source.blocks for source in batch if source.blocks is not None]
    if len(blocks) != len(batch):
        raise NotColumnar("not Avro that is read in columns")
    schema = passing_over(parsed_schema(blocks[0].schema_text), WANTED)
    decoder = Decoder(b"".join(block.payload for block in blocks))
    records, starts = find_records(decoder, schema, blocks)
    status = required_number(records, STATUS)
    if bool(((status < 0) | (status > DELETED)).any()):
        raise NotColumnar("a status that is none")
    owner = np.repeat(np.arange(len(batch)), [block.record_count for block in blocks])
    live = status != DELETED
    if not live.all():
        records, _ = decoder.read(schema, starts[live])
        status, owner = status[live], owner[live]
    manifests = tuple(source.manifest for source in batch)
    counts = tuple(np.bincount(owner, minlength=len(batch)).tolist())
    try:
        columns, partition = files_of(decoder, records, status, owner, manifests)
    except (ValueError, KeyError, ArithmeticError) as error:
        raise NotColumnar(str(error)) from error
    return ManifestFiles(manifests, counts, columns, partition, status == ADDED)
