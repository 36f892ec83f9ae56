import json
import struct

import pyarrow as pa
import pytest

from graticule.discovery.grouping import StoredObject, group
from graticule.discovery.proposing import propose
from graticule.discovery.registration import data_files, define_table, virtual_values
from graticule.iceberg import metadata
from graticule.planning.files import DataFileEntry
from graticule.spatial.bounding_box import (
    EMPTY,
    NO_PLACE,
    UNKNOWN,
    WHOLE_PLANE,
    BoundingBox,
    exact,
    outer,
)
from graticule.spatial.box_columns import BoxColumns
from graticule.storage.parquet import inspect
from support.parquet_files import Ranges, boxes, covering, geo, line, native, parquet, point

VIRTUAL = ["file_xmin", "file_ymin", "file_xmax", "file_ymax"]


def registered(lake):
    """The definition of the only table of a lake, and its entries."""
    inspections = {key: inspect(Ranges(data), len(data)) for key, data in lake.items()}
    grouping = group(StoredObject(key, len(data)) for key, data in lake.items())
    (proposal,) = propose(grouping, inspections).tables
    table = define_table(proposal, bucket="lake")
    entries = data_files(
        proposal,
        inspections,
        schema=table.schema,
        partition_spec=table.partition_spec,
        bucket="lake",
    )
    return table, entries


def columns(table):
    return [field["name"] for field in table.schema["fields"]]


def partition_columns(table):
    return [field["name"] for field in table.partition_spec["fields"]]


def flat_boxes(type_):
    sides = zip(("xmin", "ymin", "xmax", "ymax"), (1, 2, 1, 2), strict=True)
    return {f"bbox_{side}": pa.array([value], type_) for side, value in sides}


def test_a_file_gets_its_box_as_partition_values_and_its_metrics_by_field_id():
    data = parquet({"id": pa.array([5, 9]), "geometry": native([point(1, 2), point(3, 4)])})
    table, entries = registered({"cities/part-0.parquet": data})
    sizes = {key: value for key, value in entries[0].column_sizes.items() if value > 0}
    assert columns(table) == ["id", "geometry", *VIRTUAL]
    assert partition_columns(table) == VIRTUAL
    assert entries == [
        DataFileEntry(
            path="s3://lake/cities/part-0.parquet",
            size_bytes=len(data),
            record_count=2,
            spec_id=0,
            partition=(1.0, 2.0, 3.0, 4.0),
            column_sizes=sizes,
            value_counts={1: 2, 2: 2},
            null_value_counts={1: 0},
            lower_bounds={1: struct.pack("<q", 5)},
            upper_bounds={1: struct.pack("<q", 9)},
            split_offsets=(4,),
        )
    ]


def test_field_ids_are_those_that_creating_the_table_assigns():
    nested = pa.array(
        [{"a": 1, "tags": ["x"], "names": [("k", 1)]}],
        pa.struct(
            [
                ("a", "i8"),
                ("tags", pa.list_(pa.string())),
                ("names", pa.map_(pa.string(), pa.int32())),
            ]
        ),
    )
    data = parquet({"nested": nested, "geometry": native([point(1, 2)]), "last": pa.array([1])})
    table, _ = registered({"t/c=1/part-0.parquet": data})
    document = metadata.new_table(
        schema=table.schema,
        partition_spec=table.partition_spec,
        sort_order={"order-id": 0, "fields": []},
        location="s3://lake/managed/t",
        properties=table.properties,
        table_uuid="7f3ad2a0-0f36-4ef1-9f0a-111111111111",
        now_ms=1,
    )
    assert metadata.current_schema(document)["fields"] == table.schema["fields"]
    assert metadata.default_partition_spec(document) == table.partition_spec
    assert metadata.properties(document).items() >= table.properties.items()


