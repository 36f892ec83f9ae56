"""The services that know who is who, over one database: as one server process has them."""

from dataclasses import dataclass

import pytest
from argon2 import PasswordHasher
from sqlalchemy import Engine

from graticule.access.keyring import Keyring
from graticule.access.passwords import PasswordHashing
from graticule.access.tokens import NewKey
from graticule.domain.secret import Secret
from graticule.domain.tenancy import Principal
from graticule.outbound.fetch import Fetcher
from graticule.outbound.gate import Outbound
from graticule.outbound.policy import OutboundPolicy
from graticule.services.accounts.access_tokens import AccessTokens
from graticule.services.accounts.activity import Activity
from graticule.services.accounts.api_keys import ApiKeys
from graticule.services.accounts.authentication import Authentication
from graticule.services.accounts.browser_sessions import BrowserSessions
from graticule.services.accounts.devices import Devices
from graticule.services.accounts.issuer_documents import IssuerDocuments
from graticule.services.accounts.issuers import Issuers
from graticule.services.accounts.members import Members
from graticule.services.accounts.organisations import Organisations
from graticule.services.accounts.passwords import Passwords
from graticule.services.accounts.throttle import Throttle
from graticule.services.events.audit import Audit
from support.clock import Clock

RING = Keyring.from_keys([("k1", b"k" * 32)])
TOKEN_LIFETIME_S = 3600
SESSION_IDLE_S = 3600
SESSION_LIFETIME_S = 86_400
QUICK_HASHING = PasswordHashing(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
"""What the real one costs is no test's business but one's."""


@dataclass(frozen=True)
class Accounts:
    organisations: Organisations
    members: Members
    api_keys: ApiKeys
    authentication: Authentication
    access_tokens: AccessTokens
    activity: Activity
    throttle: Throttle
    audit: Audit
    passwords: Passwords
    sessions: BrowserSessions
    devices: Devices
    issuers: Issuers

    def key_for(self, principal: Principal, **options: object) -> NewKey:
        return self.api_keys.create(principal, name="a key", **options)[1]

    def set_password(self, organisation: str, member: str, password: Secret) -> None:
        link = self.passwords.create_link_for(organisation, member)
        self.passwords.use_link(link.token.reveal(), password)

    def token_of(self, key: NewKey, scope: str | None = None) -> str:
        return self.access_tokens.issue(key.client_id, key.client_secret.reveal(), scope)[0]


def process(database: Engine, clock: Clock, keyring: Keyring = RING) -> Accounts:
    """A server process of its own, with caches of its own."""
    activity = Activity(database, now_ms=clock)
    fetcher = Fetcher(Outbound(OutboundPolicy(allow_private=True)))
    issuers = Issuers(database, keyring, IssuerDocuments(fetcher, now_ms=clock), now_ms=clock)
    authentication = Authentication(
        database, keyring, activity, issuers, now_ms=clock, session_idle_s=SESSION_IDLE_S
    )
    throttle = Throttle(database, now_ms=clock)
    audit = Audit(database, now_ms=clock, retention_days=1)
    return Accounts(
        organisations=Organisations(database, now_ms=clock),
        members=Members(database, authentication, now_ms=clock),
        api_keys=ApiKeys(database, authentication, now_ms=clock),
        authentication=authentication,
        access_tokens=AccessTokens(
            keyring, authentication, audit, now_ms=clock, lifetime_s=TOKEN_LIFETIME_S
        ),
        activity=activity,
        throttle=throttle,
        audit=audit,
        passwords=Passwords(
            database, authentication, throttle, audit, now_ms=clock, hashing=QUICK_HASHING
        ),
        sessions=BrowserSessions(
            database,
            authentication,
            now_ms=clock,
            idle_s=SESSION_IDLE_S,
            lifetime_s=SESSION_LIFETIME_S,
        ),
        devices=Devices(database, now_ms=clock),
        issuers=issuers,
    )


def bearer(key: NewKey) -> str:
    return f"{key.client_id}.{key.client_secret.reveal()}"


@pytest.fixture
def accounts(database: Engine, clock: Clock) -> Accounts:
    return process(database, clock)


@pytest.fixture
def first_key(accounts: Accounts) -> NewKey:
    """The first admin's."""
    key = accounts.organisations.bootstrap()
    assert key is not None
    return key


@pytest.fixture
def admin(accounts: Accounts, first_key: NewKey) -> Principal:
    return accounts.authentication.of_bearer(bearer(first_key))
