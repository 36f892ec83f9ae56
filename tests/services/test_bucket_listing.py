"""Listings kept in step with a store, whatever its order, and wherever they were cut off."""

from dataclasses import replace

import pytest

from graticule.db import bucket_objects as objects_db
from graticule.db.bucket_objects import KeyRange
from graticule.db.engine import read, write
from graticule.domain.errors import StorageRefused
from graticule.domain.location import Location
from graticule.services.discovery.bucket_listing import BucketListing, Listing, Place
from graticule.services.discovery.scan_watch import NOBODY
from graticule.storage.listings import ObjectSummary, UnreadPage
from support.rows import INTEGRATION, NOW, create_catalogs

PAGE = 3
PLACE = Place(INTEGRATION, Location("lake", "raw"), [Location("lake", "raw/own")])


class Store:
    """Lists what it is given, in the order it is given, and forgets tokens when told to."""

    def __init__(self, *keys, etag="e"):
        self.objects = [ObjectSummary(f"raw/{key}", 7, etag, NOW) for key in keys]
        self.asked = []
        self.read_pages = 0
        self.known_tokens = True

    def list_unread(self, _folder, *, continuation=None, start_after=None):
        self.asked.append((continuation, start_after))
        if continuation is not None and not self.known_tokens:
            self.known_tokens = True  # those that it gives from now on
            raise StorageRefused("the token is too old")
        keys = [each.key for each in self.objects]
        start = int(continuation or 0)
        if continuation is None and start_after is not None:
            start = keys.index(start_after) + 1
        end = start + PAGE
        following = str(end) if end < len(keys) else None
        files = tuple(self.objects[start:end])
        return UnreadPage(following, repr(files).encode(), lambda: self.read(files))

    def read(self, files):
        self.read_pages += 1
        return files


class Watch:
    """Keeps the last checkpoint, and breaks off when it is told to."""

    def __init__(self, *, pages=10**6):
        self.pages, self.kept = pages, None

    def progress(self, _progress):
        self.pages -= 1
        if self.pages < 0:
            raise InterruptedError

    def checkpoint(self, checkpoint, *, conn=None):
        self.kept = checkpoint["listing"]


@pytest.fixture
def db(database, monkeypatch):
    monkeypatch.setattr("graticule.services.discovery.bucket_listing.FLUSH_ROWS", 1)
    with write(database) as conn:
        create_catalogs(conn, "c")
    return database


def listed(db, store, watch=NOBODY, state=None):
    return BucketListing(db, store, PLACE, watch).run(state or Listing(NOW))


def known(db):
    return [
        (key.removeprefix("raw/"), etag) for key, _, etag in objects_db.in_order(db, PLACE.keys)
    ]


def rows(*keys, etag="e"):
    return sorted((key, etag) for key in keys)


IN_ORDER = [f"{n:02}" for n in range(10)]
BY_FOLDERS = ["b/1", "b/2", "b-1", "b-2", "a", "a/1", "c", "c.d", "c/1", "c-1"]


@pytest.mark.parametrize("keys", [IN_ORDER, BY_FOLDERS], ids=["in order", "in another order"])
def test_what_is_new_changed_or_gone_is_known_afterwards_and_nothing_else(db, keys):
    first = listed(db, Store(*keys))
    assert (first.objects, first.changed, first.gone, first.bytes) == (10, 10, 0, 70)
    assert known(db) == rows(*keys)
    again = listed(db, Store(*keys))
    assert (again.changed, again.gone, again.digest) == (0, 0, first.digest)

    changed = Store(*keys[:2], *keys[5:], "zz")
    changed.objects[0] = changed.objects[0]._replace(etag="other")
    third = listed(db, changed)
    assert (third.objects, third.gone) == (8, 3)
    assert third.digest != first.digest
    assert known(db) == sorted([(keys[0], "other"), *rows(keys[1], *keys[5:], "zz")])


@pytest.mark.parametrize("keys", [IN_ORDER, BY_FOLDERS], ids=["in order", "in another order"])
def test_a_listing_that_finds_nothing_new_changes_no_row(db, keys, monkeypatch):
    listed(db, Store(*keys))

    def refuse(_conn, _integration_id, changed, **_):
        assert not changed

    monkeypatch.setattr(objects_db, "keep", refuse)
    monkeypatch.setattr(objects_db, "mark_missing", refuse)
    monkeypatch.setattr(objects_db, "mark_all_missing", None)
    monkeypatch.setattr(objects_db, "remove_missing", None)
    store = Store(*keys)
    assert listed(db, store).objects == 10
    assert store.read_pages == (0 if keys is IN_ORDER else 4)


@pytest.mark.parametrize("keys", [IN_ORDER, BY_FOLDERS], ids=["in order", "in another order"])
@pytest.mark.parametrize("knows_tokens", [True, False])
@pytest.mark.parametrize("pages", [1, 2, 3])
def test_a_listing_that_was_cut_off_goes_on_where_it_was(db, keys, knows_tokens, pages):
    listed(db, Store("gone", *keys))
    watch = Watch(pages=pages)
    with pytest.raises(InterruptedError):
        listed(db, Store(*keys, "zz"), watch)
    state = Listing(NOW) if watch.kept is None else Listing(**watch.kept)
    assert (state.objects > 0) is (watch.kept is not None)

    store = Store(*keys, "zz")
    store.known_tokens = knows_tokens or watch.kept is None
    end = listed(db, store, state=state)
    assert end.objects == 11
    assert end.is_complete
    assert known(db) == rows(*keys, "zz")


def test_nothing_is_gone_while_the_listing_has_not_come_to_its_end(db):
    listed(db, Store(*IN_ORDER))
    with pytest.raises(InterruptedError):
        listed(db, Store("09"), Watch(pages=0))
    with read(db) as conn:
        there = objects_db.known_in(conn, KeyRange.below(INTEGRATION, "raw/"))
    assert len(there) == 10


def test_folders_of_catalogs_markers_and_neighbours_are_not_looked_at(db):
    store = Store("", "a", "own/metadata/1.json", "ownership")
    assert listed(db, store).objects == 2
    assert known(db) == rows("a", "ownership")
    with read(db) as conn:
        assert objects_db.count(conn, KeyRange.below(INTEGRATION, "ra/")) == 0


def test_an_object_that_became_a_catalogs_own_is_known_no_more(db):
    wider = replace(PLACE, excluded=[])
    store = Store("a", "own/metadata/1.json")
    BucketListing(db, store, wider, NOBODY).run(Listing(NOW))
    assert len(known(db)) == 2
    listed(db, store)
    assert known(db) == rows("a")
