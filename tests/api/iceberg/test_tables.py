"""Table operations over HTTP, commits apart."""

import pytest

from support.server import LiveCatalog

SCHEMA = {
    "type": "struct",
    "schema-id": 0,
    "fields": [
        {"id": 3, "name": "id", "type": "long", "required": True},
        {"id": 4, "name": "name", "type": "string", "required": False},
    ],
}
DELEGATE = {"X-Iceberg-Access-Delegation": "vended-credentials"}


@pytest.fixture
def namespace(http, catalog: LiveCatalog) -> str:
    http.post(f"{catalog.base}/namespaces", json={"namespace": ["ns"]})
    return f"{catalog.base}/namespaces/ns"


def create(http, namespace, name="t", **body):
    return http.post(f"{namespace}/tables", json={"name": name, "schema": SCHEMA, **body})


def error_of(answer):
    return answer.status_code, answer.json()["error"]["type"]


def test_a_created_table_gets_fresh_ids_and_a_location_of_its_own(http, catalog, namespace):
    made = create(http, namespace).json()
    assert [f["id"] for f in made["metadata"]["schemas"][0]["fields"]] == [1, 2]
    assert made["metadata"]["location"].startswith(f"s3://lake/{catalog.id}/")
    assert made["metadata-location"].startswith(f"{made['metadata']['location']}/metadata/00000-")
    loaded = http.get(f"{namespace}/tables/t").json()
    assert loaded["metadata"] == made["metadata"]
    assert loaded["metadata-location"] == made["metadata-location"]


def test_a_staged_table_is_not_there_until_it_is_committed(http, namespace):
    staged = create(http, namespace, **{"stage-create": True}).json()
    assert "metadata-location" not in staged
    assert http.head(f"{namespace}/tables/t").status_code == 404
    metadata = staged["metadata"]
    committed = http.post(
        f"{namespace}/tables/t",
        json={
            "requirements": [{"type": "assert-create"}],
            "updates": [
                {"action": "assign-uuid", "uuid": metadata["table-uuid"]},
                {"action": "upgrade-format-version", "format-version": 2},
                {"action": "add-schema", "schema": metadata["schemas"][0]},
                {"action": "set-current-schema", "schema-id": -1},
                {"action": "add-spec", "spec": {"spec-id": 0, "fields": []}},
                {"action": "set-default-spec", "spec-id": -1},
                {"action": "add-sort-order", "sort-order": {"order-id": 0, "fields": []}},
                {"action": "set-default-sort-order", "sort-order-id": -1},
                {"action": "set-location", "location": metadata["location"]},
                {"action": "set-properties", "updates": {"owner": "ana"}},
            ],
        },
    )
    assert committed.status_code == 200, committed.text
    document = committed.json()["metadata"]
    assert (document["table-uuid"], document["metadata-log"]) == (metadata["table-uuid"], [])
    assert http.head(f"{namespace}/tables/t").status_code == 204


def test_the_credential_is_in_config_and_in_storage_credentials_and_expires(http, namespace):
    create(http, namespace)
    body = http.get(f"{namespace}/tables/t", headers=DELEGATE).json()
    [credential] = body["storage-credentials"]
    assert credential["config"] == body["config"]
    assert credential["prefix"] == body["metadata"]["location"] + "/"
    assert {
        "s3.access-key-id",
        "s3.secret-access-key",
        "s3.session-token",
        "s3.session-token-expires-at-ms",
        "client.region",
        "s3.endpoint",
        "client.refresh-credentials-endpoint",
    } <= set(body["config"])
    refreshed = http.get("/catalog/" + body["config"]["client.refresh-credentials-endpoint"])
    assert [c["prefix"] for c in refreshed.json()["storage-credentials"]] == [credential["prefix"]]


def test_without_delegation_no_credential_leaves(http, namespace):
    create(http, namespace)
    body = http.get(f"{namespace}/tables/t").json()
    assert "storage-credentials" not in body
    assert not any("key" in name or "token" in name for name in body["config"])


