"""What may be signed for a table: everything inside, and nothing that reaches or hints outside."""

import posixpath
from hashlib import sha256
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graticule.access.s3_urls import StoreAddress
from graticule.access.signing import (
    UNSIGNED_PAYLOAD,
    UNSIGNED_TRAILER,
    Reach,
    SignRequest,
    authorise,
)
from graticule.domain.errors import SignatureRefused

HOST = "127.0.0.1:43300"
STORE = StoreAddress("lake", "us-east-1", f"http://{HOST}")
AWS = StoreAddress("lake", "eu-central-1", None)
WRITER = Reach(readable=("wh/t1/", "raw/a.parquet"), writable=("wh/t1/",))
READER = Reach(readable=("wh/t1/", "raw/a.parquet"), writable=())


def asking(method, path, body=None, *, origin=f"http://{HOST}", region="us-east-1", **headers):
    named = {name.replace("_", "-"): [value] for name, value in headers.items()}
    return SignRequest(method, region, origin + path, named, body)


def delete(*keys, head=""):
    objects = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys)
    return f'{head}<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{objects}</Delete>'


def refused(request, store=STORE, reach=WRITER):
    with pytest.raises(SignatureRefused) as error:
        authorise(request, store, reach)
    return error.value.message


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("GetObject", asking("GET", "/lake/wh/t1/a", Range="bytes=0-9", If_Match='"e"')),
        ("GetObject", asking("GET", "/lake/wh/t1/a?partNumber=1&x-id=GetObject")),
        ("GetObject", asking("GET", "/lake/raw/a.parquet", x_amz_checksum_mode="ENABLED")),
        ("GetObject", asking("GET", "/lake/wh/t1/a%20b%2Bc/d%3D1/%C3%A9.parquet")),
        ("GetObject", asking("GET", "/lake/wh/t1/p=a%252Fb/x")),
        ("HeadObject", asking("HEAD", "/lake/wh/t1/a")),
        ("PutObject", asking("PUT", "/lake/wh/t1/a", x_amz_checksum_crc32="x", Expect="100")),
        ("PutObject", asking("PUT", "/lake/wh/t1/a", If_None_Match="*")),
        ("DeleteObject", asking("DELETE", "/lake/wh/t1/a")),
        ("CreateMultipartUpload", asking("POST", "/lake/wh/t1/a?uploads")),
        ("CreateMultipartUpload", asking("POST", "/lake/wh/t1/a?uploads=")),
        ("UploadPart", asking("PUT", "/lake/wh/t1/a?partNumber=2&uploadId=u%2F1")),
        ("CompleteMultipartUpload", asking("POST", "/lake/wh/t1/a?uploadId=u")),
        ("AbortMultipartUpload", asking("DELETE", "/lake/wh/t1/a?uploadId=u")),
        ("ListParts", asking("GET", "/lake/wh/t1/a?uploadId=u&max-parts=5")),
        ("ListObjectsV2", asking("GET", "/lake?list-type=2&prefix=wh%2Ft1%2F")),
        (
            "ListObjectsV2",
            asking(
                "GET",
                "/lake/?list-type=2&prefix=wh/t1/data/&delimiter=%2F&max-keys=1&encoding-type=url"
                "&start-after=wh%2Ft1%2Fb&continuation-token=a%2Bb%3D&fetch-owner=false",
            ),
        ),
        ("DeleteObjects", asking("POST", "/lake?delete", delete("wh/t1/a", "wh/t1/b/c"))),
    ],
)
def test_what_engines_do_with_a_table_is_signed(operation, request_):
    assert authorise(request_, STORE, WRITER).operation == operation


