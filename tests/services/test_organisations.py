import threading
from dataclasses import replace

import pytest

from graticule.access.keyring import Keyring
from graticule.db import organisations as organisations_db
from graticule.db.engine import read, write
from graticule.domain.errors import (
    AlreadyExists,
    Forbidden,
    InvalidClient,
    InvalidGrant,
    InvalidName,
    InvalidRequest,
    NoSuchApiKey,
    NotFound,
    Unauthenticated,
)
from graticule.domain.tenancy import (
    ALL_SCOPES,
    Edition,
    Member,
    MemberKind,
    Organisation,
    Role,
    Scope,
)
from graticule.services.organisations import PRINCIPAL_CACHE_MS, Organisations
from support.clock import Clock

RING = Keyring.from_keys([("k1", b"k" * 32)])


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def organisations(database, clock):
    return Organisations(database, RING, now_ms=clock, token_lifetime_s=3600)


@pytest.fixture
def credential(organisations):
    return organisations.bootstrap()


@pytest.fixture
def admin(organisations, credential):
    return organisations.authenticate_bearer(bearer(credential))


def bearer(new):
    return f"{new.client_id}.{new.client_secret.reveal()}"


def key_for(organisations, principal, **options):
    return organisations.create_key(principal, name="a key", **options)[1]


def test_the_first_start_makes_an_enterprise_organisation_with_an_admin(organisations, credential):
    principal = organisations.authenticate_bearer(bearer(credential))

    assert (principal.name, principal.role, principal.edition, principal.scopes) == (
        "admin",
        Role.ADMIN,
        Edition.ENTERPRISE,
        ALL_SCOPES,
    )
    assert organisations.organisation(principal).name == "default"


def test_the_first_credential_is_given_out_once(organisations, credential):
    assert credential is not None
    assert organisations.bootstrap() is None


def test_replicas_that_start_together_give_out_one_credential(database, clock):
    replicas = [
        Organisations(database, RING, now_ms=clock, token_lifetime_s=3600) for _ in range(8)
    ]
    start, given = threading.Barrier(8), []

    def bootstrap(replica):
        start.wait()
        given.append(replica.bootstrap())

    threads = [threading.Thread(target=bootstrap, args=(replica,)) for replica in replicas]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    (credential,) = [new for new in given if new is not None]
    assert len(given) == 8
    assert replicas[0].authenticate_bearer(bearer(credential)).name == "admin"
    with read(database) as conn:
        organisation = organisations_db.load_by_name(conn, "default")
        assert (
            organisations_db.page_of_members(conn, organisation.id, after=None, limit=9)[1:] == []
        )


def test_a_lost_credential_can_be_replaced_by_whoever_holds_the_database(organisations, credential):
    new = organisations.recover_admin()

    principal = organisations.authenticate_bearer(bearer(new))
    assert principal.name == "admin"
    assert principal.key_id != credential.client_id
    with pytest.raises(NotFound):
        organisations.recover_admin("another")


def test_no_secret_is_in_the_database(database, organisations, credential):
    with read(database) as conn:
        rows = conn.exec_driver_sql("SELECT * FROM api_keys").all()
    assert credential.client_secret.reveal() not in repr(rows)


@pytest.mark.parametrize("spoil", [lambda t: t[:-1] + "!", lambda t: t[:-1], lambda t: "gk_" + t])
def test_a_spoilt_key_is_refused(organisations, credential, spoil):
    with pytest.raises(Unauthenticated):
        organisations.authenticate_bearer(spoil(bearer(credential)))


def test_a_wrong_secret_and_an_unknown_key_are_answered_alike(organisations, credential):
    other = organisations.recover_admin()
    answers = set()
    for client_id in (credential.client_id, "gk_aaaaaaaaaaaaaaaa"):
        with pytest.raises(Unauthenticated) as refused:
            organisations.authenticate_bearer(f"{client_id}.{other.client_secret.reveal()}")
        answers.add(refused.value.message)
    assert len(answers) == 1


def test_client_credentials_become_an_access_token_for_the_same_principal(
    organisations, credential, admin
):
    secret = credential.client_secret.reveal()

    token, lifetime_s = organisations.issue_token(credential.client_id, secret, "catalog")

    assert lifetime_s == 3600
    assert organisations.authenticate_bearer(token) == admin


def test_a_token_for_a_narrower_scope_stays_narrow_when_it_is_exchanged(organisations, credential):
    secret = credential.client_secret.reveal()
    token, _ = organisations.issue_token(credential.client_id, secret, "read")

    again, _ = organisations.exchange_token(token, "read write manage")

    assert organisations.authenticate_bearer(again).scopes == {Scope.READ}


def test_the_token_endpoint_refuses_a_wrong_client(organisations, credential):
    with pytest.raises(InvalidClient):
        organisations.issue_token(credential.client_id, "wrong")
    with pytest.raises(InvalidClient):
        organisations.issue_token("nobody", credential.client_secret.reveal())
    with pytest.raises(InvalidGrant):
        organisations.exchange_token("not a token")


def test_a_scope_the_key_does_not_have_is_not_granted(organisations, admin):
    reader = key_for(organisations, admin, scopes=[Scope.READ])

    with pytest.raises(InvalidGrant, match="none of the scopes `manage`"):
        organisations.issue_token(reader.client_id, reader.client_secret.reveal(), "manage")


def test_tokens_expire_also_while_they_are_cached(organisations, credential, clock):
    token, _ = organisations.issue_token(credential.client_id, credential.client_secret.reveal())
    clock.advance(s=3599)
    organisations.authenticate_bearer(token)
    clock.advance(s=1)

    with pytest.raises(Unauthenticated, match="expired"):
        organisations.authenticate_bearer(token)


