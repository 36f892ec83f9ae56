"""Folders and files of an integration over HTTP: what is there, and nothing beside it."""

import threading
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx2
import pytest

from support.buckets import owners_client
from support.faults import Answers, faulty
from support.lake import cities
from support.seaweedfs import OTHER_BUCKET

NO_TOKEN_SERVICE = Answers(
    501, "POST", body=b"<ErrorResponse><Error><Code>NotImplemented</Code></Error></ErrorResponse>"
)
BODY = bytes(range(256)) * 4096


@pytest.fixture
def folder(connect_folder):
    """An integration on a folder with a small tree, and a sibling that begins with its name."""
    found = connect_folder()
    for name in ("readme.md", "roads/a.parquet", "roads/b.parquet", "roads/old/c.parquet"):
        found.put(name, name.encode())
    found.s3.put_object(Bucket=OTHER_BUCKET, Key=f"{found.folder}-sibling/secret", Body=b"s")
    found.s3.put_object(Bucket=OTHER_BUCKET, Key="top-secret", Body=b"s")
    return found


@pytest.fixture
def user(server, http):
    """A client with the key of a member who is no admin."""
    name = f"u{uuid4().hex[:8]}"
    assert http.post("/api/v1/members", json={"name": name, "role": "user"}).status_code == 201
    made = http.post("/api/v1/keys", json={"name": "k", "member": name, "scopes": ["read"]})
    with server.http(made.json()["credential"]) as client:
        yield client


def listed(http, folder, **query):
    answer = http.get(f"{folder.api}/objects", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def paths(page):
    return [item["path"] for item in page["items"]]


def test_a_folder_shows_its_folders_and_then_its_files(http, folder):
    page = listed(http, folder)

    assert page["items"][0] == {
        "kind": "folder",
        "name": "roads",
        "path": "roads/",
        "uri": f"{folder.uri}/roads/",
    }
    file = page["items"][1]
    assert file == {
        "kind": "file",
        "name": "readme.md",
        "path": "readme.md",
        "uri": f"{folder.uri}/readme.md",
        "size_bytes": 9,
        "last_modified": file["last_modified"],
        "etag": file["etag"],
    }
    assert file["etag"]
    assert file["last_modified"].endswith("Z")
    assert len(page["items"]) == 2
    assert page["next"] is None
    assert paths(listed(http, folder, prefix="roads/")) == [
        "roads/old/",
        "roads/a.parquet",
        "roads/b.parquet",
    ]


def test_the_beginning_of_a_name_finds_it(http, folder):
    assert paths(listed(http, folder, prefix="roads/a")) == ["roads/a.parquet"]
    assert paths(listed(http, folder, prefix="ro")) == ["roads/"]
    assert paths(listed(http, folder, prefix="x")) == []
    assert paths(listed(http, folder, delimiter="")) == [
        "readme.md",
        "roads/a.parquet",
        "roads/b.parquet",
        "roads/old/c.parquet",
    ]


def test_pages_join_to_the_whole_and_tokens_are_for_one_list_only(http, folder):
    for number in range(5):
        folder.put(f"many/{number}")
        folder.put(f"many/folder-{number}/x")

    found, after = [], None
    while True:
        page = listed(http, folder, prefix="many/", limit=3, **({"after": after} if after else {}))
        assert len(page["items"]) <= 3
        found += paths(page)
        after = page["next"]
        if after is None:
            break
        token = after

    assert sorted(found) == sorted(paths(listed(http, folder, prefix="many/")))
    assert len(found) == 10
    for query in ({"prefix": "roads/", "after": token}, {"prefix": "many/", "after": token + "A"}):
        refused = http.get(f"{folder.api}/objects", params=query)
        assert refused.status_code == 400
        assert refused.json()["type"] == "urn:graticule:problem:invalid-page-token"


ATTACKS = [
    "..",
    "../",
    "../top-secret",
    "roads/../../top-secret",
    "roads/../../{folder}-sibling/secret",
    "./readme.md",
    "/top-secret",
    "//top-secret",
    "roads//a.parquet",
    "s3://elsewhere/top-secret",
    "s3://lake/",
    "..\\top-secret",
    "roads/\n",
    "a/./b",
    "x" * 1025,
]
ENCODED = ["%2e%2e/top-secret", "..%2ftop-secret", "%2e%2e%2ftop-secret", "-sibling/secret"]


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_path_leads_out_of_the_integration(http, folder, attack):
    path = attack.replace("{folder}", folder.folder)
    for answer in (
        http.get(f"{folder.api}/objects", params={"prefix": path}),
        http.get(f"{folder.api}/objects/content", params={"path": path}),
        http.post(f"{folder.api}/objects/link", json={"path": path}),
    ):
        assert answer.status_code == 400, answer.text
        assert answer.json()["type"] == "urn:graticule:problem:invalid-location"


@pytest.mark.parametrize("attack", ENCODED)
def test_what_is_encoded_twice_is_a_name_like_any_other(http, folder, attack):
    assert listed(http, folder, prefix=attack)["items"] == []
    assert http.get(f"{folder.api}/objects/content", params={"path": attack}).status_code == 404


@pytest.mark.parametrize("query", ["delimiter=a", "delimiter=//", "limit=0", "limit=1001"])
def test_a_senseless_listing_is_refused(http, folder, query):
    assert http.get(f"{folder.api}/objects?{query}").status_code == 400


def test_a_download_is_the_file_and_is_never_shown_by_a_browser(http, folder):
    folder.put("page <ü>.html", BODY)
    path = {"path": "page <ü>.html"}

    whole = http.get(f"{folder.api}/objects/content", params=path)

    assert whole.content == BODY
    headers = {name.lower(): value for name, value in whole.headers.items()}
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-disposition"] == (
        "attachment; filename=\"page ___.html\"; filename*=UTF-8''page%20%3C%C3%BC%3E.html"
    )
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("sandbox")
    assert headers["content-length"] == str(len(BODY))
    assert headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize(
    ("wanted", "status", "part"),
    [
        ("bytes=0-9", 206, BODY[:10]),
        ("bytes=1000-", 206, BODY[1000:]),
        ("bytes=-5", 206, BODY[-5:]),
        ("bytes=0-0,5-9", 200, BODY),
        ("lines=1-2", 200, BODY),
    ],
)
def test_a_range_is_answered_with_it_and_what_is_none_with_everything(
    http, folder, wanted, status, part
):
    folder.put("f", BODY)

    answer = http.get(
        f"{folder.api}/objects/content", params={"path": "f"}, headers={"Range": wanted}
    )

    assert (answer.status_code, answer.content) == (status, part)
    assert ("content-range" in answer.headers) == (status == 206)