ATTACKS = {
    "a sibling": asking("GET", "/lake/wh/t10/a"),
    "the folder itself": asking("GET", "/lake/wh/t1/"),
    "the folder as an object": asking("GET", "/lake/wh/t1"),
    "a folder marker inside": asking("PUT", "/lake/wh/t1/data/"),
    "a parent": asking("GET", "/lake/wh/x"),
    "below a source that is one object": asking("GET", "/lake/raw/a.parquet/x"),
    "beside a source": asking("GET", "/lake/raw/a.parquet2"),
    "another case": asking("GET", "/lake/WH/t1/a"),
    "another bucket": asking("GET", "/lake2/wh/t1/a"),
    "an encoded bucket": asking("GET", "/%6Cake/wh/t1/a"),
    "dots": asking("GET", "/lake/wh/t1/../t2/a"),
    "encoded dots": asking("GET", "/lake/wh/t1/%2e%2e/t2/a"),
    "half encoded dots": asking("GET", "/lake/wh/t1/.%2E/t2/a"),
    "one dot": asking("GET", "/lake/wh/t1/./a"),
    "an encoded slash": asking("GET", "/lake/wh/t1/%2e%2e%2ft2%2fa"),
    "an encoded slash inside": asking("GET", "/lake/wh/t1%2Fa"),
    "an encoded backslash": asking("GET", "/lake/wh/t1/..%5Ct2/a"),
    "a backslash": asking("GET", "/lake/wh/t1/..\\t2/a"),
    "an empty segment": asking("GET", "/lake/wh/t1//a"),
    "an empty segment at first": asking("GET", "//lake/wh/t1/a"),
    "a control character": asking("GET", "/lake/wh/t1/%00a"),
    "a line feed": asking("GET", "/lake/wh/t1/%0Aa"),
    "a bare percent": asking("GET", "/lake/wh/t1/%zz"),
    "not UTF-8": asking("GET", "/lake/wh/t1/%ff"),
    "an overlong slash": asking("GET", "/lake/wh/t1/..%c0%aft2"),
    "plain letters beyond ASCII": asking("GET", "/lake/wh/t1/é"),
    "a fragment": asking("GET", "/lake/wh/t1/a#x"),
    "a space": asking("GET", "/lake/wh/t1/a b"),
    "a very long URI": asking("GET", "/lake/wh/t1/" + "a" * 9000),
    "a very long key": asking("GET", "/lake/wh/t1/" + "a" * 1100),
    "another host": asking("GET", "/lake/wh/t1/a", origin="http://169.254.169.254"),
    "another port": asking("GET", "/lake/wh/t1/a", origin="http://127.0.0.1:43301"),
    "no port": asking("GET", "/lake/wh/t1/a", origin="http://127.0.0.1"),
    "another scheme": asking("GET", "/lake/wh/t1/a", origin=f"https://{HOST}"),
    "a user": asking("GET", "/lake/wh/t1/a", origin=f"http://{HOST}@evil.example"),
    "a user of ours": asking("GET", "/lake/wh/t1/a", origin=f"http://evil@{HOST}"),
    "a host that begins like ours": asking("GET", "/lake/wh/t1/a", origin=f"http://{HOST}.evil"),
    "another bucket's host": asking("GET", "/wh/t1/a", origin=f"http://lake2.{HOST}"),
    "no scheme": SignRequest("GET", "us-east-1", f"//{HOST}/lake/wh/t1/a", {}),
    "another region": asking("GET", "/lake/wh/t1/a", region="eu-west-1"),
    "a copy": asking("PUT", "/lake/wh/t1/a", X_Amz_Copy_Source="/lake/wh/t2/s"),
    "a copied part": asking(
        "PUT", "/lake/wh/t1/a?partNumber=1&uploadId=u", x_amz_copy_source="/lake/wh/t2/s"
    ),
    "an ACL by header": asking("PUT", "/lake/wh/t1/a", x_amz_acl="public-read"),
    "a grant by header": asking("PUT", "/lake/wh/t1/a", x_amz_grant_read="uri=all"),
    "tags by header": asking("PUT", "/lake/wh/t1/a", x_amz_tagging="a=b"),
    "a storage class": asking("PUT", "/lake/wh/t1/a", x_amz_storage_class="GLACIER"),
    "a customer's key": asking(
        "PUT", "/lake/wh/t1/a", x_amz_server_side_encryption_customer_algorithm="AES256"
    ),
    "a redirect": asking("PUT", "/lake/wh/t1/a", x_amz_website_redirect_location="/x"),
    "a lock": asking("PUT", "/lake/wh/t1/a", x_amz_object_lock_mode="GOVERNANCE"),
    "a session of its own": asking("GET", "/lake/wh/t1/a", x_amz_security_token="x"),
    "another host by header": asking("GET", "/lake/wh/t1/a", Host="evil.example"),
    "a payer who is nobody": asking("GET", "/lake/wh/t1/a", x_amz_request_payer="bucketowner"),
    "a header smuggled in a value": asking("PUT", "/lake/wh/t1/a", Content_Type="a\r\nx: b"),
    "a header smuggled in a name": SignRequest(
        "PUT", "us-east-1", f"http://{HOST}/lake/wh/t1/a", {"content-type:x\n": ["a"]}
    ),
    "a header in two cases": SignRequest(
        "GET", "us-east-1", f"http://{HOST}/lake/wh/t1/a", {"Host": [HOST], "host": [HOST]}
    ),
    "too many headers": SignRequest(
        "GET", "us-east-1", f"http://{HOST}/lake/wh/t1/a", {f"h{i}": ["a"] for i in range(65)}
    ),
    "a header of a write on a read": asking("GET", "/lake/wh/t1/a", Content_MD5="x"),
    "the ACL": asking("PUT", "/lake/wh/t1/a?acl"),
    "tags": asking("PUT", "/lake/wh/t1/a?tagging"),
    "a version": asking("GET", "/lake/wh/t1/a?versionId=x"),
    "another answer": asking("GET", "/lake/wh/t1/a?response-content-type=text%2Fhtml"),
    "a presigned request": asking("GET", "/lake/wh/t1/a?X-Amz-Expires=604800"),
    "a presigned session": asking("GET", "/lake/wh/t1/a?x-amz-security-token=x"),
    "a query into the object": asking("POST", "/lake/wh/t1/a?select&select-type=2"),
    "a restore": asking("POST", "/lake/wh/t1/a?restore"),
    "an attribute read": asking("GET", "/lake/wh/t1/a?attributes"),
    "two operations at once": asking("PUT", "/lake/wh/t1/a?uploads&uploadId=u"),
    "a part without a number": asking("PUT", "/lake/wh/t1/a?uploadId=u"),
    "a part of another upload twice": asking(
        "PUT", "/lake/wh/t1/a?partNumber=1&uploadId=u&uploadId=v"
    ),
    "a parameter in other letters": asking("GET", "/lake/wh/t1/a?VersionId=x"),
    "an empty parameter": asking("GET", "/lake/wh/t1/a?&"),
    "too many parameters": asking("GET", "/lake/wh/t1/a?" + "&".join(f"p{i}" for i in range(17))),
    "a method nobody needs": asking("PATCH", "/lake/wh/t1/a"),
    "a method in small letters": asking("get", "/lake/wh/t1/a"),
    "a form upload": asking("POST", "/lake/wh/t1/a"),
    "the bucket's head": asking("HEAD", "/lake"),
    "the bucket itself": asking("DELETE", "/lake"),
    "an old list": asking("GET", "/lake?prefix=wh%2Ft1%2F"),
    "a list of everything": asking("GET", "/lake?list-type=2"),
    "a list of the empty prefix": asking("GET", "/lake?list-type=2&prefix="),
    "a list of the parent": asking("GET", "/lake?list-type=2&prefix=wh%2F"),
    "a list that begins like the table": asking("GET", "/lake?list-type=2&prefix=wh%2Ft1"),
    "a list of a source": asking("GET", "/lake?list-type=2&prefix=raw%2Fa.parquet"),
    "a list with dots": asking("GET", "/lake?list-type=2&prefix=wh%2Ft1%2F..%2Ft2%2F"),
    "a list with two prefixes": asking(
        "GET", "/lake?list-type=2&prefix=wh%2Ft1%2F&prefix=wh%2Ft2%2F"
    ),
    "a list with a prefix in disguise": asking(
        "GET", "/lake?list-type=2&prefix=wh%2Ft1%2F&%70refix=wh%2Ft2%2F"
    ),
    "a list with a plus": asking("GET", "/lake?list-type=2&prefix=wh%2Ft1%2Fa+b"),
    "a list with a semicolon": asking("GET", "/lake?list-type=2&prefix=wh%2Ft1%2F;prefix=x"),
    "a list with the bucket's policy": asking(
        "GET", "/lake?list-type=2&prefix=wh%2Ft1%2F&policy"
    ),
    "versions": asking("GET", "/lake?versions&prefix=wh%2Ft1%2F"),
    "everybody's uploads": asking("GET", "/lake?uploads&prefix=wh%2Ft1%2F"),
    "the bucket's place": asking("GET", "/lake?location"),
    "a delete of nothing known": asking("POST", "/lake?delete"),
    "a delete of nothing": asking("POST", "/lake?delete", delete()),
    "a delete of one outside": asking("POST", "/lake?delete", delete("wh/t1/a", "wh/t2/v")),
    "a delete of one outside first": asking("POST", "/lake?delete", delete("wh/t2/v", "wh/t1/a")),
    "a delete of a source": asking("POST", "/lake?delete", delete("raw/a.parquet")),
    "a delete with dots": asking("POST", "/lake?delete", delete("wh/t1/../t2/v")),
    "a delete of too many": asking("POST", "/lake?delete", delete(*["wh/t1/a"] * 1001)),
    "a delete with two keys in one": asking(
        "POST",
        "/lake?delete",
        "<Delete><Object><Key>wh/t1/a</Key><Key>wh/t2/v</Key></Object></Delete>",
    ),
    "a delete of a version": asking(
        "POST",
        "/lake?delete",
        "<Delete><Object><Key>wh/t1/a</Key><VersionId>1</VersionId></Object></Delete>",
    ),
    "a delete with an element in a key": asking(
        "POST", "/lake?delete", "<Delete><Object><Key>wh/t1/a<b/></Key></Object></Delete>"
    ),
    "a delete of another namespace": asking(
        "POST",
        "/lake?delete",
        '<Delete><x:Object xmlns:x="u"><Key>wh/t1/a</Key></x:Object></Delete>',
    ),
    "a delete with an attribute": asking(
        "POST", "/lake?delete", '<Delete><Object><Key a="b">wh/t1/a</Key></Object></Delete>'
    ),
    "a delete with words between": asking(
        "POST", "/lake?delete", "<Delete>wh/t2/v<Object><Key>wh/t1/a</Key></Object></Delete>"
    ),
    "a delete with a document type": asking(
        "POST",
        "/lake?delete",
        delete("&e;", head='<!DOCTYPE x [<!ENTITY e "wh/t2/v">]>'),
    ),
    "a delete with a comment": asking(
        "POST", "/lake?delete", delete("wh/t1/a<!-- x -->", head="")
    ),
    "a delete with character data": asking(
        "POST", "/lake?delete", delete("<![CDATA[wh/t2/v]]>")
    ),
    "a delete in another encoding": asking(
        "POST", "/lake?delete", delete("wh/t1/a", head='<?xml version="1.0" encoding="UTF-7"?>')
    ),
    "a delete that is no XML": asking("POST", "/lake?delete", "<Delete><Object>"),
    "a delete of something else": asking("POST", "/lake?delete", "<Tagging/>"),
    "a delete that is too large": asking("POST", "/lake?delete", delete("wh/t1/a") + " " * 2**21),
    "a delete with another hash": asking(
        "POST", "/lake?delete", delete("wh/t1/a"), x_amz_content_sha256="0" * 64
    ),
    "a delete without a hash": asking(
        "POST", "/lake?delete", delete("wh/t1/a"), x_amz_content_sha256=UNSIGNED_PAYLOAD
    ),
    "a body where none is read": asking("PUT", "/lake/wh/t1/a", "x"),
    "a body signed in chunks": asking(
        "PUT", "/lake/wh/t1/a", x_amz_content_sha256="STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    ),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_an_attack_is_refused_with_a_reason(attack):
    assert refused(attack)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/lake/wh/t1/a", None),
        ("DELETE", "/lake/wh/t1/a", None),
        ("POST", "/lake/wh/t1/a?uploads", None),
        ("PUT", "/lake/wh/t1/a?partNumber=1&uploadId=u", None),
        ("GET", "/lake/wh/t1/a?uploadId=u", None),
        ("POST", "/lake?delete", delete("wh/t1/a")),
    ],
)
def test_who_may_only_read_writes_nothing(method, path, body):
    assert "may only be read" in refused(asking(method, path, body), reach=READER)


