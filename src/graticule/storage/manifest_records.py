"""Where the entries of a manifest begin, in the decompressed blocks of many manifests."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from graticule.storage.avro_columns import SKIP, AvroBlocks, Column, Decoder, Ints, NotColumnar
from graticule.storage.manifests import DELETED

STATUS: Final = 0
DATA_FILE: Final = 2
CONTENT: Final = 134
PATH: Final = 100
"""Field ids."""

_BYTES_TO_PATH_MAX: Final = 48
"""From the beginning of an entry: a status, three numbers, the content, and a length."""
_SCHEME_BYTES: Final = 2
"""Of a path, alike in all files of a manifest; others are read one by one."""


def passing_over(schema: Any, wanted: frozenset[int]) -> Any:
    """The schema of an entry with the fields that are not wanted marked to be left out."""
    if schema.get("type") != "record":
        raise NotColumnar("not a record")

    def marked(record: Any) -> Any:
        fields = []
        for one in record["fields"]:
            field_id = one.get("field-id")
            if field_id not in wanted:
                fields.append({**one, SKIP: True})
            elif field_id == DATA_FILE and isinstance(one["type"], dict):
                fields.append({**one, "type": marked(one["type"])})
            else:
                fields.append(one)
        return {**record, "fields": fields}

    return marked(schema)


def find_records(
    decoder: Decoder, schema: Any, blocks: Sequence[AvroBlocks]
) -> tuple[Column, Ints]:
    """All records and where each begins, proven: each ends where the next begins.

    Raises:
        NotColumnar: they are not to be found, or of a shape that is not known here.
    """
    counts = np.array([count for block in blocks for count in block.counts], np.int64)
    lengths = np.array([length for block in blocks for length in block.lengths], np.int64)
    total = int(counts.sum())
    starts = np.zeros(0, np.int64)
    records, ends = decoder.read(schema, starts)
    for alike in (True, False):
        if not total or (len(starts) == total and _follow(starts, ends, decoder.size)):
            break
        starts = _candidates(decoder, schema, alike=alike)
        records, ends = decoder.read(schema, starts)
    if len(starts) != total or not _follow(starts, ends, decoder.size):
        starts = _chain(starts, ends, decoder.size)
        records, ends = decoder.read(schema, starts)
    if len(starts) != total or not _follow(starts, ends, decoder.size):
        raise NotColumnar("records are not where they should be")
    firsts = np.cumsum(counts) - counts
    filled = counts > 0
    if (starts[firsts[filled]] != (np.cumsum(lengths) - lengths)[filled]).any():
        raise NotColumnar("records are not in their blocks")
    return records, starts


def _follow(starts: Ints, ends: Ints, size: int) -> bool:
    if not len(starts):
        return size == 0
    return bool(starts[0] == 0 and ends[-1] == size and (ends[:-1] == starts[1:]).all())


def _chain(starts: Ints, ends: Ints, size: int) -> Ints:
    following = dict(zip(starts.tolist(), ends.tolist(), strict=True))
    chain = []
    at = 0
    while at < size:
        chain.append(at)
        if at not in following or following[at] <= at:
            raise NotColumnar("a record does not begin where the one before ends")
        at = following[at]
    return np.array(chain, np.int64)


def _candidates(decoder: Decoder, schema: Any, *, alike: bool) -> Ints:
    """Places where a record may begin: what stands there reads like one as far as its path.

    When all are alike, paths begin as far into each record as in the first.
    """
    data = decoder.data[: decoder.size]
    fields = schema["fields"]
    if len(fields) < 2 or fields[0].get("field-id") != STATUS:
        raise NotColumnar("an entry that does not begin with its status")
    # Zigzag: 0, 2 and 4 are the statuses, 0 and 2 the branches of a union.
    maybe = (data <= 2 * DELETED) & (data & 1 == 0)
    if isinstance(fields[1]["type"], list):
        following = decoder.data[1 : decoder.size + 1]
        maybe &= (following <= 2) & (following & 1 == 0)
    maybe &= _before_paths(decoder, fields, alike=alike)
    starts: Ints = np.flatnonzero(maybe)
    at = starts
    for one in _until_path(fields):
        column, at = decoder.read(one["type"], at)
        alive = at <= decoder.size
        if one.get("field-id") == PATH:
            alive &= _like_the_first(decoder, column)
        elif one.get("field-id") == CONTENT and column.values is not None:
            alive &= column.values == 0
        starts, at = starts[alive], at[alive]
        if not starts.size or starts[0] != 0:
            raise NotColumnar("the first record cannot be read")
    return starts


def _before_paths(decoder: Decoder, fields: Sequence[Any], *, alike: bool) -> npt.NDArray[np.bool_]:
    """Places with a path like the first record's at the right distance."""
    at = np.zeros(1, np.int64)
    path = at
    for one in _until_path(fields):
        column, at = decoder.read(one["type"], at)
        if column.values is not None:
            path = column.values
    first = int(path[0])
    if at[0] > decoder.size or at[0] - first < _SCHEME_BYTES:
        raise NotColumnar("the first record cannot be read")
    data = decoder.data[: decoder.size]
    like = (data[:-1] == data[first]) & (data[1:] == data[first + 1])
    distances = np.array([first]) if alike else np.arange(1, _BYTES_TO_PATH_MAX)
    places = np.flatnonzero(like)[:, None] - distances
    near = np.zeros(decoder.size, np.bool_)
    near[places[places >= 0]] = True
    return near


def _until_path(fields: Sequence[Any]) -> Iterator[Any]:
    for one in fields:
        if one.get("field-id") != DATA_FILE:
            yield one
            continue
        for inner in one["type"]["fields"]:
            yield inner
            if inner.get("field-id") == PATH:
                return
    raise NotColumnar("no path")


def _like_the_first(decoder: Decoder, column: Column) -> npt.NDArray[np.bool_]:
    if column.values is None or column.lengths is None or column.present is not None:
        raise NotColumnar("a path that is no text")
    places = np.minimum(column.values, decoder.size)[:, None] + np.arange(_SCHEME_BYTES)
    heads = decoder.data[places]
    alike: npt.NDArray[np.bool_] = (heads == heads[0]).all(axis=1)
    return alike & (column.lengths >= _SCHEME_BYTES)
