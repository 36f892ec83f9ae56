"""Objects that events said have changed, in SQL.  Functions over a connection.

Hints only: what became of an object is asked of the store.
"""

from collections.abc import Mapping

from sqlalchemy import Connection, delete, insert, select, update

from graticule.db.schema import dirty_objects as dirty

_DIGITS = 64
"""Sequencers are hexadecimal numbers whose length may differ: compared when padded on the right."""


def load(conn: Connection, catalog_id: str) -> dict[str, str]:
    """Keys with the sequencer of their newest event."""
    rows = conn.execute(
        select(dirty.c.key, dirty.c.sequencer).where(dirty.c.catalog_id == catalog_id)
    )
    return {row.key: row.sequencer for row in rows}


def mark(conn: Connection, catalog_id: str, changed: Mapping[str, str], *, now_ms: int) -> int:
    """Remember objects by key and sequencer; returns how many were not known to have changed yet.

    An event that is older than the one that is remembered changes nothing.
    """
    news = 0
    for key, sequencer in changed.items():
        own = (dirty.c.catalog_id == catalog_id) & (dirty.c.key == key)
        known = conn.execute(
            select(dirty.c.sequencer).where(own).with_for_update()
        ).scalar_one_or_none()
        if known is None:
            conn.execute(
                insert(dirty).values(
                    catalog_id=catalog_id, key=key, sequencer=sequencer, received_at_ms=now_ms
                )
            )
            news += 1
        elif is_newer(sequencer, known):
            conn.execute(update(dirty).where(own).values(sequencer=sequencer))
            news += 1
    return news


def is_newer(sequencer: str, known: str) -> bool:
    """True unless the event is one that was told of already, or an older one."""
    if not sequencer or not known:
        return True
    return sequencer.upper().ljust(_DIGITS, "0") > known.upper().ljust(_DIGITS, "0")


def forget(conn: Connection, catalog_id: str, looked_at: Mapping[str, str]) -> None:
    """Forget objects, but for those about which something newer was heard meanwhile."""
    for key, sequencer in looked_at.items():
        conn.execute(
            delete(dirty).where(
                dirty.c.catalog_id == catalog_id,
                dirty.c.key == key,
                dirty.c.sequencer == sequencer,
            )
        )


def catalogs_with_any(conn: Connection) -> list[str]:
    return list(conn.execute(select(dirty.c.catalog_id).distinct()).scalars())
