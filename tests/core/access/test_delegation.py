"""Which way a client gets at files: the table of situations, and what holds in all of them."""

from dataclasses import astuple
from itertools import product

import pytest

from graticule.access.delegation import (
    NO_DELEGATION,
    Chosen,
    Delegation,
    Impossible,
    Situation,
    Way,
    choose,
    parse_delegations,
)
from graticule.domain.catalog import AccessLevel

READ, WRITE = AccessLevel.READ, AccessLevel.WRITE
VENDED, SIGNING = Delegation.VENDED_CREDENTIALS, Delegation.REMOTE_SIGNING
ONLY_VENDED, ONLY_SIGNING = frozenset({VENDED}), frozenset({SIGNING})
BOTH = frozenset(Delegation)
OBSTACLE = "the store issues none"

EVERY_SITUATION = [
    Situation(accepted, access, obstacle, pays, is_open, keys)
    for accepted, access, obstacle, pays, is_open, keys in product(
        (NO_DELEGATION, ONLY_VENDED, ONLY_SIGNING, BOTH),
        (READ, WRITE),
        (None, OBSTACLE),
        (False, True),
        (False, True),
        (None, False, True),
    )
]


def way(situation):
    match choose(situation):
        case Chosen(way):
            return way
        case Impossible():
            return None


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        (None, NO_DELEGATION),
        ("", NO_DELEGATION),
        ("none", NO_DELEGATION),
        ("something-else", NO_DELEGATION),
        ("vended-credentials", ONLY_VENDED),
        (" Vended-Credentials , other", ONLY_VENDED),
        ("remote-signing", ONLY_SIGNING),
        ("remote-signing,vended-credentials", BOTH),
    ],
)
def test_a_client_says_what_it_accepts_in_a_header(header, accepted):
    assert parse_delegations(header) == accepted


# What the documentation shows: (the situation, then what clients that accept vended credentials,
# signing, and both get).
ORDINARY = Situation(NO_DELEGATION, WRITE)
ROWS = {
    "sessions can be had": (ORDINARY, (Way.SESSION, Way.SIGNING, Way.SESSION)),
    "to read": (Situation(NO_DELEGATION, READ), (Way.SESSION, Way.SIGNING, Way.SESSION)),
    "no sessions": (
        Situation(NO_DELEGATION, WRITE, OBSTACLE),
        (None, Way.SIGNING, Way.SIGNING),
    ),
    "no sessions, keys that stay": (
        Situation(NO_DELEGATION, WRITE, OBSTACLE, keys_may_leave=False),
        (None, Way.SIGNING, Way.SIGNING),
    ),
    "no sessions, keys that may leave": (
        Situation(NO_DELEGATION, WRITE, OBSTACLE, keys_may_leave=True),
        (Way.STATIC_KEYS, Way.SIGNING, Way.SIGNING),
    ),
    "no sessions, keys that may leave, to read": (
        Situation(NO_DELEGATION, READ, OBSTACLE, keys_may_leave=True),
        (None, Way.SIGNING, Way.SIGNING),
    ),
    "sessions, and keys that may leave": (
        Situation(NO_DELEGATION, WRITE, keys_may_leave=True),
        (Way.SESSION, Way.SIGNING, Way.SESSION),
    ),
    "the requester pays": (
        Situation(NO_DELEGATION, WRITE, requester_pays=True, keys_may_leave=True),
        (None, Way.SIGNING, Way.SIGNING),
    ),
    "open to anybody, to read": (
        Situation(NO_DELEGATION, READ, is_open=True),
        (Way.ANONYMOUS, Way.ANONYMOUS, Way.ANONYMOUS),
    ),
    "open to anybody, no sessions, to read": (
        Situation(NO_DELEGATION, READ, OBSTACLE, is_open=True, keys_may_leave=True),
        (Way.ANONYMOUS, Way.ANONYMOUS, Way.ANONYMOUS),
    ),
    "open to anybody, to write": (
        Situation(NO_DELEGATION, WRITE, is_open=True),
        (Way.SESSION, Way.SIGNING, Way.SESSION),
    ),
}


@pytest.mark.parametrize(("situation", "ways"), ROWS.values(), ids=ROWS.keys())
def test_each_situation_has_its_way(situation, ways):
    def among(accepted):
        return way(
            Situation(
                accepted,
                situation.access,
                situation.session_obstacle,
                situation.requester_pays,
                situation.is_open,
                situation.keys_may_leave,
            )
        )

    assert among(NO_DELEGATION) is Way.OWN
    assert (among(ONLY_VENDED), among(ONLY_SIGNING), among(BOTH)) == ways


def expected(situation):
    """The whole table once more, from the other end: who may ever get what."""
    vends = VENDED in situation.accepted and not situation.requester_pays
    open_to_reader = situation.is_open and situation.access is READ
    if not situation.accepted:
        return Way.OWN
    if open_to_reader and not situation.requester_pays:
        return Way.ANONYMOUS
    if vends and situation.session_obstacle is None:
        return Way.SESSION
    if SIGNING in situation.accepted:
        return Way.SIGNING
    if vends and situation.keys_may_leave and situation.access is WRITE:
        return Way.STATIC_KEYS
    return None


def _named(situation):
    """The same in every process, as what a set looks like is not."""
    accepted, *others = astuple(situation)
    return f"{'+'.join(sorted(accepted))} {others}"


@pytest.mark.parametrize("situation", EVERY_SITUATION, ids=_named)
def test_all_192_situations_are_decided_and_say_why(situation):
    choice = choose(situation)

    assert way(situation) is expected(situation)
    assert choice.reason
    if isinstance(choice, Impossible):
        assert "remote-signing" in choice.reason  # the way out
        assert situation.session_obstacle is None or (
            situation.requester_pays or OBSTACLE in choice.reason
        )


def test_keys_leave_only_by_consent_for_writers_who_can_do_with_nothing_less():
    receive = [situation for situation in EVERY_SITUATION if way(situation) is Way.STATIC_KEYS]

    assert receive
    for situation in receive:
        assert situation.keys_may_leave is True
        assert situation.access is WRITE
        assert situation.session_obstacle == OBSTACLE
        assert situation.accepted == ONLY_VENDED


def test_a_client_gets_only_what_it_accepts():
    for situation in EVERY_SITUATION:
        got = way(situation)
        if got is Way.SIGNING:
            assert SIGNING in situation.accepted
        if got in {Way.SESSION, Way.STATIC_KEYS}:
            assert VENDED in situation.accepted
        assert (got is Way.OWN) is (situation.accepted == NO_DELEGATION)


@pytest.mark.parametrize(
    ("situation", "said"),
    [
        (Situation(ONLY_VENDED, WRITE, requester_pays=True), "paid by the requester"),
        (Situation(ONLY_VENDED, WRITE, OBSTACLE, keys_may_leave=False), "no admin allowed"),
        (Situation(ONLY_VENDED, READ, OBSTACLE, keys_may_leave=True), "may only read"),
        (Situation(ONLY_VENDED, WRITE, OBSTACLE), OBSTACLE),
    ],
)
def test_a_client_for_whom_nothing_fits_is_told_what_stands_in_the_way(situation, said):
    choice = choose(situation)
    assert isinstance(choice, Impossible)
    assert said in choice.reason
