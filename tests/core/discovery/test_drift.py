"""Files with columns and types of their own, and the schema that takes them in."""

import json

import pytest

from graticule.discovery.drift import file_schema, with_file
from graticule.discovery.inspection import FileInspection
from graticule.iceberg.schema import parse_schema

STRUCT = {
    "type": "struct",
    "fields": [{"id": 4, "name": "x", "required": False, "type": "double"}],
}
LIST = {"type": "list", "element-id": 6, "element": "int", "element-required": False}


def table(*fields, mapping=None, last=6):
    schema = {"type": "struct", "schema-id": 3, "fields": list(fields)}
    properties = {} if mapping is None else {"schema.name-mapping.default": json.dumps(mapping)}
    return {
        "format-version": 2,
        "schemas": [schema],
        "current-schema-id": 3,
        "last-column-id": last,
        "properties": properties,
    }


def column(name, type_, **more):
    return {"name": name, "required": False, "type": type_, **more}


def file(*fields):
    return FileInspection(1, 1, (), tuple(fields), {}, {}, None, None, "")


ID = column("id", "int", id=1)
NAME = column("name", "string", id=2)


def test_a_file_like_the_others_changes_nothing():
    schema = file_schema(table(ID, NAME))
    assert with_file(schema, file(column("id", "int"), column("name", "string"))) is schema
    assert with_file(schema, file(column("id", "int"))) is schema


def test_a_new_column_gets_the_next_id_and_a_name_to_be_read_by():
    schema = with_file(file_schema(table(ID, NAME)), file(column("id", "int"), column("n", "int")))
    assert schema.table_document["fields"] == [ID, NAME, column("n", "int", id=7)]
    assert schema.last_column_id == 7
    assert schema.name_mapping == [
        {"field-id": 1, "names": ["id"]},
        {"field-id": 2, "names": ["name"]},
        {"field-id": 7, "names": ["n"]},
    ]


@pytest.mark.parametrize(
    ("before", "in_file", "after"),
    [
        ("int", "long", "long"),
        ("long", "int", "long"),
        ("float", "double", "double"),
        ("decimal(9, 2)", "decimal(12, 2)", "decimal(12, 2)"),
    ],
)
def test_types_widen_where_iceberg_lets_them(before, in_file, after):
    schema = with_file(file_schema(table(column("a", before, id=1))), file(column("a", in_file)))
    assert schema.table_document["fields"] == [column("a", after, id=1)]


@pytest.mark.parametrize(("before", "in_file"), [("int", "string"), ("date", "timestamp")])
def test_types_that_do_not_fit_leave_the_file_out(before, in_file):
    reason = with_file(file_schema(table(column("a", before, id=1))), file(column("a", in_file)))
    assert reason == f"column `a` is {before} in the table and {in_file} in it"


def test_a_file_of_something_else_is_left_out():
    reason = with_file(file_schema(table(ID, NAME)), file(column("price", "double")))
    assert reason == "it shares too few columns with the table"


def test_columns_inside_of_structs_and_lists_are_numbered_too():
    at = column("at", STRUCT, id=3)
    tags = column("tags", LIST, id=5)
    inner = {"type": "struct", "fields": [column("y", "double")]}
    schema = with_file(
        file_schema(table(at, tags)),
        file(column("at", inner), column("tags", {"type": "list", "element": "long"})),
    )
    widened = LIST | {"element": "long"}
    y = column("y", "double", id=7)
    assert schema.table_document["fields"] == [
        at | {"type": STRUCT | {"fields": [*STRUCT["fields"], y]}},
        tags | {"type": widened},
    ]
    parse_schema(schema.table_document)
    assert schema.name_mapping[1] == {
        "field-id": 5,
        "names": ["tags"],
        "fields": [{"field-id": 6, "names": ["element"]}],
    }


def test_a_column_that_an_engine_renamed_is_still_that_column():
    mapping = [{"field-id": 1, "names": ["id", "city_id"]}, {"field-id": 2, "names": ["name"]}]
    renamed = table(ID | {"name": "city_id"}, NAME, mapping=mapping)
    schema = with_file(file_schema(renamed), file(column("id", "long"), column("name", "string")))
    assert schema.table_document["fields"] == [
        {"id": 1, "name": "city_id", "required": False, "type": "long"},
        NAME,
    ]
    assert [field["name"] for field in schema.document["fields"]] == ["id", "name"]
    assert schema.name_mapping == mapping


def test_a_new_column_with_the_name_that_an_engine_gave_another_is_refused():
    mapping = [{"field-id": 1, "names": ["id", "city_id"]}]
    renamed = table(ID | {"name": "city_id"}, NAME, mapping=mapping)
    found = file(column("id", "int"), column("name", "string"), column("city_id", "string"))
    assert "city_id" in with_file(file_schema(renamed), found)


def test_a_type_that_the_table_cannot_hold_leaves_the_file_out():
    found = with_file(file_schema(table(ID)), file(column("id", "int"), column("v", "variant")))
    assert "variant" in found
