import pytest

from graticule.domain.errors import InvalidRequest
from graticule.iceberg import schema as schemas
from graticule.iceberg.schema import (
    SCHEMA_DEPTH_MAX,
    assign_fresh_ids,
    check_format_version,
    parse_schema,
    same_schema,
)
from support.table_documents import field, schema


def struct(*fields):
    return {"type": "struct", "fields": list(fields)}


def list_of(element_id, element, *, required=False):
    return {
        "type": "list",
        "element-id": element_id,
        "element": element,
        "element-required": required,
    }


def map_of(key_id, key, value_id, value):
    return {
        "type": "map",
        "key-id": key_id,
        "key": key,
        "value-id": value_id,
        "value": value,
        "value-required": False,
    }


def test_reading_makes_types_canonical_and_keeps_what_it_does_not_know():
    given = schema(
        field(1, "g", "GEOMETRY('OGC:CRS84')", doc=None, colour="red"),
        field(2, "p", list_of(3, "Decimal(9,2)")),
        future={"a": 1},
    )
    assert parse_schema(given).document == {
        "type": "struct",
        "schema-id": 0,
        "fields": [
            {"id": 1, "name": "g", "required": False, "type": "geometry", "colour": "red"},
            {"id": 2, "name": "p", "required": False, "type": list_of(3, "decimal(9, 2)")},
        ],
        "future": {"a": 1},
    }


def test_fields_are_found_by_id_at_any_depth_under_their_full_name():
    parsed = parse_schema(
        schema(
            field(1, "s", struct(field(2, "x", "double"))),
            field(3, "l", list_of(4, struct(field(5, "y", "double")))),
            field(6, "m", map_of(7, "string", 8, "long")),
        )
    )
    assert {i: f.name for i, f in parsed.fields.items()} == {
        1: "s", 2: "s.x", 3: "l", 4: "l.element", 5: "l.element.y", 6: "m", 7: "m.key",
        8: "m.value",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"type": "struct"}, "`fields` of a schema"),
        (schema(field(1, "a"), field(1, "b")), "field id 1 is used by `a` and `b`"),
        (schema(field(1, "a"), field(2, "a")), "multiple fields for name a"),
        (schema(field(1, "a.b"), field(2, "a", struct(field(3, "b")))), "multiple fields"),
        (schema(field(True, "a")), "must be an integer"),
        (schema(field(1.0, "a")), "must be an integer"),
        (schema(field(-1, "a")), "between"),
        (schema(field(2**31 - 1, "a")), "between"),
        (schema(field(1, "")), "`name`"),
        (schema(field(1, "a", "money")), "Invalid type for a: Cannot parse type string"),
        (schema(field(1, "a", {"type": "set"})), "a struct, a list or a map"),
        (schema(field(1, "a", None)), "`type` of field `a`"),
        (schema(field(1, "a", required="yes")), "`required`"),
        (schema(field(1, "a", "unknown", required=True)), "must be optional"),
        (schema(field(1, "a", "geometry", **{"write-default": "POINT(0 0)"})), "default to null"),
        (schema(field(1, "a"), type="list"), "must be `struct`"),
        (schema(**{"schema-id": "0"}), "`schema-id`"),
    ],
)
def test_a_malformed_schema_is_refused_with_the_reason(bad, message):
    with pytest.raises(InvalidRequest, match=message):
        parse_schema(bad)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (field(1, "a"), "not a required field"),
        (field(1, "a", "double", required=True), "float or double"),
        (field(1, "a", "geometry", required=True), "not a primitive"),
        (field(1, "a", struct(), required=True), "not a primitive"),
        (field(9, "s", struct(field(1, "a", required=True))), "optional struct"),
        (field(9, "s", list_of(1, "long", required=True), required=True), "a list"),
        (field(9, "b"), "does not exist"),
    ],
)
def test_an_identifier_field_must_be_able_to_identify_a_row(column, message):
    with pytest.raises(InvalidRequest, match=message):
        parse_schema(schema(column, **{"identifier-field-ids": [1]}))


def test_a_schema_may_be_as_deep_as_the_limit_and_no_deeper():
    def nested(levels):
        kind = "long"
        for i in range(levels):
            kind = list_of(i + 2, kind)
        return schema(field(1, "a", kind))

    assert parse_schema(nested(SCHEMA_DEPTH_MAX)).highest_field_id == SCHEMA_DEPTH_MAX + 1
    with pytest.raises(InvalidRequest, match="levels deep"):
        parse_schema(nested(SCHEMA_DEPTH_MAX + 1))


def test_a_schema_has_a_largest_number_of_fields(monkeypatch):
    monkeypatch.setattr(schemas, "SCHEMA_FIELDS_MAX", 1)
    with pytest.raises(InvalidRequest, match="more than 1 fields"):
        parse_schema(schema())


@pytest.mark.parametrize("version", [1, 2])
def test_what_version_3_brought_is_refused_before_it_naming_every_column(version):
    parsed = parse_schema(
        schema(
            field(1, "geom", "geometry('OGC:CRS84')"),
            field(2, "s", struct(field(3, "t", "timestamp_ns"))),
            field(4, "n", **{"initial-default": 1, "write-default": 0}),
        )
    )
    with pytest.raises(InvalidRequest) as refused:
        check_format_version(parsed, version)
    assert refused.value.message.splitlines() == [
        f"Invalid schema for v{version}:",
        "- Invalid type for geom: geometry is not supported until v3",
        "- Invalid type for s.t: timestamp_ns is not supported until v3",
        "- Invalid initial default for n: non-null default is not supported until v3",
        "- Invalid write default for n: non-null default is not supported until v3",
    ]
    check_format_version(parsed, 3)


def test_schemas_compare_by_meaning_not_by_id_or_spelling():
    one = schema(
        field(1, "a", required=True),
        field(2, "g", "geometry('EPSG:4326')"),
        **{"identifier-field-ids": [1]},
    )
    other = schema(
        field(1, "a", required=True, doc=None),
        field(2, "g", "geometry"),
        **{"schema-id": 7, "identifier-field-ids": [1]},
    )
    renamed = schema(field(1, "b"))
    assert same_schema(parse_schema(one), parse_schema(other))
    assert not same_schema(parse_schema(one), parse_schema(renamed))


def test_fresh_ids_number_a_struct_before_what_its_fields_contain():
    parsed = parse_schema(
        schema(
            field(0, "s", struct(field(10, "x", required=True)), required=True),
            field(20, "m", map_of(30, "string", 40, list_of(50, "long"))),
            field(60, "z"),
            **{"identifier-field-ids": [10]},
        )
    )
    document, fresh = assign_fresh_ids(parsed)
    assert document["identifier-field-ids"] == [4]
    assert fresh == {0: 1, 20: 2, 60: 3, 10: 4, 30: 5, 40: 6, 50: 7}
    assert parse_schema(document).fields.keys() == set(range(1, 8))
    assert parsed.document["fields"][0]["id"] == 0
