"""Rows that database tests stand on: an organisation, an integration, a catalog, a namespace."""

from sqlalchemy import Connection, Engine

from graticule.access.keyring import Keyring
from graticule.db import catalogs, integrations, namespaces, organisations
from graticule.db.engine import write
from graticule.domain.catalog import (
    BucketType,
    Catalog,
    NamespaceRecord,
    StorageIntegration,
    TableRecord,
)
from graticule.domain.identifiers import Namespace, TableIdentifier
from graticule.domain.location import Location
from graticule.domain.tenancy import Edition, Organisation

NOW = 1_790_000_000_000
CATALOG = "c"
INTEGRATION = "i"


def create_catalogs(conn: Connection, *names: str) -> None:
    """Catalogs of these names, which are their ids as well, on integration `i`."""
    organisations.create(conn, Organisation("o", "o", Edition.ENTERPRISE, NOW))
    integration = StorageIntegration(
        id=INTEGRATION,
        organisation_id="o",
        name="i",
        location=Location("lake", ""),
        region="eu-central-1",
        endpoint=None,
        path_style=False,
        role_arn="arn:aws:iam::123456789012:role/lake",
        access_keys=None,
        external_id="o",
        bucket_type=BucketType.PRIVATE,
        version=1,
        created_at_ms=NOW,
    )
    integrations.create(conn, Keyring.from_keys([("k", b"k" * 32)]), integration)
    for name in names:
        location = Location("lake", name)
        catalogs.create(conn, Catalog(name, "o", INTEGRATION, name, location, {}, NOW))


def with_catalog(database: Engine) -> None:
    """Catalog `c` on integration `i`, with namespace `ns`."""
    with write(database) as conn:
        create_catalogs(conn, CATALOG)
        namespaces.create(conn, NamespaceRecord("n", CATALOG, Namespace(("ns",)), {}, NOW))


def record_at(name: str, *, sources: tuple[str, ...] = ()) -> TableRecord:
    """A table `ns.<name>` below the catalog's root; its id is its name."""
    location = Location("lake", f"{CATALOG}/{name}")
    return TableRecord(
        id=name,
        catalog_id=CATALOG,
        namespace_id="n",
        identifier=TableIdentifier(Namespace(("ns",)), name),
        table_uuid=f"uuid of {name}",
        location=location,
        metadata_location=f"{location}/metadata/00000-x.metadata.json",
        version=0,
        created_at_ms=NOW,
        updated_at_ms=NOW,
        sources=sources,
    )
