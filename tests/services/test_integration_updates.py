from dataclasses import replace

import pytest

from graticule.db import catalogs as catalogs_db
from graticule.db import integrations as integrations_db
from graticule.db.engine import read, write
from graticule.domain.catalog import AccessKeys, BucketType, VerificationStatus
from graticule.domain.errors import (
    AlreadyExists,
    Forbidden,
    InUse,
    InvalidLocation,
    InvalidName,
    InvalidRequest,
    NoSuchIntegration,
    Outdated,
    WrongState,
)
from graticule.domain.location import Location
from graticule.domain.secret import Secret
from graticule.domain.verification import CheckStatus
from graticule.services.catalog.catalogs import CATALOG_CACHE_MS, Catalogs
from graticule.services.integrations.integrations import NewIntegration
from support.principals import ANA, BEN
from support.tenants import RING, ROLE, ZOE, verified

OTHER_ROLE = ROLE + "-2"
NEW_KEYS = AccessKeys("AKIANEWNEWNEW", Secret("the new secret"))


@pytest.fixture
def garage(integrations, verifications):
    """An integration by access keys, verified."""
    new = NewIntegration(
        name="garage",
        path="s3://garage",
        access_keys=AccessKeys("AKIAOLDOLDOLD", Secret("the old secret")),
        endpoint="https://s3.example.org",
    )
    return verified(verifications, integrations.create(ANA, new).id)


@pytest.mark.parametrize(
    ("changes", "becomes"),
    [
        ({"role_arn": OTHER_ROLE}, {"role_arn": OTHER_ROLE}),
        ({"path": "s3://pond/x"}, {"location": Location("pond", "x")}),
        ({"read_only": True, "requester_pays": True}, {"read_only": True, "requester_pays": True}),
        ({"region": "eu-west-1"}, {"region": "eu-west-1"}),
        (
            {"endpoint": "https://S3.example.org/"},
            {"endpoint": "https://s3.example.org", "path_style": True},
        ),
    ],
)
def test_what_is_changed_is_kept_and_has_to_be_verified_again(
    integrations, updates, verifications, lake, invalidated, changes, becomes
):
    invalidated.clear()

    updated = updates.update(ANA, "lake", changes)

    moved = updated.location.bucket != lake.location.bucket or updated.endpoint != lake.endpoint
    assert updated == replace(
        lake,
        **becomes,
        version=lake.version + 1,
        verified_at_ms=None,
        verification_status=VerificationStatus.STALE,
        bucket_type=BucketType.UNKNOWN if moved else BucketType.PRIVATE,
    )
    assert integrations.get(ANA, lake.id) == updated
    assert verifications.last(ANA, lake.id) is None
    assert invalidated == [lake.id]


def test_a_new_name_changes_nothing_else(integrations, updates, verifications, lake):
    renamed = updates.update(ANA, "lake", {"name": "the lake"})

    assert renamed == replace(lake, name="the lake", version=lake.version + 1)
    assert verifications.last(ANA, "the lake") is not None
    with pytest.raises(NoSuchIntegration):
        integrations.get(ANA, "lake")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"name": "5"}, InvalidName),
        ({"path": "s3://a.b"}, InvalidLocation),
        ({"role_arn": "x"}, InvalidRequest),
        ({"region": "cn-north-1"}, InvalidRequest),
        ({"endpoint": "https://s3.internal"}, InvalidRequest),
        ({"kms_key_arn": "alias/x"}, InvalidRequest),
        ({"allow_static_credentials": True}, InvalidRequest),
    ],
)
def test_a_change_that_breaks_a_rule_changes_nothing(integrations, updates, lake, changes, error):
    with pytest.raises(error):
        updates.update(ANA, "lake", changes)
    assert integrations.get(ANA, "lake") == lake


def test_a_name_or_a_bucket_that_is_taken_is_refused(updates, lake, integrations, garage):
    elsewhere = NewIntegration(name="pond", path="s3://pond", role_arn=ROLE, region="eu-central-1")
    integrations.create(ANA, elsewhere)

    with pytest.raises(AlreadyExists, match="`garage` exists"):
        updates.update(ANA, "lake", {"name": "garage"})
    with pytest.raises(AlreadyExists, match="one per bucket"):
        updates.update(ANA, "lake", {"path": "s3://pond/other"})


def test_the_role_of_another_organisation_is_refused(updates, lake, integrations):
    theirs = NewIntegration(name="z", path="s3://zoes", role_arn=OTHER_ROLE, region="eu-central-1")
    integrations.create(ZOE, theirs)

    with pytest.raises(AlreadyExists, match="create a role for this organisation"):
        updates.update(ANA, "lake", {"role_arn": OTHER_ROLE})


