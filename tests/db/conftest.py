"""A catalog with one namespace in each database: what tests on tables, views and functions need."""

import pytest
from sqlalchemy import Engine

from graticule.access.keyring import Keyring
from graticule.db import catalogs, integrations, namespaces, organisations
from graticule.db.engine import write
from graticule.domain.catalog import BucketType, Catalog, NamespaceRecord, StorageIntegration
from graticule.domain.identifiers import Namespace
from graticule.domain.location import Location
from graticule.domain.tenancy import Edition, Organisation

NOW = 1_790_000_000_000


@pytest.fixture
def namespace(database: Engine) -> NamespaceRecord:
    """`a.b` in the catalog `c`, which `database` holds from now on."""
    integration = StorageIntegration(
        id="i",
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
    parent = NamespaceRecord("p", "c", Namespace(("a",)), {}, NOW)
    child = NamespaceRecord("n", "c", Namespace(("a", "b")), {}, NOW)
    with write(database) as conn:
        organisations.create(conn, Organisation("o", "o", Edition.ENTERPRISE, NOW))
        integrations.create(conn, Keyring.from_keys([("k", b"k" * 32)]), integration)
        catalogs.create(conn, Catalog("c", "o", "i", "c", Location("lake", "c"), {}, NOW))
        namespaces.create(conn, parent)
        namespaces.create(conn, child)
    return child
