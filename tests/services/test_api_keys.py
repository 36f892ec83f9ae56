"""API keys: made, listed and revoked, by members for themselves and by admins for all."""

from dataclasses import replace

import pytest

from graticule.domain.errors import (
    Forbidden,
    InvalidGrant,
    InvalidRequest,
    NoSuchApiKey,
    Unauthenticated,
)
from graticule.domain.tenancy import MemberKind, Role, Scope
from graticule.services.accounts.activity import FLUSH_EVERY_MS
from graticule.services.accounts.authentication import PRINCIPAL_CACHE_MS
from support.accounts import bearer, process


@pytest.fixture
def ben(accounts, admin):
    """Ben, a user, acting through a key."""
    accounts.members.create(admin, name="Ben", kind=MemberKind.USER, role=Role.USER)
    return accounts.authentication.of_bearer(bearer(accounts.key_for(admin, member="Ben")))


def test_users_see_to_their_own_keys_and_to_no_other(accounts, admin, ben):
    _, new = accounts.api_keys.create(ben, name="mine", scopes=[Scope.READ])

    mine = {new.client_id, ben.key_id}
    assert {key.id for key in accounts.api_keys.list(ben, limit=9).items} == mine
    assert {key.id for key in accounts.api_keys.list(ben, member="me", limit=9).items} == mine
    accounts.api_keys.revoke(ben, new.client_id)
    for refused in (
        lambda: accounts.api_keys.create(ben, name="x", member="admin"),
        lambda: accounts.api_keys.list(ben, member="admin", limit=9),
    ):
        with pytest.raises(Forbidden):
            refused()
    with pytest.raises(NoSuchApiKey):
        accounts.api_keys.revoke(ben, admin.key_id)
    assert accounts.authentication.of_bearer(bearer(accounts.key_for(admin))) is not None


def test_admins_see_all_keys_or_one_members(accounts, admin, ben):
    def owners(**which):
        return [key.member_id for key in accounts.api_keys.list(admin, limit=9, **which).items]

    assert sorted(owners()) == sorted([admin.member_id, ben.member_id])
    assert owners(member="Ben") == [ben.member_id]
    assert owners(member="me") == [admin.member_id]


def test_a_key_that_reads_makes_no_keys(accounts, admin):
    reader = accounts.authentication.of_bearer(
        bearer(accounts.key_for(admin, scopes=[Scope.READ, Scope.WRITE]))
    )
    with pytest.raises(Forbidden):
        accounts.api_keys.create(reader, name="x")
    with pytest.raises(Forbidden):
        accounts.api_keys.list(reader, limit=9)


def test_a_key_never_has_more_scopes_than_who_made_it(accounts, admin):
    manager = replace(admin, scopes=frozenset({Scope.MANAGE}))

    with pytest.raises(Forbidden, match="lacks the scope read"):
        accounts.api_keys.create(manager, name="x", scopes=[Scope.READ])
    key, _ = accounts.api_keys.create(manager, name="x")
    assert key.scopes == {Scope.MANAGE}


@pytest.mark.parametrize("options", [{"scopes": []}, {"lifetime_s": 0}, {"lifetime_s": 10**12}])
def test_a_key_that_makes_no_sense_is_refused(accounts, admin, options):
    with pytest.raises(InvalidRequest):
        accounts.api_keys.create(admin, name="x", **options)


def test_pages_of_keys_are_complete(accounts, admin):
    made = {admin.key_id} | {accounts.key_for(admin).client_id for _ in range(5)}

    found, after = [], None
    while True:
        page = accounts.api_keys.list(admin, after=after, limit=2)
        found += [key.id for key in page.items]
        after = page.next_after
        if after is None:
            break

    assert sorted(found) == sorted(made)


def test_revoking_a_key_ends_its_tokens_here_at_once(accounts, admin):
    new = accounts.key_for(admin)
    token = accounts.token_of(new)
    accounts.authentication.of_bearer(token)
    accounts.authentication.of_bearer(bearer(new))

    accounts.api_keys.revoke(admin, new.client_id)

    for presented in (token, bearer(new)):
        with pytest.raises(Unauthenticated, match="was revoked"):
            accounts.authentication.of_bearer(presented)
    with pytest.raises(InvalidGrant):
        accounts.access_tokens.exchange(token)
    with pytest.raises(NoSuchApiKey):
        accounts.api_keys.revoke(admin, new.client_id)


def test_revoking_a_key_ends_it_in_other_processes_within_the_bound(
    database, accounts, admin, clock
):
    other = process(database, clock)
    new = accounts.key_for(admin)
    other.authentication.of_bearer(bearer(new))
    accounts.api_keys.revoke(admin, new.client_id)

    clock.advance(ms=PRINCIPAL_CACHE_MS)

    with pytest.raises(Unauthenticated):
        other.authentication.of_bearer(bearer(new))


def test_an_expiring_key_ends_and_its_tokens_with_it(accounts, admin, clock):
    new = accounts.key_for(admin, lifetime_s=60)
    token, lifetime_s = accounts.access_tokens.issue(new.client_id, new.client_secret.reveal())
    assert lifetime_s == 60
    accounts.authentication.of_bearer(bearer(new))

    clock.advance(s=60)

    for presented in (token, bearer(new)):
        with pytest.raises(Unauthenticated, match="expired"):
            accounts.authentication.of_bearer(presented)


def test_a_keys_last_use_is_written_once_a_minute_at_most(accounts, admin, clock):
    new = accounts.key_for(admin)

    def last_used():
        [key] = [k for k in accounts.api_keys.list(admin, limit=9).items if k.id == new.client_id]
        return key.last_used_at_ms

    assert last_used() is None
    accounts.authentication.of_bearer(bearer(new))
    accounts.activity.flush()
    first = clock()
    assert last_used() == first
    clock.advance(ms=FLUSH_EVERY_MS - 1)
    accounts.authentication.of_bearer(bearer(new))
    accounts.activity.flush()
    assert last_used() == first
    clock.advance(ms=PRINCIPAL_CACHE_MS)
    accounts.authentication.of_bearer(bearer(new))
    accounts.activity.flush()
    assert last_used() == clock()
