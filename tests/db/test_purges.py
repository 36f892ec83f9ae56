"""Purges in SQL, on both engines: who works at what, and until when."""

import pytest

from graticule.db import catalogs, purges, tables
from graticule.db.engine import read, write
from graticule.db.purges import Purge
from graticule.domain.errors import InUse, InvalidLocation
from graticule.domain.location import Location
from support.rows import CATALOG, INTEGRATION, NOW, record_at, with_catalog

LEASE_MS = 1000


@pytest.fixture
def db(database):
    with_catalog(database)
    return database


def order(db, name, at_ms=NOW):
    with write(db) as conn:
        purges.create(conn, record_at(name), purge_id=name, now_ms=at_ms)


def lease(db, now_ms):
    with write(db) as conn:
        return purges.lease(conn, now_ms=now_ms, until_ms=now_ms + LEASE_MS)


def purge(name, attempts=1):
    location = Location("lake", f"{CATALOG}/{name}")
    return Purge(
        id=name,
        catalog_id=CATALOG,
        integration_id=INTEGRATION,
        location=location,
        metadata_location=f"{location}/metadata/00000-x.metadata.json",
        attempts=attempts,
    )


def test_purges_are_leased_in_order_and_each_to_one_worker(db):
    order(db, "b", NOW)
    order(db, "a", NOW + 1)

    assert lease(db, NOW - 1) is None
    assert [lease(db, NOW + 1), lease(db, NOW + 1)] == [purge("b"), purge("a")]
    assert lease(db, NOW + 1) is None


def test_a_lease_that_ran_out_goes_to_another_worker_and_the_first_one_is_told(db):
    order(db, "a")
    first = lease(db, NOW)
    second = lease(db, NOW + LEASE_MS)

    assert second == purge("a", attempts=2)
    with write(db) as conn:
        assert not purges.postpone(conn, first, until_ms=NOW + 9 * LEASE_MS)
        assert purges.postpone(conn, second, until_ms=NOW + 3 * LEASE_MS, error="away")
    assert lease(db, NOW + 2 * LEASE_MS) is None
    assert lease(db, NOW + 3 * LEASE_MS) == purge("a", attempts=3)


def test_what_is_finished_is_forgotten(db):
    order(db, "a")
    with write(db) as conn:
        purges.finish(conn, purge("a"))
    assert lease(db, NOW) is None


@pytest.mark.postgres
def test_two_workers_at_once_take_two_purges(postgres_database):
    db = postgres_database
    with_catalog(db)
    order(db, "a")
    order(db, "b")
    with write(db) as one, write(db) as other:
        taken = {
            purges.lease(conn, now_ms=NOW, until_ms=NOW + LEASE_MS).id for conn in (one, other)
        }
        assert purges.lease(other, now_ms=NOW, until_ms=NOW + LEASE_MS) is None
    assert taken == {"a", "b"}


@pytest.mark.parametrize("name", ["a", "a/below", ""])
def test_a_location_stays_taken_until_its_files_are_gone(db, name):
    order(db, "a")
    wanted = Location("lake", f"{CATALOG}/{name}".rstrip("/"))
    with read(db) as conn:
        with pytest.raises(InvalidLocation, match="still being deleted"):
            tables.refuse_overlap(conn, wanted, but_not="")
        tables.refuse_overlap(conn, Location("lake", f"{CATALOG}/ab"), but_not="")


def test_a_catalog_is_in_use_until_its_files_are_gone(db):
    order(db, "a")
    with pytest.raises(InUse, match="still being deleted"), write(db) as conn:
        catalogs.remove(conn, CATALOG)
