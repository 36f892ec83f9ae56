"""Namespace operations over HTTP."""

from urllib.parse import quote

import httpx2
import pytest

from support.server import LiveCatalog


def create(http: httpx2.Client, catalog: LiveCatalog, *levels: str, **properties: str) -> None:
    answer = http.post(
        f"{catalog.base}/namespaces", json={"namespace": levels, "properties": properties}
    )
    assert answer.status_code == 200, answer.text


def test_a_created_namespace_can_be_loaded_listed_and_dropped(http, catalog):
    create(http, catalog, "places", owner="ana")

    loaded = http.get(f"{catalog.base}/namespaces/places")
    assert loaded.json() == {"namespace": ["places"], "properties": {"owner": "ana"}}
    assert http.head(f"{catalog.base}/namespaces/places").status_code == 204
    assert http.get(f"{catalog.base}/namespaces").json() == {"namespaces": [["places"]]}
    assert http.delete(f"{catalog.base}/namespaces/places").status_code == 204
    assert http.head(f"{catalog.base}/namespaces/places").status_code == 404


def test_creating_a_namespace_twice_conflicts(http, catalog):
    create(http, catalog, "a")
    answer = http.post(f"{catalog.base}/namespaces", json={"namespace": ["a"]})
    assert answer.status_code == 409
    assert answer.json() == {
        "error": {
            "message": "Namespace already exists: a",
            "type": "AlreadyExistsException",
            "code": 409,
        }
    }


def test_listing_gives_direct_children_as_full_paths(http, catalog):
    create(http, catalog, "a")
    create(http, catalog, "a", "b")
    create(http, catalog, "a", "b", "c")
    create(http, catalog, "d")

    assert http.get(f"{catalog.base}/namespaces").json()["namespaces"] == [["a"], ["d"]]
    below = http.get(f"{catalog.base}/namespaces", params={"parent": "a"})
    assert below.json()["namespaces"] == [["a", "b"]]
    deeper = http.get(f"{catalog.base}/namespaces", params={"parent": "a\x1fb"})
    assert deeper.json()["namespaces"] == [["a", "b", "c"]]


def test_an_unknown_parent_is_not_found(http, catalog):
    answer = http.get(f"{catalog.base}/namespaces", params={"parent": "nowhere"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "NoSuchNamespaceException")
    made = http.post(f"{catalog.base}/namespaces", json={"namespace": ["nowhere", "b"]})
    assert (made.status_code, made.json()["error"]["type"]) == (404, "NoSuchNamespaceException")


@pytest.mark.parametrize("name", ["a b", "a+b", "a/b", "a%1Fb", "a.b", "日本", "a%2Bb", "é"])
def test_any_legal_name_survives_the_path(http, catalog, name):
    create(http, catalog, name)
    as_python = quote(name, safe="")
    as_java = quote(name, safe=" ").replace(" ", "+")
    for encoded in (as_python, as_java):
        loaded = http.get(f"{catalog.base}/namespaces/{encoded}")
        assert loaded.json()["namespace"] == [name]


def test_names_that_differ_only_in_plus_and_space_are_two(http, catalog):
    create(http, catalog, "a b", which="space")
    create(http, catalog, "a+b", which="plus")
    load = lambda raw: http.get(f"{catalog.base}/namespaces/{raw}").json()["properties"]["which"]  # noqa: E731
    assert [load("a+b"), load("a%20b"), load("a%2Bb")] == ["space", "space", "plus"]


@pytest.mark.parametrize(
    "levels",
    [
        ["."],
        ["a", ".."],
        [],
        [""],
        ["a", ""],
        ["a\x00b"],
        ["a\x1fb"],
        ["x" * 300],
        ["n"] * 17,
        "a",
        [1],
        None,
    ],
)
def test_a_namespace_that_cannot_be_is_refused(http, catalog, levels):
    answer = http.post(f"{catalog.base}/namespaces", json={"namespace": levels})
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "BadRequestException")


