"""Function metadata: ids from signatures, versions that count on, and the log."""

import copy

import pytest

from graticule.domain.errors import InvalidRequest
from graticule.iceberg import functions
from graticule.iceberg.functions import new_function, replaced_function

NOW = 1_790_000_000_000
LATER = NOW + 1_000
UUID = "019a0000-0000-7000-8000-000000000001"
POINT = {
    "type": "struct",
    "fields": [
        {"name": "x", "type": "double", "required": True, "id": 9},
        {"name": "y", "type": "double"},
    ],
}


def definition(*types, sql="x + 1", **members):
    parameters = [{"name": f"p{i}", "type": kind} for i, kind in enumerate(types)]
    return {
        "parameters": parameters,
        "return-type": "int",
        "representations": [{"dialect": "trino", "sql": sql}],
    } | {key.replace("_", "-"): value for key, value in members.items()}


def made(*definitions, **members):
    wanted = {"definitions": list(definitions)} | members
    return new_function(wanted, function_uuid=UUID, now_ms=NOW)


def replaced(document, *definitions, at=LATER, **members):
    before = copy.deepcopy(document)
    after = replaced_function(document, {"definitions": list(definitions)} | members, now_ms=at)
    assert document == before, "the document was changed"
    return after


def selected(document):
    return [
        [(v["definition-id"], v["version-id"]) for v in entry["definition-versions"]]
        for entry in document["definition-log"]
    ]


def test_a_new_function_is_what_the_specification_says():
    document = made(
        definition("int", deterministic=True, doc="Adds one"),
        properties={"owner": "ana"},
        secure=True,
        doc="One more",
    )
    assert document == {
        "function-uuid": UUID,
        "format-version": 1,
        "definitions": [
            {
                "definition-id": "int",
                "parameters": [{"name": "p0", "type": "int"}],
                "return-type": "int",
                "function-type": "udf",
                "doc": "Adds one",
                "versions": [
                    {
                        "version-id": 1,
                        "representations": [{"type": "sql", "dialect": "trino", "sql": "x + 1"}],
                        "deterministic": True,
                        "timestamp-ms": NOW,
                    }
                ],
                "current-version-id": 1,
            }
        ],
        "definition-log": [
            {
                "timestamp-ms": NOW,
                "definition-versions": [{"definition-id": "int", "version-id": 1}],
            }
        ],
        "properties": {"owner": "ana"},
        "secure": True,
        "doc": "One more",
    }


@pytest.mark.parametrize(
    ("types", "identifier"),
    [
        ([], ""),
        (["int", "STRING"], "int,string"),
        (["decimal(9, 2)"], "decimal(9,2)"),
        (["geometry('EPSG:3857')", "geometry(srid:4326)"], "geometry(EPSG:3857),geometry"),
        (["geography(EPSG:4269, karney)"], "geography(EPSG:4269,karney)"),
        (["variant"], "variant"),
        (
            ["int", {"type": "list", "element": "int", "element-id": 4}, POINT],
            "int,list<int>,struct<x:double,y:double>",
        ),
        (
            [{"type": "map", "key": "string", "value": POINT}],
            "map<string,struct<x:double,y:double>>",
        ),
    ],
    ids=str,
)
def test_a_definition_is_identified_by_its_parameter_types(types, identifier):
    assert made(definition(*types))["definitions"][0]["definition-id"] == identifier


def test_what_changes_gets_a_new_version_and_the_rest_stays():
    document = made(definition("int"), definition("float"))
    after = replaced(document, definition("int", sql="x + 2"), definition("float"))
    assert [v["version-id"] for v in after["definitions"][0]["versions"]] == [1, 2]
    assert after["definitions"][1] == document["definitions"][1]
    assert selected(after) == [[("int", 1), ("float", 1)], [("int", 2), ("float", 1)]]
    assert after["function-uuid"] == UUID


def test_going_back_selects_the_old_version():
    document = replaced(made(definition("int")), definition("int", sql="x + 2"))
    back = replaced(document, definition("int"))
    assert back["definitions"][0]["current-version-id"] == 1
    assert selected(back) == [[("int", 1)], [("int", 2)], [("int", 1)]]


def test_a_replacement_that_says_the_same_is_the_very_document():
    document = made(definition("int"), doc="x")
    assert replaced(document, definition("int"), doc="x") is document


def test_a_definition_that_is_not_wanted_is_gone_with_the_history_that_names_it():
    document = made(definition("int"), definition("float"))
    after = replaced(document, definition("float"))
    assert [d["definition-id"] for d in after["definitions"]] == ["float"]
    assert selected(after) == [[("float", 1)]]


def test_versions_share_what_a_definition_returns():
    document = replaced(made(definition("int")), definition("int", return_type="long"))
    [changed] = document["definitions"]
    assert ([v["version-id"] for v in changed["versions"]], changed["return-type"]) == ([2], "long")


def test_optional_members_go_when_they_are_not_wanted_any_more():
    document = made(definition("int", doc="x"), doc="y", secure=True, properties={"a": "b"})
    after = replaced(document, definition("int"))
    assert {"doc", "secure", "properties"}.isdisjoint(after)
    assert "doc" not in after["definitions"][0]


def test_the_newest_versions_and_log_entries_are_kept(monkeypatch):
    monkeypatch.setattr(functions, "VERSIONS_MAX", 2)
    document = made(definition("int"))
    for number in range(2, 6):
        document = replaced(document, definition("int", sql=str(number)))
    assert [v["version-id"] for v in document["definitions"][0]["versions"]] == [4, 5]
    assert selected(document) == [[("int", 4)], [("int", 5)]]


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({}, "`definitions` must be an array"),
        ({"definitions": []}, "at least one definition"),
        ({"definitions": [definition("int"), definition("INT")]}, "take the parameters `int`"),
        (
            {
                "definitions": [
                    definition("int", specific_name="n"),
                    definition(specific_name="n"),
                ]
            },
            "the specific name `n`",
        ),
        ({"definitions": [definition("nonsense")]}, "Cannot parse type string"),
        ({"definitions": [definition({"type": "set"})]}, "a struct, a list or a map"),
        ({"definitions": [definition("geometry(a b)")]}, "must not contain spaces"),
        ({"definitions": [definition(function_type="udtf")]}, "must be a struct"),
        ({"definitions": [definition(function_type="x")]}, "`udf` or `udtf`"),
        ({"definitions": [definition(representations=[])]}, "at least one representation"),
        (
            {
                "definitions": [
                    definition(representations=[{"dialect": d, "sql": "1"} for d in "aA"])
                ]
            },
            "two queries for the dialect `a`",
        ),
        ({"definitions": [definition(on_null_input="x")]}, "`call` or `return-null`"),
        (
            {"definitions": [definition(parameters=[{"name": "x", "type": "int"}] * 2)]},
            "two parameters are called `x`",
        ),
    ],
    ids=str,
)
def test_what_makes_no_function_is_refused(wanted, reason):
    with pytest.raises(InvalidRequest, match=reason):
        new_function(wanted, function_uuid=UUID, now_ms=NOW)


def test_a_table_function_returns_rows():
    [table_function] = made(definition(function_type="udtf", return_type=POINT))["definitions"]
    assert table_function["return-type"] == {
        "type": "struct",
        "fields": [{"name": "x", "type": "double"}, {"name": "y", "type": "double"}],
    }
