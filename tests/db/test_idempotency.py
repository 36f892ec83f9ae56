"""Idempotency keys in SQL, on both engines."""

import threading
from contextlib import suppress
from dataclasses import replace

import pytest
from sqlalchemy import select

from graticule.db import idempotency
from graticule.db.engine import read, write
from graticule.db.schema import idempotency_keys
from graticule.domain.errors import KeyClaimed
from graticule.domain.idempotency import IdempotentRequest, Landed, Refused

NOW = 1_790_000_000_000
REQUEST = IdempotentRequest(
    member_id="ana",
    key="0198c0de-0000-7000-8000-000000000001",
    request_hash="a" * 64,
    created_at_ms=NOW,
    expires_at_ms=NOW + 1000,
)


def find(database, request=REQUEST):
    with read(database) as conn:
        return idempotency.find(conn, request)


def test_an_unknown_key_has_no_outcome(database):
    assert find(database) is None


def test_a_claim_tells_that_the_change_landed_and_what_it_made(database):
    with write(database) as conn:
        idempotency.claim(conn, REQUEST, {"table": "t1"})
    assert find(database) == Landed("a" * 64, {"table": "t1"})


def test_a_claim_without_a_result_or_without_a_key(database):
    with write(database) as conn:
        idempotency.claim(conn, None, {"table": "t1"})
        idempotency.claim(conn, REQUEST)
    assert find(database) == Landed("a" * 64, {})


def test_a_claim_goes_with_the_transaction_that_is_rolled_back(database):
    with suppress(RuntimeError), write(database) as conn:
        idempotency.claim(conn, REQUEST)
        raise RuntimeError
    assert find(database) is None


def test_a_refusal_keeps_its_answer(database):
    with write(database) as conn:
        idempotency.refuse(conn, REQUEST, status=409, body=b'{"error":"\xc3\xa9"}')
    assert find(database) == Refused("a" * 64, 409, b'{"error":"\xc3\xa9"}')


def test_whoever_comes_second_is_told_and_changes_nothing(database):
    with write(database) as conn:
        idempotency.claim(conn, REQUEST, {"n": 1})
    other = replace(REQUEST, request_hash="b" * 64)
    with pytest.raises(KeyClaimed), write(database) as conn:
        idempotency.claim(conn, other, {"n": 2})
    with pytest.raises(KeyClaimed), write(database) as conn:
        idempotency.refuse(conn, other, status=409, body=b"")
    assert find(database, other) == Landed("a" * 64, {"n": 1})


def test_keys_of_two_members_are_two(database):
    with write(database) as conn:
        idempotency.claim(conn, REQUEST, {"n": 1})
        idempotency.claim(conn, replace(REQUEST, member_id="ben"), {"n": 2})
    assert find(database, replace(REQUEST, member_id="ben")) == Landed("a" * 64, {"n": 2})


@pytest.mark.parametrize("first_lands", [True, False])
def test_a_claim_waits_for_the_one_before_it(database, first_lands):
    """The second one goes on only if the first one's transaction came to nothing."""
    claimed, outcome = threading.Event(), []

    def second():
        claimed.wait()
        try:
            with write(database) as conn:
                idempotency.claim(conn, REQUEST, {"n": 2})
            outcome.append("landed")
        except KeyClaimed:
            outcome.append("claimed")

    thread = threading.Thread(target=second)
    thread.start()
    with suppress(RuntimeError), write(database) as conn:
        idempotency.claim(conn, REQUEST, {"n": 1})
        claimed.set()
        thread.join(0.2)  # long enough to be seen waiting
        assert outcome == []
        if not first_lands:
            raise RuntimeError
    thread.join()
    assert outcome == (["claimed"] if first_lands else ["landed"])
    assert find(database) == Landed("a" * 64, {"n": 1 if first_lands else 2})


def test_expired_keys_go_oldest_first_and_a_few_at_a_time(database):
    with write(database) as conn:
        for number in range(5):
            key = replace(REQUEST, key=str(number), expires_at_ms=NOW + number)
            idempotency.claim(conn, key)

    def remove(now_ms):
        with write(database) as conn:
            return idempotency.remove_expired(conn, now_ms=now_ms, limit=2)

    assert [remove(NOW + 2), remove(NOW + 2), remove(NOW + 2)] == [2, 1, 0]
    with read(database) as conn:
        assert conn.execute(select(idempotency_keys.c.key)).scalars().all() == ["3", "4"]
