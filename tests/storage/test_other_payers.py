"""Buckets that anybody may read, and buckets whose readers pay: seen with and without a name."""

import json
import time
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from graticule.domain.catalog import AccessKeys
from graticule.domain.errors import ReadOnlyStorage, StorageRefused
from graticule.domain.location import Location
from graticule.domain.secret import Secret
from graticule.outbound.gate import ANYWHERE
from graticule.storage.s3 import ObjectStore
from support.faults import faulty

OPEN_BUCKET = "open-data"


@pytest.fixture(scope="module")
def open_bucket(ministack):
    """A public bucket with two objects in the folder `places`, and one beside it."""
    s3 = ministack.client("s3")
    s3.create_bucket(Bucket=OPEN_BUCKET)
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["s3:GetObject", "s3:ListBucket"],
        "Resource": [f"arn:aws:s3:::{OPEN_BUCKET}", f"arn:aws:s3:::{OPEN_BUCKET}/*"],
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    s3.delete_public_access_block(Bucket=OPEN_BUCKET)
    s3.put_bucket_policy(Bucket=OPEN_BUCKET, Policy=policy)
    for key in ("places/a", "places/b/c", "places-private/d"):
        s3.put_object(Bucket=OPEN_BUCKET, Key=key, Body=key.encode())
    return ministack


def store_at(endpoint, keys, **options):
    return ObjectStore(
        Location(OPEN_BUCKET, "places"),
        region="us-east-1",
        endpoint=endpoint,
        path_style=True,
        credentials=lambda: keys,
        outbound=ANYWHERE,
        **options,
    )


def test_a_public_bucket_is_browsed_and_linked_to_without_a_name(open_bucket):
    store = store_at(open_bucket.endpoint, None, read_only=True)

    page = store.list_page("places/", keys_max=10, delimiter="/")
    url = store.link(
        f"s3://{OPEN_BUCKET}/places/a", None, query={}, lifetime_s=60, now_ms=1_790_000_000_000
    )

    assert [file.key for file in page.files] == ["places/a"]
    assert page.folders == ("places/b/",)
    assert page.continuation is None
    with store.open(f"s3://{OPEN_BUCKET}/places/a") as stream:
        assert b"".join(stream.chunks(1024)) == b"places/a"
    assert httpx2.get(url).content == b"places/a"
    assert urlsplit(url).query == ""
    with pytest.raises(ReadOnlyStorage):
        store.put_if_absent(f"s3://{OPEN_BUCKET}/places/new", b"x")


def test_whoever_has_no_name_is_refused_by_a_private_bucket(ministack):
    private = ObjectStore(
        Location("lake", ""),
        region="us-east-1",
        endpoint=ministack.endpoint,
        path_style=True,
        credentials=lambda: None,
        outbound=ANYWHERE,
    )
    with pytest.raises(StorageRefused, match="403"):
        private.list_page("", keys_max=10)


def test_whoever_pays_says_so_in_listings_downloads_and_links(open_bucket):
    keys = AccessKeys("test", Secret("test"))
    with faulty(open_bucket.endpoint) as proxy:
        store = store_at(proxy.endpoint, keys, requester_pays=True)
        store.list_page("places/", keys_max=10)
        with store.open(f"s3://{OPEN_BUCKET}/places/a", byte_range="bytes=0-1") as stream:
            assert b"".join(stream.chunks(1024)) == b"pl"
        url = store.link(
            f"s3://{OPEN_BUCKET}/places/a", keys, query={}, lifetime_s=60, now_ms=1_790_000_000_000
        )

    assert [headers["x-amz-request-payer"] for headers in proxy.headers] == ["requester"] * 2
    assert parse_qs(urlsplit(url).query)["x-amz-request-payer"] == ["requester"]


def test_a_link_reads_one_object_until_its_time_is_over_and_cannot_be_bent(open_bucket):
    s3 = open_bucket.client("s3")
    s3.put_object(Bucket="lake", Key="linked/a", Body=b"a")
    s3.put_object(Bucket="lake", Key="linked/b", Body=b"b")
    store = ObjectStore(
        Location("lake", "linked"),
        region="us-east-1",
        endpoint=open_bucket.endpoint,
        path_style=True,
        credentials=lambda: open_bucket.key_user_keys,
        outbound=ANYWHERE,
    )

    def link(now_ms):
        return store.link(
            "s3://lake/linked/a",
            open_bucket.key_user_keys,
            query={"response-content-disposition": "attachment"},
            lifetime_s=60,
            now_ms=now_ms,
        )

    now_ms = time.time_ns() // 1_000_000
    url = link(now_ms)
    assert httpx2.get(url).content == b"a"
    assert httpx2.get(url.replace("/a?", "/b?")).status_code == 403
    assert httpx2.put(url, content=b"x").status_code == 403
    assert httpx2.get(link(now_ms - 120_000)).status_code == 403