def test_a_source_is_read_and_never_written():
    assert authorise(asking("GET", "/lake/raw/a.parquet"), STORE, WRITER).place == "raw/a.parquet"
    assert "may only be read" in refused(asking("DELETE", "/lake/raw/a.parquet"))


@pytest.mark.parametrize(
    "origin",
    [
        "https://s3.eu-central-1.amazonaws.com/lake",
        "https://lake.s3.eu-central-1.amazonaws.com",
        "https://lake.s3.dualstack.eu-central-1.amazonaws.com",
        "https://lake.s3-fips.eu-central-1.amazonaws.com",
        "https://lake.s3.amazonaws.com",
    ],
)
def test_aws_is_reached_by_every_host_that_clients_use(origin):
    request = asking("GET", "/wh/t1/a", origin=origin, region="eu-central-1")
    assert authorise(request, AWS, WRITER).operation == "GetObject"


@pytest.mark.parametrize(
    "origin",
    [
        "http://lake.s3.eu-central-1.amazonaws.com",
        "https://lake.s3.us-east-1.amazonaws.com",
        "https://other.s3.eu-central-1.amazonaws.com",
        "https://lake.s3.eu-central-1.amazonaws.com:8443",
        "https://lake.s3.eu-central-1.amazonaws.com.evil.example",
        "https://evil.example/lake",
        "https://s3.eu-central-1.amazonaws.com/other",
        "https://s3.eu-central-1.amazonaws.com",
        "https://lake.s3.eu-central-1.amazonaws.com/lake",
    ],
)
def test_aws_is_reached_by_no_other_host(origin):
    refused(asking("GET", "/wh/t1/a", origin=origin, region="eu-central-1"), AWS)


