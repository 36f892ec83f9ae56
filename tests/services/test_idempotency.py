"""Keys of requests: whose they are, what they stand for, and when they go."""

import pytest

from graticule.db import idempotency as idempotency_db
from graticule.db.engine import write
from graticule.domain.errors import IdempotencyKeyReused, InvalidRequest
from graticule.domain.idempotency import Landed
from graticule.services.catalog import idempotency
from graticule.services.catalog.idempotency import Idempotency
from support.clock import Clock
from support.principals import ANA, BEN

KEY = "0198C0DE-0000-7000-8000-00000000000A"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def keys(database, clock):
    return Idempotency(database, now_ms=clock, lifetime_s=60)


def land(database, request, **result):
    with write(database) as conn:
        idempotency_db.claim(conn, request, result)


def test_a_key_is_the_same_in_any_case_and_belongs_to_its_member(database, keys):
    land(database, keys.request(ANA, KEY, "hash"), n=1)
    assert keys.recall(keys.request(ANA, KEY.lower(), "hash")) == Landed("hash", {"n": 1})
    assert keys.recall(keys.request(BEN, KEY, "another")) is None


def test_a_key_stands_for_one_request(database, keys):
    land(database, keys.request(ANA, KEY, "hash"))
    with pytest.raises(IdempotencyKeyReused, match="was used for another request"):
        keys.recall(keys.request(ANA, KEY, "another"))


@pytest.mark.parametrize("key", ["", KEY[:-1], KEY + "0", KEY.replace("-", "_"), "ß" * 36])
def test_a_key_is_the_text_of_a_uuid(keys, key):
    with pytest.raises(InvalidRequest, match="must be a UUID of 36 characters"):
        keys.request(ANA, key, "hash")


def test_keys_whose_time_is_over_go_in_batches_and_may_be_used_anew(
    database, keys, clock, monkeypatch
):
    monkeypatch.setattr(idempotency, "EXPIRED_BATCH_ROWS", 2)
    old = [f"{KEY[:-1]}{digit}" for digit in "01234"]
    for key in old:
        land(database, keys.request(ANA, key, "hash"))
    clock.advance(s=59)
    land(database, keys.request(ANA, KEY, "hash"))
    keys.remove_expired()
    assert keys.recall(keys.request(ANA, old[0], "hash")) is not None

    clock.advance(s=1)
    keys.remove_expired()

    assert [keys.recall(keys.request(ANA, key, "another")) for key in old] == [None] * 5
    assert keys.recall(keys.request(ANA, KEY, "hash")) == Landed("hash", {})