def test_a_download_is_resumed_only_while_the_file_is_the_same(http, folder):
    folder.put("f", BODY)

    def resumed(etag, wanted="bytes=10-19"):
        return http.get(
            f"{folder.api}/objects/content",
            params={"path": "f"},
            headers={"Range": wanted, "If-Range": etag},
        )

    etag = http.get(f"{folder.api}/objects/content", params={"path": "f"}).headers["etag"]
    assert resumed(etag).content == BODY[10:20]
    assert resumed('"0"').content == BODY
    assert resumed("Sun, 22 Nov 2026 02:00:00 GMT").content == BODY
    assert resumed(etag, f"bytes={len(BODY)}-").status_code == 416


def test_a_file_that_is_not_there_is_not_found(http, folder):
    answer = http.get(f"{folder.api}/objects/content", params={"path": "nothing"})
    assert answer.status_code == 404
    assert http.get(f"{folder.api}/objects/content").status_code == 400
    assert http.get("/api/v1/integrations/nowhere/objects").status_code == 404


def test_a_link_reads_one_file_for_a_while_and_nothing_else(http, folder):
    made = http.post(f"{folder.api}/objects/link", json={"path": "roads/a.parquet"})

    assert made.status_code == 200, made.text
    assert made.headers["cache-control"] == "no-store"
    url = made.json()["url"]
    query = parse_qs(urlsplit(url).query)
    assert query["X-Amz-Expires"] == ["300"]
    assert query["X-Amz-Security-Token"], "signed by a session, not by lasting keys"
    with httpx2.Client() as nobody:
        answer = nobody.get(url)
        assert answer.content == b"roads/a.parquet"
        assert answer.headers["content-disposition"].startswith('attachment; filename="a.parquet"')
        assert nobody.get(url.replace("a.parquet", "b.parquet", 1)).status_code == 403
        assert nobody.put(url, content=b"x").status_code == 403
    assert made.json()["expires_at"].endswith("Z")
    for lifetime_s in (0, 301, -1):
        body = {"path": "roads/a.parquet", "lifetime_s": lifetime_s}
        assert http.post(f"{folder.api}/objects/link", json=body).status_code == 400


