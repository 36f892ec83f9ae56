from dataclasses import replace

import pytest

from graticule.db import namespaces as namespaces_db
from graticule.db import scans as scans_db
from graticule.db.engine import write
from graticule.domain.catalog import BucketType, Catalog, NamespaceRecord, OpenCatalog
from graticule.domain.errors import (
    AlreadyExists,
    Forbidden,
    InUse,
    InvalidLocation,
    InvalidName,
    InvalidUpdate,
    NoSuchCatalog,
    NoSuchIntegration,
    NoSuchWarehouse,
    WrongState,
)
from graticule.domain.identifiers import Namespace
from graticule.domain.scan import Scan, ScanState
from graticule.services.integrations.integrations import NewIntegration
from support.principals import ANA, BEN
from support.tenants import ROLE, ZOE, verified


def test_a_catalog_lies_in_a_folder_that_no_name_enters(catalogs, lake, clock):
    created = catalogs.create(ANA, name="Maps & more", integration="lake", sub_path="/a/b/")

    catalog_id = created.catalog.id
    assert created.warning is None
    assert created.catalog == Catalog(
        id=catalog_id,
        organisation_id="organisation-1",
        integration_id=lake.id,
        name="Maps & more",
        location=lake.location.join("a", "b", catalog_id),
        properties={},
        created_at_ms=clock(),
    )
    assert catalogs.get(BEN, catalog_id) == catalogs.get(BEN, "Maps & more") == created.catalog
    assert catalogs.open(BEN, catalog_id) == OpenCatalog(created.catalog, lake)


def test_several_catalogs_share_an_integration_without_overlapping(catalogs, lake):
    made = [catalogs.create(ANA, name=f"c{n}", integration=lake.id).catalog for n in range(3)]

    assert not any(a.location.overlaps(b.location) for a in made for b in made if a.id != b.id)
    assert list(catalogs.list(BEN, limit=10).items) == made


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"name": "2024"}, InvalidName),
        ({"name": "a/b"}, InvalidName),
        ({"sub_path": "a.b"}, InvalidLocation),
        ({"sub_path": "../x"}, InvalidLocation),
        ({"integration": "nowhere"}, NoSuchIntegration),
        ({"properties": {"s3.endpoint": "http://evil.example"}}, InvalidUpdate),
    ],
)
def test_a_description_that_breaks_a_rule_is_refused(catalogs, lake, options, error):
    with pytest.raises(error):
        catalogs.create(ANA, **{"name": "maps", "integration": "lake", **options})


def test_a_name_is_taken_once_in_an_organisation(catalogs, lake):
    catalogs.create(ANA, name="maps", integration="lake")

    with pytest.raises(AlreadyExists, match="catalog `maps` exists"):
        catalogs.create(ANA, name="maps", integration="lake")


def test_tables_are_kept_in_a_public_bucket_only_by_force_and_the_catalog_remembers(
    catalogs, verifications, verifier, lake
):
    verifier.bucket_type = BucketType.PUBLIC
    verified(verifications, "lake")

    with pytest.raises(WrongState, match=r"is public: anyone can read .* set `force`"):
        catalogs.create(ANA, name="maps", integration="lake")
    forced = catalogs.create(ANA, name="maps", integration="lake", force=True)
    assert "is public" in forced.warning
    assert catalogs.get(ANA, "maps").forced_on is BucketType.PUBLIC


def test_public_data_that_is_only_read_needs_no_force(
    catalogs, integrations, verifications, verifier
):
    new = NewIntegration(name="open", path="s3://open", anonymous=True, region="us-west-2")
    integrations.create(ANA, new)
    verifier.bucket_type = BucketType.PUBLIC
    verified(verifications, "open")

    made = catalogs.create(ANA, name="places", integration="open")

    assert "is public" in made.warning
    assert made.catalog.forced_on is None


def test_a_requester_pays_bucket_comes_with_a_warning_about_the_cost(
    catalogs, verifications, verifier, lake
):
    verifier.bucket_type = BucketType.REQUESTER_PAYS
    verified(verifications, "lake")

    made = catalogs.create(ANA, name="maps", integration="lake")

    assert "every engine pay for what they read" in made.warning
    assert made.catalog.forced_on is None


