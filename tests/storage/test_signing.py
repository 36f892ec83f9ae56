"""Signature Version 4, against Amazon's published examples and against botocore."""

from datetime import UTC, datetime
from hashlib import sha256
from unittest.mock import patch
from urllib.parse import quote

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st

from graticule.access.signing import Signable
from graticule.domain.catalog import AccessKeys
from graticule.domain.secret import Secret
from graticule.storage.keys import TemporaryCredentials
from graticule.storage.signing import signing_headers

NOTHING = sha256(b"").hexdigest()
EXAMPLE_KEYS = AccessKeys(
    "AKIAIOSFODNN7EXAMPLE", Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
)
EXAMPLE_MOMENT = datetime(2013, 5, 24, tzinfo=UTC)


def signable(path, query, headers, *, method="GET", host="h", payload_hash=NOTHING):
    return Signable(
        operation="GetObject",
        method=method,
        host=host,
        path=path,
        query=query,
        headers=headers,
        payload_hash=payload_hash,
        place="",
        is_reusable=True,
    )


@pytest.mark.parametrize(
    ("path", "query", "headers", "signature"),
    [
        (
            "/test.txt",
            {},
            {"range": "bytes=0-9"},
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "/",
            {"lifecycle": ""},
            {},
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "/",
            {"max-keys": "2", "prefix": "J"},
            {},
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)
def test_amazons_examples_come_out_as_published(path, query, headers, signature):
    request = signable(path, query, headers, host="examplebucket.s3.amazonaws.com")
    now_ms = int(EXAMPLE_MOMENT.timestamp() * 1000)
    signed = signing_headers(request, EXAMPLE_KEYS, region="us-east-1", now_ms=now_ms)
    names = ";".join(sorted({"host", "x-amz-content-sha256", "x-amz-date", *headers}))
    assert signed == {
        "X-Amz-Date": "20130524T000000Z",
        "X-Amz-Content-SHA256": NOTHING,
        "Authorization": "AWS4-HMAC-SHA256 "
        "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}",
    }


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)


@given(st.lists(TEXTS, max_size=3), st.dictionaries(TEXTS, TEXTS, max_size=3))
def test_any_path_and_query_is_signed_as_botocore_does(segments, query):
    keys = TemporaryCredentials("ASIA1", Secret("secret"), Secret("token"), 0)
    path = "/" + "/".join(segments)
    request = signable(path, query, {"x-amz-meta": "a b"}, method="PUT")
    now_ms = int(EXAMPLE_MOMENT.timestamp() * 1000)
    ours = signing_headers(request, keys, region="eu-west-1", now_ms=now_ms)

    theirs = AWSRequest(
        "PUT", "https://h" + quote(path, safe="/-_.~"), {"x-amz-meta": "a b"}, params=query
    )
    auth = botocore.auth.S3SigV4Auth(BotoCredentials("ASIA1", "secret", "token"), "s3", "eu-west-1")
    with patch("botocore.auth.get_current_datetime", lambda: EXAMPLE_MOMENT):
        auth.add_auth(theirs)

    assert ours["Authorization"] == theirs.headers["Authorization"]
    assert ours["X-Amz-Security-Token"] == "token"


def test_what_is_added_for_the_payer_is_signed_and_never_sent_twice():
    pays = {"x-amz-request-payer": "requester"}
    added = signing_headers(signable("/a", {}, {}), EXAMPLE_KEYS, region="r", now_ms=0, extra=pays)
    assert added["x-amz-request-payer"] == "requester"
    assert ";x-amz-request-payer," in added["Authorization"]
    had = signing_headers(signable("/a", {}, pays), EXAMPLE_KEYS, region="r", now_ms=0, extra=pays)
    assert "x-amz-request-payer" not in had
    assert had["Authorization"] == added["Authorization"]
