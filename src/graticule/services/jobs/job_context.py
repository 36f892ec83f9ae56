"""What a job acts on and as, found again when it is carried out, later and by another process."""

from sqlalchemy import Connection, Engine

from graticule.access.keyring import Keyring
from graticule.db import catalogs as catalogs_db
from graticule.db import integrations as integrations_db
from graticule.db.engine import read
from graticule.domain.catalog import OpenCatalog
from graticule.domain.errors import NoSuchCatalog
from graticule.domain.job import Job
from graticule.domain.tenancy import ALL_SCOPES, Edition, Principal, Role


def find_catalog(
    conn: Connection, keyring: Keyring, organisation_id: str, catalog_id: str
) -> OpenCatalog | None:
    """A catalog with its integration; None if it was deleted."""
    catalog = catalogs_db.load(conn, organisation_id, catalog_id)
    if catalog is None:
        return None
    integration = integrations_db.load(conn, keyring, catalog.integration_id)
    return None if integration is None else OpenCatalog(catalog, integration)


def catalog_of(engine: Engine, keyring: Keyring, job: Job) -> OpenCatalog:
    """The catalog that a job is about.

    Raises:
        NoSuchCatalog: it was deleted since.
    """
    with read(engine) as conn:
        catalog = find_catalog(conn, keyring, job.organisation_id, job.subject_id)
    if catalog is None:
        raise NoSuchCatalog("the catalog was deleted")
    return catalog


def as_server(organisation_id: str, name: str, *, member_id: str = "") -> Principal:
    """The server itself, on behalf of the admin who asked for something, or made its schedule."""
    return Principal(
        organisation_id=organisation_id,
        member_id=member_id,
        name=name,
        edition=Edition.COMMUNITY,  # decides nothing here
        role=Role.ADMIN,
        scopes=ALL_SCOPES,
        key_id="",
    )


def on_behalf_of(job: Job) -> Principal:
    """Who asked for a job that takes an admin."""
    member_id = str(job.parameters.get("member_id") or "")
    return as_server(job.organisation_id, job.requested_by, member_id=member_id)
