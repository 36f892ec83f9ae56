"""View operations over HTTP: the flows, the name space shared with tables, and who wins a race."""

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext

import pytest

from graticule.db.engine import write
from graticule.domain.errors import CommitStateUnknown
from graticule.domain.location import Location
from graticule.services.catalog import view_commits
from support.server import LiveCatalog

SCHEMA = {
    "type": "struct",
    "schema-id": 0,
    "fields": [{"id": 3, "name": "id", "type": "long", "required": True}],
}
NOW = 1_790_000_000_000


def version(sql="select 1", dialect="spark", **members):
    return {
        "version-id": 1,
        "schema-id": 0,
        "timestamp-ms": NOW,
        "summary": {},
        "default-namespace": ["ns"],
        "representations": [{"type": "sql", "sql": sql, "dialect": dialect}],
        **members,
    }


def replacement(sql, **members):
    return [
        {"action": "add-view-version", "view-version": version(sql, **members)},
        {"action": "set-current-view-version", "view-version-id": -1},
    ]


@pytest.fixture
def namespace(http, catalog: LiveCatalog) -> str:
    http.post(f"{catalog.base}/namespaces", json={"namespace": ["ns"]})
    return f"{catalog.base}/namespaces/ns"


def create(http, namespace, name="v", **body):
    return http.post(
        f"{namespace}/views",
        json={"name": name, "schema": SCHEMA, "view-version": version(), "properties": {}, **body},
    )


def create_table(http, namespace, name="t", **body):
    return http.post(f"{namespace}/tables", json={"name": name, "schema": SCHEMA, **body})


def commit(http, namespace, updates, name="v", requirements=()):
    return http.post(
        f"{namespace}/views/{name}",
        json={"requirements": list(requirements), "updates": updates},
    )


def rename(http, catalog, source, destination):
    body = {
        "source": {"namespace": source[:-1], "name": source[-1]},
        "destination": {"namespace": destination[:-1], "name": destination[-1]},
    }
    return http.post(f"{catalog.base}/views/rename", json=body)


def error_of(answer):
    body = answer.json()["error"]
    assert body["code"] == answer.status_code
    return answer.status_code, body["type"], body["message"]


def store_of(catalog):
    services = catalog.server.services
    token = catalog.server.key.credential.replace(":", ".", 1)
    principal = services.authentication.of_bearer(token)
    return services.credentials.store_for(services.catalogs.open(principal, catalog.id).integration)


def stored_keys(catalog, location):
    pages = store_of(catalog).list(Location.parse(location))
    return [summary.key for page in pages for summary in page]


def test_a_created_view_is_loaded_as_it_was_made(http, catalog, namespace):
    made = create(http, namespace, properties={"comment": "x"})
    assert made.status_code == 200, made.text
    body = made.json()
    metadata = body["metadata"]
    assert metadata == {
        "view-uuid": metadata["view-uuid"],
        "format-version": 1,
        "location": metadata["location"],
        "properties": {"comment": "x"},
        "schemas": [SCHEMA],
        "current-version-id": 1,
        "versions": [version()],
        "version-log": [{"timestamp-ms": NOW, "version-id": 1}],
    }
    assert metadata["location"].startswith(f"s3://lake/{catalog.id}/")
    assert body["metadata-location"].startswith(f"{metadata['location']}/metadata/00000-")
    assert http.get(f"{namespace}/views/v").json() == body
    assert http.head(f"{namespace}/views/v").status_code == 204


@pytest.mark.parametrize("codec", ["gzip", "none"])
def test_metadata_files_are_gzip_by_default(http, catalog, namespace, codec):
    properties = {} if codec == "gzip" else {"write.metadata.compression-codec": codec}
    made = create(http, namespace, properties=properties).json()
    location = made["metadata-location"]
    assert location.endswith(".gz.metadata.json") == (codec == "gzip")
    stored = store_of(catalog).get(location, size_bytes_max=100_000)
    data = gzip.decompress(stored) if codec == "gzip" else stored
    assert json.loads(data) == made["metadata"]


def test_a_replacement_is_a_new_version_in_a_new_file(http, namespace):
    made = create(http, namespace).json()
    replaced = commit(http, namespace, replacement("select 2")).json()
    assert replaced["metadata-location"] != made["metadata-location"]
    assert "/metadata/00001-" in replaced["metadata-location"]
    assert replaced["metadata"]["current-version-id"] == 2
    assert [v["version-id"] for v in replaced["metadata"]["versions"]] == [1, 2]
    assert http.get(f"{namespace}/views/v").json() == replaced


