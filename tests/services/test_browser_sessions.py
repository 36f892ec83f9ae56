"""Sessions of browsers: how long they last, and what ends them."""

import pytest

from graticule.domain.errors import NoSuchSession, Unauthenticated
from graticule.domain.tenancy import ALL_SCOPES, CredentialKind, MemberKind, Role
from graticule.services.accounts.activity import FLUSH_EVERY_MS
from graticule.services.accounts.authentication import PRINCIPAL_CACHE_MS
from support.accounts import SESSION_IDLE_S, SESSION_LIFETIME_S, process


@pytest.fixture
def ana(accounts, admin):
    return accounts.members.create(admin, name="Ana", kind=MemberKind.USER, role=Role.USER)


@pytest.fixture
def new(accounts, ana):
    return accounts.sessions.begin(ana, method="password")


def test_a_session_acts_as_its_member_and_its_token_is_not_stored(accounts, ana, new, database):
    principal = accounts.authentication.of_session(new.token.reveal())

    assert (principal.member_id, principal.scopes, principal.credential, principal.key_id) == (
        ana.id,
        ALL_SCOPES,
        CredentialKind.SESSION,
        new.session.id,
    )
    with database.connect() as conn:
        assert new.token.reveal() not in repr(conn.exec_driver_sql("SELECT * FROM sessions").all())
    for wrong in ("", "gses_x", new.token.reveal()[:-1]):
        with pytest.raises(Unauthenticated):
            accounts.authentication.of_session(wrong)
    with pytest.raises(Unauthenticated):  # it is a cookie, not a token
        accounts.authentication.of_bearer(new.token.reveal())


def test_a_session_that_is_not_used_ends(accounts, new, clock):
    clock.advance(s=SESSION_IDLE_S - 1)
    accounts.authentication.of_session(new.token.reveal())
    accounts.activity.flush()
    clock.advance(s=SESSION_IDLE_S - 1)
    accounts.authentication.of_session(new.token.reveal())
    accounts.activity.flush()
    clock.advance(s=SESSION_IDLE_S)
    with pytest.raises(Unauthenticated, match="over"):
        accounts.authentication.of_session(new.token.reveal())


def test_a_session_ends_at_last_however_much_it_is_used(accounts, new, clock):
    for _ in range(SESSION_LIFETIME_S // 1800 - 1):
        clock.advance(s=1800)
        accounts.authentication.of_session(new.token.reveal())
        accounts.activity.flush()
    clock.advance(s=1800)
    with pytest.raises(Unauthenticated, match="over"):
        accounts.authentication.of_session(new.token.reveal())


def test_its_use_is_written_once_a_minute_at_most(accounts, new, clock):
    principal = accounts.authentication.of_session(new.token.reveal())

    def last_seen():
        accounts.activity.flush()
        return accounts.sessions.list(principal)[0].last_seen_at_ms

    began = clock()
    clock.advance(ms=FLUSH_EVERY_MS - 1)
    accounts.authentication.of_session(new.token.reveal())
    assert last_seen() == began
    clock.advance(ms=PRINCIPAL_CACHE_MS)
    accounts.authentication.of_session(new.token.reveal())
    assert last_seen() == clock()


def test_members_see_and_end_their_own_sessions_only(accounts, admin, ana, new):
    other = accounts.sessions.begin(ana, method="link")
    principal = accounts.authentication.of_session(new.token.reveal())

    assert accounts.sessions.list(principal) == [other.session, new.session]
    with pytest.raises(NoSuchSession):
        accounts.sessions.end(admin, other.session.id)
    accounts.sessions.end(principal, other.session.id)
    assert accounts.sessions.list(principal) == [new.session]
    with pytest.raises(Unauthenticated):
        accounts.authentication.of_session(other.token.reveal())


@pytest.mark.parametrize("taken", ["disabled", "deleted", "signed out"])
def test_a_session_ends_with_what_it_stands_for_here_at_once_and_elsewhere_within_the_bound(
    accounts, admin, ana, new, database, clock, taken
):
    other = process(database, clock)
    principal = accounts.authentication.of_session(new.token.reveal())
    other.authentication.of_session(new.token.reveal())
    match taken:
        case "disabled":
            accounts.members.update(admin, ana.id, is_disabled=True)
        case "deleted":
            accounts.members.delete(admin, ana.id)
        case "signed out":
            accounts.sessions.end(principal, new.session.id)

    with pytest.raises(Unauthenticated):
        accounts.authentication.of_session(new.token.reveal())
    clock.advance(ms=PRINCIPAL_CACHE_MS)
    with pytest.raises(Unauthenticated):
        other.authentication.of_session(new.token.reveal())


def test_sessions_that_are_over_are_removed(accounts, new, ana, clock, database):
    clock.advance(s=SESSION_IDLE_S)
    fresh = accounts.sessions.begin(ana, method="password")

    accounts.sessions.remove_over()

    with database.connect() as conn:
        rows = conn.exec_driver_sql("SELECT id FROM sessions").all()
    assert [row[0] for row in rows] == [fresh.session.id]
