"""Table operations over HTTP, commits apart."""

import json
from uuid import uuid4

import boto3
import pytest
from sqlalchemy import delete

from graticule.db.engine import write
from graticule.db.schema import table_documents
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


@pytest.mark.parametrize("header", ['"a,b", {}', 'W/"x" , W/{},"y"', "W/{}", "*"])
def test_one_tag_of_many_or_a_star_is_enough_for_an_unchanged_table(http, namespace, header):
    tag = create(http, namespace).headers["ETag"]
    answer = http.get(f"{namespace}/tables/t", headers={"If-None-Match": header.format(tag)})
    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", tag)


@pytest.mark.parametrize("header", ["", '""', '"a", W/"b"', "nonsense", '"*"'])
def test_other_tags_bring_the_table(http, namespace, header):
    create(http, namespace)
    answer = http.get(f"{namespace}/tables/t", headers={"If-None-Match": header})
    assert answer.status_code == 200


def test_a_star_keeps_no_credential_from_a_client_which_may_hold_an_old_one(http, namespace):
    create(http, namespace)
    loaded = http.get(f"{namespace}/tables/t", headers={**DELEGATE, "If-None-Match": "*"})
    assert loaded.status_code == 200
    assert loaded.json()["storage-credentials"]


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


def rename(http, catalog, source, destination):
    body = {
        "source": {"namespace": source[:-1], "name": source[-1]},
        "destination": {"namespace": destination[:-1], "name": destination[-1]},
    }
    return http.post(f"{catalog.base}/tables/rename", json=body)


def create_view(http, namespace, name="v"):
    version = {
        "version-id": 1,
        "timestamp-ms": 1_800_000_000_000,
        "schema-id": 0,
        "summary": {},
        "default-namespace": ["ns"],
        "representations": [{"type": "sql", "sql": "select 1", "dialect": "spark"}],
    }
    body = {"name": name, "schema": SCHEMA, "view-version": version, "properties": {}}
    answer = http.post(f"{namespace}/views", json=body)
    assert answer.status_code == 200, answer.text


def message_of(answer):
    return answer.status_code, answer.json()["error"]["message"]


def test_names_that_are_taken_are_refused_in_the_words_that_java_looks_for(
    http, catalog, namespace
):
    made = create(http, namespace, "t").json()
    create(http, namespace, "u")
    create_view(http, namespace, "v")
    register = {"name": "v", "metadata-location": made["metadata-location"]}
    staged = {"requirements": [{"type": "assert-create"}], "updates": []}

    assert [
        message_of(create(http, namespace, "t")),
        message_of(create(http, namespace, "v")),
        message_of(http.post(f"{namespace}/register", json={**register, "name": "t"})),
        message_of(http.post(f"{namespace}/register", json={**register, "overwrite": True})),
        message_of(rename(http, catalog, ["ns", "t"], ["ns", "u"])),
        message_of(rename(http, catalog, ["ns", "t"], ["ns", "v"])),
        message_of(http.post(f"{namespace}/tables/t", json=staged)),
        message_of(rename(http, catalog, ["ns", "v"], ["ns", "w"])),
    ] == [
        (409, "Table already exists: ns.t"),
        (409, "View with same name already exists: ns.v"),
        (409, "Table already exists: ns.t"),
        (409, "View with same name already exists: ns.v"),
        (409, "Cannot rename ns.t to ns.u. Table already exists"),
        (409, "Cannot rename ns.t to ns.v. View already exists"),
        (409, "Requirement failed: table already exists: ns.t"),
        (404, "Table does not exist: ns.v"),
    ]


def test_a_table_renamed_to_its_own_name_stays(http, catalog, namespace):
    create(http, namespace)
    assert rename(http, catalog, ["ns", "t"], ["ns", "t"]).status_code == 204
    assert http.head(f"{namespace}/tables/t").status_code == 204