def test_a_replacement_without_effect_writes_nothing(http, namespace):
    made = create(http, namespace).json()
    assert commit(http, namespace, replacement("select 1")).json() == made
    assert commit(http, namespace, []).json() == made


def test_replacements_made_at_the_same_time_all_succeed(http, server, namespace):
    create(http, namespace)

    def replace(number):
        with server.http() as client:
            return commit(client, namespace, replacement(f"select {number}")).status_code

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(replace, range(2, 8))) == [200] * 6
    metadata = http.get(f"{namespace}/views/v").json()["metadata"]
    assert [v["version-id"] for v in metadata["versions"]] == list(range(1, 8))
    assert metadata["current-version-id"] == 7


def test_a_replacement_that_loses_the_swap_is_made_on_what_won(
    http, server, catalog, namespace, monkeypatch
):
    location = create(http, namespace).json()["metadata"]["location"]
    commits = server.services.view_commits
    land = commits.land

    def land_late(*arguments):
        monkeypatch.setattr(commits, "land", land)
        with server.http() as another:
            assert commit(another, namespace, replacement("select 2")).status_code == 200
        return land(*arguments)

    # As if the other writer came by another server, which our turns do not hold back.
    monkeypatch.setattr(server.services.turns, "take", lambda _keys: nullcontext())
    monkeypatch.setattr(commits, "land", land_late)
    answer = commit(http, namespace, replacement("select 3"))
    assert answer.status_code == 200, answer.text
    versions = answer.json()["metadata"]["versions"]
    assert [v["representations"][0]["sql"] for v in versions] == [f"select {n}" for n in (1, 2, 3)]
    files = [key.rpartition("/")[2][:5] for key in stored_keys(catalog, f"{location}/metadata")]
    assert sorted(files) == ["00000", "00001", "00002"], "what did not land is gone"


@pytest.mark.parametrize("landed", [True, False], ids=["landed", "did not land"])
def test_when_the_database_does_not_answer_a_commit_nothing_is_made_up(
    http, catalog, namespace, monkeypatch, landed
):
    made = create(http, namespace).json()

    @contextmanager
    def write_without_answer(engine):
        with write(engine) as conn:
            yield conn
            if not landed:
                raise CommitStateUnknown("no answer")
        raise CommitStateUnknown("no answer")

    monkeypatch.setattr(view_commits, "write", write_without_answer)
    answer = commit(http, namespace, replacement("select 2"))
    loaded = http.get(f"{namespace}/views/v").json()
    if landed:
        assert (answer.status_code, answer.json()) == (200, loaded)
        assert loaded["metadata"]["current-version-id"] == 2
    else:
        assert error_of(answer)[:2] == (500, "CommitStateUnknownException")
        assert loaded == made
    files = stored_keys(catalog, f"{made['metadata']['location']}/metadata")
    assert len(files) == 2, "what may be current is kept"


def test_all_updates_of_a_view_are_served(http, catalog, namespace):
    made = create(http, namespace, properties={"a": "1"}).json()["metadata"]
    other = {**SCHEMA, "fields": [{"id": 1, "name": "x", "type": "geometry", "required": False}]}
    updates = [
        {"action": "assign-uuid", "uuid": made["view-uuid"]},
        {"action": "upgrade-format-version", "format-version": 1},
        {"action": "set-properties", "updates": {"b": "2"}},
        {"action": "remove-properties", "removals": ["a"]},
        {"action": "set-location", "location": f"s3://lake/{catalog.id}/moved"},
        {"action": "add-schema", "schema": other},
        *replacement("select x", **{"schema-id": -1}),
    ]
    requirements = [{"type": "assert-view-uuid", "uuid": made["view-uuid"]}]
    answer = commit(http, namespace, updates, requirements=requirements)
    assert answer.status_code == 200, answer.text
    metadata = answer.json()["metadata"]
    assert metadata == made | {
        "location": f"s3://lake/{catalog.id}/moved",
        "properties": {"b": "2"},
        "schemas": [SCHEMA, {**other, "schema-id": 1}],
        "current-version-id": 2,
        "versions": [
            version(),
            version("select x", **{"schema-id": 1, "version-id": 2}),
        ],
        "version-log": [
            {"timestamp-ms": NOW, "version-id": 1},
            {"timestamp-ms": NOW, "version-id": 2},
        ],
    }
    assert answer.json()["metadata-location"].startswith(f"s3://lake/{catalog.id}/moved/metadata/")


