"""What is new, what was replaced, what is gone, and how much may go without asking."""

import pytest

from graticule.discovery.diff import Comparison, DeletionGuard, Diff, FileState, KnownFile, diff
from graticule.discovery.grouping import StoredObject


def known(*files):
    return {file.key: file for file in files}


def taken(count):
    return known(*(KnownFile(f"f{i:03}", "e", 1) for i in range(count)))


def there(*keys, etag="e", size=1):
    return [StoredObject(key, size, etag) for key in keys]


def test_what_is_as_it_was_is_no_difference():
    found = diff(known(KnownFile("a", "e", 1), KnownFile("b", "e", 1)), there("b", "a"))
    assert found == Diff(unchanged_count=2)
    assert found.is_empty


def test_new_replaced_and_gone_are_told_apart():
    a, b, c = KnownFile("a", "e", 1), KnownFile("b", "e", 1), KnownFile("c", "e", 1)
    present = [*there("a", etag="other"), *there("d"), *there("c", size=2)]
    found = diff(known(a, b, c), present)
    assert found == Diff(
        added=tuple(there("d")),
        overwritten=((a, there("a", etag="other")[0]), (c, there("c", size=2)[0])),
        vanished=(b,),
    )


def test_where_only_the_size_is_known_the_size_decides():
    assert diff(known(KnownFile("a", "", 1)), there("a")).unchanged_count == 1
    assert len(diff(known(KnownFile("a", "", 1)), there("a", size=2)).overwritten) == 1


@pytest.mark.parametrize("state", [FileState.LEFT_OUT, FileState.UNDONE])
def test_what_was_left_out_stays_out_until_it_changes_or_is_asked_for_again(state):
    out = known(KnownFile("a", "e", 1, state, "why"))
    assert diff(out, there("a")).is_empty
    assert len(diff(out, there("a", etag="new")).overwritten) == 1
    assert len(diff(out, there("a"), again=True).overwritten) == 1
    assert diff(out, []) == Diff(forgotten=(out["a"],))


def test_what_an_engine_brought_in_is_never_touched():
    engines = known(KnownFile("a", "e", 1, FileState.FOREIGN))
    assert diff(engines, there("a", etag="new")).is_empty
    assert diff(engines, there("a"), again=True).is_empty
    assert diff(engines, []).vanished == ()


@pytest.mark.parametrize(
    ("files", "vanish", "asks"),
    [
        (100, 10, False),
        (100, 20, False),
        (100, 21, True),
        (30, 11, True),
        (11, 10, False),
        (10, 10, True),
        (1, 1, True),
        (1000, 200, False),
        (1000, 201, True),
    ],
)
def test_more_than_a_fifth_and_more_than_ten_or_all_of_them_ask_first(files, vanish, asks):
    before = taken(files)
    found = diff(before, there(*list(before)[vanish:]))
    assert len(found.vanished) == vanish
    assert DeletionGuard().stops(found.vanished_keys, len(before)) is asks


def test_all_files_at_once_ask_also_when_others_came():
    before = taken(3)
    assert DeletionGuard().stops(diff(before, there("new")).vanished_keys, len(before))


def test_what_was_confirmed_may_go_and_nothing_else():
    before = taken(100)
    gone = list(before)[:50]
    found = diff(before, there(*list(before)[50:]))
    assert not DeletionGuard(confirmed=frozenset(gone)).stops(found.vanished_keys, len(before))
    more = diff(before, there(*list(before)[80:]))
    assert DeletionGuard(confirmed=frozenset(gone)).stops(more.vanished_keys, len(before))


def test_whoever_allows_everything_is_not_asked():
    before = taken(100)
    assert not DeletionGuard(percent_max=100).stops(diff(before, []).vanished_keys, len(before))


def test_files_that_were_never_in_the_table_do_not_count():
    before = taken(3) | known(KnownFile("x", "e", 1, FileState.LEFT_OUT))
    found = diff(before, there(*taken(3)))
    assert found.vanished_keys == []
    assert not DeletionGuard().stops(found.vanished_keys, 3)


@pytest.mark.parametrize(
    ("lost", "perhaps", "asks"), [(5, 0, False), (5, 15, False), (5, 16, True), (0, 90, False)]
)
def test_files_that_will_go_by_all_that_is_known_count_as_well(lost, perhaps, asks):
    gone = list(taken(100))[:lost]
    assert DeletionGuard().stops(gone, 100, perhaps=perhaps) is asks


def test_ranges_of_keys_that_are_compared_one_after_the_other_make_one_difference():
    before = taken(30)
    present = there(*list(before)[5:], "f0005x", "g")
    parts = Comparison()
    keys = sorted(before)
    parts.add([before[key] for key in keys[:10]], [f for f in present if f.key <= keys[9]])
    parts.add_unchanged(10)
    parts.add([before[key] for key in keys[20:]], [f for f in present if f.key >= keys[20]])
    assert parts.diff() == diff(before, present)