def test_china_has_hosts_of_its_own():
    china = StoreAddress("lake", "cn-north-1", None)
    origin = "https://lake.s3.cn-north-1.amazonaws.com.cn"
    request = asking("GET", "/wh/t1/a", origin=origin, region="cn-north-1")
    assert authorise(request, china, WRITER).host == "lake.s3.cn-north-1.amazonaws.com.cn"
    outside = asking("GET", "/wh/t1/a", origin=origin[:-3], region="cn-north-1")
    refused(outside, china)


def test_the_hash_of_a_delete_is_of_the_very_body_that_was_read():
    body = delete("wh/t1/a", head='<?xml version="1.0" encoding="UTF-8"?>\n')
    signable = authorise(asking("POST", "/lake?delete", body), STORE, WRITER)
    assert signable.payload_hash == sha256(body.encode()).hexdigest()
    assert not signable.is_reusable


def test_a_delete_may_ask_for_silence():
    body = "<Delete>\n <Quiet>true</Quiet> <Object>\n<Key>wh/t1/a&amp;b</Key></Object></Delete>"
    assert authorise(asking("POST", "/lake?delete", body), STORE, WRITER).place == "wh/t1/"


def test_a_body_in_chunks_with_a_checksum_at_its_end_is_signed_as_one():
    request = asking(
        "PUT", "/lake/wh/t1/a", X_Amz_Trailer="x-amz-checksum-crc32", Content_Encoding="aws-chunked"
    )
    assert authorise(request, STORE, WRITER).payload_hash == UNSIGNED_TRAILER