def test_the_name_mapping_covers_nested_columns():
    nested = pa.array(
        [{"tags": ["x"], "names": [("k", 1)]}],
        pa.struct([("tags", pa.list_(pa.string())), ("names", pa.map_(pa.string(), pa.int32()))]),
    )
    table, _ = registered({"t/part-0.parquet": parquet({"nested": nested})})
    assert json.loads(table.properties["schema.name-mapping.default"]) == [
        {
            "field-id": 1,
            "names": ["nested"],
            "fields": [
                {
                    "field-id": 2,
                    "names": ["tags"],
                    "fields": [{"field-id": 4, "names": ["element"]}],
                },
                {
                    "field-id": 3,
                    "names": ["names"],
                    "fields": [
                        {"field-id": 5, "names": ["key"]},
                        {"field-id": 6, "names": ["value"]},
                    ],
                },
            ],
        }
    ]


def test_hive_columns_are_appended_and_partition_first():
    data = parquet({"id": pa.array([1]), "geometry": native([point(1, 2)])})
    table, entries = registered(
        {
            "t/continent=EU/day=1970-01-02/0.parquet": data,
            "t/continent=__HIVE_DEFAULT_PARTITION__/day=1970-01-03/0.parquet": data,
        }
    )
    types = {field["name"]: field["type"] for field in table.schema["fields"]}
    assert columns(table) == ["id", "geometry", "continent", "day", *VIRTUAL]
    assert (types["continent"], types["day"]) == ("string", "date")
    assert partition_columns(table) == ["continent", "day", *VIRTUAL]
    assert [entry.partition[:2] for entry in entries] == [("EU", 1), (None, 2)] or [
        entry.partition[:2] for entry in entries
    ] == [(None, 2), ("EU", 1)]


def test_properties_tell_what_the_table_is():
    data = parquet({"geometry": native([point(1, 2)])})
    table, _ = registered({"t/part-0.parquet": data})
    assert {name: value for name, value in table.properties.items() if "mapping" not in name} == {
        "graticule.discovered": "true",
        "graticule.sources": '["s3://lake/t/"]',
        "write.metadata.metrics.column.geometry": "counts",
        "geo": json.dumps(
            {
                "version": "1.1.0",
                "primary_column": "geometry",
                "columns": {
                    "geometry": {
                        "encoding": "WKB",
                        "geometry_types": ["Point"],
                        "crs": "OGC:CRS84",
                        "edges": "planar",
                    }
                },
            },
            separators=(",", ":"),
        ),
    }
    assert table.sources == ("s3://lake/t/",)


# Who needs virtual columns.


def test_flat_box_columns_of_doubles_need_no_virtual_ones():
    data = parquet({"geometry": native([point(1, 2)]), **flat_boxes(pa.float64())})
    table, entries = registered({"t/part-0.parquet": data})
    declared = json.loads(table.properties["geo"])["columns"]["geometry"]["bbox_columns"]
    assert BoxColumns(**declared).names == ("bbox_xmin", "bbox_ymin", "bbox_xmax", "bbox_ymax")
    assert (partition_columns(table), entries[0].partition) == ([], ())
    assert table.properties["write.metadata.metrics.column.bbox_xmin"] == "full"
    assert entries[0].lower_bounds[2] == struct.pack("<d", 1)


@pytest.mark.parametrize(
    ("extra", "metadata_"),
    [
        (flat_boxes(pa.float32()), None),
        ({"bbox": boxes([(1, 2, 1, 2)])}, geo(covering=covering())),
        ({"bbox": boxes([(1, 2, 1, 2)], pa.float32())}, geo(covering=covering())),
        ({}, None),
    ],
    ids=["float32", "struct", "struct of float32", "none"],
)
def test_box_columns_that_not_all_engines_can_trust_are_helped_by_virtual_ones(extra, metadata_):
    data = parquet({"geometry": native([point(1, 2)]), **extra}, metadata=metadata_)
    table, entries = registered({"t/part-0.parquet": data})
    assert partition_columns(table) == VIRTUAL
    assert entries[0].partition == (1.0, 2.0, 1.0, 2.0)


