"""The table that a job of the index or of boxes is about, as it is when the job is carried out."""

from sqlalchemy import Engine

from graticule.access.keyring import Keyring
from graticule.db import tables as tables_db
from graticule.db.engine import read
from graticule.domain.job import Job
from graticule.services.catalog.documents import Documents
from graticule.services.catalog.wanted_indexes import Table
from graticule.services.jobs.job_context import find_catalog


def table_of(engine: Engine, keyring: Keyring, documents: Documents, job: Job) -> Table | None:
    """None if it was dropped since, or its catalog deleted."""
    with read(engine) as conn:
        record = tables_db.load_by_id(conn, job.subject_id)
        if record is None:
            return None
        catalog = find_catalog(conn, keyring, job.organisation_id, record.catalog_id)
    if catalog is None:
        return None
    return Table(catalog, record, documents.parsed(record, catalog.integration))