def test_a_signature_covers_what_s3_wants_covered_and_nothing_that_changes_from_call_to_call():
    changing = {"Range": "bytes=1-2", "User_Agent": "x", "amz_sdk_invocation_id": "1"}
    get = asking("GET", "/lake/wh/t1/a", Accept="*/*", x_amz_checksum_mode="ENABLED", **changing)
    signable = authorise(get, STORE, WRITER)
    assert (signable.headers, signable.is_reusable) == ({"x-amz-checksum-mode": "ENABLED"}, True)
    put = asking("PUT", "/lake/wh/t1/a", Content_Type="a  b", x_amz_checksum_crc32="x", **changing)
    signable = authorise(put, STORE, WRITER)
    assert signable.headers == {"content-type": "a b", "x-amz-checksum-crc32": "x"}
    assert not signable.is_reusable


SEGMENTS = st.sampled_from(
    ["wh", "t1", "t10", "t2", "..", ".", "", "a", "a b", "é", "%2e%2e", "%2F", "lake", "..%2f"]
)
LETTERS = st.sampled_from(["%2e", "%2E", "%2f", "%5c", "%00", "%", "\\", "?", "#", "//", "/", "&"])


@st.composite
def paths(draw):
    """Paths near the table, some letters encoded that need not be, some things put in."""
    parts = draw(st.lists(SEGMENTS, max_size=5))
    start = draw(st.sampled_from([["lake", "wh", "t1"], ["lake", "wh"], ["lake"], []]))
    text = "".join(
        letter if letter == "/" or (letter in "._-~abtwhlke1" and draw(st.booleans())) else
        "".join(f"%{byte:02X}" for byte in letter.encode())
        for letter in "/".join([*start, *parts])
    )  # fmt: skip
    at = draw(st.integers(0, len(text)))
    return "/" + text[:at] + draw(st.one_of(st.just(""), LETTERS)) + text[at:]


