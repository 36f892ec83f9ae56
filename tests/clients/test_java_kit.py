"""Iceberg's own compatibility kit: the Java client and S3FileIO, against a live server.

The suites run as they are published (`tests/clients/java`), with nothing but vended credentials.
"""

import pytest

from support.engine_list import JAVA
from support.engine_matrix import Capability, proves
from support.java import run_junit
from support.server import LiveCatalog

pytestmark = [pytest.mark.client, pytest.mark.timeout(320)]

MOVES_THE_TABLE = {
    "testCompleteReplaceTransaction",
    "testCompleteCreateOrReplaceTransactionReplace",
}
"""They replace a table at another location and write there before the commit says so: a vended
credential opens the location that the table has.  They pass with keys of the client's own."""

NEEDS_LOCAL_FILES = {"testLoadTableWithMissingMetadataFile(Path)"}
"""They take the metadata file's `s3://…` for a path on this machine, to move it away."""

NEEDS_TABLES_WITHOUT_NAMESPACE = {
    "createAndDropEmptyNamespace",
    "listNamespacesWithEmptyNamespace",
    "listTablesInEmptyNamespace",
    "namespacePropertiesOnEmptyNamespace",
}
"""A namespace of no levels has no URL: the kit skips these for every REST catalog."""


@proves(
    JAVA,
    *(Capability.LIST, Capability.CREATE, Capability.SCHEMA, Capability.DROP),
    figure="99 tests of Iceberg's own compatibility kit pass",
)
def test_the_tables_suite_passes(catalog: LiveCatalog, tmp_path):
    report = run_junit(catalog, tmp_path, "--select-class=graticule.TableKit")
    unexpected = {
        name: why
        for name, why in report.failed.items()
        if name not in MOVES_THE_TABLE | NEEDS_LOCAL_FILES
    }
    assert unexpected == {}
    assert set(report.failed) == MOVES_THE_TABLE | NEEDS_LOCAL_FILES
    assert set(report.skipped) == NEEDS_TABLES_WITHOUT_NAMESPACE
    assert len(report.passed) == 99


def test_a_table_may_be_replaced_at_another_location_with_keys_of_the_clients_own(
    catalog: LiveCatalog, tmp_path
):
    keys = catalog.server.store.admin_keys
    selection = [f"--select-method=graticule.TableKit#{name}()" for name in MOVES_THE_TABLE]
    report = run_junit(catalog, tmp_path, *selection, own_keys=keys)
    assert report.failed == {}
    assert report.passed == MOVES_THE_TABLE


@proves(JAVA, Capability.VIEWS, figure="50 tests of the kit pass")
def test_the_views_suite_passes(catalog: LiveCatalog, tmp_path):
    report = run_junit(catalog, tmp_path, "--select-class=graticule.ViewKit")
    assert report.failed == {}
    assert set(report.skipped) == {"listViewsInEmptyNamespace"}
    assert len(report.passed) == 50


def test_the_clients_table_cache_works_with_our_etags(catalog: LiveCatalog, tmp_path):
    report = run_junit(catalog, tmp_path, "--select-class=graticule.TableCache")
    assert report.failed == {}
    assert len(report.passed) == 1


@proves(JAVA, Capability.TRANSACTIONS)
def test_several_tables_change_together_or_not_at_all(catalog: LiveCatalog, tmp_path):
    report = run_junit(catalog, tmp_path, "--select-class=graticule.Transactions")
    assert report.failed == {}
    assert report.passed == {"tablesChangeTogetherOrNotAtAll"}