def test_a_struct_of_doubles_is_declared_and_one_of_float32_is_not():
    for type_, is_declared in ((pa.float64(), True), (pa.float32(), False)):
        columns_ = {"geometry": native([point(1, 2)]), "bbox": boxes([(1, 2, 1, 2)], type_)}
        data = parquet(columns_, metadata=geo(covering=covering()))
        table, _ = registered({"t/part-0.parquet": data})
        assert ("bbox_columns" in table.properties["geo"]) is is_declared


def test_positions_need_no_virtual_columns_for_their_own_bounds_are_the_box():
    data = parquet({"lon": pa.array([7.0, 8.0]), "lat": pa.array([46.0, 47.0])})
    table, entries = registered({"t/part-0.parquet": data})
    assert (columns(table), partition_columns(table)) == (["lon", "lat"], [])
    assert table.properties["graticule.position-columns"] == "lon,lat"
    assert entries[0].lower_bounds == {1: struct.pack("<d", 7), 2: struct.pack("<d", 46)}
    assert "geo" not in table.properties


def test_columns_that_are_called_like_virtual_ones_are_left_alone():
    data = parquet({"geometry": native([point(1, 2)]), "file_xmin": pa.array(["x"])})
    table, _ = registered({"t/part-0.parquet": data})
    assert (columns(table), partition_columns(table)) == (["geometry", "file_xmin"], [])


@pytest.mark.parametrize(
    ("box", "values"),
    [
        (UNKNOWN, WHOLE_PLANE),
        (EMPTY, NO_PLACE),
        (exact(BoundingBox(1, 2, 3, 4)), (1.0, 2.0, 3.0, 4.0)),
        (
            outer(BoundingBox(170, 0, 180, 1), BoundingBox(-180, 0, -170, 1)),
            (-180.0, 0.0, 180.0, 1.0),
        ),
    ],
)
def test_virtual_values_are_never_null(box, values):
    assert virtual_values(box) == values


def test_virtual_values_contain_the_box_also_after_a_reader_rounds_them_to_float32():
    box = BoundingBox(-179.877, -89.9999999, 7.4474123456789, 1e-50)
    values = virtual_values(exact(box))
    assert tuple(struct.unpack("<4f", struct.pack("<4f", *values))) == values
    assert BoundingBox(*values).contains(box)
    assert max(abs(a - b) for a, b in zip(values, (-179.877, -90, 7.4474, 0), strict=True)) < 1e-3


def test_a_file_whose_box_is_unknown_is_everywhere_and_last():
    known = parquet({"geometry": native([point(1, 2)])})
    unknown = parquet({"geometry": native([None])})
    _, entries = registered({"t/0.parquet": unknown, "t/1.parquet": known})
    assert [entry.path[-9:] for entry in entries] == ["1.parquet", "0.parquet"]
    assert entries[1].partition == WHOLE_PLANE


def test_neighbours_in_the_plane_are_neighbours_in_the_list():
    corners = [(0, 0), (100, 50), (1, 1), (101, 51)]
    lake = {
        f"t/{number}.parquet": parquet({"geometry": native([line(corner, corner)])})
        for number, corner in enumerate(corners)
    }
    _, entries = registered(lake)
    order = [int(entry.path[-9]) for entry in entries]
    assert {frozenset(order[:2]), frozenset(order[2:])} == {frozenset({0, 2}), frozenset({1, 3})}


def test_bounds_are_of_the_type_of_the_table_and_not_of_the_file():
    _, entries = registered(
        {
            "t/0.parquet": parquet({"a": pa.array([1], pa.int32()), "b": pa.array([1], "f4")}),
            "t/1.parquet": parquet({"a": pa.array([2]), "b": pa.array([2.0])}),
        }
    )
    assert entries[0].lower_bounds == {1: struct.pack("<q", 1), 2: struct.pack("<d", 1)}


def test_a_column_that_is_null_everywhere_is_no_column():
    table, entries = registered({"t/0.parquet": parquet({"a": pa.array([1]), "b": pa.nulls(1)})})
    assert columns(table) == ["a"]
    assert set(entries[0].column_sizes) == {1}
