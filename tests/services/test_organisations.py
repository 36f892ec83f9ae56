"""Organisations: the first, further ones, editions, and the way back in."""

import threading
from dataclasses import replace

import pytest

from graticule.db import members as members_db
from graticule.db import organisations as organisations_db
from graticule.db.engine import read
from graticule.domain.errors import (
    AlreadyExists,
    InvalidName,
    NoSuchApiKey,
    NoSuchMember,
    NoSuchOrganisation,
)
from graticule.domain.tenancy import ALL_SCOPES, Edition, MemberKind, Role
from graticule.services.accounts.authentication import PRINCIPAL_CACHE_MS
from support.accounts import bearer, process


def test_the_first_start_makes_an_enterprise_organisation_with_an_admin(accounts, admin):
    assert (admin.name, admin.role, admin.edition, admin.scopes) == (
        "admin",
        Role.ADMIN,
        Edition.ENTERPRISE,
        ALL_SCOPES,
    )
    assert accounts.organisations.organisation(admin).name == "default"


def test_the_first_credential_is_given_out_once(accounts, first_key):
    assert accounts.organisations.bootstrap() is None


def test_replicas_that_start_together_give_out_one_credential(database, clock):
    replicas = [process(database, clock) for _ in range(8)]
    start, given = threading.Barrier(8), []

    def bootstrap(replica):
        start.wait()
        given.append(replica.organisations.bootstrap())

    threads = [threading.Thread(target=bootstrap, args=(replica,)) for replica in replicas]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    (key,) = [new for new in given if new is not None]
    assert len(given) == 8
    assert replicas[0].authentication.of_bearer(bearer(key)).name == "admin"
    with read(database) as conn:
        organisation = organisations_db.load_by_name(conn, "default")
        assert len(members_db.page(conn, organisation.id, limit=9)) == 1


def test_a_lost_credential_can_be_replaced_by_whoever_holds_the_database(accounts, first_key):
    new = accounts.organisations.recover_admin()

    principal = accounts.authentication.of_bearer(bearer(new))
    assert principal.name == "admin"
    assert principal.key_id != first_key.client_id
    with pytest.raises(NoSuchOrganisation):
        accounts.organisations.recover_admin("another")


def test_recovery_brings_back_an_admin_that_is_gone_demoted_or_disabled(accounts, admin):
    members, organisations = accounts.members, accounts.organisations
    members.create(admin, name="Ana", kind=MemberKind.USER, role=Role.ADMIN)
    ana = accounts.authentication.of_bearer(bearer(accounts.key_for(admin, member="Ana")))
    for spoil in (
        lambda: members.update(ana, "admin", role=Role.USER),
        lambda: members.update(ana, "admin", is_disabled=True),
        lambda: members.delete(ana, "admin"),
    ):
        spoil()
        key = organisations.recover_admin()
        assert accounts.authentication.of_bearer(bearer(key)).role is Role.ADMIN


def test_a_further_organisation_has_an_admin_of_its_own_and_sees_nothing_of_the_first(
    accounts, admin
):
    made, key = accounts.organisations.create("other", edition=Edition.COMMUNITY, admin="Zoe")
    zoe = accounts.authentication.of_bearer(bearer(key))

    assert (zoe.organisation_id, zoe.name, zoe.edition) == (made.id, "Zoe", Edition.COMMUNITY)
    assert [one.name for one in accounts.organisations.list_all()] == ["default", "other"]
    assert [key.member_id for key in accounts.api_keys.list(zoe, limit=9).items] == [zoe.member_id]
    assert [member.name for member in accounts.members.list(zoe, limit=9).items] == ["Zoe"]
    with pytest.raises(NoSuchApiKey):
        accounts.api_keys.revoke(zoe, admin.key_id)
    for refused in (
        lambda: accounts.api_keys.create(zoe, name="x", member=admin.member_id),
        lambda: accounts.api_keys.list(zoe, member="admin", limit=9),
        lambda: accounts.members.show(zoe, "admin"),
        lambda: accounts.members.update(zoe, admin.member_id, role=Role.USER),
        lambda: accounts.members.delete(zoe, admin.member_id),
    ):
        with pytest.raises(NoSuchMember):
            refused()


def test_the_name_of_an_organisation_is_taken_once(accounts, first_key):
    with pytest.raises(AlreadyExists):
        accounts.organisations.create("default", edition=Edition.COMMUNITY)
    with pytest.raises(InvalidName):
        accounts.organisations.create("a/b", edition=Edition.COMMUNITY)


def test_a_change_of_edition_reaches_running_servers_within_the_bound(accounts, first_key, clock):
    accounts.organisations.set_edition("default", Edition.COMMUNITY)
    clock.advance(ms=PRINCIPAL_CACHE_MS)

    assert accounts.authentication.of_bearer(bearer(first_key)).edition is Edition.COMMUNITY
    with pytest.raises(NoSuchOrganisation):
        accounts.organisations.set_edition("other", Edition.COMMUNITY)


def test_a_principal_of_an_organisation_that_is_gone_is_told_so(accounts, admin):
    with pytest.raises(NoSuchOrganisation):
        accounts.organisations.organisation(replace(admin, organisation_id="gone"))


def test_no_secret_is_in_the_database(database, first_key):
    with read(database) as conn:
        rows = conn.exec_driver_sql("SELECT * FROM api_keys").all()
    assert first_key.client_secret.reveal() not in repr(rows)
