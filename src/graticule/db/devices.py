"""Command lines that wait to be signed in, in SQL.  Functions over a connection."""

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from graticule.db.api_keys import scopes_of, scopes_text
from graticule.db.engine import violates
from graticule.db.schema import devices
from graticule.domain.errors import AlreadyExists
from graticule.domain.tenancy import Device, DeviceState, Scope


def create(conn: Connection, device: Device) -> None:
    """Insert a device.

    Raises:
        AlreadyExists: the user code is in use.
    """
    try:
        conn.execute(
            insert(devices).values(
                code_hash=device.code_hash,
                user_code=device.user_code,
                name=device.name,
                state=device.state,
                member_id=device.member_id,
                scopes=scopes_text(device.scopes),
                created_at_ms=device.created_at_ms,
                polled_at_ms=device.polled_at_ms,
                expires_at_ms=device.expires_at_ms,
            )
        )
    except IntegrityError as error:
        if violates(error, devices, "user_code"):
            raise AlreadyExists("the user code is in use") from error
        raise


def count(conn: Connection) -> int:
    return conn.execute(select(func.count()).select_from(devices)).scalar_one()


def load(
    conn: Connection, *, code_hash: str | None = None, user_code: str | None = None
) -> Device | None:
    """A device by its own code or by the one its user types."""
    query = select(devices)
    if code_hash is not None:
        query = query.where(devices.c.code_hash == code_hash)
    else:
        query = query.where(devices.c.user_code == user_code)
    row = conn.execute(query).one_or_none()
    if row is None:
        return None
    return Device(
        code_hash=row.code_hash,
        user_code=row.user_code,
        name=row.name,
        state=DeviceState(row.state),
        member_id=row.member_id,
        scopes=scopes_of(row.scopes),
        created_at_ms=row.created_at_ms,
        polled_at_ms=row.polled_at_ms,
        expires_at_ms=row.expires_at_ms,
    )


def decide(
    conn: Connection,
    user_code: str,
    *,
    state: DeviceState,
    member_id: str,
    scopes: frozenset[Scope],
) -> bool:
    """Approve or deny a device that waits; False if none does."""
    statement = update(devices).where(
        devices.c.user_code == user_code, devices.c.state == DeviceState.PENDING
    )
    values = {"state": state, "member_id": member_id, "scopes": scopes_text(scopes)}
    return conn.execute(statement.values(values)).rowcount == 1


def note_poll(conn: Connection, code_hash: str, *, now_ms: int) -> None:
    conn.execute(
        update(devices).where(devices.c.code_hash == code_hash).values(polled_at_ms=now_ms)
    )


def take(conn: Connection, code_hash: str) -> bool:
    """Remove a device; True for exactly one caller."""
    return conn.execute(delete(devices).where(devices.c.code_hash == code_hash)).rowcount == 1


def remove_expired(conn: Connection, *, now_ms: int) -> None:
    conn.execute(delete(devices).where(devices.c.expires_at_ms <= now_ms))
