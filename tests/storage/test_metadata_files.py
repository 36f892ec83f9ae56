"""Metadata files: written once, read whole, compressed as their names say."""

import gzip

import pytest

from graticule.domain.errors import NoSuchFile, StorageRefused
from graticule.storage.metadata_files import MetadataFiles

pytestmark = pytest.mark.s3

DOCUMENT = b'{"format-version":2}' * 50


@pytest.fixture
def files():
    return MetadataFiles(size_bytes_max=2000)


@pytest.mark.parametrize(
    ("name", "compressed"),
    [
        ("00000-a.metadata.json", False),
        ("00000-a.gz.metadata.json", True),
        ("00000-a.metadata.json.gz", True),
    ],
)
def test_a_document_is_read_back_as_written_and_stored_as_its_name_says(
    store, folder, files, name, compressed
):
    location = f"{folder.prefix}{name}"

    files.write(store, location, DOCUMENT)

    assert files.read(store, location) == DOCUMENT
    stored = store.get(location)
    assert (stored[:2] == b"\x1f\x8b") is compressed


def test_writing_the_same_document_again_is_the_same_write(store, folder, files):
    for name in ("m.metadata.json", "m.gz.metadata.json"):
        files.write(store, f"{folder.prefix}{name}", DOCUMENT)
        files.write(store, f"{folder.prefix}{name}", DOCUMENT)

        assert files.read(store, f"{folder.prefix}{name}") == DOCUMENT


def test_a_document_past_the_limit_is_neither_written_nor_read(store, folder, files):
    plain, packed = f"{folder.prefix}big.metadata.json", f"{folder.prefix}big.gz.metadata.json"
    with pytest.raises(StorageRefused, match="larger than 2000 bytes"):
        files.write(store, plain, b" " * 2001)
    store.put_if_absent(plain, b" " * 2001)
    store.put_if_absent(packed, gzip.compress(b" " * 10_000_000))

    for location in (plain, packed):
        with pytest.raises(StorageRefused, match="2000"):
            files.read(store, location)


@pytest.mark.parametrize(
    "stored", [b"{}", b"", gzip.compress(DOCUMENT)[:-9]], ids=["plain", "empty", "cut off"]
)
def test_a_broken_gzip_file_is_refused_by_name(store, folder, files, stored):
    location = f"{folder.prefix}broken.gz.metadata.json"
    store.put_if_absent(location, stored)

    with pytest.raises(StorageRefused, match="gzip"):
        files.read(store, location)


def test_a_deleted_file_is_gone_and_may_be_deleted_again(store, folder, files):
    location = f"{folder.prefix}m.metadata.json"
    files.write(store, location, DOCUMENT)

    files.delete(store, location)
    files.delete(store, location)

    with pytest.raises(NoSuchFile):
        files.read(store, location)
