import pytest

from graticule.discovery.hive_types import infer_type, parse_value
from graticule.discovery.names import assign_names, is_generic, table_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Cities", "cities"),
        ("world cities (2024)", "world_cities_2024"),
        ("2024-roads", "t_2024_roads"),
        ("Zürich", "z_rich"),
        ("日本", "table"),
        ("", "table"),
        ("__x__", "x"),
        ("a" * 200, "a" * 128),
        ("1" * 200, ("t_" + "1" * 128)[:128]),
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


def test_who_comes_second_to_a_name_gets_its_folder_in_front():
    wanted = [("b/roads/", "b/roads/"), ("a/roads/", "a/roads/"), ("roads/", "roads/")]
    assert assign_names(wanted) == {
        "a/roads/": "roads",
        "b/roads/": "b_roads",
        "roads/": "roads_2",
    }


def test_registered_tables_keep_their_names():
    taken = {"b/roads/": "roads", "gone/": "old"}
    wanted = [("a/roads/", "a/roads/"), ("b/roads/", "b/roads/")]
    assert assign_names(wanted, taken=taken) == {"a/roads/": "a_roads", "b/roads/": "roads"}


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
    assert infer_type(values) == type_


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
