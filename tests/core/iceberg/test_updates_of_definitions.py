"""Schemas, partition specs and sort orders."""

import pytest

from graticule.domain.errors import InvalidUpdate
from graticule.iceberg import document_draft
from support.table_documents import (
    applied,
    apply,
    field,
    order,
    part,
    schema,
    spec,
    table,
)

WIDER = schema(field(1, "id"), field(2, "name", "string"), field(5, "size"))


def add_schema(document, **more):
    return {"action": "add-schema", "schema": document} | more


def set_schema(schema_id):
    return {"action": "set-current-schema", "schema-id": schema_id}


def add_spec(*fields, **more):
    return {"action": "add-spec", "spec": spec(*fields, **more)}


def set_spec(spec_id):
    return {"action": "set-default-spec", "spec-id": spec_id}


def add_order(*source_ids):
    return {"action": "add-sort-order", "sort-order": order(*source_ids)}


def set_order(order_id):
    return {"action": "set-default-sort-order", "sort-order-id": order_id}


def test_a_new_schema_gets_the_next_id_whatever_the_request_says():
    after = apply(
        [add_schema(WIDER | {"schema-id": 40}, **{"last-column-id": 99}), set_schema(-1)], table()
    )
    assert [s["schema-id"] for s in after["schemas"]] == [0, 1]
    assert (after["current-schema-id"], after["last-column-id"]) == (1, 5)


def test_an_equal_schema_is_reused_and_counts_as_the_last_added():
    both = apply([add_schema(WIDER), set_schema(-1)], table())
    again = applied([add_schema(schema(**{"schema-id": 7}))], both)
    back = apply([add_schema(schema()), set_schema(-1)], both)
    assert (again.changed, again.document) == (False, both)
    assert (back["current-schema-id"], len(back["schemas"])) == (0, 2)


def test_the_last_added_schema_is_the_newest_not_the_one_with_the_largest_id():
    both = apply([add_schema(WIDER), set_schema(-1)], table())
    after = apply([add_schema(schema()), set_schema(-1)], both)
    assert after["current-schema-id"] == 0


@pytest.mark.parametrize(
    ("update", "message"),
    [
        (set_schema(-1), "Cannot set last added schema: no schema has been added"),
        (set_spec(-1), "Cannot set last added partition spec: no partition spec has been added"),
        (set_order(-1), "Cannot set last added sort order: no sort order has been added"),
        (set_schema(9), "Cannot set current schema to unknown schema: 9"),
        (set_spec(9), "Cannot set default partition spec to unknown spec: 9"),
        (set_order(9), "Cannot set default sort order to unknown sort order: 9"),
        ({"action": "remove-schemas", "schema-ids": [0]}, "Cannot remove the current schema"),
        (
            {"action": "remove-partition-specs", "spec-ids": [0]},
            "Cannot remove the default partition spec",
        ),
    ],
)
def test_what_does_not_exist_cannot_become_current_and_what_is_current_stays(update, message):
    with pytest.raises(InvalidUpdate) as refused:
        apply([update], table())
    assert refused.value.message == message


def test_schemas_and_specs_are_removed_by_id_and_unknown_ids_pass():
    grown = apply(
        [
            add_schema(WIDER),
            set_schema(-1),
            add_spec(part(1, "id")),
            set_spec(-1),
        ],
        table(),
    )
    after = apply(
        [
            {"action": "remove-schemas", "schema-ids": [0, 77]},
            {"action": "remove-partition-specs", "spec-ids": [0, 77]},
        ],
        grown,
    )
    assert [s["schema-id"] for s in after["schemas"]] == [1]
    assert [s["spec-id"] for s in after["partition-specs"]] == [1]
    assert not applied([{"action": "remove-schemas", "schema-ids": [77]}], after).changed


@pytest.mark.parametrize("version", [1, 2])
def test_a_geometry_column_needs_version_3(version):
    change = add_schema(schema(field(1, "geom", "geometry")))
    with pytest.raises(
        InvalidUpdate, match="Invalid type for geom: geometry is not supported until v3"
    ):
        apply([change], table(version))
    after = apply([change, set_schema(-1)], table(3))
    assert after["schemas"][1]["fields"][0]["type"] == "geometry"


def test_a_table_may_be_upgraded_and_given_a_geometry_column_in_one_commit():
    upgrade = {"action": "upgrade-format-version", "format-version": 3}
    after = apply([upgrade, add_schema(schema(field(1, "g", "geometry")))], table(2))
    assert after["schemas"][1]["fields"][0]["type"] == "geometry"


def test_version_1_repeats_the_current_schema_and_the_default_spec():
    after = apply(
        [add_schema(WIDER), set_schema(-1), add_spec(part(5, "size")), set_spec(-1)], table(1)
    )
    assert after["schema"] == after["schemas"][1]
    assert after["partition-spec"] == [part(5, "size", **{"field-id": 1000})]
    upgraded = apply([{"action": "upgrade-format-version", "format-version": 2}], after)
    assert {"schema", "partition-spec"} & upgraded.keys() == set()
    assert upgraded["last-sequence-number"] == 0


