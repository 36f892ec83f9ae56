"""A catalog with one namespace in each database: what tests on tables, views and functions need."""

import pytest
from sqlalchemy import Engine

from graticule.db import namespaces
from graticule.db.engine import write
from graticule.domain.catalog import NamespaceRecord
from graticule.domain.identifiers import Namespace
from support.rows import CATALOG, NOW, create_catalogs


@pytest.fixture
def namespace(database: Engine) -> NamespaceRecord:
    """`a.b` in the catalog `c`, which `database` holds from now on."""
    parent = NamespaceRecord("p", CATALOG, Namespace(("a",)), {}, NOW)
    child = NamespaceRecord("n", CATALOG, Namespace(("a", "b")), {}, NOW)
    with write(database) as conn:
        create_catalogs(conn, CATALOG)
        namespaces.create(conn, parent)
        namespaces.create(conn, child)
    return child
