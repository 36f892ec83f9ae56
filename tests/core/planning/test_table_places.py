import pytest

from graticule.planning.table_places import place_of

SCHEMA = {
    "type": "struct",
    "schema-id": 0,
    "fields": [
        {"id": 1, "name": "geometry", "required": False, "type": "binary"},
        {"id": 2, "name": "longitude", "required": False, "type": "double"},
        {"id": 3, "name": "latitude", "required": False, "type": "double"},
    ],
}


@pytest.mark.parametrize("geo", ["", "{", "[]", "7", '{"primary_column": 7}', "[" * 100_000])
def test_a_table_property_that_makes_no_sense_says_nothing(geo):
    """Commits ask for the place too: whatever a client has written there must not stop them."""
    document = {"current-schema-id": 0, "schemas": [SCHEMA], "properties": {"geo": geo}}
    assert place_of(document, SCHEMA).key == "columns-2-3-2-3"
