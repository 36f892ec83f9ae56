"""Storage integrations in SQL.  Functions over a connection.

Secret access keys are sealed on their way in and opened on their way out, bound to their row.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, delete, exists, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from graticule.access.keyring import Keyring
from graticule.db.engine import serialise_on, violates
from graticule.db.schema import catalogs, storage_integrations
from graticule.domain.catalog import (
    AccessKeys,
    BucketType,
    StorageIntegration,
    VerificationStatus,
)
from graticule.domain.errors import AlreadyExists, InUse
from graticule.domain.location import Location
from graticule.domain.verification import Neighbour, Surroundings, Trigger

Json = dict[str, Any]
_t = storage_integrations

CATALOGS_NAMED_MAX: Final = 20
"""In the refusal to delete or move an integration that catalogs use."""

_ANONYMOUS: Final = ""
"""Stands as the access key id of an integration that has neither keys nor a role."""


def create(conn: Connection, keyring: Keyring, integration: StorageIntegration) -> None:
    """Insert an integration.

    Raises:
        AlreadyExists: the organisation has the name, the bucket, or somebody has the role.
    """
    _claim_role(conn, integration)
    with _taken(integration):
        conn.execute(
            insert(_t).values(
                id=integration.id,
                organisation_id=integration.organisation_id,
                created_at_ms=integration.created_at_ms,
                **_described(keyring, integration),
            )
        )


def update_described(
    conn: Connection, keyring: Keyring, integration: StorageIntegration, *, expected_version: int
) -> bool:
    """Replace what is said of an integration, if it still has this version.  False if not.

    One that was verified before, and is not any more, is due to be verified at once.

    Raises:
        AlreadyExists: as for `create`.
        InUse: it is to lie elsewhere, and catalogs use it.
    """
    # Held first: a catalog that is made meanwhile is then either seen below, or has to wait.
    held = select(_t).where(_t.c.id == integration.id, _t.c.version == expected_version)
    row = conn.execute(held.with_for_update()).one_or_none()
    if row is None:
        return False
    if Location(row.bucket, row.key) != integration.location:
        _refuse_used(conn, integration.id, "its path cannot change")
    _claim_role(conn, integration)
    values = _described(keyring, integration)
    if integration.verification_status is VerificationStatus.STALE:
        values |= {"verify_at_ms": 0, "verify_because": Trigger.CHANGED}
    with _taken(integration):
        conn.execute(update(_t).where(_t.c.id == integration.id).values(values))
    return True


def _claim_role(conn: Connection, integration: StorageIntegration) -> None:
    if integration.role_arn is not None:
        serialise_on(conn, f"role {integration.role_arn}")
        refuse_role_of_others(conn, integration)


def _described(keyring: Keyring, integration: StorageIntegration) -> Json:
    keys = integration.access_keys
    return {
        "name": integration.name,
        "bucket": integration.location.bucket,
        "key": integration.location.key,
        "region": integration.region,
        "endpoint": integration.endpoint or "",
        "path_style": integration.path_style,
        "role_arn": integration.role_arn,
        "access_key_id": _stored_key_id(integration),
        "sealed_secret_access_key": (
            keyring.seal(keys.secret_access_key, bound_to=_place(integration.id)) if keys else None
        ),
        "kms_key_arn": integration.kms_key_arn,
        "read_only": integration.read_only,
        "requester_pays": integration.requester_pays,
        "allow_static_credentials": integration.allow_static_credentials,
        "bucket_type": integration.bucket_type,
        "version": integration.version,
        "verified_at_ms": integration.verified_at_ms,
        "verification_status": integration.verification_status,
    }


@contextmanager
def _taken(integration: StorageIntegration) -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        if violates(error, _t, "organisation_id", "name"):
            raise AlreadyExists(f"storage integration `{integration.name}` exists") from error
        if violates(error, _t, "organisation_id", "endpoint", "bucket"):
            raise AlreadyExists(
                f"a storage integration for the bucket `{integration.location.bucket}` exists; "
                "there is one per bucket, and catalogs can use folders of it"
            ) from error
        raise


def load(conn: Connection, keyring: Keyring, integration_id: str) -> StorageIntegration | None:
    """By id alone: for services that come from a catalog they already allowed."""
    return _one(conn, keyring, select(_t).where(_t.c.id == integration_id))


def find(
    conn: Connection, keyring: Keyring, organisation_id: str, id_or_name: str
) -> StorageIntegration | None:
    """An integration of this organisation; an id wins over a name."""
    query = select(_t).where(
        _t.c.organisation_id == organisation_id,
        or_(_t.c.id == id_or_name, _t.c.name == id_or_name),
    )
    return _one(conn, keyring, query.order_by(_t.c.id != id_or_name).limit(1))


def page(
    conn: Connection, keyring: Keyring, organisation_id: str, *, after: str | None, limit: int
) -> list[StorageIntegration]:
    query = select(_t).where(_t.c.organisation_id == organisation_id)
    if after is not None:
        query = query.where(_t.c.id > after)
    rows = conn.execute(query.order_by(_t.c.id).limit(limit))
    return [_integration(keyring, row) for row in rows]


def surroundings(conn: Connection, integration: StorageIntegration) -> Surroundings:
    """What the organisation has on the same bucket, and what lies in the integration."""
    same_bucket = select(_t.c.name, _t.c.bucket, _t.c.key).where(
        _t.c.organisation_id == integration.organisation_id,
        _t.c.endpoint == (integration.endpoint or ""),
        _t.c.bucket == integration.location.bucket,
        _t.c.id != integration.id,
    )
    inside = select(catalogs.c.name, catalogs.c.location).where(
        catalogs.c.integration_id == integration.id
    )
    return Surroundings(
        tuple(
            Neighbour(row.name, Location(row.bucket, row.key).uri)
            for row in conn.execute(same_bucket)
        ),
        tuple(Neighbour(row.name, row.location) for row in conn.execute(inside)),
    )


def refuse_role_of_others(conn: Connection, integration: StorageIntegration) -> None:
    """Raises AlreadyExists if another organisation has the role.  Says neither whose nor where."""
    role_arn = integration.role_arn
    if role_arn is None:
        return
    others = _t.c.organisation_id != integration.organisation_id
    if conn.execute(
        select(exists(select(_t.c.id).where(_t.c.role_arn == role_arn, others)))
    ).scalar():
        raise AlreadyExists(
            f"the role `{role_arn}` cannot be used here; create a role for this organisation"
        )


def keep_findings(
    conn: Connection,
    integration: StorageIntegration,
    *,
    passed: bool,
    bucket_type: BucketType,
    requester_pays: bool,
    now_ms: int,
    verify_at_ms: int | None,
) -> bool:
    """Keep what a verification found, unless the integration has changed since.  Atomic.

    The version grows only with the bucket's type and who pays: nothing that credentials depend on
    has changed otherwise.  `verify_at_ms` is when to look again, None for never.
    """
    found = (bucket_type, requester_pays)
    known = (integration.bucket_type, integration.requester_pays)
    grows = 1 if found != known else 0
    status = VerificationStatus.PASSED if passed else VerificationStatus.FAILED
    keep = update(_t).where(_t.c.id == integration.id, _t.c.version == integration.version)
    values = {
        "verification_status": status,
        "verified_at_ms": now_ms,
        "verify_at_ms": verify_at_ms,
        "verify_because": Trigger.SCHEDULED,
        "bucket_type": bucket_type,
        "requester_pays": requester_pays,
        "version": integration.version + grows,
    }
    return conn.execute(keep.values(values)).rowcount == 1


def lease_due(conn: Connection, *, now_ms: int, until_ms: int) -> tuple[str, Trigger] | None:
    """Take the integration that is due longest to be verified: its id, and why.

    Nobody else takes it before `until_ms`.
    """
    due = (
        select(_t.c.id, _t.c.verify_because)
        .where(_t.c.verify_at_ms <= now_ms)
        .order_by(_t.c.verify_at_ms, _t.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = conn.execute(due).one_or_none()
    if row is None:
        return None
    conn.execute(update(_t).where(_t.c.id == row.id).values(verify_at_ms=until_ms))
    return row.id, Trigger(row.verify_because or Trigger.SCHEDULED)


def doubt(conn: Connection, integration_id: str, *, now_ms: int) -> bool:
    """Have an integration that passed verified soon: the store has refused something.

    False if it is not known to work, or due anyway.
    """
    doubted = update(_t).where(
        _t.c.id == integration_id,
        _t.c.verification_status == VerificationStatus.PASSED,
        or_(_t.c.verify_at_ms.is_(None), _t.c.verify_at_ms > now_ms),
    )
    values = {"verify_at_ms": now_ms, "verify_because": Trigger.REFUSED}
    return conn.execute(doubted.values(values)).rowcount == 1


def remove(conn: Connection, integration_id: str) -> bool:
    """Delete an integration that no catalog uses, decided in one statement.  False if it is gone.

    Raises:
        InUse: catalogs use it.
    """
    used = exists().where(catalogs.c.integration_id == _t.c.id)
    try:
        gone = conn.execute(delete(_t).where(_t.c.id == integration_id, ~used)).rowcount == 1
    except IntegrityError as error:  # a catalog was created meanwhile: the foreign key holds it
        raise InUse("catalogs use this storage integration; delete them first") from error
    if not gone:
        _refuse_used(conn, integration_id, "delete them first")
    return gone


def _refuse_used(conn: Connection, integration_id: str, way_out: str) -> None:
    """Raises InUse while catalogs use the integration, naming as many as a sentence bears."""
    using = catalogs.c.integration_id == integration_id
    query = select(catalogs.c.name).where(using).order_by(catalogs.c.name)
    names = list(conn.execute(query.limit(CATALOGS_NAMED_MAX)).scalars())
    if not names:
        return
    count = conn.execute(select(func.count()).select_from(catalogs).where(using)).scalar_one()
    named = ", ".join(f"`{name}`" for name in names)
    more = f" and {count - len(names)} more" if count > len(names) else ""
    raise InUse(f"catalogs use this storage integration; {way_out}: {named}{more}")


def _one(conn: Connection, keyring: Keyring, query: Select[Any]) -> StorageIntegration | None:
    row = conn.execute(query).one_or_none()
    return _integration(keyring, row) if row is not None else None


def _integration(keyring: Keyring, row: Row[Any]) -> StorageIntegration:
    keys = None
    if row.access_key_id not in {None, _ANONYMOUS}:
        secret = keyring.open(row.sealed_secret_access_key, bound_to=_place(row.id))
        keys = AccessKeys(row.access_key_id, secret)
    return StorageIntegration(
        id=row.id,
        organisation_id=row.organisation_id,
        name=row.name,
        location=Location(row.bucket, row.key),
        region=row.region,
        endpoint=row.endpoint or None,
        path_style=row.path_style,
        role_arn=row.role_arn,
        access_keys=keys,
        external_id=row.organisation_id,
        bucket_type=BucketType(row.bucket_type),
        version=row.version,
        created_at_ms=row.created_at_ms,
        verified_at_ms=row.verified_at_ms,
        kms_key_arn=row.kms_key_arn,
        read_only=row.read_only,
        requester_pays=row.requester_pays,
        allow_static_credentials=row.allow_static_credentials,
        verification_status=VerificationStatus(row.verification_status),
    )


def _stored_key_id(integration: StorageIntegration) -> str | None:
    if integration.access_keys is not None:
        return integration.access_keys.access_key_id
    return _ANONYMOUS if integration.is_anonymous else None


def _place(integration_id: str) -> str:
    return f"storage_integrations:{integration_id}:secret_access_key"
