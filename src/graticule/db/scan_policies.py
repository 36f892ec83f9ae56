"""Policies of scans in SQL.  Functions over a connection; services open and commit."""

import json

from sqlalchemy import Connection, delete, insert, select

from graticule.db.schema import scan_policies
from graticule.domain.scan import ScanPolicy


def load(conn: Connection, catalog_id: str) -> ScanPolicy:
    """A catalog's policy; one that passes over nothing and asks about all until it has one."""
    row = conn.execute(
        select(scan_policies).where(scan_policies.c.catalog_id == catalog_id)
    ).one_or_none()
    if row is None:
        return ScanPolicy()
    return ScanPolicy(tuple(json.loads(row.ignored)), row.auto_approve)


def save(conn: Connection, catalog_id: str, policy: ScanPolicy) -> None:
    """Put a policy in the place of the one before."""
    conn.execute(delete(scan_policies).where(scan_policies.c.catalog_id == catalog_id))
    conn.execute(
        insert(scan_policies).values(
            catalog_id=catalog_id,
            ignored=json.dumps(policy.ignored),
            auto_approve=policy.auto_approve,
        )
    )
