"""What a client is told about a table's files, in every situation that an integration can be in."""

import json
from contextlib import contextmanager

import httpx2
import pytest
from sqlalchemy import update

from graticule.db.engine import write
from graticule.db.schema import storage_integrations
from graticule.domain.catalog import BucketType
from graticule.iceberg import metadata
from graticule.storage.clients import ATTEMPTS_MAX
from support.faults import Answers, PassesOn, faulty
from support.seaweedfs import OTHER_BUCKET
from support.table_documents import schema

HEADER = "X-Iceberg-Access-Delegation"
VENDED = {HEADER: "vended-credentials"}
SIGNING = {HEADER: "remote-signing"}
BOTH = {HEADER: "vended-credentials,remote-signing"}
STATIC_MARK = "graticule.static-credentials"
SCHEMA = {"type": "struct", "fields": [{"id": 1, "name": "id", "type": "long", "required": True}]}


def sts_answer(status, code, message="no"):
    body = f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Answers(status, "POST", body=f"{body}</ErrorResponse>".encode())


NO_TOKEN_SERVICE = sts_answer(501, "NotImplemented")
CARELESS = Answers(200, body=b"<ListBucketResult></ListBucketResult>")


@pytest.fixture
def proxy(seaweedfs):
    with faulty(seaweedfs.endpoint) as proxy:
        yield proxy


@pytest.fixture
def reader(server, http):
    """A client of a key that may only read."""
    key = http.post("/api/v1/keys", json={"name": "reader", "scopes": ["read"]}).json()
    with server.http(f"{key['client_id']}:{key['client_secret']}") as client:
        yield client


def catalog_on(http, folder) -> str:
    made = http.post(
        "/api/v1/catalogs",
        json={"name": folder.folder, "integration": folder.integration["id"], "force": True},
    )
    assert made.status_code == 201, made.text
    base = f"/catalog/v1/{made.json()['id']}/namespaces"
    assert http.post(base, json={"namespace": ["ns"]}).status_code == 200
    return f"{base}/ns/tables"


def table_on(http, folder) -> str:
    """The path of a fresh table in a fresh catalog on the folder's integration."""
    tables = catalog_on(http, folder)
    made = http.post(tables, json={"name": "t", "schema": SCHEMA})
    assert made.status_code == 200, made.text
    return f"{tables}/t"


def registered_on(http, folder) -> str:
    """As `table_on`, of a metadata file that was there before: nothing need be written."""
    document = metadata.new_table(
        schema=schema(),
        partition_spec=None,
        sort_order=None,
        location=f"{folder.uri}/t",
        properties={},
        table_uuid="9c12d441-03fe-4693-9a96-a0705ddf69c1",
        now_ms=1_790_000_000_000,
    )
    at = folder.put("t/metadata/v1.metadata.json", json.dumps(document).encode())
    tables = catalog_on(http, folder)
    answer = http.post(
        tables.removesuffix("/tables") + "/register", json={"name": "t", "metadata-location": at}
    )
    assert answer.status_code == 200, answer.text
    return f"{tables}/t"


def by_keys(server, **changes):
    keys = server.store.admin_keys
    return {
        "role_arn": ...,
        "access_key_id": keys.access_key_id,
        "secret_access_key": keys.secret_access_key.reveal(),
        **changes,
    }


def why(answer) -> str:
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["type"] == "BadRequestException"
    return answer.json()["error"]["message"]


def way_of(answer) -> str:
    assert answer.status_code == 200, answer.text
    config = answer.json()["config"]
    assert ("storage-credentials" in answer.json()) is ("s3.access-key-id" in config)
    if config.get("s3.remote-signing-enabled") == "true":
        return "signing"
    if config.get("s3.anonymous") == "true":
        return "anonymous"
    if STATIC_MARK in config:
        return "static"
    return "session" if "s3.session-token" in config else "own"


# Access keys themselves


def test_keys_leave_only_with_consent_for_writers_where_nothing_less_can_be_had(
    server, http, reader, connect_folder, proxy, caplog
):
    lake = connect_folder(**by_keys(server, endpoint=proxy.endpoint, allow_static_credentials=True))
    table = table_on(http, lake)
    assert way_of(http.get(table, headers=VENDED)) == "session"  # while there are sessions

    server.services.credentials.invalidate(lake.integration["id"])
    proxy.faults.append(NO_TOKEN_SERVICE)
    caplog.clear()
    loaded = http.get(table, headers=VENDED)
    assert way_of(loaded) == "static"
    keys = server.store.admin_keys
    assert loaded.headers["Cache-Control"] == "no-store"
    assert loaded.json()["config"] == {
        "client.region": "us-east-1",
        "s3.region": "us-east-1",
        "s3.endpoint": proxy.endpoint,
        "s3.path-style-access": "true",
        "s3.access-key-id": keys.access_key_id,
        "s3.secret-access-key": keys.secret_access_key.reveal(),
        STATIC_MARK: "true",
    }
    [told] = [record for record in caplog.records if "static-keys" in str(record.msg)]
    assert told.levelname == "WARNING"
    assert "an admin allowed it" in str(told.msg)
    assert keys.secret_access_key.reveal() not in str(told.msg).replace(keys.access_key_id, "")

    assert way_of(http.get(table, headers=BOTH)) == "signing"
    assert "may only read" in why(reader.get(table, headers=VENDED))
    assert way_of(reader.get(table, headers=BOTH)) == "signing"


