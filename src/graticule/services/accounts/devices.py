"""Signing in a command line through a browser elsewhere (RFC 8628); this server is the issuer.

What the device gets is an API key of whoever approved it: listed, expiring, revocable like others.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy import Connection, Engine

from graticule.access import tokens
from graticule.access.policy import Action, require
from graticule.access.tokens import NewKey
from graticule.db import devices as devices_db
from graticule.db import members as members_db
from graticule.db.engine import read, transact, write
from graticule.domain.errors import (
    AccessDenied,
    AuthorizationPending,
    ExpiredDevice,
    NoSuchDevice,
    Overloaded,
    SlowDown,
)
from graticule.domain.secret import Secret
from graticule.domain.tenancy import Device, DeviceState, Principal
from graticule.services.accounts.account_events import as_member
from graticule.services.accounts.api_keys import store_key

log = structlog.get_logger(__name__)

CODE_LIFETIME_S: Final = 15 * 60
POLL_INTERVAL_S: Final = 5
KEY_LIFETIME_S: Final = 30 * 86_400
"""After this long the command line has to sign in again."""
DEVICES_MAX: Final = 10_000
"""That wait at once: anybody may ask for a code."""
NAME_CHARACTERS_MAX: Final = 64

_DEVICE_PREFIX: Final = "gdev_"
_LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""No vowels, so that no code is a word; no digits, so that none is mistaken."""
_GROUP_LETTERS: Final = 4


@dataclass(frozen=True, slots=True)
class NewDevice:
    """A device at the one moment when its code is known."""

    code: Secret
    user_code: str


class Devices:
    def __init__(self, engine: Engine, *, now_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._now_ms = now_ms

    def start(self, name: str) -> NewDevice:
        """A code for a device that calls itself `name`, and one for its user to type.

        Raises:
            Overloaded: too many devices wait already.
        """
        new = NewDevice(tokens.new_secret(_DEVICE_PREFIX), _new_user_code())
        now_ms = self._now_ms()
        shown = "".join(letter for letter in name if letter.isprintable()).strip()
        device = Device(
            code_hash=tokens.hash_secret(new.code.reveal()),
            user_code=new.user_code,
            name=shown[:NAME_CHARACTERS_MAX] or "a device",
            state=DeviceState.PENDING,
            member_id=None,
            scopes=frozenset(),
            created_at_ms=now_ms,
            polled_at_ms=None,
            expires_at_ms=now_ms + CODE_LIFETIME_S * 1000,
        )

        def create(conn: Connection) -> None:
            devices_db.remove_expired(conn, now_ms=now_ms)
            if devices_db.count(conn) >= DEVICES_MAX:
                raise Overloaded(
                    "too many devices wait to be signed in", retry_after_s=POLL_INTERVAL_S
                )
            devices_db.create(conn, device)

        transact(self._engine, create)
        return new

    def waiting(self, principal: Principal, user_code: str) -> Device:
        """The device that shows this code, for the user to recognise.

        Raises:
            NoSuchDevice: none does.
        """
        require(principal, Action.MANAGE_OWN_ACCOUNT)
        with read(self._engine) as conn:
            device = devices_db.load(conn, user_code=normalised_code(user_code))
        if (
            device is None
            or device.state is not DeviceState.PENDING
            or device.expires_at_ms <= self._now_ms()
        ):
            raise NoSuchDevice("no device waits with this code; it may have expired")
        return device

    def decide(self, principal: Principal, user_code: str, *, approve: bool) -> Device:
        """Let a device act as the caller, or not.

        Raises:
            NoSuchDevice: none waits with this code.
        """
        device = self.waiting(principal, user_code)
        state = DeviceState.APPROVED if approve else DeviceState.DENIED

        is_decided = transact(
            self._engine,
            devices_db.decide,
            device.user_code,
            state=state,
            member_id=principal.member_id,
            scopes=principal.scopes,
        )
        if not is_decided:
            raise NoSuchDevice("no device waits with this code; it may have expired")
        log.info("device decided", state=state, member_id=principal.member_id)
        return device

    def poll(self, code: str) -> NewKey:
        """The device's key, once somebody approved it; exactly one caller gets it.

        Raises:
            AuthorizationPending: nobody has decided yet.
            SlowDown: asked again before `POLL_INTERVAL_S` were over.
            AccessDenied: somebody refused, or the member is disabled.
            ExpiredDevice: unknown, used, or too old.
        """
        new = tokens.new_key()
        refusal = transact(self._engine, self._poll, tokens.hash_secret(code), new)
        if refusal is not None:
            raise refusal
        log.info("device signed in", key_id=new.client_id)
        return new

    def _poll(self, conn: Connection, code_hash: str, new: NewKey) -> Exception | None:
        """Why there is no key; returned, since that the device has asked is to be kept."""
        now_ms = self._now_ms()
        device = devices_db.load(conn, code_hash=code_hash)
        if device is None or device.expires_at_ms <= now_ms:
            return ExpiredDevice("the code is unknown, was used, or is too old")
        if device.state is DeviceState.PENDING:
            devices_db.note_poll(conn, code_hash, now_ms=now_ms)
            since_ms = now_ms - (device.polled_at_ms or 0)
            if since_ms < POLL_INTERVAL_S * 1000:
                return SlowDown(f"ask every {POLL_INTERVAL_S} seconds")
            return AuthorizationPending("nobody has approved this device yet")
        if not devices_db.take(conn, code_hash):
            return ExpiredDevice("the code is unknown, was used, or is too old")
        return self._make_key(conn, device, new, now_ms)

    @staticmethod
    def _make_key(
        conn: Connection, device: Device, new: NewKey, now_ms: int
    ) -> AccessDenied | None:
        found = members_db.load_by_id(conn, device.member_id or "")
        if device.state is DeviceState.DENIED or found is None:
            return AccessDenied("this device was refused")
        member, _ = found
        if member.disabled_at_ms is not None:
            return AccessDenied("this device was refused")
        store_key(
            conn,
            as_member(member, credential_id=new.client_id),
            new,
            member,
            name=f"signed in: {device.name}",
            scopes=device.scopes,
            now_ms=now_ms,
            lifetime_s=KEY_LIFETIME_S,
        )
        return None

    def remove_expired(self) -> None:
        with write(self._engine) as conn:
            devices_db.remove_expired(conn, now_ms=self._now_ms())


def normalised_code(user_code: str) -> str:
    """A code as it is stored, however it was typed."""
    letters = "".join(letter for letter in user_code.upper() if letter in _LETTERS)
    return f"{letters[:_GROUP_LETTERS]}-{letters[_GROUP_LETTERS:]}"


def _new_user_code() -> str:
    return normalised_code("".join(secrets.choice(_LETTERS) for _ in range(2 * _GROUP_LETTERS)))
