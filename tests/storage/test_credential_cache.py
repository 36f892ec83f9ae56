"""One flight for many callers, half a life in memory, and failures that nobody remembers."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from graticule.domain.errors import StorageRefused, StorageUnavailable
from graticule.domain.secret import Secret
from graticule.services.credential_cache import CredentialCache
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
    return CredentialCache(now_ms=clock)


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


def test_a_failure_reaches_all_who_wait_and_nobody_after_them(cache, clock, issue):
    issue.failing = StorageRefused("no trust")
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
            with pytest.raises(StorageRefused):
                waiting.result(10)

    issue.failing = None
    assert cache.get(("i",), issue).access_key_id.startswith("ASIA")


def test_while_the_token_service_is_down_a_credential_with_life_left_is_served(cache, clock, issue):
    cache.get(("i",), issue)
    issue.failing = StorageUnavailable("down")

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