def test_keys_stay_where_nobody_allowed_them_to_leave(server, http, connect_folder, proxy):
    table = table_on(http, connect_folder(**by_keys(server, endpoint=proxy.endpoint)))
    proxy.faults.append(NO_TOKEN_SERVICE)

    message = why(http.get(table, headers=VENDED))

    assert "issues no temporary credentials" in message
    assert "no admin allowed" in message
    assert "remote-signing" in message
    assert way_of(http.get(table)) == "own"


# Sessions that cannot be narrowed


def test_a_store_that_ignores_session_policies_gets_requests_signed_one_by_one(
    http, connect_folder, proxy
):
    table = table_on(http, connect_folder(endpoint=proxy.endpoint))
    proxy.faults.append(CARELESS)

    loaded = http.get(table, headers=BOTH)

    assert proxy.faults == []
    assert way_of(loaded) == "signing"
    assert "ignores session policies" in why(http.get(table, headers=VENDED))
    assert "ignores session policies" in why(http.get(f"{table}/credentials"))
    asked = {
        "method": "GET",
        "region": "us-east-1",
        "uri": loaded.json()["metadata"]["location"].replace("s3:/", proxy.endpoint) + "/data/a",
        "headers": {},
    }
    signed = http.post(f"{table}/sign", json=asked)
    assert signed.status_code == 200
    assert signed.json()["headers"]["X-Amz-Security-Token"]  # the little that can be had
    body = "<Delete><Object><Key>k</Key></Object></Delete>"
    uri = f"{proxy.endpoint}/{OTHER_BUCKET}?delete"
    refused = http.post(f"{table}/sign", json={**asked, "method": "POST", "uri": uri, "body": body})
    assert refused.status_code == 403


def test_a_policy_that_is_too_large_when_packed_gets_requests_signed(http, connect_folder, proxy):
    table = table_on(http, connect_folder(endpoint=proxy.endpoint))
    packed = sts_answer(400, "PackedPolicyTooLarge", "104% of the allowed space")
    proxy.faults += [PassesOn("POST"), packed]

    assert way_of(http.get(table, headers=BOTH)) == "signing"
    assert proxy.faults == []
    assert "104%" in why(http.get(table, headers=VENDED))


# Open to anybody


def test_data_that_is_reached_anonymously_is_read_unsigned_by_everybody(http, connect_folder):
    lake = connect_folder(role_arn=..., anonymous=True)
    with anybody_may_read(lake):
        table = registered_on(http, lake)
        for headers in (VENDED, BOTH, SIGNING):
            loaded = http.get(table, headers=headers)
            assert way_of(loaded) == "anonymous"
            assert "key" not in " ".join(loaded.json()["config"])
        again = http.get(table, headers={**VENDED, "If-None-Match": loaded.headers["ETag"]})
        assert again.status_code == 304
        assert "anonymously" in why(http.get(f"{table}/credentials"))
        at = loaded.json()["metadata-location"].replace("s3:/", lake.s3.meta.endpoint_url)
        assert httpx2.get(at).status_code == 200


def test_a_public_bucket_is_read_unsigned_where_it_really_is_open_and_written_with_a_session(
    server, http, reader, connect_folder
):
    lake = connect_folder()
    as_type(server, lake, BucketType.PUBLIC)
    table = table_on(http, lake)
    assert way_of(reader.get(table, headers=VENDED)) == "session"  # public, but not this table

    server.services.credentials.invalidate(lake.integration["id"])
    with anybody_may_read(lake):
        assert way_of(reader.get(table, headers=VENDED)) == "anonymous"
        assert way_of(http.get(table, headers=VENDED)) == "session"
        [credential] = reader.get(f"{table}/credentials").json()["storage-credentials"]
        assert credential["config"]["s3.session-token"]