def test_revoking_a_key_ends_its_tokens_here_at_once(organisations, admin):
    new = key_for(organisations, admin)
    token, _ = organisations.issue_token(new.client_id, new.client_secret.reveal())
    organisations.authenticate_bearer(token)
    organisations.authenticate_bearer(bearer(new))

    organisations.revoke_key(admin, new.client_id)

    for presented in (token, bearer(new)):
        with pytest.raises(Unauthenticated, match="was revoked"):
            organisations.authenticate_bearer(presented)
    with pytest.raises(InvalidGrant):
        organisations.exchange_token(token)
    with pytest.raises(NoSuchApiKey):
        organisations.revoke_key(admin, new.client_id)


def test_revoking_a_key_ends_it_on_other_replicas_within_the_cache_time(
    database, organisations, admin, clock
):
    other = Organisations(database, RING, now_ms=clock, token_lifetime_s=3600)
    new = key_for(organisations, admin)
    other.authenticate_bearer(bearer(new))
    organisations.revoke_key(admin, new.client_id)

    clock.advance(ms=PRINCIPAL_CACHE_MS)

    with pytest.raises(Unauthenticated):
        other.authenticate_bearer(bearer(new))


def test_an_expiring_key_ends_and_its_tokens_with_it(organisations, admin, clock):
    new = key_for(organisations, admin, lifetime_s=60)
    token, lifetime_s = organisations.issue_token(new.client_id, new.client_secret.reveal())
    assert lifetime_s == 60
    organisations.authenticate_bearer(bearer(new))

    clock.advance(s=60)

    for presented in (token, bearer(new)):
        with pytest.raises(Unauthenticated, match="expired"):
            organisations.authenticate_bearer(presented)


def test_tokens_survive_a_rotation_of_keys(database, organisations, credential, clock):
    token, _ = organisations.issue_token(credential.client_id, credential.client_secret.reveal())
    rotated = Keyring.from_keys([("k2", b"n" * 32), *RING.keys])

    after = Organisations(database, rotated, now_ms=clock, token_lifetime_s=3600)

    assert after.authenticate_bearer(token).name == "admin"
    fresh = Organisations(
        database, Keyring.from_keys([("k3", b"x" * 32)]), now_ms=clock, token_lifetime_s=1
    )
    with pytest.raises(Unauthenticated):
        fresh.authenticate_bearer(token)


def test_members_are_made_listed_and_act_by_their_role(organisations, admin):
    ben = organisations.create_member(admin, name="Ben", kind=MemberKind.USER, role=Role.USER)
    new = key_for(organisations, admin, member="Ben")

    principal = organisations.authenticate_bearer(bearer(new))

    assert (principal.member_id, principal.role) == (ben.id, Role.USER)
    assert ben in organisations.list_members(admin, limit=10).items
    for refused in (
        lambda: organisations.create_member(
            principal, name="Eve", kind=MemberKind.USER, role=Role.ADMIN
        ),
        lambda: organisations.list_members(principal, limit=10),
        lambda: organisations.create_key(principal, name="mine"),
        lambda: organisations.list_keys(principal, limit=10),
        lambda: organisations.revoke_key(principal, new.client_id),
    ):
        with pytest.raises(Forbidden):
            refused()


def test_a_member_name_is_taken_once(organisations, admin):
    with pytest.raises(AlreadyExists):
        organisations.create_member(admin, name="admin", kind=MemberKind.USER, role=Role.USER)
    with pytest.raises(InvalidName):
        organisations.create_member(admin, name=" ", kind=MemberKind.USER, role=Role.USER)


def test_a_key_never_has_more_scopes_than_who_made_it(organisations, admin):
    manager = replace(admin, scopes=frozenset({Scope.MANAGE}))

    with pytest.raises(Forbidden, match="lacks the scope read"):
        organisations.create_key(manager, name="x", scopes=[Scope.READ])
    key, _ = organisations.create_key(manager, name="x")
    assert key.scopes == {Scope.MANAGE}


@pytest.mark.parametrize("options", [{"scopes": []}, {"lifetime_s": 0}, {"lifetime_s": 10**12}])
def test_a_key_that_makes_no_sense_is_refused(organisations, admin, options):
    with pytest.raises(InvalidRequest):
        organisations.create_key(admin, name="x", **options)


def test_pages_of_keys_are_complete(organisations, admin):
    made = {admin.key_id} | {key_for(organisations, admin).client_id for _ in range(5)}

    found, after = [], None
    while True:
        page = organisations.list_keys(admin, after=after, limit=2)
        found += [key.id for key in page.items]
        after = page.next_after
        if after is None:
            break

    assert sorted(found) == sorted(made)


def test_another_organisation_sees_and_changes_nothing(database, organisations, admin, clock):
    with write(database) as conn:
        organisations_db.create(conn, Organisation("o2", "other", Edition.ENTERPRISE, 1))
        member = Member("m2", "o2", MemberKind.USER, "Zoe", Role.ADMIN, 1)
        organisations_db.create_member(conn, member)
    zoe = replace(admin, organisation_id="o2", member_id="m2", name="Zoe")

    assert list(organisations.list_keys(zoe, limit=10).items) == []
    assert [m.name for m in organisations.list_members(zoe, limit=10).items] == ["Zoe"]
    with pytest.raises(NoSuchApiKey):
        organisations.revoke_key(zoe, admin.key_id)
    with pytest.raises(NotFound):
        organisations.create_key(zoe, name="x", member=admin.member_id)
