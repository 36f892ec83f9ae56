import pytest

from graticule.discovery.schema_merge import Conflict, families, merge_fields, promote


def fields(**types):
    return [{"name": name, "required": False, "type": type_} for name, type_ in types.items()]


def struct(**types):
    return {"type": "struct", "fields": fields(**types)}


def a_list(element):
    return {"type": "list", "element": element, "element-required": False}


@pytest.mark.parametrize(
    ("one", "other", "merged"),
    [
        ("int", "long", "long"),
        ("double", "float", "double"),
        ("decimal(5, 2)", "decimal(9, 2)", "decimal(9, 2)"),
        ("decimal(5, 2)", "decimal(9, 3)", None),
        ("int", "double", None),
        ("int", "string", None),
        ("date", "timestamp", None),
        ("timestamp", "timestamptz", None),
    ],
)
def test_only_promotions_that_readers_perform_are_made(one, other, merged):
    assert promote(one, other) == promote(other, one) == merged


def test_missing_columns_are_added_at_the_end():
    merged = merge_fields(fields(a="int", b="string"), fields(c="date", a="long"))
    assert list(merged) == fields(a="long", b="string", c="date")


def test_a_column_of_nulls_takes_any_type():
    merged = merge_fields(
        fields(a="unknown", b=a_list("unknown")), fields(a="date", b=a_list("int"))
    )
    assert list(merged) == fields(a="date", b=a_list("int"))


def test_nested_types_are_merged_within():
    merged = merge_fields(
        fields(s=struct(x="float", y="int")), fields(s=struct(y="long", z=a_list("string")))
    )
    assert list(merged) == fields(s=struct(x="float", y="long", z=a_list("string")))


def test_a_conflict_names_the_column_and_both_types():
    conflict = merge_fields(fields(s=struct(x="int")), fields(s=struct(x="string")))
    assert conflict == Conflict("s.x", "int", "string")
    assert merge_fields(fields(s="int"), fields(s=struct(x="int"))) == Conflict(
        "s", "int", "struct"
    )


def test_files_that_share_most_columns_are_a_family():
    schemas = [fields(a="int", b="int"), fields(a="long"), fields(x="int", y="int")]
    found = families([schemas[1], schemas[0], schemas[0], schemas[2]])
    assert found == [
        (tuple(fields(a="long", b="int")), [0, 1, 2]),
        (tuple(fields(x="int", y="int")), [3]),
    ]


def test_types_that_do_not_fit_split_a_family():
    found = families([fields(a="int"), fields(a="string"), fields(a="int")])
    assert [positions for _, positions in found] == [[0, 2], [1]]