def test_properties_are_set_removed_and_missing_ones_reported(http, catalog):
    create(http, catalog, "a", kept="1", gone="2")
    answer = http.post(
        f"{catalog.base}/namespaces/a/properties",
        json={"removals": ["gone", "never"], "updates": {"new": "3"}},
    )
    assert answer.json() == {"updated": ["new"], "removed": ["gone"], "missing": ["never"]}
    loaded = http.get(f"{catalog.base}/namespaces/a")
    assert loaded.json()["properties"] == {"kept": "1", "new": "3"}


def test_setting_and_removing_the_same_property_is_unprocessable(http, catalog):
    create(http, catalog, "a")
    answer = http.post(
        f"{catalog.base}/namespaces/a/properties", json={"removals": ["k"], "updates": {"k": "v"}}
    )
    error = (answer.status_code, answer.json()["error"]["type"])
    assert error == (422, "UnprocessableEntityException")


def test_a_namespace_with_children_is_not_dropped(http, catalog):
    create(http, catalog, "a")
    create(http, catalog, "a", "b")
    answer = http.delete(f"{catalog.base}/namespaces/a")
    assert answer.status_code == 409
    assert answer.json()["error"]["type"] == "NamespaceNotEmptyException"
    assert "is not empty" in answer.json()["error"]["message"]


def test_pages_follow_each_other_and_end_without_a_token(http, catalog):
    names = [f"n{i}" for i in range(5)]
    for name in names:
        create(http, catalog, name)
    found, token = [], ""
    while token is not None:
        body = http.get(
            f"{catalog.base}/namespaces", params={"pageToken": token, "pageSize": 2}
        ).json()
        found += [levels[0] for levels in body["namespaces"]]
        token = body.get("next-page-token")
        assert token != ""
    assert found == names


def test_a_page_token_of_another_list_or_server_is_refused(http, catalog):
    for name in ("a", "b", "c"):
        create(http, catalog, name)
    body = http.get(f"{catalog.base}/namespaces", params={"pageSize": 1, "pageToken": ""}).json()
    token = body["next-page-token"]
    for params in ({"pageToken": token, "parent": "a"}, {"pageToken": "x" + token[1:]}):
        answer = http.get(f"{catalog.base}/namespaces", params=params)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, 400)


@pytest.mark.parametrize("name", ["a b", "a/b", "a+b", "50%", "a%20b", "é"])
def test_a_parent_encoded_once_or_twice_is_found(http, catalog, name):
    """PyIceberg encodes the levels of `parent` twice."""
    create(http, catalog, name)
    create(http, catalog, name, "child")
    for parent in (name, quote(name, safe="")):
        answer = http.get(f"{catalog.base}/namespaces", params={"parent": parent})
        assert answer.json()["namespaces"] == [[name, "child"]]


def test_a_parent_is_taken_at_its_word_first(http, catalog):
    create(http, catalog, "a%20b")
    create(http, catalog, "a b")
    create(http, catalog, "a b", "child")
    answer = http.get(f"{catalog.base}/namespaces", params={"parent": "a%20b"})
    assert answer.json()["namespaces"] == []


@pytest.mark.parametrize("parent", ["no", "no%20such", "a%00b", "a%1Fb", "%"])
def test_a_parent_that_is_not_there_however_it_is_read_is_not_found(http, catalog, parent):
    answer = http.get(f"{catalog.base}/namespaces", params={"parent": parent})
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "NoSuchNamespaceException")


@pytest.mark.parametrize(
    "properties", [{"": "x"}, {"a": 1}, {"a": None}, {"a": "x" * 300_000}, ["a"], "a"]
)
def test_properties_that_cannot_be_kept_are_refused(http, catalog, properties):
    made = http.post(
        f"{catalog.base}/namespaces", json={"namespace": ["a"], "properties": properties}
    )
    create(http, catalog, "a")
    changed = http.post(f"{catalog.base}/namespaces/a/properties", json={"updates": properties})
    assert (made.status_code, changed.status_code) == (400, 400)
    assert http.get(f"{catalog.base}/namespaces/a").json()["properties"] == {}
