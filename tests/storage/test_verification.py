"""Verify access finds what works, and above all what is open to others."""

import json
import uuid
from dataclasses import replace
from functools import partial

import pytest

from graticule.domain.catalog import AccessKeys, AccessLevel, BucketType
from graticule.domain.location import Location
from graticule.domain.secret import Secret
from graticule.outbound.gate import ANYWHERE
from graticule.storage import verification as verifying
from graticule.storage.clients import s3_client
from graticule.storage.connections import connections_to
from graticule.storage.iam_policy import role_policy, trust_policy
from graticule.storage.identity import ServerIdentity
from graticule.storage.verification import CheckStatus
from support.faults import Answers, PassesOn, faulty
from support.seaweedfs import READ_ONLY_ROLE, STRANGERS_ROLE, integration_on

verify = partial(verifying.verify, outbound=ANYWHERE)

PASS, FAIL, SKIP = CheckStatus.PASS, CheckStatus.FAIL, CheckStatus.SKIP

ALL_PASS = {
    "path": PASS,
    "identity": PASS,
    "assume_role": PASS,
    "external_id_required": PASS,
    "region": PASS,
    "list": PASS,
    "write": PASS,
    "conditional_write": PASS,
    "session_policy_enforced": PASS,
    "bucket_type": PASS,
    "cleanup": PASS,
}


def statuses(verification):
    return {check.id: check.status for check in verification.checks}


def check_of(verification, identifier):
    return next(check for check in verification.checks if check.id == identifier)


@pytest.fixture
def prefix():
    return f"verify/{uuid.uuid4()}"


@pytest.fixture
def make_integration(ministack, prefix):
    """An integration on the IAM double whose role has the given trust and policy."""

    def make(*, trust=None, policy=None, external_id="organisation-1", **changes):
        role_arn = ministack.create_role(
            f"Verify-{uuid.uuid4().hex[:8]}",
            trust=trust or trust_policy(ministack.catalog_arn, external_id),
            policy=policy or role_policy(Location("lake", prefix), AccessLevel.WRITE),
        )
        integration = integration_on(ministack, f"s3://lake/{prefix}", role_arn=role_arn)
        return replace(integration, **changes)

    return make


@pytest.fixture
def iam_identity(ministack):
    return ServerIdentity(ministack.catalog_keys)


@pytest.fixture
def s3_identity(seaweedfs):
    return ServerIdentity(seaweedfs.catalog_keys)


@pytest.mark.iam
def test_a_role_made_of_the_generated_texts_passes_every_check(
    make_integration, iam_identity, ministack, prefix
):
    verification = verify(make_integration(), iam_identity)

    # Without a listing permission on the bare bucket HeadBucket is refused, but names the region.
    assert statuses(verification) == ALL_PASS
    assert verification.passed
    assert verification.bucket_type is BucketType.PRIVATE
    left = ministack.client("s3").list_objects_v2(Bucket="lake", Prefix=prefix)
    assert left["KeyCount"] == 0


@pytest.mark.iam
def test_a_wrong_external_id_stops_at_the_role_and_says_what_to_do(make_integration, iam_identity):
    verification = verify(make_integration(external_id="somebody-elses"), iam_identity)

    assert statuses(verification) == {
        **dict.fromkeys(ALL_PASS, SKIP),
        "path": PASS,
        "identity": PASS,
        "assume_role": FAIL,
    }
    assert "AccessDenied" in check_of(verification, "assume_role").detail
    assert "trust policy" in check_of(verification, "assume_role").remedy
    assert check_of(verification, "list").detail == "needs `assume_role`"


@pytest.mark.iam
def test_a_role_that_asks_for_no_external_id_is_never_passed_off_as_closed(
    make_integration, iam_identity, ministack
):
    trust = trust_policy(ministack.catalog_arn, "ignored")
    del trust["Statement"][0]["Condition"]

    verification = verify(make_integration(trust=trust), iam_identity)

    # A store that is not AWS may not know external ids at all: honest, but no failure.
    assert check_of(verification, "external_id_required").status is SKIP
    assert "asks for none" in check_of(verification, "external_id_required").detail


@pytest.mark.iam
def test_on_aws_a_role_that_asks_for_no_external_id_fails(
    make_integration, iam_identity, ministack, monkeypatch
):
    trust = trust_policy(ministack.catalog_arn, "ignored")
    del trust["Statement"][0]["Condition"]
    # The double plays AWS: the integration names no endpoint, the environment leads there.
    monkeypatch.setattr("graticule.storage.sts.sts_client", _leading_to(ministack, "sts"))
    monkeypatch.setattr(
        "graticule.storage.s3_requests.connections_to",
        lambda _origin, **rest: connections_to(ministack.endpoint, **rest),
    )
    monkeypatch.setattr("graticule.storage.bucket_facts.s3_client", _leading_to(ministack, "s3"))

    verification = verify(make_integration(trust=trust, endpoint=None), iam_identity)

    assert statuses(verification) == {**ALL_PASS, "external_id_required": FAIL}
    assert "sts:ExternalId" in check_of(verification, "external_id_required").remedy


@pytest.mark.iam
def test_a_wrong_region_is_found_and_named(make_integration, iam_identity):
    verification = verify(make_integration(region="eu-central-1"), iam_identity)

    region = check_of(verification, "region")
    assert (region.status, region.remedy) == (FAIL, "Set the integration's region to `us-east-1`.")
    assert check_of(verification, "list").detail == "needs `region`"


