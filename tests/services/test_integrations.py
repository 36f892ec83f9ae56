from dataclasses import replace

import pytest

from graticule.access.keyring import Keyring
from graticule.db.engine import read
from graticule.domain.catalog import (
    AccessKeys,
    BucketType,
    StorageIntegration,
    VerificationStatus,
)
from graticule.domain.errors import (
    AlreadyExists,
    EditionForbids,
    Forbidden,
    InUse,
    InvalidLocation,
    InvalidName,
    InvalidRequest,
    NoSuchIntegration,
    Unavailable,
)
from graticule.domain.location import Location
from graticule.domain.secret import Secret
from graticule.domain.tenancy import Edition
from graticule.services.integrations.integrations import Integrations, NewIntegration
from support.principals import ANA, BEN
from support.tenants import ROLE, ZOE, verified

NEW = NewIntegration(name="Lake of Ana", path="s3://lake/raw", role_arn=ROLE, region="eu-central-1")
KMS_KEY = "arn:aws:kms:eu-central-1:123456789012:key/0a1b"
KEYS = AccessKeys("AKIAEXAMPLE", Secret("the secret of the keys"))
WITH_KEYS = NewIntegration(
    name="garage",
    path="s3://garage",
    access_keys=KEYS,
    endpoint="https://S3.Example.org:443/",
)


def test_an_integration_is_kept_as_it_was_described(integrations, clock):
    created = integrations.create(ANA, NEW)

    assert created == StorageIntegration(
        id=created.id,
        organisation_id="organisation-1",
        name="Lake of Ana",
        location=Location("lake", "raw"),
        region="eu-central-1",
        endpoint=None,
        path_style=False,
        role_arn=ROLE,
        access_keys=None,
        external_id="organisation-1",
        bucket_type=BucketType.UNKNOWN,
        version=1,
        created_at_ms=clock(),
    )
    assert integrations.get(ANA, created.id) == created
    assert integrations.get(BEN, "Lake of Ana") == created


def test_what_it_may_do_is_kept_as_the_admin_said(integrations):
    said = {
        "kms_key_arn": KMS_KEY,
        "read_only": True,
        "requester_pays": True,
    }
    created = integrations.create(ANA, replace(NEW, **said))
    consented = integrations.create(ANA, replace(WITH_KEYS, allow_static_credentials=True))

    assert integrations.get(ANA, created.id) == created
    assert {name: getattr(created, name) for name in said} == said
    assert not created.allow_static_credentials
    assert integrations.get(ANA, consented.id).allow_static_credentials


def test_an_anonymous_integration_is_read_only_and_has_no_identity(integrations):
    open_data = replace(NEW, name="open data", role_arn=None, anonymous=True)

    created = integrations.create(ANA, open_data)

    assert integrations.get(ANA, "open data") == created
    assert created.is_anonymous
    assert created.read_only
    assert (created.role_arn, created.access_keys) == (None, None)
    assert not integrations.create(ANA, WITH_KEYS).is_anonymous


def test_a_bucket_found_to_be_requester_pays_makes_its_integration_so(
    integrations, verifications, verifier
):
    created = integrations.create(ANA, NEW)
    verifier.bucket_type = BucketType.REQUESTER_PAYS

    found = verified(verifications, created.id)

    assert found == replace(
        created,
        bucket_type=BucketType.REQUESTER_PAYS,
        requester_pays=True,
        version=2,
        verified_at_ms=found.verified_at_ms,
        verification_status=VerificationStatus.PASSED,
    )
    assert verified(verifications, created.id).version == 2


def test_access_keys_come_back_for_the_server_and_are_sealed_in_the_database(integrations, tenants):
    created = integrations.create(ANA, WITH_KEYS)

    found = integrations.get(ANA, "garage")
    assert found == created
    assert found.access_keys == KEYS
    assert (found.endpoint, found.path_style, found.region) == (
        "https://s3.example.org",
        True,
        "us-east-1",
    )
    with read(tenants) as conn:
        rows = conn.exec_driver_sql("SELECT * FROM storage_integrations").all()
    assert "the secret" not in repr(rows)
    assert "the secret" not in repr(found)