@contextmanager
def anybody_may_read(lake):
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{OTHER_BUCKET}/{lake.folder}/*"],
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    lake.s3.put_bucket_policy(Bucket=OTHER_BUCKET, Policy=policy)
    try:
        yield
    finally:
        lake.s3.delete_bucket_policy(Bucket=OTHER_BUCKET)


def as_type(server, lake, bucket_type):
    found = storage_integrations.c.id == lake.integration["id"]
    with write(server.services.engine) as conn:
        conn.execute(update(storage_integrations).where(found).values(bucket_type=bucket_type))


# What a client gets when it cannot have a credential


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (sts_answer(403, "AccessDenied"), (403, "ForbiddenException")),
        (sts_answer(503, "ServiceUnavailable"), (503, "SlowDownException")),
    ],
)
def test_where_the_token_service_says_no_the_client_hears_it_and_never_gets_an_empty_list(
    server, http, connect_folder, proxy, fault, error
):
    """Without a credential in the answer, clients fall back to whatever their machine has."""
    table = table_on(http, connect_folder(endpoint=proxy.endpoint))

    for path in (table, f"{table}/credentials"):
        proxy.faults[:] = [fault] * ATTEMPTS_MAX
        answer = http.get(path, headers=VENDED)
        assert (answer.status_code, answer.json()["error"]["type"]) == error
        assert "storage-credentials" not in answer.json()

    for path in (table, f"{table}/credentials"):
        assert server.http("nobody:x").get(path).status_code == 401
    assert http.get(f"{table}2/credentials").status_code == 404


# Refreshing


def test_fresh_credentials_come_one_at_a_time_and_are_never_kept_by_anybody_between(
    server, http, connect_folder
):
    lake = connect_folder()
    table = table_on(http, lake)
    loaded = http.get(table, headers=VENDED)

    for query in ({}, {"planId": "p1"}):
        fresh = http.get(f"{table}/credentials", params=query)
        assert fresh.status_code == 200, fresh.text
        assert fresh.headers["Cache-Control"] == "no-store"
        assert "ETag" not in fresh.headers
        [credential] = fresh.json()["storage-credentials"]
        assert credential["prefix"].startswith("s3://")
        assert {
            "s3.access-key-id",
            "s3.secret-access-key",
            "s3.session-token",
            "s3.session-token-expires-at-ms",
        } <= credential["config"].keys()
        assert credential["config"] == loaded.json()["config"]

    etag = {"If-None-Match": loaded.headers["ETag"], **VENDED}
    unchanged = http.get(table, headers=etag)
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    server.services.credentials.invalidate(lake.integration["id"])
    changed = http.get(table, headers=etag)
    assert changed.status_code == 200
    before, after = (a.json()["config"]["s3.access-key-id"] for a in (loaded, changed))
    assert before != after


def test_what_is_written_through_signatures_is_encrypted_with_the_integrations_key(
    http, connect_folder
):
    key = "arn:aws:kms:us-east-1:123456789012:key/k"
    lake = connect_folder()
    table = table_on(http, lake)
    assert http.patch(lake.api, json={"kms_key_arn": key}).status_code == 200
    bucket = f"{lake.s3.meta.endpoint_url}/{OTHER_BUCKET}"
    at = http.get(table).json()["metadata"]["location"].replace(f"s3://{OTHER_BUCKET}", bucket)

    def added(method, query=""):
        asked = {
            "method": method,
            "region": "us-east-1",
            "uri": f"{at}/data/a{query}",
            "headers": {},
        }
        signed = http.post(f"{table}/sign", json=asked)
        assert signed.status_code == 200, signed.text
        headers = signed.json()["headers"]
        name = "x-amz-server-side-encryption-aws-kms-key-id"
        assert (name in headers) is (f";{name}" in headers["Authorization"][0])
        return headers.get(name)

    assert added("PUT") == [key]
    assert added("POST", "?uploads") == [key]
    assert added("PUT", "?partNumber=1&uploadId=u") is None
    assert added("GET") is None


@pytest.mark.parametrize(
    ("agent", "is_told"),
    [("ClickHouse/26.9.2.1", False), ("DuckDB/v1.5.5 ClickHouse/no", True), ("", True)],
)
def test_a_client_that_fails_on_an_endpoint_is_told_none_and_all_the_rest(
    http, connect_folder, agent, is_told
):
    headers = {**VENDED, "User-Agent": agent}
    table = table_on(http, connect_folder())
    loaded = http.get(table, headers=headers).json()
    renewed = http.get(f"{table}/credentials", headers=headers).json()
    configs = [
        loaded["config"],
        *(given["config"] for given in loaded["storage-credentials"]),
        *(given["config"] for given in renewed["storage-credentials"]),
    ]
    assert len(configs) >= 3
    for config in configs:
        named = {"s3.endpoint", "s3.path-style-access"} & config.keys()
        assert named == ({"s3.endpoint", "s3.path-style-access"} if is_told else set())
        assert {"s3.session-token", "s3.region", "client.region"} <= config.keys()
