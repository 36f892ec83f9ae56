"""Pages of listings: what is read from the bytes is what a parser of XML would read."""

import pytest

from graticule.domain.errors import StorageRefused
from graticule.storage import listings
from graticule.storage.listings import ObjectSummary, listed_page
from graticule.storage.s3_answers import S3Answer

AWS = (
    "<Contents><Key>{key}</Key><LastModified>2026-01-31T12:00:00.000Z</LastModified>"
    "<ETag>&quot;abc-2&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>"
    "<ChecksumType>FULL_OBJECT</ChecksumType><Size>7</Size><Owner><ID>me</ID>"
    "<DisplayName>me</DisplayName></Owner><StorageClass>STANDARD</StorageClass></Contents>"
)
PLAIN = (
    "<Contents><Key>{key}</Key><LastModified>2026-01-31T12:00:00Z</LastModified>"
    '<ETag>"abc-2"</ETag><Size>7</Size></Contents>'
)
OTHER_ORDER = (
    "<Contents><Size>7</Size><ETag>&quot;abc-2&quot;</ETag><Key>{key}</Key>"
    "<LastModified>2026-01-31T12:00:00.000Z</LastModified></Contents>"
)
ODD = {
    "a comment": "<!-- <Contents> -->" + AWS,
    "CDATA": AWS.replace("{key}", "<![CDATA[{key}]]>"),
    "an entity in a key": AWS.replace("{key}", "&#97;{key}"),
    "spaces": AWS.replace("><", ">\n  <"),
    "another order": OTHER_ORDER,
    "something unknown": AWS.replace("<Size>", "<Tier><Deep>1</Deep></Tier><Size>"),
    "folders in between": AWS + "<CommonPrefixes><Prefix>f/</Prefix></CommonPrefixes>",
}
AT_MS = 1_769_860_800_000


def answer(rows, *, head='<?xml version="1.0" encoding="UTF-8"?>', url=True, more=True):
    encoding = "<EncodingType>url</EncodingType>" if url else ""
    following = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
    xmlns = "http://s3.amazonaws.com/doc/2006-03-01/"
    text = f'{head}<ListBucketResult xmlns="{xmlns}">{encoding}{rows}{following * more}'
    return S3Answer({}, f"{text}</ListBucketResult>".encode())


def entry(key):
    return ObjectSummary(key, 7, "abc-2", AT_MS)


@pytest.mark.parametrize("row", [AWS, PLAIN], ids=["AWS", "plain"])
def test_a_page_as_stores_write_it_is_read_without_a_parser(row, monkeypatch):
    rows = "".join(row.format(key=key) for key in ("a%2Bb", "c+d", "e%C3%A9"))
    monkeypatch.setattr(listings, "_row", None)  # what reads elements
    page = listed_page(answer(rows), "x")
    assert page.files == (entry("a+b"), entry("c d"), entry("eé"))
    assert (page.folders, page.continuation) == ((), "t")
    assert listed_page(answer(rows, url=False), "x").files[1] == entry("c+d")
    assert listed_page(answer(rows, more=False), "x").continuation is None


@pytest.mark.parametrize("row", ODD.values(), ids=ODD)
def test_a_page_that_is_written_otherwise_means_the_same(row):
    page = listed_page(answer(row.format(key="k1") + row.format(key="k2")), "x")
    assert [each.key.removeprefix("a") for each in page.files] == ["k1", "k2"]
    assert {each._replace(key="k") for each in page.files} == {entry("k")}
    assert page.folders == (("f/", "f/") if "Prefix" in row else ())


@pytest.mark.parametrize("encoding", ["UTF-16", "ISO-8859-1"])
def test_a_page_in_another_encoding_is_left_to_the_parser(encoding):
    text = answer(AWS.format(key="%C3%A9"), head="").body.decode()
    body = f'<?xml version="1.0" encoding="{encoding}"?>{text}'.encode(encoding)
    assert listed_page(S3Answer({}, body), "x").files == (entry("é"),)


@pytest.mark.parametrize("row", ["<Contents><Key>k</Key></Contents>", "<Contents></Contents>"])
def test_a_page_that_lacks_what_every_object_has_is_none(row):
    with pytest.raises(StorageRefused):
        listed_page(answer(row), "x")