def test_without_its_key_the_server_says_which_is_missing(integrations, tenants, clock):
    integrations.create(ANA, WITH_KEYS)
    other = Integrations(
        tenants,
        Keyring.from_keys([("k9", b"9" * 32)]),
        now_ms=clock,
        invalidate=lambda _: None,
    )

    with pytest.raises(Unavailable, match="sealed with the key `k1`"):
        other.get(ANA, "garage")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"name": "1 2 3"}, InvalidName),
        ({"path": "lake"}, InvalidLocation),
        ({"path": "s3://lake/a.b"}, InvalidLocation),
        ({"path": "s3://lake/a*"}, InvalidLocation),
        ({"role_arn": None}, InvalidRequest),
        ({"access_keys": KEYS}, InvalidRequest),
        ({"role_arn": "arn:aws:iam::1:role/x"}, InvalidRequest),
        ({"region": None}, InvalidRequest),
        ({"region": "cn-north-1"}, InvalidRequest),
        ({"endpoint": "https://s3.internal"}, InvalidRequest),
        ({"endpoint": "ftp://s3.example.org"}, InvalidRequest),
        ({"kms_key_arn": "alias/lake"}, InvalidRequest),
        ({"allow_static_credentials": True}, InvalidRequest),
        ({"anonymous": True}, InvalidRequest),
        ({"role_arn": None, "anonymous": True, "requester_pays": True}, InvalidRequest),
        ({"role_arn": None, "anonymous": True, "kms_key_arn": KMS_KEY}, InvalidRequest),
    ],
)
def test_a_description_that_breaks_a_rule_is_refused_and_nothing_kept(integrations, changes, error):
    with pytest.raises(error):
        integrations.create(ANA, replace(NEW, **changes))
    assert list(integrations.list(ANA, limit=10).items) == []


def test_a_bucket_and_a_name_are_taken_once_in_an_organisation(integrations):
    integrations.create(ANA, NEW)

    with pytest.raises(AlreadyExists, match="one per bucket"):
        integrations.create(ANA, replace(NEW, name="other", path="s3://lake/elsewhere"))
    with pytest.raises(AlreadyExists, match="`Lake of Ana` exists"):
        integrations.create(ANA, replace(NEW, path="s3://pond"))
    elsewhere = replace(NEW, name="same bucket name", endpoint="https://s3.example.org")
    assert integrations.create(ANA, elsewhere).location == Location("lake", "raw")
    with pytest.raises(AlreadyExists, match="one per bucket"):
        integrations.create(ANA, replace(elsewhere, name="x", endpoint="HTTPS://s3.EXAMPLE.org/"))


def test_a_role_of_another_organisation_is_refused_without_saying_whose(integrations):
    integrations.create(ANA, NEW)

    with pytest.raises(AlreadyExists, match="cannot be used here") as refused:
        integrations.create(ZOE, replace(NEW, name="zoes", path="s3://zoes"))
    assert "organisation-1" not in str(refused.value)
    assert "Ana" not in str(refused.value)
    integrations.create(ANA, replace(NEW, name="second", path="s3://second"))


def test_only_admins_create_verify_and_delete(integrations, policies, verifications):
    created = integrations.create(ANA, NEW)

    for refused in (
        lambda: integrations.create(BEN, replace(NEW, name="bens", path="s3://bens")),
        lambda: verifications.verify(BEN, created.id),
        lambda: integrations.delete(BEN, created.id),
        lambda: policies.of(BEN, created.id),
    ):
        with pytest.raises(Forbidden, match="ask an admin"):
            refused()
    assert integrations.get(BEN, created.id) == created


def test_a_community_organisation_may_not_create_integrations(integrations):
    with pytest.raises(EditionForbids, match="community edition"):
        integrations.create(replace(ANA, edition=Edition.COMMUNITY), NEW)


def test_another_organisation_finds_nothing(integrations, policies, verifications):
    created = integrations.create(ANA, NEW)

    assert list(integrations.list(ZOE, limit=10).items) == []
    for attempt in (
        lambda: integrations.get(ZOE, created.id),
        lambda: integrations.get(ZOE, created.name),
        lambda: verifications.verify(ZOE, created.id),
        lambda: integrations.delete(ZOE, created.id),
        lambda: policies.of(ZOE, created.id),
    ):
        with pytest.raises(NoSuchIntegration, match="no storage integration is called"):
            attempt()


def test_pages_of_integrations_are_complete_and_in_order(integrations):
    made = [
        integrations.create(ANA, replace(NEW, name=f"i {n}", path=f"s3://bucket{n}"))
        for n in range(5)
    ]

    first = integrations.list(ANA, limit=3)
    second = integrations.list(ANA, after=first.next_after, limit=3)

    assert [*first.items, *second.items] == made
    assert second.next_after is None


def test_an_integration_in_use_is_not_deleted_and_says_by_whom(integrations, catalogs, lake):
    catalogs.create(ANA, name="maps", integration="lake")

    with pytest.raises(InUse, match="`maps`"):
        integrations.delete(ANA, "lake")

    catalogs.delete(ANA, "maps")
    integrations.delete(ANA, "lake")
    with pytest.raises(NoSuchIntegration):
        integrations.get(ANA, "lake")
