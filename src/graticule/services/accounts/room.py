"""What is built in this room: who uses the server, how they show it, what they were granted."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine

from graticule.access.keyring import Keyring
from graticule.outbound.fetch import Fetcher
from graticule.services.accounts.access_tokens import AccessTokens
from graticule.services.accounts.activity import Activity
from graticule.services.accounts.api_keys import ApiKeys
from graticule.services.accounts.authentication import Authentication
from graticule.services.accounts.browser_sessions import BrowserSessions
from graticule.services.accounts.devices import Devices
from graticule.services.accounts.grants import Grants
from graticule.services.accounts.issuer_documents import IssuerDocuments
from graticule.services.accounts.issuer_sign_in import IssuerSignIn
from graticule.services.accounts.issuers import Issuers
from graticule.services.accounts.members import Members
from graticule.services.accounts.organisations import Organisations
from graticule.services.accounts.passwords import Passwords
from graticule.services.accounts.roles import Roles
from graticule.services.accounts.sealed_secrets import SealedSecrets
from graticule.services.accounts.throttle import Throttle
from graticule.services.events.audit import Audit


@dataclass(frozen=True, kw_only=True)
class AccountsRoom:
    organisations: Organisations
    members: Members
    api_keys: ApiKeys
    authentication: Authentication
    access_tokens: AccessTokens
    activity: Activity
    throttle: Throttle
    passwords: Passwords
    sessions: BrowserSessions
    devices: Devices
    issuers: Issuers
    issuer_sign_in: IssuerSignIn
    roles: Roles
    grants: Grants


def open_accounts(
    engine: Engine,
    keyring: Keyring,
    audit: Audit,
    *,
    now_ms: Callable[[], int],
    fetcher: Fetcher,
    on_grants: Callable[[], None],
    session_idle_s: int,
    session_lifetime_s: int,
    token_lifetime_s: int,
) -> AccountsRoom:
    """`on_grants` is called when what somebody may do has changed.

    Raises:
        Unavailable: secrets in the database open with no key of the ring.
    """
    documents = IssuerDocuments(fetcher, now_ms=now_ms)
    issuers = Issuers(engine, keyring, documents, now_ms=now_ms)
    activity = Activity(engine, now_ms=now_ms)
    authentication = Authentication(
        engine, keyring, activity, issuers, now_ms=now_ms, session_idle_s=session_idle_s
    )
    throttle = Throttle(engine, now_ms=now_ms)
    SealedSecrets(engine, keyring).check()
    return AccountsRoom(
        organisations=Organisations(engine, now_ms=now_ms),
        members=Members(engine, authentication, now_ms=now_ms),
        api_keys=ApiKeys(engine, authentication, now_ms=now_ms),
        authentication=authentication,
        access_tokens=AccessTokens(
            keyring, authentication, audit, now_ms=now_ms, lifetime_s=token_lifetime_s
        ),
        activity=activity,
        throttle=throttle,
        passwords=Passwords(engine, authentication, throttle, audit, now_ms=now_ms),
        sessions=BrowserSessions(
            engine,
            authentication,
            now_ms=now_ms,
            idle_s=session_idle_s,
            lifetime_s=session_lifetime_s,
        ),
        devices=Devices(engine, now_ms=now_ms),
        issuers=issuers,
        issuer_sign_in=IssuerSignIn(keyring, issuers, documents, fetcher, now_ms=now_ms),
        roles=Roles(engine, now_ms=now_ms, on_change=on_grants),
        grants=Grants(engine, now_ms=now_ms, on_change=on_grants),
    )