def test_an_unverified_bucket_is_taken_with_a_warning(catalogs, integrations):
    new = NewIntegration(name="new", path="s3://new", role_arn=ROLE, region="eu-central-1")
    integrations.create(ANA, new)

    assert "has not been verified" in catalogs.create(ANA, name="m", integration="new").warning


def test_only_admins_create_and_delete(catalogs, lake):
    catalogs.create(ANA, name="maps", integration="lake")

    with pytest.raises(Forbidden):
        catalogs.create(BEN, name="bens", integration="lake")
    with pytest.raises(Forbidden):
        catalogs.delete(BEN, "maps")


def test_a_catalog_goes_only_when_it_is_empty_and_takes_its_scans_along(
    catalogs, tenants, lake, clock
):
    catalog = catalogs.create(ANA, name="maps", integration="lake").catalog
    namespace = NamespaceRecord("n1", catalog.id, Namespace.of(["osm"]), {}, clock())
    scan = Scan(
        "s1", catalog.id, "s3://lake", ScanState.PROPOSED, {}, None, "ana", clock(), clock()
    )
    with write(tenants) as conn:
        namespaces_db.create(conn, namespace)
        scans_db.create(conn, scan)

    with pytest.raises(InUse, match="namespaces or tables"):
        catalogs.delete(ANA, "maps")
    with write(tenants) as conn:
        assert scans_db.load(conn, catalog.id, "s1") == scan
        namespaces_db.drop(conn, catalog.id, Namespace.of(["osm"]))
    catalogs.open(ANA, "maps")
    catalogs.delete(ANA, "maps")

    for attempt in (catalogs.get, catalogs.open, catalogs.delete):
        with pytest.raises(NoSuchCatalog):
            attempt(ANA, "maps")


def test_a_warehouse_is_found_by_name_id_and_organisation(catalogs, lake):
    maps = catalogs.create(ANA, name="maps", integration="lake").catalog

    for warehouse in ("maps", maps.id, "organisation-1/maps", "org 0/maps", f"org 0/{maps.id}"):
        assert catalogs.resolve_warehouse(BEN, warehouse) == maps


def test_a_client_that_names_no_warehouse_gets_the_only_one(catalogs, lake):
    with pytest.raises(NoSuchWarehouse, match="none yet"):
        catalogs.resolve_warehouse(ANA, None)
    maps = catalogs.create(ANA, name="maps", integration="lake").catalog
    assert catalogs.resolve_warehouse(ANA, "") == maps
    catalogs.create(ANA, name="more", integration="lake")
    with pytest.raises(NoSuchWarehouse, match="there are several"):
        catalogs.resolve_warehouse(ANA, None)


def test_anothers_catalog_is_as_absent_as_none(catalogs, lake):
    maps = catalogs.create(ANA, name="maps", integration="lake").catalog
    catalogs.open(ANA, maps.id)

    for name in ("maps", maps.id, "organisation-1/maps", "org 0/maps", "never was", "org 1/maps"):
        with pytest.raises(NoSuchWarehouse) as refused:
            catalogs.resolve_warehouse(ZOE, name)
        assert refused.value.message.startswith(f"no catalog is called `{name}`")
    for attempt in (catalogs.get, catalogs.open, catalogs.delete):
        with pytest.raises(NoSuchCatalog):
            attempt(ZOE, maps.id)
    assert list(catalogs.list(ZOE, limit=10).items) == []
    with pytest.raises(NoSuchIntegration):
        catalogs.create(ZOE, name="mine", integration=lake.id)


def test_an_id_wins_over_a_name(catalogs, lake):
    first = catalogs.create(ANA, name="first", integration="lake").catalog
    catalogs.create(ANA, name=first.id, integration="lake")

    assert catalogs.get(ANA, first.id) == first
    assert catalogs.resolve_warehouse(ANA, first.id) == first


def test_an_opened_catalog_shows_a_change_of_its_integration_within_the_cache_time(
    catalogs, verifications, verifier, lake, clock
):
    catalogs.create(ANA, name="maps", integration="lake")
    assert catalogs.open(ANA, "maps").integration == lake
    verifier.bucket_type = BucketType.PUBLIC
    changed = verified(verifications, "lake")
    clock.advance(s=5)

    assert catalogs.open(ANA, "maps").integration == replace(changed, verified_at_ms=clock() - 5000)