def test_a_requirement_that_does_not_hold_is_a_conflict(http, namespace):
    create(http, namespace)
    answer = commit(
        http,
        namespace,
        replacement("select 2"),
        requirements=[{"type": "assert-view-uuid", "uuid": "other"}],
    )
    assert error_of(answer)[:2] == (409, "CommitFailedException")


@pytest.mark.parametrize(
    ("updates", "type_", "message"),
    [
        (
            replacement("x", representations=[{"type": "sql", "sql": "1", "dialect": "trino"}] * 2),
            "IllegalArgumentException",
            "Invalid view version: Cannot add multiple queries for dialect trino",
        ),
        (
            replacement("select 2", representations=[{"type": "sql", "sql": "2", "dialect": "x"}]),
            "BadRequestException",
            "Cannot replace view due to loss of view dialects",
        ),
        ([{"action": "add-snapshot"}], "BadRequestException", "unknown view update"),
        (
            [{"action": "set-location", "location": "s3://elsewhere/v"}],
            "BadRequestException",
            "is not below",
        ),
        (
            [{"action": "set-properties", "updates": {"s3.endpoint": "http://evil"}}],
            "BadRequestException",
            "is refused",
        ),
        (
            [{"action": "set-properties", "updates": {"write.metadata.path": "s3://lake/x"}}],
            "BadRequestException",
            "lies outside",
        ),
    ],
    ids=["dialect twice", "dialect lost", "of tables", "location", "property", "path"],
)
def test_what_a_view_cannot_be_is_refused_and_nothing_lands(
    http, namespace, updates, type_, message
):
    made = create(http, namespace).json()
    status, found, text = error_of(commit(http, namespace, updates))
    assert (status, found) == (400, type_)
    assert message in text
    assert http.get(f"{namespace}/views/v").json() == made


@pytest.mark.parametrize("method", ["get", "delete", "post", "head"])
@pytest.mark.parametrize("place", ["ns/views/absent", "absent/views/v", "%01/views/v"])
def test_a_view_in_a_namespace_that_is_not_there_is_a_missing_view(
    http, catalog, namespace, method, place
):
    url = f"{catalog.base}/namespaces/{place}"
    options = {"json": {"updates": []}} if method == "post" else {}
    answer = getattr(http, method)(url, **options)
    assert answer.status_code == 404
    if method != "head":
        assert error_of(answer)[1] == "NoSuchViewException"
        assert error_of(answer)[2].startswith("View does not exist: ")


def test_messages_name_the_view(http, catalog, namespace):
    answer = http.get(f"{namespace}/views/absent")
    assert error_of(answer) == (404, "NoSuchViewException", "View does not exist: ns.absent")


def test_create_list_and_register_miss_the_namespace(http, catalog):
    absent = f"{catalog.base}/namespaces/absent"
    file = {"name": "v", "metadata-location": "s3://lake/x/metadata/00000-x.metadata.json"}
    for answer in (
        create(http, absent),
        http.get(f"{absent}/views"),
        http.post(f"{absent}/register-view", json=file),
    ):
        assert error_of(answer) == (
            404,
            "NoSuchNamespaceException",
            "Namespace does not exist: absent",
        )


def test_tables_and_views_share_one_name_space(http, catalog, namespace):
    create(http, namespace, "v")
    table = create_table(http, namespace, "t").json()
    view = http.get(f"{namespace}/views/v").json()
    assert error_of(create(http, namespace, "v"))[2] == "View already exists: ns.v"
    taken = (409, "AlreadyExistsException", "Table with same name already exists: ns.t")
    assert error_of(create(http, namespace, "t")) == taken
    file = {"name": "t", "metadata-location": view["metadata-location"]}
    assert error_of(http.post(f"{namespace}/register-view", json=file)) == taken
    seen = (409, "AlreadyExistsException", "View with same name already exists: ns.v")
    assert error_of(create_table(http, namespace, "v")) == seen
    file = {"name": "v", "metadata-location": table["metadata-location"]}
    assert error_of(http.post(f"{namespace}/register", json=file)) == seen
    assert error_of(http.get(f"{namespace}/tables/v"))[1] == "NoSuchTableException"
    assert error_of(http.get(f"{namespace}/views/t"))[1] == "NoSuchViewException"
    assert http.head(f"{namespace}/tables/v").status_code == 404
    assert error_of(http.delete(f"{namespace}/views/t"))[1] == "NoSuchViewException"


