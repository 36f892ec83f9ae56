"""Metrics reports of clients in SQL: the newest few of each table."""

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.exc import IntegrityError

from graticule.db.schema import metrics_reports as reports
from graticule.domain.errors import NoSuchTable
from graticule.domain.metrics import MetricsReport


def add(conn: Connection, report: MetricsReport, *, keep: int) -> None:
    """Keep a report, and of its table's the newest `keep` only.

    Raises:
        NoSuchTable: it was dropped meanwhile.
    """
    try:
        conn.execute(
            insert(reports).values(
                id=report.id,
                table_id=report.table_id,
                report_type=report.report_type,
                snapshot_id=report.snapshot_id,
                principal=report.principal,
                report=report.report,
                received_at_ms=report.received_at_ms,
            )
        )
    except IntegrityError as error:
        raise NoSuchTable("the table was dropped meanwhile") from error
    of_table = reports.c.table_id == report.table_id
    oldest_kept = (
        select(reports.c.id)
        .where(of_table)
        .order_by(reports.c.id.desc())
        .offset(keep - 1)
        .limit(1)
        .scalar_subquery()
    )
    conn.execute(delete(reports).where(of_table, reports.c.id < oldest_kept))


def page(conn: Connection, table_id: str, *, after: str | None, limit: int) -> list[MetricsReport]:
    """Newest first, those older than `after`."""
    query = select(reports).where(reports.c.table_id == table_id)
    if after is not None:
        query = query.where(reports.c.id < after)
    return [
        MetricsReport(
            id=row.id,
            table_id=row.table_id,
            report_type=row.report_type,
            snapshot_id=row.snapshot_id,
            principal=row.principal,
            report=row.report,
            received_at_ms=row.received_at_ms,
        )
        for row in conn.execute(query.order_by(reports.c.id.desc()).limit(limit))
    ]
