"""Rows that are deleted, by whatever means, are never returned by the client."""

import struct
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.schema import Schema
from pyiceberg.types import DoubleType, LongType, NestedField, StringType
from pyroaring import BitMap

import graticule.client
from graticule.client import ClientError
from graticule.client.deleted_rows import DeletedRows
from graticule.client.listing import ListedFile
from support.duck import attached

pytestmark = pytest.mark.client

DATA = "s3://lake/data.parquet"
SCHEMA = Schema(
    NestedField(1, "id", LongType(), required=False),
    NestedField(2, "name", StringType(), required=False),
    NestedField(3, "size", DoubleType(), required=False),
)
NAN = float("nan")


def listed(*deletes):
    return ListedFile(DATA, 1, 4, "unknown", (), None, None, {}, deletes)


def position_deletes(folder, **positions):
    rows = [(path, at) for path, places in positions.items() for at in places]
    path = str(folder / "positions.parquet")
    paths = pa.array([f"s3://lake/{name}.parquet" for name, _ in rows], pa.string())
    pq.write_table(pa.table({"file_path": paths, "pos": pa.array([at for _, at in rows])}), path)
    return {"content": "position-deletes", "file-format": "parquet", "file-path": path}


def deletion_vector(folder, positions):
    """A Puffin file as the specification has it, with one vector."""
    bitmap = BitMap(positions).serialize()
    body = struct.pack("<I", 1681511377) + struct.pack("<Q", 1) + struct.pack("<I", 0) + bitmap
    blob = struct.pack(">I", len(body)) + body + struct.pack(">I", zlib.crc32(body))
    footer = (
        '{"blobs":[{"type":"deletion-vector-v1","fields":[],"snapshot-id":-1,'
        f'"sequence-number":-1,"offset":4,"length":{len(blob)},"properties":'
        f'{{"referenced-data-file":"{DATA}","cardinality":"{len(positions)}"}}}}]}}'
    ).encode()
    path = folder / "vector.puffin"
    magic = b"PFA1"
    end = struct.pack("<I", len(footer)) + b"\0\0\0\0" + magic
    path.write_bytes(magic + blob + magic + footer + end)
    return {"content": "position-deletes", "file-format": "puffin", "file-path": str(path)}


def equality_deletes(ids, rows):
    return {
        "content": "equality-deletes",
        "file-format": "parquet",
        "file-path": f"memory {ids} {rows}",
        "equality-ids": list(ids),
        "record-count": len(rows),
        "rows": rows,
    }


def reader(delete, schema, _groups):
    """Delete files of this module hold their rows themselves."""
    names = [field.name for field in schema.fields]
    types = {"id": pa.int64(), "name": pa.string(), "size": pa.float64()}
    columns = [pa.array([row[name] for row in delete["rows"]], types[name]) for name in names]
    yield 0, pa.record_batch(columns, names=names)


def kept(*deletes, rows=None):
    batch = rows or pa.record_batch(
        {
            "id": pa.array([1, 2, 3, None], pa.int64()),
            "name": ["a", "b", None, "d"],
            "size": [0.5, NAN, 1.5, None],
        }
    )
    known = DeletedRows(PyArrowFileIO(), reader, lambda ids: SCHEMA.select(*names_of(ids)))
    deleted = known.of(listed(*deletes))
    again = known.of(listed(*deletes))
    assert np.array_equal(again.positions, deleted.positions)
    mask = deleted.kept(batch, 100, SCHEMA)
    return [True] * batch.num_rows if mask is None else mask.tolist()


def names_of(ids):
    return [field.name for field in SCHEMA.fields if field.field_id in ids]


def test_positions_count_from_the_first_row_of_the_file(tmp_path):
    delete = position_deletes(tmp_path, data=[5, 101, 103, 300], other=[100])
    assert kept(delete) == [True, False, True, False]
    assert kept() == [True] * 4


def test_a_deletion_vector_deletes_by_position(tmp_path):
    assert kept(deletion_vector(tmp_path, [100, 102])) == [False, True, False, True]


def test_equal_values_delete_and_null_and_nan_equal_themselves():
    assert kept(equality_deletes((1,), [{"id": 2}, {"id": None}])) == [True, False, True, False]
    assert kept(equality_deletes((3,), [{"size": NAN}])) == [True, False, True, True]
    both = [{"id": 1, "name": "a"}, {"id": 2, "name": "x"}, {"id": 3, "name": None}]
    assert kept(equality_deletes((1, 2), both)) == [False, True, False, True]
    by_name = equality_deletes((2,), [{"name": "d"}])
    assert kept(equality_deletes((1, 2), both), by_name) == [False, True, False, False]


def test_deletes_that_cannot_be_read_are_never_taken_for_none(tmp_path):
    delete = position_deletes(tmp_path, data=[1]) | {"file-format": "avro"}
    with pytest.raises(ClientError, match="not read: avro"):
        kept(delete)
    short = equality_deletes((1,), [{"id": 2}]) | {"record-count": 2}
    with pytest.raises(ClientError, match="columns that it does not have"):
        kept(short)


def test_a_geometry_of_version_three_is_read_as_what_it_is_in_files(catalog):
    """PyIceberg cannot read these tables at all; DuckDB writes and deletes."""
    catalog.pyiceberg().create_namespace("ns")
    duck = attached(catalog)
    duck.execute(
        "CREATE TABLE lake.ns.t (id BIGINT, geometry GEOMETRY) WITH ('format-version' = 3)"
    )
    for x in (0, 50):
        duck.execute(f"INSERT INTO lake.ns.t SELECT i, ST_Point({x} + i, 1) FROM range(20) AS r(i)")
    table = graticule.client.open(
        f"{catalog.name}.ns.t", uri=catalog.server.url, credential=catalog.server.key.credential
    )
    near = table.within((2.5, 0, 6.5, 2))
    assert near.files().totals["files_kept"] == 1
    assert sorted(near.to_arrow()["id"].to_pylist()) == [3, 4, 5, 6]
    duck.execute("DELETE FROM lake.ns.t WHERE id IN (4, 5)")
    left = table.within((2.5, 0, 6.5, 2))
    assert left.files().has_deletes
    assert sorted(left.to_arrow()["id"].to_pylist()) == [3, 6]