def test_each_list_has_its_own_names_and_comes_in_pages(http, namespace):
    for name in ("b", "a", "c"):
        create(http, namespace, name)
    create_table(http, namespace, "t")
    first = http.get(f"{namespace}/views", params={"pageToken": "", "pageSize": 2}).json()
    assert first["identifiers"] == [{"namespace": ["ns"], "name": name} for name in "ab"]
    rest = http.get(f"{namespace}/views", params={"pageToken": first["next-page-token"]}).json()
    assert rest == {"identifiers": [{"namespace": ["ns"], "name": "c"}]}
    assert len(http.get(f"{namespace}/views").json()["identifiers"]) == 3
    tables = http.get(f"{namespace}/tables").json()["identifiers"]
    assert [table["name"] for table in tables] == ["t"]
    crossed = http.get(f"{namespace}/tables", params={"pageToken": first["next-page-token"]})
    assert crossed.status_code == 400


def test_a_view_is_renamed_across_namespaces_and_stays_what_it_was(http, catalog, namespace):
    http.post(f"{catalog.base}/namespaces", json={"namespace": ["other"]})
    made = create(http, namespace).json()
    assert rename(http, catalog, ["ns", "v"], ["other", "w"]).status_code == 204
    assert http.get(f"{catalog.base}/namespaces/other/views/w").json() == made
    assert http.head(f"{namespace}/views/v").status_code == 404
    assert rename(http, catalog, ["other", "w"], ["other", "w"]).status_code == 204


def test_a_rename_that_cannot_be_says_why(http, catalog, namespace):
    create(http, namespace, "v")
    create(http, namespace, "w")
    create_table(http, namespace, "t")
    answers = {
        ("v", "w"): "Cannot rename ns.v to ns.w. View already exists",
        ("v", "t"): "Cannot rename ns.v to ns.t. Table already exists",
    }
    for (source, target), message in answers.items():
        answer = rename(http, catalog, ["ns", source], ["ns", target])
        assert error_of(answer) == (409, "AlreadyExistsException", message)
    assert error_of(rename(http, catalog, ["ns", "absent"], ["ns", "x"])) == (
        404,
        "NoSuchViewException",
        "View does not exist: ns.absent",
    )
    assert error_of(rename(http, catalog, ["ns", "t"], ["ns", "x"]))[1] == "NoSuchViewException"
    assert error_of(rename(http, catalog, ["ns", "v"], ["absent", "v"])) == (
        404,
        "NoSuchNamespaceException",
        "Namespace does not exist: absent",
    )


def test_a_dropped_view_keeps_its_file_and_can_be_registered_again(http, namespace):
    create(http, namespace)
    last = commit(http, namespace, replacement("select 2")).json()
    assert http.delete(f"{namespace}/views/v").status_code == 204
    assert http.get(f"{namespace}/views/v").status_code == 404
    file = {"name": "again", "metadata-location": last["metadata-location"]}
    registered = http.post(f"{namespace}/register-view", json=file)
    assert registered.json() == last, registered.text
    assert http.get(f"{namespace}/views/again").json() == last
    assert commit(http, namespace, replacement("select 3"), "again").status_code == 200


def test_a_view_that_the_catalog_has_is_not_registered_twice(http, namespace):
    made = create(http, namespace).json()
    file = {"metadata-location": made["metadata-location"]}
    again = http.post(f"{namespace}/register-view", json={"name": "v", **file})
    assert error_of(again) == (409, "AlreadyExistsException", "View already exists: ns.v")
    elsewhere = http.post(f"{namespace}/register-view", json={"name": "w", **file})
    assert elsewhere.status_code in {400, 409}
    assert http.head(f"{namespace}/views/w").status_code == 404


