import pytest
from hypothesis import given
from hypothesis import strategies as st

from graticule.access.throttling import (
    FORGOTTEN_AFTER_MS,
    PAUSE_MAX_MS,
    Attempts,
    address_group,
    after_failure,
)


def test_pauses_begin_after_the_free_failures_and_double_up_to_a_limit():
    attempts, pauses = None, []
    for _ in range(16):
        attempts = after_failure(attempts, free=5, now_ms=1_000)
        pauses.append((attempts.blocked_until_ms - 1_000) // 1000)

    assert pauses == [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]


@given(st.integers(0, 10**9), st.integers(0, 10**12), st.integers(1, 100))
def test_no_number_of_failures_pauses_longer_than_the_limit(failures, now_ms, free):
    before = Attempts(failures, now_ms)
    assert after_failure(before, free=free, now_ms=now_ms).blocked_until_ms <= now_ms + PAUSE_MAX_MS


def test_failures_are_forgotten_an_hour_after_the_last_pause():
    before = Attempts(9, 1_000)

    assert after_failure(before, free=5, now_ms=999 + FORGOTTEN_AFTER_MS).failures == 10
    assert after_failure(before, free=5, now_ms=1_000 + FORGOTTEN_AFTER_MS).failures == 1


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("unix", "unix"),
    ],
)
def test_one_customer_of_a_provider_counts_as_one_address(address, group):
    assert address_group(address) == group
