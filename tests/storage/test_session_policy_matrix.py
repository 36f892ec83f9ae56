"""What a vended session can do, request by request, against two stores that enforce policies.

Everything is asked of the store itself, with the very credential that a client would get.
"""

import uuid
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from botocore.exceptions import ClientError

from graticule.domain.catalog import AccessLevel, StorageIntegration
from graticule.domain.errors import StorageRefused
from graticule.domain.location import Location
from graticule.outbound.gate import ANYWHERE
from graticule.services.integrations.credentials import Credentials
from graticule.storage.clients import s3_client
from graticule.storage.iam_policy import LocationGrant, role_policy, trust_policy
from graticule.storage.identity import ServerIdentity
from graticule.storage.keys import TemporaryCredentials
from support.principals import ANA
from support.seaweedfs import OTHER_BUCKET, integration_on

READ, WRITE = AccessLevel.READ, AccessLevel.WRITE
BUCKET = "lake"


@dataclass(frozen=True)
class Lake:
    """One store, filled, with an administrator and an integration on all of its bucket."""

    admin: Any
    integration: StorageIntegration
    credentials: Credentials
    identity: ServerIdentity
    root: str

    def session(self, *grants: LocationGrant) -> Any:
        """A client with what `grants` vend."""
        vended = self.credentials.vend(ANA, self.integration, grants)
        keys = TemporaryCredentials(
            vended.access_key_id,
            vended.secret_access_key,
            vended.session_token,
            vended.expires_at_ms,
        )
        return s3_client(
            keys,
            region=self.integration.region,
            endpoint=self.integration.endpoint,
            path_style=True,
            outbound=ANYWHERE,
        )

    def holds(self, name: str) -> bool:
        try:
            self.admin.head_object(Bucket=BUCKET, Key=f"{self.root}/{name}")
        except ClientError:
            return False
        return True


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("seaweedfs-role", marks=pytest.mark.s3),
        pytest.param("seaweedfs-keys", marks=pytest.mark.s3),
        pytest.param("ministack-role", marks=pytest.mark.iam),
        pytest.param("ministack-keys", marks=pytest.mark.iam),
    ],
)
def lake(request):
    engine_name, kind = request.param.split("-")
    engine = request.getfixturevalue(engine_name)
    root = f"matrix/{uuid.uuid4()}"
    if engine_name == "seaweedfs":
        admin_keys, key_user = engine.admin_keys, engine.keys_of("keyuser")
        role_arn = engine.role_arn
    else:
        admin_keys, key_user = None, engine.key_user_keys
        role_arn = engine.create_role(
            f"Matrix-{uuid.uuid4().hex[:8]}",
            trust=trust_policy(engine.catalog_arn, "organisation-1"),
            policy=role_policy(Location(BUCKET, ""), WRITE),
        )
    admin = (
        engine.client("s3")
        if admin_keys is None
        else s3_client(
            admin_keys,
            region=engine.region,
            endpoint=engine.endpoint,
            path_style=True,
            outbound=ANYWHERE,
        )
    )
    integration = integration_on(
        engine,
        f"s3://{BUCKET}",
        role_arn=role_arn if kind == "role" else None,
        access_keys=key_user if kind == "keys" else None,
        identifier=request.param,
    )
    lake = Lake(
        admin=admin,
        integration=integration,
        credentials=Credentials(
            identity=ServerIdentity(engine.catalog_keys),
            now_ms=lambda: 0,
            duration_s=900,
            outbound=ANYWHERE,
        ),
        identity=ServerIdentity(engine.catalog_keys),
        root=root,
    )
    names = ("t1/data/a", "t1/gone", "t10/b", "other", "src/c", "raw/one", "raw/one.bak", "t1.txt")
    for name in names:
        admin.put_object(Bucket=BUCKET, Key=f"{root}/{name}", Body=b"0123456789")
    admin.put_object(Bucket=OTHER_BUCKET, Key="t1/data/a", Body=b"foreign")
    return lake


@pytest.fixture(scope="module")
def writer(lake):
    """A session that writes `t1/` and reads `src/` and the object `raw/one`."""
    return lake.session(
        LocationGrant(f"s3://{BUCKET}/{lake.root}/t1/", WRITE),
        LocationGrant(f"s3://{BUCKET}/{lake.root}/src/", READ),
        LocationGrant(f"s3://{BUCKET}/{lake.root}/raw/one", READ),
    )


@pytest.fixture(scope="module")
def reader(lake):
    return lake.session(LocationGrant(f"s3://{BUCKET}/{lake.root}/t1/", READ))


