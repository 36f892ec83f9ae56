from graticule.services.expiring_cache import ExpiringCache
from support.clock import Clock


def test_an_entry_ends_by_itself_or_sooner_when_told():
    clock = Clock(1000)
    cache = ExpiringCache(lifetime_ms=100, entries_max=10, now_ms=clock)
    cache.put("a", 1)
    cache.put("b", 2, ends_at_ms=1050)
    cache.put("c", 3, ends_at_ms=9999)

    clock.advance(ms=49)
    assert [cache.get(key) for key in "abc"] == [1, 2, 3]
    clock.advance(ms=1)
    assert [cache.get(key) for key in "abc"] == [1, None, 3]
    clock.advance(ms=50)
    assert [cache.get(key) for key in "abc"] == [None, None, None]


def test_a_clock_that_is_set_back_prolongs_no_life():
    clock = Clock(1000)
    cache = ExpiringCache(lifetime_ms=100, entries_max=10, now_ms=clock)
    cache.put("a", 1)

    clock.advance(ms=-1)

    assert cache.get("a") is None


def test_the_oldest_entry_makes_room():
    cache = ExpiringCache(lifetime_ms=100, entries_max=2, now_ms=Clock())
    for number, key in enumerate("abc"):
        cache.put(key, number)

    assert [cache.get(key) for key in "abc"] == [None, 1, 2]
    cache.clear()
    assert cache.get("c") is None
