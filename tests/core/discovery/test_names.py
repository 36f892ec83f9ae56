import pytest

from graticule.discovery.hive_types import TypeGuess, parse_value
from graticule.discovery.names import (
    TableName,
    Wanted,
    assign_names,
    flat_names,
    is_generic,
    names_of_layers,
    table_name,
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Cities", "cities"),
        ("world cities (2024)", "world_cities_2024"),
        ("2024-roads", "t_2024_roads"),
        ("Zürich", "zurich"),
        ("日本", "table_cf2abf"),
        ("", "table"),
        ("__x__", "x"),
        ("world%20cities", "world_cities"),
        ("a" * 128, "a" * 128),
        ("a" * 200, "a" * 121 + "_c2a908"),
        ("1" * 200, "t_" + "1" * 119 + "_90b03b"),
    ],
)
def test_names_are_legal_everywhere(text, name):
    assert table_name(text) == name


@pytest.mark.parametrize(
    ("stem", "generic"),
    [
        ("part-00000-8f1c5f6e-1b7e-4d3a-9f55-000000000000-c000.snappy", True),
        ("part_0", True),
        ("data", True),
        ("data_12", True),
        ("00000-0-8f1c5f6e-1b7e-4d3a-9f55-000000000000", True),
        ("8f1c5f6e1b7e4d3a", True),
        ("20240101", True),
        ("airports", False),
        ("facade", False),
        ("deadbeef", False),
        ("roads_2024", False),
        ("database", False),
        ("parties", False),
    ],
)
def test_names_that_writers_make_up_say_nothing(stem, generic):
    assert is_generic(stem) is generic


def test_a_name_is_made_of_the_folder_and_a_namespace_of_those_above():
    wanted = [
        Wanted("b/roads/", ("b", "roads")),
        Wanted("a/roads/", ("a", "roads")),
        Wanted("x/y/roads/", ("x", "y", "roads")),
        Wanted("roads/", ("roads",)),
    ]
    named = {
        "a/roads/": TableName("a", "roads"),
        "b/roads/": TableName("b", "roads"),
        "x/y/roads/": TableName("x_y", "roads"),
        "roads/": TableName("", "roads"),
    }
    assert assign_names(wanted) == assign_names(wanted[::-1]) == named


def test_of_names_that_come_out_the_same_the_one_spelled_so_keeps_it():
    wanted = [Wanted(root, (root[:-1],)) for root in ("Roads/", "roads/", "ROADS/")]
    assert assign_names(wanted) == {
        "Roads/": TableName("", "roads_36cb00"),
        "roads/": TableName("", "roads"),
        "ROADS/": TableName("", "roads_5ded0c"),
    }
    assert assign_names(wanted[::-1]) == assign_names(wanted)


def test_a_name_that_something_outside_has_is_given_to_nobody_but_its_owner():
    def is_taken(identity, name):
        return name == TableName("", "a") and identity != "A/"

    wanted = [Wanted("a/", ("a",)), Wanted("b/", ("b",))]
    named = assign_names(wanted, is_taken=is_taken)
    assert named["b/"] == TableName("", "b")
    assert named["a/"].name.startswith("a_")
    assert assign_names([Wanted("A/", ("A",))], is_taken=is_taken) == {"A/": TableName("", "a")}


def test_in_one_namespace_names_that_would_be_the_same_get_their_own_in_front():
    names = [TableName("a", "roads"), TableName("b", "roads"), TableName("b", "towns")]
    assert list(flat_names(names).values()) == ["a_roads", "b_roads", "towns"]
    assert flat_names([TableName("", "roads"), TableName("b", "roads")]) == {
        TableName("", "roads"): "roads",
        TableName("b", "roads"): "b_roads",
    }


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        (["2020", "2021", None], "int"),
        (["-5", "0"], "int"),
        (["01", "12"], "int"),
        (["1", "02"], "string"),
        (["007", "123"], "string"),
        (["3000000000"], "long"),
        (["99999999999999999999"], "string"),
        (["2020-01-31", "2020-02-01"], "date"),
        (["2020-02-31"], "string"),
        (["1.5"], "string"),
        (["EU", "1"], "string"),
        ([None], "string"),
    ],
)
def test_hive_columns_get_the_narrowest_type_that_loses_nothing(values, type_):
    guess = TypeGuess()
    for value in values:
        guess.add(value)
    assert guess.type == type_


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ("int", "01", 1),
        ("date", "1970-01-02", 1),
        ("string", "01", "01"),
        ("boolean", "TRUE", True),
        ("string", None, None),
        ("int", None, None),
    ],
)
def test_hive_values_are_parsed_for_manifests(type_, text, value):
    assert parse_value(type_, text) == value


def test_tables_of_layers_have_legal_names_that_differ():
    assert names_of_layers("roads", ["Any / thing"]) == ["roads"]
    layers = ["2020", "Zürich.Nord/Süd", "a b", "a-b", "日本", "x" * 300]
    assert names_of_layers("roads", layers) == [
        "roads_2020",
        "roads_zurich_nord_sud",
        "roads_a_b_c8687a",
        "roads_a_b_d44362",
        "roads_cf2abf",
        "roads_" + "x" * 100,
    ]