def test_an_unchanged_table_is_not_sent_again(http, namespace):
    create(http, namespace)
    first = http.get(f"{namespace}/tables/t", headers=DELEGATE)
    again = http.get(
        f"{namespace}/tables/t", headers={**DELEGATE, "If-None-Match": first.headers["ETag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    refs = http.get(f"{namespace}/tables/t", params={"snapshots": "refs"}, headers=DELEGATE)
    assert refs.headers["ETag"] != first.headers["ETag"]


def test_etag_and_cache_control_keep_their_case_on_the_wire(server, http, namespace):
    """Java keeps headers in a case-sensitive map."""
    import http.client as plain  # noqa: PLC0415

    create(http, namespace)
    connection = plain.HTTPConnection(server.url.removeprefix("http://"))
    token = http.headers["Authorization"]
    connection.request("GET", f"{namespace}/tables/t", headers={"Authorization": token})
    names = [name for name, _ in connection.getresponse().getheaders()]
    connection.close()
    assert {"ETag", "Cache-Control"} <= set(names)


def test_creating_a_table_twice_conflicts(http, namespace):
    create(http, namespace)
    assert error_of(create(http, namespace)) == (409, "AlreadyExistsException")


def test_a_table_in_a_missing_namespace_is_no_such_table_but_cannot_be_created(http, catalog):
    """Engines probe `ns.t.snapshots` as a table of namespace `ns.t` and look for just this."""
    missing = f"{catalog.base}/namespaces/ns%1Ft/tables"
    assert error_of(http.get(f"{missing}/snapshots")) == (404, "NoSuchTableException")
    made = http.post(missing, json={"name": "x", "schema": SCHEMA})
    assert error_of(made) == (404, "NoSuchNamespaceException")


@pytest.mark.parametrize(
    "location",
    [
        "s3://lake/elsewhere",
        "s3://other/x",
        "file:///etc/passwd",
        "s3://lake/{catalog}",
        "s3://lake/{catalog}/../x",
        "s3://lake/{catalog}/a*b",
        "s3://lake/{catalog}/a//b",
        "s3://lake/{catalog}x/a",
    ],
)
def test_a_location_that_is_not_the_catalogs_to_give_is_refused(http, catalog, namespace, location):
    answer = create(http, namespace, location=location.format(catalog=catalog.id))
    assert error_of(answer) == (400, "BadRequestException")
    assert http.head(f"{namespace}/tables/t").status_code == 404


def test_a_location_inside_around_or_at_another_tables_is_refused(http, catalog, namespace):
    root = f"s3://lake/{catalog.id}/mine"
    assert create(http, namespace, location=f"{root}/t").status_code == 200
    for taken in (f"{root}/t", f"{root}/t/deeper", root):
        assert error_of(create(http, namespace, "u", location=taken))[0] == 400
    assert create(http, namespace, "u", location=f"{root}/t1").status_code == 200


@pytest.mark.parametrize(
    "name", ["s3.endpoint", "py-io-impl", "client.region", "s3.signer.uri", "io-impl"]
)
def test_a_property_that_could_redirect_credentials_is_refused(http, namespace, name):
    answer = create(http, namespace, properties={name: "http://evil"})
    assert answer.status_code == 400
    assert name in answer.json()["error"]["message"]


def test_paths_in_properties_must_lie_below_the_table(http, namespace):
    answer = create(http, namespace, properties={"write.data.path": "s3://lake/elsewhere"})
    assert error_of(answer) == (400, "BadRequestException")


def test_tables_are_listed_in_order_and_in_pages(http, namespace):
    for name in ("b", "a", "c"):
        create(http, namespace, name)
    everything = http.get(f"{namespace}/tables").json()
    assert [i["name"] for i in everything["identifiers"]] == ["a", "b", "c"]
    page = http.get(f"{namespace}/tables", params={"pageSize": 2}).json()
    assert [i["name"] for i in page["identifiers"]] == ["a", "b"]
    rest = http.get(f"{namespace}/tables", params={"pageToken": page["next-page-token"]}).json()
    assert ([i["name"] for i in rest["identifiers"]], "next-page-token" in rest) == (["c"], False)


def test_a_renamed_table_keeps_its_files_and_leaves_its_name_free(http, catalog, namespace):
    made = create(http, namespace).json()
    http.post(f"{catalog.base}/namespaces", json={"namespace": ["other"]})
    answer = http.post(
        f"{catalog.base}/tables/rename",
        json={
            "source": {"namespace": ["ns"], "name": "t"},
            "destination": {"namespace": ["other"], "name": "u"},
        },
    )
    assert answer.status_code == 204
    loaded = http.get(f"{catalog.base}/namespaces/other/tables/u").json()
    assert loaded["metadata"] == made["metadata"]
    assert http.head(f"{namespace}/tables/t").status_code == 404
    again = create(http, namespace).json()
    assert again["metadata"]["location"] != made["metadata"]["location"]


def test_renaming_onto_a_table_or_into_nowhere_is_refused(http, catalog, namespace):
    create(http, namespace, "a")
    create(http, namespace, "b")

    def rename(source, destination):
        return http.post(
            f"{catalog.base}/tables/rename",
            json={
                "source": {"namespace": ["ns"], "name": source},
                "destination": {"namespace": destination[:1], "name": destination[1]},
            },
        )

    assert error_of(rename("a", ["ns", "b"])) == (409, "AlreadyExistsException")
    assert error_of(rename("a", ["no", "b"])) == (404, "NoSuchNamespaceException")
    assert error_of(rename("x", ["ns", "y"])) == (404, "NoSuchTableException")


def test_a_dropped_table_can_be_registered_again_from_its_metadata_file(http, namespace):
    made = create(http, namespace).json()
    assert http.delete(f"{namespace}/tables/t").status_code == 204
    assert error_of(http.delete(f"{namespace}/tables/t")) == (404, "NoSuchTableException")
    answer = http.post(
        f"{namespace}/register",
        json={"name": "back", "metadata-location": made["metadata-location"]},
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["metadata"] == made["metadata"]


def test_registering_what_is_not_there_or_not_metadata_is_refused(http, catalog, namespace):
    root = f"s3://lake/{catalog.id}"
    missing = {"name": "x", "metadata-location": f"{root}/none/metadata/0.metadata.json"}
    assert error_of(http.post(f"{namespace}/register", json=missing)) == (404, "NotFoundException")
    outside = {"name": "x", "metadata-location": "s3://elsewhere/t/metadata/0.metadata.json"}
    assert error_of(http.post(f"{namespace}/register", json=outside))[0] == 400


def test_a_namespace_with_tables_is_not_dropped(http, namespace):
    create(http, namespace)
    assert error_of(http.delete(namespace)) == (409, "NamespaceNotEmptyException")


def test_metrics_are_accepted_for_tables_that_are_there(http, namespace):
    create(http, namespace)
    report = {"report-type": "scan-report", "table-name": "t", "snapshot-id": 1}
    assert http.post(f"{namespace}/tables/t/metrics", json=report).status_code == 204
    assert http.post(f"{namespace}/tables/no/metrics", json=report).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "t"},
        {"name": "", "schema": SCHEMA},
        {"name": 1, "schema": SCHEMA},
        {"name": "t", "schema": []},
        {"name": "t", "schema": {"type": "struct", "fields": [{"id": 1, "name": "a"}]}},
        {"name": "t", "schema": SCHEMA, "properties": {"a": 1}},
        {"name": "t", "schema": SCHEMA, "stage-create": "yes"},
        {"name": "t", "schema": SCHEMA, "properties": {"format-version": "9"}},
    ],
)
def test_a_table_that_makes_no_sense_is_refused(http, namespace, body):
    assert error_of(http.post(f"{namespace}/tables", json=body)) == (400, "BadRequestException")
