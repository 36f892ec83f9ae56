"""What the audit log says of members, keys, sessions, issuers and organisations."""

import pytest

from graticule.domain.audit import AuditFilter, Outcome
from graticule.domain.errors import LastAdmin, Unauthenticated
from graticule.domain.secret import Secret
from graticule.domain.tenancy import Edition, MemberKind, Origin, Role
from support.oidc import AUDIENCE

PASSWORD = Secret("correct horse battery")
ORIGIN = Origin("request-1", "192.0.2.1")


@pytest.fixture
def told(accounts, admin):
    """What was told since the last time: type, subject, who, and how."""
    seen = set()

    def tell():
        accounts.audit.flush()
        page = accounts.audit.list(admin, AuditFilter(), limit=100)
        new = [event for event in reversed(page.items) if event.id not in seen]
        seen.update(event.id for event in new)
        return [
            (event.type.value, event.subject.name, event.member_name, dict(event.details))
            for event in new
        ]

    tell()
    return tell


def test_the_life_of_a_member_is_told(accounts, admin, told):
    members = accounts.members
    members.create(admin, name="Ana", kind=MemberKind.USER, role=Role.USER)
    members.update(admin, "Ana", name="Bea", role=Role.ADMIN)
    members.update(admin, "Bea", is_disabled=True)
    members.delete(admin, "Bea")
    with pytest.raises(LastAdmin):
        members.delete(admin, "admin")

    assert told() == [
        ("member.created", "Ana", "admin", {"kind": "user", "role": "user"}),
        ("member.updated", "Bea", "admin", {"renamed": "Ana", "role": "admin"}),
        ("member.updated", "Bea", "admin", {"disabled": True}),
        ("member.deleted", "Bea", "admin", {}),
    ]


def test_keys_are_told_by_name_and_never_with_their_secret(accounts, admin, told):
    key = accounts.key_for(admin)
    accounts.api_keys.revoke(admin, key.client_id)

    details = {"member_id": admin.member_id, "scopes": ["manage", "read", "write"]}
    events = told()
    assert events == [
        ("api_key.created", "a key", "admin", details),
        ("api_key.revoked", "a key", "admin", details),
    ]
    assert key.client_secret.reveal() not in repr(events)


def test_signing_in_and_failing_to_is_told_with_the_address(accounts, admin, told):
    accounts.set_password("default", "admin", PASSWORD)
    assert [event[0] for event in told()] == ["member.updated", "member.password_changed"]
    for _ in range(3):
        with pytest.raises(Unauthenticated):
            accounts.passwords.verify("nobody", PASSWORD, origin=ORIGIN)
    member = accounts.passwords.verify("admin", PASSWORD, origin=ORIGIN)
    session = accounts.sessions.begin(member, method="password", origin=ORIGIN)
    principal = accounts.authentication.of_session(session.token.reveal())
    accounts.sessions.end(principal, session.session.id)

    assert sorted(told()) == [
        ("session.denied", "password", "nobody", {}),
        ("session.ended", "password", "admin", {}),
        ("session.started", "password", "admin", {}),
    ]
    [denied] = accounts.audit.list(admin, AuditFilter(outcome=Outcome.DENIED), limit=9).items
    assert (denied.address, denied.request_id) == (ORIGIN.address, ORIGIN.request_id)
    assert denied.occurrences == 3


def test_what_the_operator_does_is_told_in_the_organisation(accounts, admin, told):
    accounts.organisations.set_edition("default", Edition.PROFESSIONAL)
    accounts.organisations.recover_admin()
    accounts.organisations.create("other", edition=Edition.COMMUNITY)

    assert [event[:3] for event in told()] == [
        ("organisation.updated", "default", "operator"),
        ("api_key.created", "recovery", "operator"),
    ]


def test_issuers_and_who_comes_from_them_are_told(accounts, admin, told, provider, clock):
    provider.now_s = clock() / 1000
    accounts.issuers.create(
        name="idp",
        url=provider.url,
        audiences=[AUDIENCE],
        organisation="default",
        auto_provision=True,
        role_claim="role",
        admin_values=["admin"],
    )
    provider.person = {"sub": "ana-1", "preferred_username": "Ana"}
    accounts.authentication.of_bearer(provider.token())
    provider.now_s += 1
    accounts.authentication.of_bearer(provider.token(role="admin"))
    accounts.issuers.unlink(admin, "Ana", issuer="idp")
    accounts.issuers.link(admin, "Ana", issuer="idp", subject="ana-1")
    accounts.issuers.delete("idp")

    assert told() == [
        ("issuer.created", "idp", "operator", {"url": provider.url}),
        ("member.created", "Ana", "Ana", {"role": "user", "issuer": "idp"}),
        ("member.updated", "Ana", "Ana", {"role": "admin", "issuer": "idp"}),
        ("member.updated", "Ana", "admin", {"unlinked": "idp"}),
        ("member.updated", "Ana", "admin", {"linked": "idp", "subject": "ana-1"}),
        ("issuer.deleted", "idp", "operator", {"url": provider.url}),
    ]
