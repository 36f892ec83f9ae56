from graticule.planning.columns import NO_COLUMN, ids_of, specs_of
from graticule.planning.partition_fields import PartitionField

SCHEMA = {
    "type": "struct",
    "fields": [
        {"id": 1, "name": "Id", "type": "long"},
        {
            "id": 2,
            "name": "tags",
            "type": {"type": "list", "element-id": 3, "element": "string"},
        },
        {
            "id": 4,
            "name": "sizes",
            "type": {
                "type": "map",
                "key-id": 5,
                "key": "string",
                "value-id": 6,
                "value": {"type": "struct", "fields": [{"id": 7, "name": "m", "type": "int"}]},
            },
        },
        {
            "id": 8,
            "name": "place",
            "type": {"type": "struct", "fields": [{"id": 9, "name": "x", "type": "double"}]},
        },
    ],
}


def test_fields_are_found_wherever_they_are():
    names = ["tags.element", "sizes.key", "sizes.value.m", "place.x", "place", "nowhere", "_pos"]
    assert ids_of(SCHEMA, names, case_sensitive=True) == {3, 5, 7, 9, 8}


def test_a_partition_field_may_name_its_columns_in_a_list():
    fields = [
        {"source-ids": [1], "field-id": 1000, "name": "a", "transform": "identity"},
        {"source-ids": [1, 9], "field-id": 1001, "name": "b", "transform": "bucket[4]"},
    ]
    specs = specs_of({"partition-specs": [{"spec-id": 2, "fields": fields}]})
    assert specs == {2: [PartitionField(1, "identity"), PartitionField(NO_COLUMN, "bucket[4]")]}


def test_in_any_case_when_asked():
    assert ids_of(SCHEMA, ["ID", "PLACE.X"], case_sensitive=True) == frozenset()
    assert ids_of(SCHEMA, ["ID", "PLACE.X"], case_sensitive=False) == {1, 9}