def test_a_new_spec_gets_the_next_id_and_missing_field_ids_count_on():
    after = apply(
        [add_spec(part(1, "id_bucket", "BUCKET[8]"), part(2, "name"), **{"spec-id": 9})], table()
    )
    assert after["partition-specs"][1] == {
        "spec-id": 1,
        "fields": [
            part(1, "id_bucket", "bucket[8]", **{"field-id": 1000}),
            part(2, "name", **{"field-id": 1001}),
        ],
    }
    assert after["last-partition-id"] == 1001


def test_given_partition_field_ids_are_kept():
    after = apply([add_spec(part(1, "id", **{"field-id": 1234}))], table())
    assert after["partition-specs"][1]["fields"][0]["field-id"] == 1234
    assert after["last-partition-id"] == 1234


def test_a_missing_field_id_is_that_of_an_equal_field_of_an_older_spec():
    once = apply([add_spec(part(2, "name"))], table())
    twice = apply([add_spec(part(1, "id"), part(2, "renamed"))], once)
    assert [f["field-id"] for f in twice["partition-specs"][2]["fields"]] == [1001, 1000]


def test_a_compatible_spec_is_reused_whatever_its_field_ids():
    once = apply([add_spec(part(1, "id"))], table())
    again = applied([add_spec(part(1, "id", **{"field-id": 4000}))], once)
    default = apply([add_spec(part(1, "id")), set_spec(-1)], once)
    assert not again.changed
    assert (default["default-spec-id"], len(default["partition-specs"])) == (1, 2)


def test_version_1_demands_sequential_partition_field_ids():
    with pytest.raises(InvalidUpdate, match="sequential IDs"):
        apply([add_spec(part(1, "id", **{"field-id": 1001}))], table(1))


GEO = apply(
    [
        add_schema(
            schema(
                field(1, "id"),
                field(2, "g", "geometry"),
                field(3, "h", "geography"),
                field(4, "v", "variant"),
                field(
                    5,
                    "l",
                    {
                        "type": "list",
                        "element-id": 6,
                        "element": "long",
                        "element-required": False,
                    },
                ),
                field(7, "d", "date"),
                field(8, "x", "double"),
            )
        ),
        set_schema(-1),
    ],
    table(3),
)


@pytest.mark.parametrize(
    ("source_id", "transform", "message"),
    [
        (2, "identity", "Invalid source type geometry for transform: identity"),
        (3, "bucket[4]", "Invalid source type geography for transform: bucket"),
        (2, "truncate[4]", "Invalid source type geometry for transform: truncate"),
        (4, "identity", "needs a primitive source column"),
        (5, "identity", "needs a primitive source column"),
        (6, "identity", "lies in a list or a map"),
        (7, "hour", "Invalid source type date for transform: hour"),
        (1, "day", "Invalid source type long for transform: day"),
        (8, "bucket[2]", "Invalid source type double"),
        (99, "identity", "Cannot find source column"),
        (1, "bucket[0]", "unknown transform"),
        (1, "hilbert", "unknown transform"),
    ],
)
def test_partition_and_sort_sources_must_suit_the_transform(source_id, transform, message):
    by = {"direction": "asc", "null-order": "nulls-last"}
    sort_field = {"source-id": source_id, "transform": transform} | by
    for update in (
        add_spec(part(source_id, "p", transform)),
        {"action": "add-sort-order", "sort-order": {"fields": [sort_field]}},
    ):
        with pytest.raises(InvalidUpdate, match=message.replace("[", r"\[")):
            apply([update], GEO)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([part(1, "p"), part(2, "p")], "must not repeat"),
        ([part(1, "a", **{"field-id": 1000}), part(2, "b", **{"field-id": 1000})], "not repeat"),
        ([part(1, "name")], "Cannot create partition from name that exists in schema: name"),
    ],
)
def test_partition_fields_have_names_and_ids_of_their_own(fields, message):
    with pytest.raises(InvalidUpdate, match=message):
        apply([add_spec(*fields)], table())


def test_sort_orders_count_from_1_and_unsorted_is_always_0():
    after = apply([add_order(1), set_order(-1), add_order(2), add_order()], table())
    assert [o["order-id"] for o in after["sort-orders"]] == [0, 1, 2]
    back = apply([add_order(), set_order(-1)], after)
    assert (after["default-sort-order-id"], back["default-sort-order-id"]) == (1, 0)


def test_an_equal_sort_order_is_reused():
    once = apply([add_order(1)], table())
    assert not applied([add_order(1)], once).changed
    assert apply([add_order(1), set_order(-1)], once)["default-sort-order-id"] == 1


def test_a_column_that_the_default_spec_needs_cannot_leave_the_current_schema():
    partitioned = apply([add_spec(part(2, "name")), set_spec(-1)], table())
    narrow = schema(field(1, "id"))
    with pytest.raises(InvalidUpdate, match="Cannot find source column for partition field `name`"):
        apply([add_schema(narrow), set_schema(-1)], partitioned)
    apply([set_spec(0), add_schema(narrow), set_schema(-1)], partitioned)


def test_there_is_a_largest_number_of_definitions_in_one_commit(monkeypatch):
    monkeypatch.setattr(document_draft, "DEFINITIONS_MAX", 2)
    with pytest.raises(InvalidUpdate, match="more than 2 schemas"):
        apply([add_order(1), add_order(2), add_order()], table())
