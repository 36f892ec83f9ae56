"""Objects as `ObjectStore` promises them, on a real store."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from graticule.domain.errors import (
    AlreadyExists,
    InvalidLocation,
    NoSuchFile,
    StorageRefused,
    StorageUnavailable,
)
from graticule.domain.location import Location
from graticule.outbound.gate import ANYWHERE
from graticule.storage import s3
from graticule.storage.s3 import ObjectStore

pytestmark = pytest.mark.s3


def uris(folder, *names):
    return [f"{folder.prefix}{name}" for name in names]


def test_what_was_put_is_read_back_whole_in_ranges_and_from_the_tail(store, folder):
    (uri,) = uris(folder, "data.bin")
    store.put_if_absent(uri, b"0123456789")

    assert store.get(uri) == b"0123456789"
    assert store.get(uri, range=(2, 3)) == b"234"
    assert store.get(uri, range=(8, 100)) == b"89"
    assert store.get(uri, range=(100, 5)) == b""
    assert store.get(uri, range=(3, 0)) == b""
    assert store.get_tail(uri, 4) == b"6789"
    assert store.get_tail(uri, 400) == b"0123456789"
    assert store.exists(uri)


def test_the_tail_of_an_empty_object_is_empty(store, folder):
    (uri,) = uris(folder, "empty")
    store.put_if_absent(uri, b"")

    assert store.get_tail(uri, 8) == b""
    assert store.get(uri) == b""


@pytest.mark.parametrize("name", ["a b+c.parquet", "ü=ß/100%.bin", "p=1/q=~(2)!,x@y:z", "*?$[x]"])
def test_any_key_that_may_lie_in_a_bucket_can_be_read_and_listed(store, folder, name):
    (uri,) = uris(folder, name)
    store.put_if_absent(uri, b"odd")

    assert store.get(uri) == b"odd"
    assert [row.key for page in store.list(folder) for row in page] == [f"{folder.key}/{name}"]


def test_a_tail_is_never_paired_with_another_version_of_the_object(store, folder):
    (uri,) = uris(folder, "changing")
    store.put_if_absent(uri, b"first")
    (row,) = next(store.list(folder))
    store.delete([uri])
    store.put_if_absent(uri, b"second")

    with pytest.raises(StorageRefused, match="PreconditionFailed"):
        store.get_tail(uri, 4, etag=row.etag)


def test_a_second_writer_of_a_name_is_told_so_and_changes_nothing(store, folder):
    (uri,) = uris(folder, "v1.json")
    store.put_if_absent(uri, b"first")

    with pytest.raises(AlreadyExists, match=r"v1\.json"):
        store.put_if_absent(uri, b"first, and more")
    with pytest.raises(AlreadyExists):
        store.put_if_absent(uri, b"fir")

    assert store.get(uri) == b"first"


def test_of_many_writers_of_one_name_exactly_one_wins(store, folder):
    (uri,) = uris(folder, "contested")

    def write(number):
        try:
            store.put_if_absent(uri, f"writer {number}".encode())
        except AlreadyExists:
            return None
        return number

    with ThreadPoolExecutor(16) as pool:
        winners = [n for n in pool.map(write, range(16)) if n is not None]

    assert len(winners) == 1
    assert store.get(uri) == f"writer {winners[0]}".encode()


def test_a_listing_has_every_page_and_no_sibling(store, folder, monkeypatch):
    monkeypatch.setattr(s3, "LIST_PAGE_KEYS", 3)
    names = [f"t1/part-{n}" for n in range(7)]
    for uri in uris(folder, *names, "t10/other", "t1.txt"):
        store.put_if_absent(uri, b"1234")

    pages = list(store.list(folder.join("t1")))

    rows = [row for page in pages for row in page]
    assert len(pages) == 3
    assert [row.key for row in rows] == [f"{folder.key}/{name}" for name in names]
    assert {row.size_bytes for row in rows} == {4}
    assert all(row.etag and '"' not in row.etag and row.last_modified_ms > 0 for row in rows)


def test_a_listing_resumes_behind_a_key(store, folder):
    for uri in uris(folder, "a", "b", "c"):
        store.put_if_absent(uri, b"")

    resumed = list(store.list(folder, start_after=f"{folder.key}/a"))

    assert [[row.key for row in page] for page in resumed] == [
        [f"{folder.key}/b", f"{folder.key}/c"]
    ]


def test_deleting_takes_batches_and_does_not_mind_what_is_gone(store, folder, monkeypatch):
    monkeypatch.setattr(s3, "DELETE_BATCH_KEYS", 2)
    present = uris(folder, "a", "b", "c")
    for uri in present:
        store.put_if_absent(uri, b"")

    store.delete([*present, *uris(folder, "never-there")])

    assert list(store.list(folder)) == [[]]


def test_an_absent_object_is_no_such_file(store, folder):
    (uri,) = uris(folder, "absent")

    assert not store.exists(uri)
    with pytest.raises(NoSuchFile, match="absent"):
        store.get(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "s3://lake/other/key",
        "s3://elsewhere/key",
        "s3://lake/tests-10/key",
        "s3://lake/",
        "https://lake/key",
        "s3://lake/tests/../other/key",
    ],
)
def test_a_store_reaches_nothing_outside_its_root(open_store, uri):
    store = open_store(root=Location("lake", "tests"))

    for attempt in (store.get, store.exists, lambda uri: store.delete([uri])):
        with pytest.raises(InvalidLocation):
            attempt(uri)
    with pytest.raises(InvalidLocation):
        next(store.list(Location("lake", "other")))


def test_a_confined_store_reaches_its_folders_and_objects_and_no_neighbour(store, folder):
    names = ("t/a", "t/deep/b", "t2/a", "one", "one.more")
    for uri in uris(folder, *names):
        store.put_if_absent(uri, b"x")
    confined = store.confined(uris(folder, "t/", "one"))

    reachable = uris(folder, "t/a", "t/deep/b", "one")
    assert [confined.get(uri) for uri in reachable] == [b"x"] * 3
    for uri in uris(folder, "t2/a", "one.more"):
        with pytest.raises(InvalidLocation, match="does not lie where the table's files are"):
            confined.get(uri)
        assert store.exists(uri)


def test_the_old_spellings_of_the_scheme_reach_the_same_object(store, folder):
    (uri,) = uris(folder, "key")
    store.put_if_absent(uri, b"x")

    assert store.get(uri.replace("s3://", "s3a://")) == b"x"


def test_an_object_too_large_for_memory_is_refused_before_it_is_read(store, folder):
    (uri,) = uris(folder, "large")
    store.put_if_absent(uri, b"12345678")

    with pytest.raises(StorageRefused, match="8 bytes long; at most 7"):
        store.get(uri, size_bytes_max=7)


def test_a_refusal_says_what_was_tried_where_and_what_the_store_answered(seaweedfs, folder):
    nobody = ObjectStore(
        folder,
        region=seaweedfs.region,
        endpoint=seaweedfs.endpoint,
        path_style=True,
        credentials=lambda: seaweedfs.catalog_keys,
        outbound=ANYWHERE,
    )

    with pytest.raises(StorageRefused) as refused:
        nobody.get(f"{folder.prefix}key")

    assert refused.value.message.startswith(
        f"reading `{folder.prefix}key`: the store answered 403 AccessDenied:"
    )


def test_a_store_that_nobody_runs_is_unavailable_not_refused(open_store, folder):
    store = open_store(endpoint="http://127.0.0.1:9")

    with pytest.raises(StorageUnavailable, match="no usable answer"):
        store.get(f"{folder.prefix}key")


def test_new_keys_are_used_from_the_next_operation_on(seaweedfs, store, folder):
    (uri,) = uris(folder, "key")
    store.put_if_absent(uri, b"x")
    current = [seaweedfs.catalog_keys]
    changing = ObjectStore(
        folder,
        region=seaweedfs.region,
        endpoint=seaweedfs.endpoint,
        path_style=True,
        credentials=lambda: current[0],
        outbound=ANYWHERE,
    )
    with pytest.raises(StorageRefused):
        changing.get(uri)

    current[0] = seaweedfs.admin_keys

    assert changing.get(uri) == b"x"
