"""One flight for many callers, half a life in memory, and no memory of failures."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from graticule.domain.errors import PolicyTooLarge, StorageRefused, StorageUnavailable
from graticule.domain.secret import Secret
from graticule.services.integrations.credential_cache import CALLERS_MAX, CredentialCache
from graticule.storage.gates import PATIENCE_S
from graticule.storage.keys import TemporaryCredentials

HOUR_MS = 3_600_000
MINUTE_MS = 60_000


class Clock:
    now_ms = 0

    def __call__(self):
        return self.now_ms


class TokenServiceDouble:
    """Issues numbered sessions of `life_ms`; while `failing` is set it raises that instead."""

    def __init__(self, clock, life_ms=HOUR_MS):
        self.clock = clock
        self.life_ms = life_ms
        self.calls = 0
        self.failing = None

    def __call__(self):
        self.calls += 1
        if self.failing is not None:
            raise self.failing
        return TemporaryCredentials(
            f"ASIA{self.calls}", Secret("s"), Secret("t"), self.clock.now_ms + self.life_ms
        )


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def issue(clock):
    return TokenServiceDouble(clock)


@pytest.fixture
def cache(clock):
    return CredentialCache(now_ms=clock, spread=lambda: 0.0)


def test_a_credential_is_reused_for_half_its_life_and_not_longer(cache, clock, issue):
    served = []
    for minute in (0, 15, 29, 30, 59, 60):
        clock.now_ms = minute * MINUTE_MS
        served.append(cache.get(("i",), issue).access_key_id)

    assert served == ["ASIA1", "ASIA1", "ASIA1", "ASIA2", "ASIA2", "ASIA3"]


@pytest.mark.parametrize(
    ("life_minutes", "reused_minutes"), [(15, 5), (20, 20 * 2 / 6), (30, 15), (60, 30), (720, 360)]
)
def test_whoever_gets_a_credential_has_enough_of_its_life_left(
    cache, clock, issue, life_minutes, reused_minutes
):
    issue.life_ms = life_minutes * MINUTE_MS
    cache.get(("i",), issue)

    clock.now_ms = int(reused_minutes * MINUTE_MS) - 1000
    cache.get(("i",), issue)
    assert issue.calls == 1

    clock.now_ms = int(reused_minutes * MINUTE_MS) + 1000
    cache.get(("i",), issue)
    assert issue.calls == 2


def test_renewals_are_spread_over_a_tenth_of_a_life_so_that_not_all_fall_due_at_once(clock, issue):
    hastiest = CredentialCache(now_ms=clock, spread=lambda: 1.0)
    hastiest.get(("i",), issue)

    clock.now_ms = 24 * MINUTE_MS - 1
    assert hastiest.get(("i",), issue).access_key_id == "ASIA1"
    clock.now_ms = 24 * MINUTE_MS
    assert hastiest.get(("i",), issue).access_key_id == "ASIA2"


def test_a_session_too_short_for_any_client_is_refused(cache, issue):
    issue.life_ms = 5 * MINUTE_MS

    with pytest.raises(StorageRefused, match="session of 300 s"):
        cache.get(("i",), issue)


def test_many_callers_at_once_cost_one_call(cache, clock):
    arrived = threading.Barrier(33)
    started, release = threading.Event(), threading.Event()
    issue = TokenServiceDouble(clock)

    def slowly():
        started.set()
        release.wait(10)
        return issue()

    def ask(_):
        arrived.wait(10)
        return cache.get(("i",), slowly)

    with ThreadPoolExecutor(32) as pool:
        answers = pool.map(ask, range(32))
        arrived.wait(10)
        started.wait(10)
        release.set()
        served = {credentials.access_key_id for credentials in answers}

    assert served == {"ASIA1"}
    assert issue.calls == 1


def test_a_token_service_that_hangs_holds_a_few_callers_and_turns_the_others_away(clock, issue):
    """So it cannot take all threads of the server; other integrations do not even notice."""
    cache = CredentialCache(now_ms=clock)
    inside, release = threading.Semaphore(0), threading.Event()

    def stuck():
        inside.release()
        release.wait(30)
        return issue()

    with ThreadPoolExecutor(CALLERS_MAX) as pool:
        held = [pool.submit(cache.get, ("dead", table), stuck) for table in range(CALLERS_MAX)]
        for _ in held:
            assert inside.acquire(timeout=10)
        with pytest.raises(StorageUnavailable, match="slow"):
            cache.get(("dead", "another"), issue)  # after the patience of the first one
        started = time.monotonic()
        for table in range(100):
            with pytest.raises(StorageUnavailable, match="slow"):
                cache.get(("dead", table, "more"), issue)
        assert cache.get(("alive", 1), issue).access_key_id == "ASIA1"
        assert time.monotonic() - started < PATIENCE_S / 2
        release.set()
        assert len({waiting.result(10).access_key_id for waiting in held}) == CALLERS_MAX
    assert cache.get(("dead", "another"), issue).access_key_id


def test_different_keys_do_not_wait_for_each_other(cache, clock, issue):
    inside, release = threading.Event(), threading.Event()

    def stuck():
        inside.set()
        release.wait(10)
        return issue()

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(cache.get, ("a",), stuck)
        inside.wait(10)
        assert cache.get(("b",), issue).access_key_id == "ASIA1"
        release.set()
        assert first.result(10).access_key_id == "ASIA2"


@pytest.mark.parametrize(
    "failing",
    [StorageRefused("no trust", code="AccessDenied"), StorageUnavailable("down")],
    ids=lambda value: type(value).__name__,
)
def test_a_failure_reaches_all_who_wait_and_nobody_who_comes_later(cache, issue, failing):
    issue.failing = failing
    inside, release = threading.Event(), threading.Event()

    def slowly():
        inside.set()
        release.wait(10)
        return issue()

    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(cache.get, ("i",), slowly)
        inside.wait(10)
        follower = pool.submit(cache.get, ("i",), slowly)
        release.set()
        for waiting in (leader, follower):
            with pytest.raises(type(failing)):
                waiting.result(10)

    issue.failing, calls = None, issue.calls
    assert cache.get(("i",), issue).access_key_id == f"ASIA{calls + 1}"


def test_what_cannot_be_had_is_not_asked_for_again_for_ten_minutes(cache, clock, issue):
    issue.failing = PolicyTooLarge("packed", code="PackedPolicyTooLarge")
    with pytest.raises(PolicyTooLarge):
        cache.get(("i",), issue)
    issue.failing = None

    clock.now_ms = 10 * MINUTE_MS - 1
    with pytest.raises(PolicyTooLarge, match="packed") as again:
        cache.get(("i",), issue)
    assert again.value.context == {"code": "PackedPolicyTooLarge"}
    assert issue.calls == 1
    clock.now_ms = 10 * MINUTE_MS
    assert cache.get(("i",), issue).access_key_id == "ASIA2"


def test_a_mended_integration_is_asked_again_at_once(cache, issue):
    issue.failing = PolicyTooLarge("packed")
    with pytest.raises(PolicyTooLarge):
        cache.get(("i",), issue)

    issue.failing = None
    cache.invalidate("i")

    assert cache.get(("i",), issue).access_key_id == "ASIA2"


def test_a_fault_of_our_own_is_not_remembered(cache, issue):
    issue.failing = ValueError("a bug")
    with pytest.raises(ValueError, match="a bug"):
        cache.get(("i",), issue)

    issue.failing = None
    assert cache.get(("i",), issue).access_key_id == "ASIA2"


def test_while_the_token_service_is_down_a_credential_with_life_left_is_served(cache, clock, issue):
    cache.get(("i",), issue)
    issue.failing = StorageUnavailable("down")

    clock.now_ms = 40 * MINUTE_MS
    for _ in range(3):  # and the dead service is not waited for each time
        assert cache.get(("i",), issue).access_key_id == "ASIA1"
    assert issue.calls == 2
    clock.now_ms = 45 * MINUTE_MS
    assert cache.get(("i",), issue).access_key_id == "ASIA1"
    clock.now_ms = 45 * MINUTE_MS + 1
    with pytest.raises(StorageUnavailable):
        cache.get(("i",), issue)


def test_a_role_that_no_longer_trusts_us_is_felt_at_the_next_renewal(cache, clock, issue):
    cache.get(("i",), issue)
    issue.failing = StorageRefused("no trust")

    clock.now_ms = 31 * MINUTE_MS
    with pytest.raises(StorageRefused):
        cache.get(("i",), issue)


def test_invalidation_forgets_one_integration_only(cache, issue):
    cache.get(("one", 1), issue)
    cache.get(("two", 1), issue)

    cache.invalidate("one")

    assert cache.get(("one", 1), issue).access_key_id == "ASIA3"
    assert cache.get(("two", 1), issue).access_key_id == "ASIA2"


def test_what_is_fetched_across_an_invalidation_is_not_remembered(cache, clock, issue):
    def fetch():
        cache.invalidate("i")
        return issue()

    cache.get(("i",), fetch)

    assert cache.get(("i",), issue).access_key_id == "ASIA2"


def test_the_cache_is_bounded_and_drops_what_was_used_longest_ago(clock, issue):
    cache = CredentialCache(now_ms=clock, entries_max=2)
    cache.get(("a",), issue)
    cache.get(("b",), issue)
    cache.get(("a",), issue)
    cache.get(("c",), issue)

    assert cache.get(("a",), issue).access_key_id == "ASIA1"
    assert cache.get(("b",), issue).access_key_id == "ASIA4"
