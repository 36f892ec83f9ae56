"""Slows down who guesses passwords, per account and per address, over all replicas together."""

import hashlib
from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, Engine

from graticule.access.throttling import (
    ACCOUNT_FAILURES_FREE,
    ADDRESS_FAILURES_FREE,
    FORGOTTEN_AFTER_MS,
    Attempts,
    address_group,
    after_failure,
)
from graticule.db import sign_in_attempts as attempts_db
from graticule.db.engine import serialise_on, transact, write
from graticule.domain.errors import TooManyAttempts

SUBJECTS_MAX: Final = 100_000
"""Remembered at most.  What an attacker invents beyond that pushes out what is oldest."""


class Throttle:
    def __init__(self, engine: Engine, *, now_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._now_ms = now_ms

    def begin(self, *, account: str, address: str) -> None:
        """Count an attempt as failed before it is made, so that many at once do not slip by.

        Raises:
            TooManyAttempts: the account or the address has to wait; nothing was counted.
        """
        limits = (
            (_account(account), ACCOUNT_FAILURES_FREE),
            (_address(address), ADDRESS_FAILURES_FREE),
        )

        def count(conn: Connection) -> None:
            now_ms = self._now_ms()
            seen: list[tuple[str, int, Attempts | None]] = []
            for subject, free in limits:
                serialise_on(conn, f"sign-in {subject}")
                before = attempts_db.load(conn, subject)
                if before is not None and before.blocked_until_ms > now_ms:
                    raise _too_many(before.blocked_until_ms - now_ms)
                seen.append((subject, free, before))
            for subject, free, before in seen:
                attempts = after_failure(before, free=free, now_ms=now_ms)
                attempts_db.store(conn, subject, attempts)

        transact(self._engine, count)

    def succeeded(self, *, account: str, address: str) -> None:
        """Forget the account's failures, and take back the one counted for the address."""
        subject = _address(address)

        def forget(conn: Connection) -> None:
            attempts_db.forget(conn, _account(account))
            serialise_on(conn, f"sign-in {subject}")
            before = attempts_db.load(conn, subject)
            if before is not None:
                fewer = Attempts(max(0, before.failures - 1), before.blocked_until_ms)
                attempts_db.store(conn, subject, fewer)

        transact(self._engine, forget)

    def forgive(self, account: str) -> None:
        """Let an account try again at once: it has got another password."""
        with write(self._engine) as conn:
            attempts_db.forget(conn, _account(account))

    def prune(self) -> None:
        with write(self._engine) as conn:
            attempts_db.prune(
                conn,
                blocked_before_ms=self._now_ms() - FORGOTTEN_AFTER_MS,
                rows_max=SUBJECTS_MAX,
            )


def account_of(organisation_id: str, name: str) -> str:
    """What counts as one account, whether anybody has it or not."""
    return f"{organisation_id}/{name}"


def _account(account: str) -> str:
    return hashlib.sha256(f"account {account}".encode()).hexdigest()


def _address(address: str) -> str:
    return hashlib.sha256(f"address {address_group(address)}".encode()).hexdigest()


def _too_many(wait_ms: int) -> TooManyAttempts:
    wait_s = -(-wait_ms // 1000)
    return TooManyAttempts(
        f"too many attempts to sign in; try again in {wait_s} s", retry_after_s=wait_s
    )