@pytest.mark.iam
def test_a_bucket_that_is_not_there_is_named(make_integration, iam_identity):
    everything = role_policy(Location("lake", ""), AccessLevel.WRITE)
    everything = json.loads(json.dumps(everything).replace("lake", "*"))
    integration = make_integration(policy=everything, location=Location("no-such-bucket", "x"))

    verification = verify(integration, iam_identity)

    assert check_of(verification, "region").status is FAIL
    assert "no bucket `no-such-bucket`" in check_of(verification, "region").detail


@pytest.mark.iam
def test_access_keys_with_a_wrong_secret_fail_at_once(ministack, prefix):
    wrong = AccessKeys(ministack.key_user_keys.access_key_id, Secret("wrong"))
    integration = integration_on(ministack, f"s3://lake/{prefix}", access_keys=wrong)

    verification = verify(replace(integration, endpoint=ministack.endpoint), ServerIdentity())

    assert not verification.passed
    assert check_of(verification, "list").status is not PASS


@pytest.mark.s3
@pytest.mark.parametrize("path", ["s3://lake/{}", "s3://lake"])
def test_a_store_without_external_ids_passes_and_says_so(seaweedfs, s3_identity, prefix, path):
    verification = verify(integration_on(seaweedfs, path.format(prefix)), s3_identity)

    assert statuses(verification) == {**ALL_PASS, "external_id_required": SKIP, "region": SKIP}
    assert verification.passed


@pytest.mark.s3
def test_access_keys_pass_without_a_role(seaweedfs, prefix):
    keys = seaweedfs.keys_of("keyuser")
    integration = integration_on(seaweedfs, f"s3://lake/{prefix}", access_keys=keys)

    assert statuses(verify(integration, ServerIdentity())) == {
        **ALL_PASS,
        "assume_role": SKIP,
        "external_id_required": SKIP,
        "region": SKIP,
    }


@pytest.mark.s3
def test_a_read_only_role_fails_where_it_would_have_to_write(seaweedfs, s3_identity, prefix):
    integration = integration_on(seaweedfs, f"s3://lake/{prefix}", role_arn=READ_ONLY_ROLE.arn)

    writing = verify(integration, s3_identity)
    reading = verify(integration, s3_identity, access=AccessLevel.READ)

    assert (check_of(writing, "write").status, check_of(writing, "cleanup").status) == (FAIL, PASS)
    assert check_of(writing, "conditional_write").detail == "needs `write`"
    assert reading.passed
    assert check_of(reading, "write").detail == "the integration is read-only"


@pytest.mark.s3
def test_a_role_that_trusts_somebody_else_fails(seaweedfs, s3_identity):
    integration = integration_on(seaweedfs, "s3://lake/x", role_arn=STRANGERS_ROLE.arn)

    assert check_of(verify(integration, s3_identity), "assume_role").status is FAIL


@pytest.mark.s3
def test_a_bucket_that_anybody_may_read_is_public(seaweedfs, s3_identity):
    admin = s3_client(
        seaweedfs.admin_keys,
        region=seaweedfs.region,
        endpoint=seaweedfs.endpoint,
        path_style=True,
        outbound=ANYWHERE,
    )
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["s3:GetObject"],
        "Resource": ["arn:aws:s3:::elsewhere/*"],
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    admin.put_bucket_policy(Bucket="elsewhere", Policy=json.dumps(policy))
    try:
        verification = verify(integration_on(seaweedfs, "s3://elsewhere/x"), s3_identity)
    finally:
        admin.delete_bucket_policy(Bucket="elsewhere")

    assert verification.bucket_type is BucketType.PUBLIC
    assert check_of(verification, "bucket_type").detail == "public: anybody can read from it"


@pytest.mark.s3
def test_a_store_that_is_down_fails_and_skips_the_rest(seaweedfs, s3_identity):
    integration = replace(integration_on(seaweedfs, "s3://lake/x"), endpoint="http://127.0.0.1:9")

    verification = verify(integration, s3_identity)

    assert check_of(verification, "identity").status is FAIL
    assert [check.status for check in verification.checks[2:]] == [SKIP] * 9


@pytest.mark.s3
def test_a_store_that_ignores_conditions_on_writes_is_found(seaweedfs, s3_identity, prefix):
    with faulty(seaweedfs.endpoint) as proxy:
        integration = integration_on(seaweedfs, f"s3://lake/{prefix}")
        # The third write is the second of the same name: it is told that all is well.
        proxy.faults = [PassesOn(), PassesOn(), Answers(200, "PUT")]
        verification = verify(replace(integration, endpoint=proxy.endpoint), s3_identity)

    assert check_of(verification, "conditional_write").status is FAIL
    assert check_of(verification, "cleanup").status is PASS


def _leading_to(engine, service):
    def build(keys, *, region, endpoint, **rest):
        assert endpoint is None
        from graticule.storage import clients  # noqa: PLC0415

        if service == "sts":
            return clients.sts_client(keys, region=region, endpoint=engine.endpoint, **rest)
        return clients.s3_client(keys, region=region, endpoint=engine.endpoint, **rest)

    return build