class At:
    """One client's requests, by names below the test's root."""

    def __init__(self, client: Any, lake: Lake) -> None:
        self.client = client
        self.root = lake.root
        self.admin = lake.admin

    def key(self, name):
        return {"Bucket": BUCKET, "Key": f"{self.root}/{name}"}

    def get(self, name):
        return self.client.get_object(**self.key(name))["Body"].read()

    def range(self, name):
        return self.client.get_object(**self.key(name), Range="bytes=0-1")["Body"].read()

    def head(self, name):
        self.client.head_object(**self.key(name))

    def put(self, name):
        self.client.put_object(**self.key(name), Body=b"new", IfNoneMatch="*")

    def overwrite(self, name):
        self.client.put_object(**self.key(name), Body=b"new")

    def delete(self, name):
        self.client.delete_object(**self.key(name))

    def delete_many(self, name):
        answer = self.client.delete_objects(
            Bucket=BUCKET, Delete={"Objects": [{"Key": f"{self.root}/{name}"}]}
        )
        if answer.get("Errors"):
            raise ClientError({"Error": answer["Errors"][0]}, "DeleteObjects")

    def list(self, name):
        self.client.list_objects_v2(Bucket=BUCKET, Prefix=f"{self.root}/{name}")

    def list_v1(self, name):
        self.client.list_objects(Bucket=BUCKET, Prefix=f"{self.root}/{name}")

    def list_folders(self, name):
        self.client.list_objects_v2(Bucket=BUCKET, Prefix=f"{self.root}/{name}", Delimiter="/")

    def list_versions(self, name):
        self.client.list_object_versions(Bucket=BUCKET, Prefix=f"{self.root}/{name}")

    def list_everything(self, _name):
        self.client.list_objects_v2(Bucket=BUCKET)

    def list_uploads(self, name):
        self.client.list_multipart_uploads(Bucket=BUCKET, Prefix=f"{self.root}/{name}")

    def multipart(self, name):
        upload = self.client.create_multipart_upload(**self.key(name))["UploadId"]
        part = self.client.upload_part(
            **self.key(name), UploadId=upload, PartNumber=1, Body=b"part"
        )
        self.client.list_parts(**self.key(name), UploadId=upload)
        self.client.complete_multipart_upload(
            **self.key(name),
            UploadId=upload,
            MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
        )

    def abort(self, name):
        upload = self.client.create_multipart_upload(**self.key(name))["UploadId"]
        self.client.abort_multipart_upload(**self.key(name), UploadId=upload)

    def steal_upload(self, name):
        """Complete, with this session, an upload that the administrator began."""
        upload = self.admin.create_multipart_upload(**self.key(name))["UploadId"]
        try:
            self.client.upload_part(**self.key(name), UploadId=upload, PartNumber=1, Body=b"x")
        finally:
            self.admin.abort_multipart_upload(**self.key(name), UploadId=upload)

    def copy_from(self, name):
        """Copy from `name` to a place that may be written."""
        target = self.key(f"t1/copy-of-{name.replace('/', '-')}")
        self.client.copy_object(**target, CopySource=self.key(name))

    def copy_to(self, name):
        self.client.copy_object(**self.key(name), CopySource=self.key("t1/data/a"))

    def copy_part_from(self, name):
        target = self.key("t1/assembled")
        upload = self.client.create_multipart_upload(**target)["UploadId"]
        try:
            self.client.upload_part_copy(
                **target, UploadId=upload, PartNumber=1, CopySource=self.key(name)
            )
        finally:
            self.client.abort_multipart_upload(**target, UploadId=upload)

    def presigned_get(self, name):
        url = self.client.generate_presigned_url("get_object", Params=self.key(name))
        _raise_unless_ok(httpx2.get(url), "GetObject")

    def presigned_put(self, name):
        url = self.client.generate_presigned_url("put_object", Params=self.key(name))
        _raise_unless_ok(httpx2.put(url, content=b"new"), "PutObject")

    def location(self, _name):
        self.client.get_bucket_location(Bucket=BUCKET)

    def bucket_policy(self, _name):
        self.client.get_bucket_policy(Bucket=BUCKET)

    def open_bucket(self, _name):
        self.client.put_bucket_policy(Bucket=BUCKET, Policy='{"Version":"2012-10-17"}')

    def object_acl(self, name):
        self.client.put_object_acl(**self.key(name), ACL="public-read")

    def other_bucket(self, _name):
        self.client.get_object(Bucket=OTHER_BUCKET, Key="t1/data/a")

    def make_bucket(self, _name):
        self.client.create_bucket(Bucket="another")


def _raise_unless_ok(answer: Any, operation: str) -> None:
    if answer.status_code != 200:
        raise ClientError(
            {
                "Error": {"Code": "AccessDenied", "Message": answer.text},
                "ResponseMetadata": {"HTTPStatusCode": answer.status_code},
            },
            operation,
        )