def test_a_link_of_a_store_without_sessions_is_signed_by_its_keys(server, http, connect_folder):
    keys = server.store.admin_keys
    with faulty(server.store.endpoint) as proxy:
        folder = connect_folder(
            role_arn=...,
            access_key_id=keys.access_key_id,
            secret_access_key=keys.secret_access_key.reveal(),
            endpoint=proxy.endpoint,
        )
        proxy.faults.append(NO_TOKEN_SERVICE)
        folder.put("f", b"f")

        made = http.post(f"{folder.api}/objects/link", json={"path": "f"})

        assert made.status_code == 200, made.text
        assert httpx2.get(made.json()["url"]).content == b"f"
        assert keys.secret_access_key.reveal() not in made.text


def test_members_browse_and_download_but_not_in_the_folders_of_catalogs(http, folder, user):
    body = {"name": f"c {folder.folder}", "integration": folder.integration["id"]}
    catalog = http.post("/api/v1/catalogs", json=body).json()
    inside = f"{catalog['id']}/t/data/f"
    folder.put(inside)

    assert paths(listed(user, folder)) == [f"{catalog['id']}/", "roads/", "readme.md"]
    assert paths(listed(user, folder, delimiter="", limit=1000)) == [
        "readme.md",
        "roads/a.parquet",
        "roads/b.parquet",
        "roads/old/c.parquet",
    ]
    content = f"{folder.api}/objects/content"
    assert user.get(content, params={"path": "roads/a.parquet"}).content == b"roads/a.parquet"
    for refused in (
        user.get(f"{folder.api}/objects", params={"prefix": f"{catalog['id']}/"}),
        user.get(content, params={"path": inside}),
        user.post(f"{folder.api}/objects/link", json={"path": inside}),
    ):
        assert refused.status_code == 403
        assert "belong to a managed catalog" in refused.json()["detail"]
    assert http.get(content, params={"path": inside}).content == b"x"


def test_a_key_that_only_manages_reads_no_files(server, http, folder):
    key = http.post("/api/v1/keys", json={"name": "setup", "scopes": ["manage"]}).json()
    with server.http(key["credential"]) as manager:
        assert manager.get(folder.api).status_code == 200
        assert manager.get(f"{folder.api}/objects").status_code == 403


def test_downloads_at_once_are_bounded_and_an_abandoned_one_makes_room(server, http, folder):
    folder.put("big", BODY * 12)
    browsing = server.services.browsing
    room = threading.BoundedSemaphore(1)
    full, browsing._downloads = browsing._downloads, room
    try:
        content, query = f"{folder.api}/objects/content", {"path": "big"}
        with http.stream("GET", content, params=query) as first:
            assert first.status_code == 200
            refused = http.get(content, params=query)
            assert refused.status_code == 429
            assert refused.headers["retry-after"]
        assert room.acquire(timeout=10), "the download that was left held its place"
        room.release()
        assert len(http.get(content, params=query).content) == len(BODY) * 12
    finally:
        browsing._downloads = full


def test_what_the_owner_sees_is_what_is_listed(server, http, folder):
    keys = {
        row["Key"].removeprefix(f"{folder.folder}/")
        for row in owners_client(server.store).list_objects_v2(
            Bucket=OTHER_BUCKET, Prefix=f"{folder.folder}/"
        )["Contents"]
    }
    assert set(paths(listed(http, folder, delimiter=""))) == keys


def test_data_of_a_registered_table_is_for_those_who_may_read_the_table(http, raw, user):
    raw.put("cities/a.parquet", cities((1, 2.0, 48.0)))
    raw.put("cities/b.parquet", cities((2, 3.0, 49.0)))
    raw.put("notes.txt", b"n")
    outcome = raw.register(raw.scan(), namespace="found").json()["tables"][0]
    assert outcome["error"] is None, outcome
    api = f"/api/v1/integrations/{raw.server.integration}/objects"

    def may_read(name):
        path = {"path": f"{raw.prefix}{name}"}
        statuses = {
            user.get(f"{api}/content", params=path).status_code,
            user.post(f"{api}/link", json=path).status_code,
        }
        assert len(statuses) == 1
        return statuses == {200}

    assert may_read("cities/a.parquet"), "the catalog gives everyone access unless told otherwise"
    granted = http.get("/api/v1/grants", params={"object": raw.catalog.name}).json()["items"]
    for grant in granted:
        assert http.delete(f"/api/v1/grants/{grant['id']}").status_code == 204

    assert not may_read("cities/a.parquet")
    assert not may_read("cities/b.parquet")
    assert may_read("notes.txt")
    listing = user.get(api, params={"prefix": f"{raw.prefix}cities/"}).json()["items"]
    assert len(listing) == 2
    content = {"path": f"{raw.prefix}cities/a.parquet"}
    assert http.get(f"{api}/content", params=content).status_code == 200, "admins"