def test_what_is_not_view_metadata_is_not_registered(http, catalog, namespace):
    table = create_table(http, namespace).json()
    for location, expected in {
        table["metadata-location"]: (400, "BadRequestException"),
        f"s3://lake/{catalog.id}/none/metadata/00000-x.metadata.json": (404, "NotFoundException"),
        "s3://elsewhere/v/metadata/00000-x.metadata.json": (400, "BadRequestException"),
    }.items():
        body = {"name": "w", "metadata-location": location}
        answer = http.post(f"{namespace}/register-view", json=body)
        assert error_of(answer)[:2] == expected, location
    assert http.head(f"{namespace}/views/w").status_code == 404


def test_a_view_lives_below_the_catalog_and_beside_everything_else(http, catalog, namespace):
    wanted = f"s3://lake/{catalog.id}/mine"
    assert create(http, namespace, location=wanted).json()["metadata"]["location"] == wanted
    taken = create(http, namespace, "w", location=f"{wanted}/below")
    assert "overlaps" in error_of(taken)[2]
    assert "overlaps" in error_of(create_table(http, namespace, location=f"{wanted}/t"))[2]
    outside = create(http, namespace, "w", location="s3://lake/outside")
    assert error_of(outside)[:2] == (400, "BadRequestException")
    create(http, namespace, "w")
    move = [{"action": "set-location", "location": f"{wanted}/w"}]
    assert "overlaps" in error_of(commit(http, namespace, move, "w"))[2]


@pytest.mark.parametrize(
    "body",
    [
        {"schema": None},
        {"view-version": None},
        {"view-version": {}},
        {"name": ""},
        {"name": "a\nb"},
        {"properties": {"a": 1}},
        {"properties": {"py-io-impl": "evil.IO"}},
        {"properties": {"version.history.num-entries": "0"}},
        {"schema": {"type": "struct", "fields": [{"id": 1}]}},
        {"location": "file:///etc"},
    ],
    ids=str,
)
def test_a_malformed_view_is_refused(http, namespace, body):
    assert error_of(create(http, namespace, **body))[0] == 400
    assert http.get(f"{namespace}/views").json() == {"identifiers": []}


def test_the_body_of_a_commit_names_the_view_of_its_path_or_none(http, namespace):
    create(http, namespace)
    body = {"identifier": {"namespace": ["ns"], "name": "w"}, "updates": []}
    assert http.post(f"{namespace}/views/v", json=body).status_code == 400


def test_a_namespace_with_a_view_is_not_empty(http, namespace):
    create(http, namespace)
    answer = http.delete(namespace)
    assert error_of(answer)[:2] == (409, "NamespaceNotEmptyException")
    assert "is not empty" in error_of(answer)[2]
    http.delete(f"{namespace}/views/v")
    assert http.delete(namespace).status_code == 204


def test_members_that_nobody_knows_survive_commits(http, namespace):
    body = version(**{"of-the-future": {"x": 1}})
    create(http, namespace, **{"view-version": body})
    metadata = commit(http, namespace, replacement("select 2")).json()["metadata"]
    assert metadata["versions"][0]["of-the-future"] == {"x": 1}


def test_a_commit_sent_again_under_its_key_is_answered_alike(http, namespace):
    create(http, namespace)
    headers = {"Idempotency-Key": "019a0000-0000-7000-8000-00000000000a"}
    body = {"requirements": [], "updates": replacement("select 2")}
    first = http.post(f"{namespace}/views/v", json=body, headers=headers)
    again = http.post(f"{namespace}/views/v", json=body, headers=headers)
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json() == first.json()
    headers = {"Idempotency-Key": "019a0000-0000-7000-8000-00000000000b"}
    drops = [http.delete(f"{namespace}/views/v", headers=headers).status_code for _ in range(2)]
    assert drops == [204, 204]


def test_view_operations_are_advertised(http, catalog):
    config = http.get("/catalog/v1/config", params={"warehouse": catalog.name}).json()
    views = "/v1/{prefix}/namespaces/{namespace}/views"
    assert {
        f"GET {views}",
        f"POST {views}",
        *(f"{method} {views}/{{view}}" for method in ("GET", "HEAD", "POST", "DELETE")),
        "POST /v1/{prefix}/namespaces/{namespace}/register-view",
        "POST /v1/{prefix}/views/rename",
    } <= set(config["endpoints"])