READS = [
    *[(verb, "t1/data/a") for verb in ("get", "range", "head", "presigned_get")],
    *[("list", "t1/"), ("list", "t1/data/"), ("list_v1", "t1/"), ("list_folders", "t1/")],
    ("location", ""),
]
SOURCE_READS = [("get", "src/c"), ("list", "src/"), ("get", "raw/one"), ("head", "raw/one")]
WRITES = [
    *[("put", "t1/new"), ("overwrite", "t1/data/b"), ("multipart", "t1/big"), ("abort", "t1/no")],
    *[("delete", "t1/gone"), ("delete_many", "t1/gone"), ("presigned_put", "t1/presigned")],
    *[("copy_from", "t1/data/a"), ("copy_to", "t1/copied"), ("copy_part_from", "t1/data/a")],
    *[("copy_from", "src/c"), ("copy_from", "raw/one"), ("steal_upload", "t1/adopted")],
]
OUTSIDE = [
    *[(verb, name) for verb in ("get", "range", "head") for name in ("t10/b", "other", "t1.txt")],
    *[
        (verb, name)
        for verb in ("put", "overwrite", "delete", "delete_many")
        for name in ("t10/b",)
    ],
    *[("put", "t10/new"), ("put", "t1"), ("put", "t1-new"), ("overwrite", "other")],
    *[("multipart", "t10/big"), ("steal_upload", "t10/big"), ("presigned_put", "t10/new")],
    *[("copy_from", "t10/b"), ("copy_from", "raw/one.bak"), ("copy_to", "t10/copied")],
    *[("copy_part_from", "other"), ("presigned_get", "t10/b"), ("get", "raw/one.bak")],
    *[("list", "t1"), ("list", "t10/"), ("list", ""), ("list", "raw/"), ("list", "raw/one")],
    *[("list_v1", "t10/"), ("list_folders", ""), ("list_folders", "t1"), ("list_everything", "")],
    *[("list_versions", "t10/"), ("list_uploads", "t10/"), ("list_uploads", "t1/")],
    *[("overwrite", "src/c"), ("put", "src/new"), ("delete", "src/c"), ("multipart", "src/big")],
    *[("overwrite", "raw/one"), ("delete", "raw/one"), ("copy_to", "raw/one")],
    *[("bucket_policy", ""), ("open_bucket", ""), ("object_acl", "t1/data/a")],
    *[("other_bucket", ""), ("make_bucket", "")],
]


def ids(case):
    return " ".join(case) if isinstance(case, tuple) else None


@pytest.mark.parametrize("case", READS + SOURCE_READS + WRITES, ids=ids)
def test_a_writer_may(lake, writer, case):
    verb, name = case
    getattr(At(writer, lake), verb)(name)


@pytest.mark.parametrize("case", OUTSIDE, ids=ids)
def test_a_writer_is_refused(lake, writer, case):
    _is_refused(lake, writer, case)


def test_the_buckets_of_the_account_stay_unknown(lake, writer, reader):
    """Not a refusal everywhere: SeaweedFS answers with a list of none where AWS says 403."""
    for client in (writer, reader):
        if lake.integration.id.startswith("seaweedfs"):
            assert client.list_buckets()["Buckets"] == []
        else:
            with pytest.raises(ClientError, match="AccessDenied"):
                client.list_buckets()


def test_a_session_shorter_than_any_there_is_cannot_be_asked_for(lake):
    """AWS's clients refuse it before they ask, whatever the store would say."""
    hasty = Credentials(identity=lake.identity, now_ms=lambda: 0, duration_s=899, outbound=ANYWHERE)
    with pytest.raises(StorageRefused, match="valid min value: 900"):
        hasty.vend(ANA, lake.integration, [LocationGrant(f"s3://{BUCKET}/{lake.root}/t1/", READ)])


@pytest.mark.parametrize("case", READS, ids=ids)
def test_a_reader_may(lake, reader, case):
    verb, name = case
    getattr(At(reader, lake), verb)(name)


@pytest.mark.parametrize("case", WRITES + SOURCE_READS + OUTSIDE, ids=ids)
def test_a_reader_is_refused(lake, reader, case):
    _is_refused(lake, reader, case)


def _is_refused(lake, client, case):
    verb, name = case
    before = lake.holds(name)
    with pytest.raises(ClientError) as refused:
        getattr(At(client, lake), verb)(name)
    code = refused.value.response["Error"]["Code"]
    assert code in {"AccessDenied", "403"}, refused.value
    assert lake.holds(name) is before