@given(paths(), st.sampled_from(["GET", "PUT", "DELETE", "HEAD"]))
def test_whatever_is_signed_lies_inside_however_a_store_reads_it(path, method):
    try:
        authorise(asking(method, path), STORE, WRITER)
    except SignatureRefused:
        return
    read = unquote(urlsplit(f"http://{HOST}{path}").path)
    assert read.startswith("/lake/wh/t1/")
    assert posixpath.normpath(read) == read


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\\/")).filter(
            lambda segment: segment not in {"", ".", ".."}
        ),
        min_size=1,
        max_size=4,
    )
)
def test_every_file_inside_can_be_signed(segments):
    key = "wh/t1/" + "/".join(segments)
    if len(key.encode()) > 1024:
        return
    signable = authorise(asking("PUT", "/lake/" + quote(key)), STORE, WRITER)
    assert (signable.path, signable.place) == (f"/lake/{key}", "wh/t1/")


KEYS = st.sampled_from(["wh/t1/a", "wh/t1/b/c", "wh/t10/a", "wh/t1/", "wh/t1/../t2/a", "x", ""])


@given(st.lists(KEYS, max_size=5))
def test_a_delete_is_signed_only_if_every_key_lies_inside(keys):
    inside = bool(keys) and all(key in {"wh/t1/a", "wh/t1/b/c"} for key in keys)
    try:
        authorise(asking("POST", "/lake?delete", delete(*keys)), STORE, WRITER)
    except SignatureRefused:
        assert not inside
    else:
        assert inside


@given(st.text("wht1/.0%2", max_size=12), st.booleans())
def test_a_list_is_signed_only_if_it_begins_inside(prefix, is_encoded):
    text = quote(prefix, safe="") if is_encoded else prefix
    try:
        authorise(asking("GET", f"/lake?list-type=2&prefix={text}"), STORE, WRITER)
    except SignatureRefused:
        return
    [read] = parse_qs(f"prefix={text}")["prefix"]
    assert read.startswith("wh/t1/")
    assert ".." not in read.split("/")
