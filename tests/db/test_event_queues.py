"""Who reads which queue, and what is told of it, on both databases."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from graticule.db import event_queues as queues
from graticule.db.engine import read, transact, write
from graticule.domain.event_queue import QueueFacts
from support.rows import INTEGRATION, create_catalogs

URL = "https://sqs.eu-central-1.amazonaws.com/123456789012/q"
CATALOGS = ("c1", "c2")


@pytest.fixture
def queue(database):
    """One queue that two catalogs read."""
    with write(database) as conn:
        create_catalogs(conn, *CATALOGS)
        first, _ = (keep(conn, catalog) for catalog in CATALOGS)
        return first


def keep(conn, catalog, url=URL, now_ms=5, key=None):
    return queues.keep(
        conn, catalog, integration_id=INTEGRATION, url=url, kms_key_arn=key, now_ms=now_ms
    )


def claim(database, queue, owner, now_ms):
    with write(database) as conn:
        return queues.claim(conn, queue, owner, now_ms=now_ms, lease_s=10)


def test_one_at_a_time_reads_a_queue_for_all_that_named_it(database, queue):
    assert claim(database, queue, "a", 1_000)
    assert not claim(database, queue, "b", 10_999)
    assert claim(database, queue, "b", 11_000)
    with write(database) as conn:
        assert queues.readers(conn, queue) == list(CATALOGS)
        assert not queues.prolong(conn, queue, "a", now_ms=12_000, lease_s=10)
        assert queues.prolong(conn, queue, "b", now_ms=12_000, lease_s=10)
        queues.release(conn, queue, "a", next_poll_ms=0)
    assert not claim(database, queue, "c", 21_999)


def test_of_many_who_want_a_queue_at_once_one_gets_it(database, queue):
    together = threading.Barrier(4)

    def compete(owner):
        together.wait()
        return transact(database, queues.claim, queue, owner, now_ms=1_000, lease_s=10)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(compete, "abcd")) == [False, False, False, True]


def test_a_key_is_the_queues_for_all_that_read_it_and_stays_until_another_is_named(database, queue):
    with write(database) as conn:
        assert queues.key_of(conn, queue) is None
        assert keep(conn, "c1", key="k1").kms_key_arn == "k1"
        assert queues.load(conn, "c2").kms_key_arn == "k1"
        queues.remove(conn, "c2")
        assert keep(conn, "c2").kms_key_arn == "k1"
        assert keep(conn, "c2", key="k2").kms_key_arn == "k2"
        assert queues.key_of(conn, queue) == "k2"
        assert keep(conn, "c2", url=f"{URL}2").kms_key_arn is None
        assert queues.load(conn, "c1").kms_key_arn == "k2"


def test_who_comes_to_a_queue_that_is_read_does_not_make_it_free(database, queue):
    assert claim(database, queue, "a", 1_000)
    with write(database) as conn:
        queues.remove(conn, "c2")
        keep(conn, "c2")
    assert not claim(database, queue, "b", 2_000)


def test_queues_are_due_in_turn_and_not_before(database, queue):
    def due(now_ms):
        with read(database) as conn:
            return [found.catalog_id for found in queues.due(conn, now_ms=now_ms, limit=9)]

    assert (due(4), due(5)) == ([], ["c1", "c2"])
    assert claim(database, queue, "a", 5)
    assert due(5) == []
    with write(database) as conn:
        queues.release(conn, queue, "a", next_poll_ms=100)
    assert (due(99), due(100)) == ([], ["c1", "c2"])


def test_what_is_told_is_told_to_all_and_forgotten_with_another_queue(database, queue):
    facts = QueueFacts(visibility_s=30, messages=7, has_dead_letters=True)
    with write(database) as conn:
        queues.tell_failed(conn, queue, "why")
        queues.tell_failed(conn, queue, "why not")
    with read(database) as conn:
        failing = queues.load(conn, "c2")
    assert (failing.failures, failing.error, failing.polled_at_ms) == (2, "why not", None)
    with write(database) as conn:
        queues.tell_answered(
            conn, queue, facts, now_ms=9, received=2, unreadable=1, unreadable_error="no JSON"
        )
        same = keep(conn, "c1", now_ms=20)
        other = keep(conn, "c2", url=f"{URL}2", now_ms=20)
    assert (same.failures, same.error, same.polled_at_ms, same.received_at_ms) == (0, None, 9, 9)
    assert (same.messages, same.has_dead_letters, same.next_poll_ms) == (7, True, 20)
    assert (same.unreadable, same.unreadable_error) == (1, "no JSON")
    assert (other.unreadable, other.polled_at_ms, other.messages) == (0, None, None)
