"""Identity providers: configured by the operator, and asked who somebody is.

A token of a configured issuer acts as a member.  Members are found by issuer and subject, never by
name: a name at a provider is no proof of being the one here.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

import structlog
from sqlalchemy import Connection, Engine
from uuid6 import uuid7

from graticule.access.keyring import Keyring
from graticule.access.oidc import header_of, identity_of, verified_claims
from graticule.access.policy import Action, require
from graticule.db import issuers as issuers_db
from graticule.db import members as members_db
from graticule.db import organisations as organisations_db
from graticule.db.engine import read, transact, write
from graticule.db.issuers import KnownIdentity
from graticule.domain.audit import EventType
from graticule.domain.errors import (
    AlreadyExists,
    InvalidName,
    InvalidRequest,
    NoSuchIssuer,
    Unauthenticated,
)
from graticule.domain.identifiers import check_resource_name
from graticule.domain.issuer import Identity, Issuer
from graticule.domain.secret import Secret
from graticule.domain.tenancy import (
    CredentialKind,
    Member,
    MemberKind,
    Principal,
    Role,
)
from graticule.services.accounts.account_events import as_member, tell_of_issuer, tell_of_member
from graticule.services.accounts.issuer_documents import IssuerDocuments, Published
from graticule.services.expiring_cache import ExpiringCache

log = structlog.get_logger(__name__)

ISSUERS_CACHE_MS: Final = 5_000
"""How long a running server may not know of an issuer that was added or removed."""
ISSUERS_MAX: Final = 50


class Issuers:
    def __init__(
        self,
        engine: Engine,
        keyring: Keyring,
        documents: IssuerDocuments,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._keyring = keyring
        self._documents = documents
        self._now_ms = now_ms
        self._configured: ExpiringCache[None, tuple[Issuer, ...]] = ExpiringCache(
            lifetime_ms=ISSUERS_CACHE_MS, entries_max=1, now_ms=now_ms
        )

    # For the operator

    def create(
        self,
        *,
        name: str,
        url: str,
        audiences: Sequence[str] = (),
        client_id: str | None = None,
        client_secret: Secret | None = None,
        organisation: str,
        organisation_claim: str | None = None,
        role_claim: str | None = None,
        admin_values: Sequence[str] = (),
        user_values: Sequence[str] = (),
        name_claim: str = "preferred_username",
        auto_provision: bool = False,
    ) -> Issuer:
        """Trust an identity provider.

        Raises:
            AlreadyExists: the name or the URL is taken.
            InvalidName: the name breaks the naming rules.
            InvalidRequest: no audience, a URL that is none, or settings that contradict each other.
            NoSuchOrganisation: no such organisation.
        """
        check_resource_name(name, of="issuer")
        parts = urlsplit(url)
        if parts.scheme not in {"https", "http"} or not parts.hostname or parts.query:
            raise InvalidRequest(
                "the issuer must be an https URL, as the provider's tokens have it"
            )
        wanted = tuple(audiences) or ((client_id,) if client_id else ())
        if not wanted:
            raise InvalidRequest("name at least one audience that tokens must be for, or a client")
        if client_secret is not None and client_id is None:
            raise InvalidRequest("a client secret needs a client id")
        if (admin_values or user_values) and role_claim is None:
            raise InvalidRequest("values of a role need the claim that has them")
        issuer_id = str(uuid7())
        sealed = None
        if client_secret is not None:
            sealed = self._keyring.seal(client_secret, bound_to=_place(issuer_id))

        def create(conn: Connection) -> Issuer:
            issuer = Issuer(
                id=issuer_id,
                name=name,
                url=url,
                audiences=wanted,
                client_id=client_id,
                client_secret=client_secret,
                organisation_id=organisations_db.require_by_name(conn, organisation).id,
                organisation_claim=organisation_claim,
                role_claim=role_claim,
                admin_values=tuple(admin_values),
                user_values=tuple(user_values),
                name_claim=name_claim,
                auto_provision=auto_provision,
                created_at_ms=self._now_ms(),
            )
            if len(issuers_db.list_all(conn, open_secret=self._open)) >= ISSUERS_MAX:
                raise InvalidRequest(f"a server has at most {ISSUERS_MAX} issuers")
            issuers_db.create(conn, issuer, sealed_client_secret=sealed)
            tell_of_issuer(conn, EventType.ISSUER_CREATED, issuer, now_ms=self._now_ms())
            return issuer

        issuer = transact(self._engine, create)
        self._configured.clear()
        log.info("issuer created", issuer=name)
        return issuer

    def delete(self, name: str) -> None:
        """Trust an identity provider no longer; its members stay, without this way in.

        Raises:
            NoSuchIssuer: no such issuer.
        """
        self._configured.clear()
        issuer = self.named(name)
        with write(self._engine) as conn:
            if not issuers_db.remove(conn, name):
                raise NoSuchIssuer(f"no issuer is called `{name}`")
            tell_of_issuer(conn, EventType.ISSUER_DELETED, issuer, now_ms=self._now_ms())
        self._configured.clear()
        log.info("issuer deleted", issuer=name)

    def check(self, name: str) -> Published:
        """Ask an issuer for its documents, as the first token would.

        Raises:
            NoSuchIssuer: no such issuer.
            Unavailable: says what is wrong with it.
        """
        return self._documents.fetch(self.named(name))

    # For everybody

    def list_all(self) -> Sequence[Issuer]:
        known = self._configured.get(None)
        if known is None:
            with read(self._engine) as conn:
                known = tuple(issuers_db.list_all(conn, open_secret=self._open))
            self._configured.put(None, known)
        return known

    def named(self, name: str) -> Issuer:
        """An issuer by name.

        Raises:
            NoSuchIssuer: no such issuer.
        """
        for issuer in self.list_all():
            if issuer.name == name:
                return issuer
        raise NoSuchIssuer(f"no issuer is called `{name}`")

    def for_people(self, name: str) -> Issuer:
        """An issuer that signs people in: one that this server is a client of.

        Raises:
            NoSuchIssuer: none of that name.
        """
        issuer = self.named(name)
        if issuer.client_id is None:
            raise NoSuchIssuer(f"`{name}` signs nobody in here; it only issues bearer tokens")
        return issuer

    def principal_of(self, token: str, url: str) -> tuple[Principal, int]:
        """The member behind a bearer token of the issuer at `url`, and when the token ends.

        Raises:
            Unauthenticated: no configured issuer, a wrong token, or nobody here.
            Unavailable: the issuer's keys cannot be had.
        """
        issuer = next((one for one in self.list_all() if one.url == url), None)
        if issuer is None:
            raise Unauthenticated("the token is not one that this server accepts")
        kid, algorithm = header_of(token)
        key = self._documents.key(issuer, kid, algorithm)
        claims = verified_claims(
            token, key, issuer, audiences=issuer.audiences, now_ms=self._now_ms()
        )
        identity = identity_of(claims, issuer)
        known = self.recognise(issuer, identity)
        principal = Principal(
            organisation_id=known.member.organisation_id,
            member_id=known.member.id,
            name=known.member.name,
            edition=known.edition,
            role=lesser_role(known.member.role, identity.role),
            scopes=identity.scopes,
            key_id=issuer.name,
            credential=CredentialKind.ISSUER_TOKEN,
        )
        return principal, identity.expires_at_ms

    def recognise(self, issuer: Issuer, identity: Identity) -> KnownIdentity:
        """The member that somebody is, made if the issuer may; its role follows newer claims.

        Raises:
            Unauthenticated: nobody here, or a disabled member.
        """
        with read(self._engine) as conn:
            known = _find(conn, issuer, identity)
        if known is None or _is_outdated(known, identity):
            known = transact(self._engine, self._bring_up_to_date, issuer, identity)
        if known.member.disabled_at_ms is not None:
            raise Unauthenticated("the member that this credential belongs to is disabled")
        return known

    def _bring_up_to_date(
        self, conn: Connection, issuer: Issuer, identity: Identity
    ) -> KnownIdentity:
        known = _find(conn, issuer, identity)
        if known is None:
            return self._provision(conn, issuer, identity)
        if identity.role is None or not _is_outdated(known, identity):
            return known
        issuers_db.note_synchronised(conn, known.member.id, at_ms=identity.issued_at_ms)
        if known.member.role is identity.role:
            return known
        member = replace(known.member, role=identity.role)
        members_db.replace(conn, member)
        tell_of_member(
            conn,
            as_member(member, credential_id=issuer.name),
            EventType.MEMBER_UPDATED,
            member,
            now_ms=self._now_ms(),
            role=member.role,
            issuer=issuer.name,
        )
        log.info("role follows issuer", member_id=member.id, role=member.role)
        return replace(known, member=member)

    def _provision(self, conn: Connection, issuer: Issuer, identity: Identity) -> KnownIdentity:
        if not issuer.auto_provision:
            raise Unauthenticated(
                f"nobody here is the subject `{identity.subject}` of `{issuer.name}`; an admin can "
                "link it with a member"
            )
        organisation = (
            organisations_db.load(conn, issuer.organisation_id)
            if identity.organisation is None
            else organisations_db.load_by_name(conn, identity.organisation)
        )
        if organisation is None:
            raise Unauthenticated(f"`{issuer.name}` names an organisation that is not here")
        now_ms = self._now_ms()
        role = identity.role or Role.USER
        member = Member(str(uuid7()), organisation.id, MemberKind.USER, identity.name, role, now_ms)
        if members_db.load(conn, organisation.id, member.name) is not None:
            # Never the member of that name: whoever picks names at the provider would be it.
            member = replace(member, name=f"{identity.name} ({issuer.name} {identity.subject})")
        try:
            check_resource_name(member.name, of="member")
            members_db.create(conn, member)
        except (AlreadyExists, InvalidName) as error:
            raise Unauthenticated(
                f"`{issuer.name}` gives you a name that no member can have; an admin can link you"
            ) from error
        issuers_db.link(
            conn, issuer.id, identity.subject, member, at_ms=identity.issued_at_ms, now_ms=now_ms
        )
        tell_of_member(
            conn,
            as_member(member, credential_id=issuer.name),
            EventType.MEMBER_CREATED,
            member,
            now_ms=now_ms,
            role=member.role,
            issuer=issuer.name,
        )
        log.info("member provisioned", member_id=member.id, issuer=issuer.name)
        return KnownIdentity(member, organisation.edition, identity.issued_at_ms)

    # For admins

    def link(self, principal: Principal, member: str, *, issuer: str, subject: str) -> None:
        """Let a subject of an issuer act as a member.

        Raises:
            AlreadyExists: it is a member of the organisation already.
            NoSuchIssuer: no such issuer.
            NoSuchMember: no such member.
        """
        require(principal, Action.MANAGE_MEMBERS)
        if not 0 < len(subject) <= 255:
            raise InvalidRequest("`subject` has 1 to 255 characters")
        found = self.named(issuer)

        def link(conn: Connection) -> Member:
            owner = members_db.require(conn, principal.organisation_id, member)
            now_ms = self._now_ms()
            issuers_db.link(conn, found.id, subject, owner, at_ms=now_ms, now_ms=now_ms)
            tell_of_member(
                conn,
                principal,
                EventType.MEMBER_UPDATED,
                owner,
                now_ms=now_ms,
                linked=issuer,
                subject=subject,
            )
            return owner

        linked = transact(self._engine, link)
        log.info("identity linked", member_id=linked.id, issuer=issuer)

    def unlink(self, principal: Principal, member: str, *, issuer: str) -> None:
        """Let no subject of an issuer act as a member any more.

        Raises:
            NoSuchIssuer: no such issuer, or the member is nobody there.
            NoSuchMember: no such member.
        """
        require(principal, Action.MANAGE_MEMBERS)
        found = self.named(issuer)
        with write(self._engine) as conn:
            owner = members_db.require(conn, principal.organisation_id, member)
            if not issuers_db.unlink(conn, found.id, owner.id):
                raise NoSuchIssuer(f"`{owner.name}` is nobody at `{issuer}`")
            tell_of_member(
                conn,
                principal,
                EventType.MEMBER_UPDATED,
                owner,
                now_ms=self._now_ms(),
                unlinked=issuer,
            )
        log.info("identity unlinked", member_id=owner.id, issuer=issuer)

    def identities_of(self, principal: Principal, member: str) -> Sequence[tuple[str, str]]:
        """Issuer names and subjects of a member.

        Raises:
            NoSuchMember: no such member.
        """
        require(principal, Action.MANAGE_MEMBERS)
        with read(self._engine) as conn:
            owner = members_db.require(conn, principal.organisation_id, member)
            return issuers_db.identities_of(conn, owner.id)

    def _open(self, issuer_id: str, sealed: str) -> Secret:
        return self._keyring.open(sealed, bound_to=_place(issuer_id))


def lesser_role(role: Role, other: Role | None) -> Role:
    """What both allow."""
    return Role.USER if Role.USER in {role, other} else role


def _find(conn: Connection, issuer: Issuer, identity: Identity) -> KnownIdentity | None:
    return issuers_db.find_identity(
        conn, issuer, identity.subject, organisation=identity.organisation
    )


def _is_outdated(known: KnownIdentity, identity: Identity) -> bool:
    """Whether the claims are newer than the last that counted: an old token must not bring back a
    role that was lost since.
    """
    return identity.role is not None and identity.issued_at_ms > known.synchronised_at_ms


def _place(issuer_id: str) -> str:
    return f"issuers:{issuer_id}:client_secret"