def test_the_path_stays_while_catalogs_use_it_and_they_are_named(updates, catalogs, lake):
    for number in range(22):
        catalogs.create(ANA, name=f"c{number:02}", integration="lake")

    with pytest.raises(InUse, match=r"its path cannot change: `c00`, .*`c19` and 2 more$"):
        updates.update(ANA, "lake", {"path": "s3://lake"})
    assert updates.update(ANA, "lake", {"region": "eu-west-1"}).location == lake.location


def test_a_catalog_is_not_made_on_a_path_that_was_left_meanwhile(tenants, updates, catalogs, lake):
    made = catalogs.create(ANA, name="maps", integration="lake").catalog
    catalogs.delete(ANA, "maps")
    updates.update(ANA, "lake", {"path": "s3://pond"})

    with pytest.raises(NoSuchIntegration, match="moved meanwhile"), write(tenants) as conn:
        catalogs_db.create(conn, made)


def test_a_version_that_is_not_current_is_refused(updates, lake):
    with pytest.raises(Outdated, match=f"is at version {lake.version}, not 7"):
        updates.update(ANA, "lake", {"read_only": True}, expected_version=7)
    first = updates.update(ANA, "lake", {"read_only": True}, expected_version=lake.version)
    with pytest.raises(Outdated):
        updates.update(ANA, "lake", {"read_only": False}, expected_version=lake.version)
    assert updates.update(ANA, "lake", {}, expected_version=first.version).read_only


def test_a_change_that_comes_in_between_is_not_overwritten(
    tenants, updates, integrations, garage, verifier
):
    def meanwhile():
        verifier.meanwhile = lambda: None
        updates.update(ANA, "garage", {"read_only": True})

    verifier.meanwhile = meanwhile

    rotated = updates.rotate_keys(ANA, "garage", NEW_KEYS)

    assert rotated.read_only
    assert rotated.access_keys == NEW_KEYS
    assert rotated.version == garage.version + 2
    with write(tenants) as conn:
        assert not integrations_db.update_described(conn, RING, rotated, expected_version=1)


def test_new_keys_are_tried_before_the_old_ones_are_dropped(
    integrations, updates, garage, verifier, invalidated
):
    verifier.seen.clear()

    rotated = updates.rotate_keys(ANA, "garage", NEW_KEYS)

    assert [seen.access_keys for seen in verifier.seen] == [NEW_KEYS]
    assert integrations.get(ANA, "garage") == rotated
    assert rotated == replace(garage, access_keys=NEW_KEYS, version=garage.version + 1)
    assert invalidated[-1] == garage.id


def test_keys_that_do_not_work_are_refused_unless_forced(integrations, updates, garage, verifier):
    verifier.status = CheckStatus.FAIL

    with pytest.raises(InvalidRequest, match=r"keeps the old ones: The path can be listed"):
        updates.rotate_keys(ANA, "garage", NEW_KEYS)
    assert integrations.get(ANA, "garage") == garage

    forced = updates.rotate_keys(ANA, "garage", NEW_KEYS, force=True)
    assert (forced.access_keys, forced.verified_at_ms) == (NEW_KEYS, None)


def test_the_sealed_secret_of_the_old_keys_is_gone(tenants, updates, garage):
    def sealed():
        with read(tenants) as conn:
            query = "SELECT sealed_secret_access_key FROM storage_integrations"
            return conn.exec_driver_sql(query).scalars().all()

    before = sealed()
    updates.rotate_keys(ANA, "garage", NEW_KEYS)

    assert set(sealed()).isdisjoint(before)


def test_another_replica_follows_a_change_within_the_bound(tenants, updates, catalogs, lake, clock):
    elsewhere = Catalogs(tenants, RING, now_ms=clock)
    made = catalogs.create(ANA, name="maps", integration="lake").catalog
    assert not elsewhere.open(ANA, made.id).integration.read_only

    updates.update(ANA, "lake", {"read_only": True})

    clock.advance(ms=CATALOG_CACHE_MS)
    assert elsewhere.open(ANA, made.id).integration.read_only


def test_there_is_nothing_to_rotate_where_a_role_is_assumed(updates, lake):
    with pytest.raises(WrongState, match="it assumes a role"):
        updates.rotate_keys(ANA, "lake", NEW_KEYS)


def test_a_role_takes_the_place_of_access_keys(tenants, integrations, updates, garage):
    updated = updates.update(ANA, "garage", {"role_arn": ROLE})

    assert (updated.role_arn, updated.access_keys) == (ROLE, None)
    assert integrations.get(ANA, "garage") == updated


def test_only_admins_change_integrations_and_only_their_own(updates, lake, garage):
    for act in (
        lambda who: updates.update(who, lake.id, {"read_only": True}),
        lambda who: updates.rotate_keys(who, garage.id, NEW_KEYS),
    ):
        with pytest.raises(Forbidden):
            act(BEN)
        with pytest.raises(NoSuchIntegration):
            act(ZOE)
