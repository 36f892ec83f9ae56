"""Members: made, changed, disabled, deleted; and how soon their credentials follow."""

import threading

import pytest

from graticule.domain.errors import (
    AlreadyExists,
    Forbidden,
    InvalidName,
    LastAdmin,
    NoSuchMember,
    Unauthenticated,
    WrongState,
)
from graticule.domain.tenancy import MemberKind, Role
from graticule.services.accounts.authentication import PRINCIPAL_CACHE_MS
from support.accounts import bearer, process


@pytest.fixture
def ben(accounts, admin):
    """A user without any credential."""
    return accounts.members.create(admin, name="Ben", kind=MemberKind.USER, role=Role.USER)


@pytest.fixture
def bens_key(accounts, admin, ben):
    return accounts.key_for(admin, member="Ben")


def test_members_are_made_listed_by_kind_and_shown(accounts, admin, ben):
    job = accounts.members.create(
        admin, name="job", kind=MemberKind.SERVICE_ACCOUNT, role=Role.USER
    )

    def names(**which):
        return [member.name for member in accounts.members.list(admin, limit=9, **which).items]

    assert names() == ["admin", "Ben", "job"]
    assert names(kind=MemberKind.SERVICE_ACCOUNT) == ["job"]
    assert accounts.members.show(admin, "job") == accounts.members.show(admin, job.id) == job
    with pytest.raises(NoSuchMember):
        accounts.members.show(admin, "nobody")


def test_users_manage_no_members(accounts, ben, bens_key):
    principal = accounts.authentication.of_bearer(bearer(bens_key))
    assert (principal.member_id, principal.role) == (ben.id, Role.USER)
    for refused in (
        lambda: accounts.members.create(
            principal, name="Eve", kind=MemberKind.USER, role=Role.ADMIN
        ),
        lambda: accounts.members.list(principal, limit=9),
        lambda: accounts.members.show(principal, "admin"),
        lambda: accounts.members.update(principal, "Ben", role=Role.ADMIN),
        lambda: accounts.members.delete(principal, "admin"),
    ):
        with pytest.raises(Forbidden):
            refused()


@pytest.mark.parametrize("name", ["admin", " ", "a/b", "me"])
def test_a_name_that_is_taken_or_against_the_rules_is_refused(accounts, admin, ben, name):
    with pytest.raises((AlreadyExists, InvalidName)):
        accounts.members.create(admin, name=name, kind=MemberKind.USER, role=Role.USER)
    with pytest.raises((AlreadyExists, InvalidName)):
        accounts.members.update(admin, "Ben", name=name)


def test_a_renamed_member_stays_who_it_is(accounts, admin, ben, bens_key):
    renamed = accounts.members.update(admin, "Ben", name="Benjamin")

    assert renamed.id == ben.id
    assert accounts.authentication.of_bearer(bearer(bens_key)).name == "Benjamin"


def test_a_new_role_counts_here_at_once_and_elsewhere_within_the_bound(
    accounts, admin, bens_key, database, clock
):
    other = process(database, clock)
    token = accounts.token_of(bens_key)
    for presented in (bearer(bens_key), token):
        assert accounts.authentication.of_bearer(presented).role is Role.USER
        assert other.authentication.of_bearer(presented).role is Role.USER
    accounts.members.update(admin, "Ben", role=Role.ADMIN)
    for presented in (bearer(bens_key), token):
        assert accounts.authentication.of_bearer(presented).role is Role.ADMIN
        assert other.authentication.of_bearer(presented).role is Role.USER
    clock.advance(ms=PRINCIPAL_CACHE_MS)
    for presented in (bearer(bens_key), token):
        assert other.authentication.of_bearer(presented).role is Role.ADMIN
    accounts.members.update(admin, "Ben", role=Role.USER)
    for presented in (bearer(bens_key), token):  # replayed after role loss
        assert accounts.authentication.of_bearer(presented).role is Role.USER


def test_nothing_of_a_disabled_member_works_until_it_is_enabled(
    accounts, admin, bens_key, database, clock
):
    other = process(database, clock)
    token = accounts.token_of(bens_key)
    other.authentication.of_bearer(token)

    disabled = accounts.members.update(admin, "Ben", is_disabled=True)
    clock.advance(ms=PRINCIPAL_CACHE_MS)

    assert disabled.disabled_at_ms is not None
    for process_ in (accounts, other):
        for presented in (bearer(bens_key), token):
            with pytest.raises(Unauthenticated, match="disabled"):
                process_.authentication.of_bearer(presented)
    with pytest.raises(WrongState):
        accounts.key_for(admin, member="Ben")
    assert accounts.members.update(admin, "Ben", is_disabled=False).disabled_at_ms is None
    assert accounts.authentication.of_bearer(token).name == "Ben"


def test_keys_and_tokens_end_with_their_member(accounts, admin, ben, bens_key):
    token = accounts.token_of(bens_key)
    accounts.authentication.of_bearer(token)

    accounts.members.delete(admin, "Ben")

    for presented in (bearer(bens_key), token):
        with pytest.raises(Unauthenticated):
            accounts.authentication.of_bearer(presented)
    assert [key.member_id for key in accounts.api_keys.list(admin, limit=9).items] == [
        admin.member_id
    ]
    with pytest.raises(NoSuchMember):
        accounts.members.delete(admin, ben.id)


def test_the_last_admin_stays(accounts, admin, ben):
    disabled = accounts.members.create(admin, name="Old", kind=MemberKind.USER, role=Role.ADMIN)
    accounts.members.update(admin, disabled.id, is_disabled=True)
    for refused in (
        lambda: accounts.members.update(admin, "admin", role=Role.USER),
        lambda: accounts.members.update(admin, "admin", is_disabled=True),
        lambda: accounts.members.delete(admin, "admin"),
    ):
        with pytest.raises(LastAdmin, match="`admin` is the last admin"):
            refused()
    accounts.members.update(admin, "Ben", role=Role.ADMIN)
    accounts.members.delete(admin, "admin")


def test_of_two_admins_that_demote_each_other_at_once_one_stays(accounts, admin):
    accounts.members.create(admin, name="Ana", kind=MemberKind.USER, role=Role.ADMIN)
    start, refused = threading.Barrier(2), []

    def demote(name):
        start.wait()
        try:
            accounts.members.update(admin, name, role=Role.USER)
        except LastAdmin:
            refused.append(name)

    threads = [threading.Thread(target=demote, args=(name,)) for name in ("admin", "Ana")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(refused) == 1