def test_every_answer_with_a_table_has_an_etag(http, namespace):
    made = create(http, namespace)
    committed = http.post(
        f"{namespace}/tables/t",
        json={
            "requirements": [],
            "updates": [{"action": "set-properties", "updates": {"a": "1"}}],
        },
    )
    assert committed.headers["ETag"] not in {None, made.headers["ETag"]}
    tag = {"If-None-Match": committed.headers["ETag"]}
    assert http.get(f"{namespace}/tables/t", headers=tag).status_code == 304
    assert http.get(f"{namespace}/tables/t", headers={**tag, **DELEGATE}).status_code == 200
    http.delete(f"{namespace}/tables/t")
    at = committed.json()["metadata-location"]
    again = http.post(f"{namespace}/register", json={"name": "t", "metadata-location": at})
    assert again.headers["ETag"] == http.get(f"{namespace}/tables/t").headers["ETag"]
    # Another catalog may have replaced the file meanwhile: nobody may take it for the same one.
    assert again.headers["ETag"] != committed.headers["ETag"]


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("", 200),
        ("ns%1Fv", 200),
        ("ns%1Fv,a%1Fb%1Fc%2Cd", 200),
        ("a+b%1Fv%20w,", 200),
        ("v", 400),
        ("ns%1Fv,%1F", 400),
        ("%ff%1Fv", 400),
    ],
)
def test_the_views_through_which_a_table_is_read_are_accepted(http, namespace, value, status):
    create(http, namespace)
    for url in (f"{namespace}/tables/t", f"{namespace}/tables/t/credentials"):
        answer = http.get(f"{url}?referenced-by={value}")
        assert answer.status_code == status
        assert status == 200 or "`referenced-by`" in answer.json()["error"]["message"]


def test_an_unregistered_table_is_given_away_with_its_last_commit(http, namespace):
    create(http, namespace)
    committed = http.post(
        f"{namespace}/tables/t",
        json={
            "requirements": [],
            "updates": [{"action": "set-properties", "updates": {"a": "1"}}],
        },
    ).json()

    answer = http.post(f"{namespace}/tables/t/unregister")

    assert (answer.status_code, answer.json()) == (200, committed)
    assert error_of(http.post(f"{namespace}/tables/t/unregister"))[0] == 404
    late = http.post(f"{namespace}/tables/t", json={"requirements": [], "updates": []})
    assert error_of(late) == (404, "NoSuchTableException")
    back = {"name": "t", "metadata-location": committed["metadata-location"]}
    assert http.post(f"{namespace}/register", json=back).json()["metadata"] == committed["metadata"]


class Files:
    """Metadata files as another catalog leaves them, below the catalog's own path."""

    def __init__(self, server, catalog):
        keys = server.store.admin_keys
        self.s3 = boto3.client(
            "s3",
            endpoint_url=server.store.endpoint,
            region_name=server.store.region,
            aws_access_key_id=keys.access_key_id,
            aws_secret_access_key=keys.secret_access_key.reveal(),
        )
        self.root = f"foreign-{catalog.id}"

    def put(self, document, folder="t"):
        location = f"s3://lake/{self.root}/{folder}"
        key = f"{self.root}/{folder}/metadata/v3.metadata.json"
        body = json.dumps(document | {"location": location}).encode()
        self.s3.put_object(Bucket="lake", Key=key, Body=body)
        return f"s3://lake/{key}"

    def get(self, uri):
        key = uri.removeprefix("s3://lake/")
        return self.s3.get_object(Bucket="lake", Key=key)["Body"].read()

    def delete(self, uri):
        self.s3.delete_object(Bucket="lake", Key=uri.removeprefix("s3://lake/"))


@pytest.fixture
def files(server, catalog):
    return Files(server, catalog)


@pytest.fixture
def document(http, namespace):
    return create(http, namespace, "template").json()["metadata"] | {"table-uuid": str(uuid4())}


def register(http, namespace, at, name="t", **more):
    return http.post(f"{namespace}/register", json={"name": name, "metadata-location": at, **more})


def test_a_registered_table_keeps_its_document_as_it_is(http, namespace, files, document):
    document["unknown-member"] = {"kept": [1, 2.5]}
    answer = register(http, namespace, files.put(document))
    assert answer.status_code == 200, answer.text
    loaded = http.get(f"{namespace}/tables/t").json()["metadata"]
    assert loaded == answer.json()["metadata"]
    assert loaded == document | {"location": loaded["location"]}


def test_a_registered_table_is_shown_with_types_in_the_spelling_that_all_clients_read(
    http, namespace, files, document
):
    """The file itself stays as another catalog wrote it."""
    document |= {"format-version": 3, "next-row-id": 0, "last-column-id": 3}
    fields = document["schemas"][0]["fields"]
    fields.append({"id": 3, "name": "g", "type": "Geometry('OGC:CRS84')", "required": False})
    at = files.put(document)

    answer = register(http, namespace, at)

    assert answer.status_code == 200, answer.text
    loaded = http.get(f"{namespace}/tables/t").json()["metadata"]
    assert loaded == answer.json()["metadata"]
    assert loaded["schemas"][0]["fields"][2]["type"] == "geometry"
    stored = json.loads(files.get(at))
    assert stored["schemas"][0]["fields"][2]["type"] == "Geometry('OGC:CRS84')"


