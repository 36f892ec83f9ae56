"""Run by Alembic for every migration command, on the connection that `db/upgrade.py` opened."""

from alembic import context
from sqlalchemy import Connection

from graticule.db.schema import metadata


def run() -> None:
    conn: Connection | None = context.config.attributes.get("connection")
    if conn is None:
        raise RuntimeError("migrations run through `graticule database upgrade`")
    context.configure(
        connection=conn,
        target_metadata=metadata,
        # SQLite changes a table by copying it; Alembic writes the copy when told to batch.
        render_as_batch=conn.dialect.name == "sqlite",
    )
    context.run_migrations()


run()
