"""Group commit: one does the work for all that wait, and everybody is told its own outcome."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from graticule.domain.errors import Overloaded
from graticule.services.catalog import groups
from graticule.services.catalog.groups import Groups
from support.patience import until

PATIENCE_S = 20


class Rounds:
    """Work that is held up once it has begun, and remembers who was aboard each time."""

    def __init__(self):
        self.groups = Groups()
        self.aboard = []
        self.began = threading.Semaphore(0)
        self.may_board = threading.Semaphore(0)

    def work(self, board):
        self.began.release()
        assert self.may_board.acquire(timeout=PATIENCE_S)
        places = board()
        self.aboard.append([place.item for place in places])
        for place in places:
            if place.item == "bad":
                place.fail(ValueError("bad"))
            elif place.item == "broken":
                raise OSError("broken")
            else:
                place.settle(place.item.upper())

    def go(self, item):
        return self.groups.together("key", item, self.work)


@pytest.fixture
def rounds():
    return Rounds()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(16) as pool:
        yield pool


def started(rounds, pool, items):
    """One future for each; the first leads, and all others wait by the time it may board."""
    first = pool.submit(rounds.go, items[0])
    assert rounds.began.acquire(timeout=PATIENCE_S)
    others = []
    for number, item in enumerate(items[1:], 2):
        others.append(pool.submit(rounds.go, item))
        until(lambda count=number: rounds.groups.waiting("key") == count)
    return [first, *others]


def test_whoever_leads_carries_all_that_wait_and_each_is_told_its_own_outcome(rounds, pool):
    futures = started(rounds, pool, ["a", "bad", "c"])
    rounds.may_board.release()
    assert futures[0].result(PATIENCE_S) == "A"
    assert futures[2].result(PATIENCE_S) == "C"
    with pytest.raises(ValueError, match="bad"):
        futures[1].result(PATIENCE_S)
    assert rounds.aboard == [["a", "bad", "c"]]
    assert rounds.groups._lines == {}


def test_who_comes_too_late_for_a_group_leads_the_next(rounds, pool, monkeypatch):
    monkeypatch.setattr(groups, "COMPANIONS_MAX", 2)
    futures = started(rounds, pool, ["a", "b", "c", "d", "e"])
    for _ in range(3):
        rounds.may_board.release()
    assert [future.result(PATIENCE_S) for future in futures] == ["A", "B", "C", "D", "E"]
    assert rounds.aboard == [["a", "b"], ["c", "d"], ["e"]]


def test_work_that_fails_fails_for_those_that_it_had_not_settled(rounds, pool):
    futures = started(rounds, pool, ["a", "broken", "c"])
    rounds.may_board.release()
    assert futures[0].result(PATIENCE_S) == "A"
    for future in futures[1:]:
        with pytest.raises(OSError, match="broken"):
            future.result(PATIENCE_S)
    assert rounds.groups._lines == {}


def test_work_that_fails_before_it_boards_fails_for_its_leader_only(rounds, pool):
    def no_turn(board):
        rounds.began.release()
        rounds.may_board.acquire(timeout=PATIENCE_S)
        raise Overloaded("no turn", retry_after_s=1)

    first = pool.submit(rounds.groups.together, "key", "a", no_turn)
    assert rounds.began.acquire(timeout=PATIENCE_S)
    second = pool.submit(rounds.go, "b")
    until(lambda: rounds.groups.waiting("key") == 2)
    rounds.may_board.release(2)
    with pytest.raises(Overloaded, match="no turn"):
        first.result(PATIENCE_S)
    assert second.result(PATIENCE_S) == "B"
    assert rounds.aboard == [["b"]]


def test_nobody_waits_for_ever(rounds, pool, monkeypatch):
    monkeypatch.setattr(groups, "LEAD_TIMEOUT_S", 0.05)
    first, second = started(rounds, pool, ["a", "b"])
    with pytest.raises(Overloaded, match="nothing was changed"):
        second.result(PATIENCE_S)
    rounds.may_board.release()
    assert first.result(PATIENCE_S) == "A"
    assert rounds.aboard == [["a"]]