def test_a_file_registered_again_is_read_again(http, namespace, files, document):
    at = files.put(document)
    assert register(http, namespace, at).status_code == 200
    http.delete(f"{namespace}/tables/t")
    files.put(document | {"properties": {"newer": "yes"}})
    answer = register(http, namespace, at)
    assert answer.json()["metadata"]["properties"] == {"newer": "yes"}
    assert http.get(f"{namespace}/tables/t").json()["metadata"]["properties"] == {"newer": "yes"}


def test_a_version_1_document_without_uuid_is_registered(http, namespace, files, document):
    old = {k: v for k, v in document.items() if k not in {"table-uuid", "last-sequence-number"}}
    old |= {"format-version": 1, "schema": document["schemas"][0], "partition-spec": []}
    answer = register(http, namespace, files.put(old))
    assert answer.status_code == 200, answer.text
    committed = http.post(
        f"{namespace}/tables/t",
        json={
            "requirements": [],
            "updates": [{"action": "set-properties", "updates": {"a": "1"}}],
        },
    )
    assert committed.status_code == 200, committed.text


def test_a_document_that_would_redirect_credentials_is_not_registered(
    http, namespace, files, document
):
    at = files.put(document | {"properties": {"s3.endpoint": "http://evil"}})
    answer = register(http, namespace, at)
    assert error_of(answer) == (400, "BadRequestException")
    assert "s3.endpoint" in answer.json()["error"]["message"]


def test_a_table_is_not_registered_twice_nor_over_another_ones_files(
    http, namespace, files, document
):
    at = files.put(document)
    assert register(http, namespace, at).status_code == 200
    assert register(http, namespace, at, "again").status_code == 400
    inside = files.put(document | {"table-uuid": str(uuid4())}, "t/inside")
    assert register(http, namespace, inside, "inside").status_code == 400
    copy = files.put(document, "copy")
    assert error_of(register(http, namespace, copy, "copy")) == (409, "AlreadyExistsException")


def test_registering_over_a_table_replaces_it_and_only_it(
    http, catalog, namespace, files, document
):
    at = files.put(document)
    assert register(http, namespace, at).status_code == 200
    newer = files.put(document | {"properties": {"newer": "yes"}, "table-uuid": str(uuid4())}, "t2")
    assert register(http, namespace, newer).status_code == 409
    answer = register(http, namespace, newer, overwrite=True)
    assert answer.status_code == 200, answer.text
    assert http.get(f"{namespace}/tables/t").json()["metadata"]["properties"] == {"newer": "yes"}
    same_place = register(http, namespace, newer, overwrite=True)
    assert same_place.status_code == 200, same_place.text


def test_a_table_whose_metadata_file_is_gone_is_served_from_the_databases_copy(
    http, namespace, files, document
):
    at = files.put(document)
    registered = register(http, namespace, at).json()
    files.delete(at)
    assert http.get(f"{namespace}/tables/t").json()["metadata"] == registered["metadata"]


def test_a_table_whose_metadata_is_nowhere_says_which_file_is_missing(
    http, server, namespace, monkeypatch
):
    """No copy, no cache, no file; not `no such table`, which clients would believe."""
    made = create(http, namespace).json()
    at = made["metadata-location"]
    with write(server.services.engine) as conn:
        conn.execute(delete(table_documents).where(table_documents.c.metadata_location == at))
    documents = server.services.tables._documents
    monkeypatch.setattr(documents._encoded, "get", lambda _: None)
    monkeypatch.setattr(documents._parsed, "get", lambda _: None)
    store = server.services.tables._credentials.store_for(
        server.services.catalogs.open(
            server.services.authentication.of_bearer(
                http.headers["Authorization"].removeprefix("Bearer ")
            ),
            namespace.split("/")[3],
        ).integration
    )
    store.delete([at])
    answer = http.get(f"{namespace}/tables/t")
    assert (answer.status_code, answer.json()["error"]) == (
        404,
        {
            "message": f"Failed to open input stream for file: {at}",
            "type": "NotFoundException",
            "code": 404,
        },
    )
