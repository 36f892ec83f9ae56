"""SQL functions: what the specification serves, and the management API that makes them."""

import pytest

from support.server import LiveCatalog

DEFINITION = {
    "parameters": [{"name": "x", "type": "int", "doc": "Input"}],
    "return-type": "int",
    "representations": [{"dialect": "trino", "sql": "x + 1"}],
    "deterministic": True,
}


@pytest.fixture
def namespace(http, catalog: LiveCatalog) -> str:
    http.post(f"{catalog.base}/namespaces", json={"namespace": ["a"]})
    http.post(f"{catalog.base}/namespaces", json={"namespace": ["a", "b"]})
    return f"{catalog.base}/namespaces/a%1Fb"


@pytest.fixture
def folder(catalog: LiveCatalog, namespace: str) -> str:
    return f"/api/v1/catalogs/{catalog.id}/namespaces/a.b/functions"


def create(http, folder, name="add_one", **members):
    return http.post(folder, json={"name": name, "definitions": [DEFINITION], **members})


def replace(http, folder, version, sql, name="add_one"):
    changed = DEFINITION | {"representations": [{"dialect": "trino", "sql": sql}]}
    return http.put(f"{folder}/{name}", json={"version": version, "definitions": [changed]})


def problem_of(answer):
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def error_of(answer):
    return answer.status_code, answer.json()["error"]["type"]


def test_a_created_function_is_loaded_as_the_specification_has_it(http, namespace, folder):
    made = create(http, folder, doc="One more", secure=False, properties={"k": "v"})
    assert made.status_code == 201, made.text
    body = made.json()
    metadata = body["metadata"]
    since_ms = metadata["definition-log"][0]["timestamp-ms"]
    assert metadata == {
        "function-uuid": metadata["function-uuid"],
        "format-version": 1,
        "definitions": [
            {
                "definition-id": "int",
                "parameters": [{"name": "x", "type": "int", "doc": "Input"}],
                "return-type": "int",
                "function-type": "udf",
                "versions": [
                    {
                        "version-id": 1,
                        "representations": [{"type": "sql", "dialect": "trino", "sql": "x + 1"}],
                        "deterministic": True,
                        "timestamp-ms": since_ms,
                    }
                ],
                "current-version-id": 1,
            }
        ],
        "definition-log": [
            {
                "timestamp-ms": since_ms,
                "definition-versions": [{"definition-id": "int", "version-id": 1}],
            }
        ],
        "properties": {"k": "v"},
        "secure": False,
        "doc": "One more",
    }
    assert http.get(f"{namespace}/functions/add_one").json() == {"metadata": metadata}
    assert http.get(f"{folder}/add_one").json() == body


def test_functions_are_listed_by_name_in_pages_of_arrays(http, namespace, folder):
    for name in ("c", "a", "b"):
        create(http, folder, name)
    assert http.get(f"{namespace}/functions").json() == {
        "identifiers": [["a", "b", name] for name in "abc"]
    }
    params = {"pageToken": "", "pageSize": 2}
    first = http.get(f"{namespace}/functions", params=params).json()
    assert first["identifiers"] == [["a", "b", "a"], ["a", "b", "b"]]
    rest = http.get(f"{namespace}/functions", params={"pageToken": first["next-page-token"]})
    assert rest.json() == {"identifiers": [["a", "b", "c"]]}
    managed = http.get(folder, params={"limit": 2}).json()
    assert [item["name"] for item in managed["items"]] == ["c", "a"], "in the order made"
    last = http.get(folder, params={"after": managed["next"]}).json()
    assert ([item["name"] for item in last["items"]], last["next"]) == (["b"], None)


def test_what_is_not_there_is_said_to_be(http, catalog, namespace, folder):
    answer = http.get(f"{namespace}/functions/absent")
    assert error_of(answer) == (404, "NoSuchFunctionException")
    assert answer.json()["error"]["message"] == "Function does not exist: a.b.absent"
    for path in ("functions", "functions/f"):
        answer = http.get(f"{catalog.base}/namespaces/absent/{path}")
        assert error_of(answer) == (404, "NoSuchNamespaceException")
    assert problem_of(http.get(f"{folder}/absent")) == (404, "no-such-function")
    assert problem_of(replace(http, folder, 1, "1", "absent")) == (404, "no-such-function")
    assert problem_of(http.delete(f"{folder}/absent")) == (404, "no-such-function")
    elsewhere = folder.replace("a.b", "absent")
    assert problem_of(create(http, elsewhere)) == (404, "no-such-namespace")


def test_a_replacement_names_the_version_it_was_made_from(http, namespace, folder):
    create(http, folder)
    replaced = replace(http, folder, 1, "x + 2").json()
    assert replaced["version"] == 2
    [definition] = replaced["metadata"]["definitions"]
    assert [v["version-id"] for v in definition["versions"]] == [1, 2]
    assert problem_of(replace(http, folder, 1, "x + 3")) == (409, "commit-conflict")
    assert replace(http, folder, 2, "x + 2").json() == replaced, "nothing changes: same version"
    assert http.get(f"{folder}/add_one").json() == replaced


def test_a_drop_may_name_a_version(http, folder):
    create(http, folder)
    replace(http, folder, 1, "x + 2")
    stale = http.delete(f"{folder}/add_one", params={"version": "1"})
    assert problem_of(stale) == (409, "commit-conflict")
    assert http.delete(f"{folder}/add_one", params={"version": "x"}).status_code == 400
    assert http.delete(f"{folder}/add_one", params={"version": "2"}).status_code == 204
    assert create(http, folder).status_code == 201


def test_names_are_unique_in_their_namespace_only(http, catalog, folder):
    create(http, folder)
    assert problem_of(create(http, folder)) == (409, "already-exists")
    assert create(http, folder.replace("a.b", "a")).status_code == 201
    body = {
        "name": "add_one",
        "schema": {"type": "struct", "fields": []},
    }
    table = http.post(f"{catalog.base}/namespaces/a%1Fb/tables", json=body)
    assert table.status_code == 200, "tables have a name space of their own"


def test_a_namespace_with_a_function_is_not_empty(http, namespace, folder):
    create(http, folder)
    assert error_of(http.delete(namespace)) == (409, "NamespaceNotEmptyException")
    http.delete(f"{folder}/add_one")
    assert http.delete(namespace).status_code == 204


@pytest.mark.parametrize(
    ("members", "detail"),
    [
        ({"definitions": None}, "`definitions`"),
        ({"definitions": []}, "at least one definition"),
        ({"definitions": [DEFINITION | {"return_type": "int"}]}, "is not a field"),
        ({"definitions": [DEFINITION | {"return-type": "nonsense"}]}, "Cannot parse type"),
        ({"definitions": [DEFINITION, DEFINITION]}, "two definitions take the parameters `int`"),
        ({"name": ""}, "must be a text"),
        ({"name": "a\x00"}, "control character"),
        ({"secure": "yes"}, "`secure`"),
        ({"doc": "x" * 1_100_000}, "at most 1048576 are kept"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_malformed_function_is_refused(http, folder, members, detail):
    answer = create(http, folder, **members)
    assert problem_of(answer)[0] == 400
    assert detail in answer.json()["detail"]


def test_any_name_goes_through_the_path(http, namespace, folder):
    for name in ("a/b", "a b", "a+b", "ö"):
        assert create(http, folder, name).status_code == 201
    for encoded in ("a%2Fb", "a%20b", "a%2Bb", "%C3%B6"):
        assert http.get(f"{folder}/{encoded}").status_code == 200
        assert http.get(f"{namespace}/functions/{encoded}").status_code == 200
