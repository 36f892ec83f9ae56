"""Verify access finds what works, and above all what is open to others."""

import json
import re
import threading
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from graticule.domain.catalog import AccessKeys, AccessLevel, BucketType
from graticule.domain.location import Location
from graticule.domain.secret import Secret
from graticule.domain.verification import CheckStatus, Neighbour, Surroundings
from graticule.outbound.gate import ANYWHERE
from graticule.storage.clients import s3_client
from graticule.storage.connections import connections_to
from graticule.storage.iam_policy import role_policy, trust_policy
from graticule.storage.identity import ServerIdentity
from graticule.storage.verification.engine import STEPS, Request
from graticule.storage.verification.engine import verify as verify_request
from graticule.storage.verification.probe import AccessProbe
from support.faults import Answers, PassesOn, faulty
from support.seaweedfs import READ_ONLY_ROLE, STRANGERS_ROLE, integration_on
from support.strict_stores import RequesterPays

PASS, FAIL, SKIP = CheckStatus.PASS, CheckStatus.FAIL, CheckStatus.SKIP

IDS = [step.id for step in STEPS]
NOT_TOLD = {"read": SKIP}
"""With the generated policies on an empty path."""

SILENT = dict.fromkeys(
    (
        "refuses_missing_external_id",
        "refuses_wrong_external_id",
        "region",
        "public_access_block",
    ),
    SKIP,
)
"""What SeaweedFS knows nothing of."""

PAGE = Path(__file__).resolve().parents[2] / "docs" / "verify-access.md"


def verify(integration, identity, **options):
    surroundings = options.pop("surroundings", Surroundings())
    patience_s = options.pop("patience_s", 0)
    request = Request(integration, surroundings, patience_s)
    return verify_request(request, identity=identity, outbound=ANYWHERE, **options)


def statuses(verification):
    return {check.id: check.status for check in verification.checks}


def differences(verification):
    """What did not simply pass."""
    return {check.id: check.status for check in verification.checks if check.status is not PASS}


def check_of(verification, identifier):
    return next(check for check in verification.checks if check.id == identifier)


def test_every_check_is_explained_and_nothing_else():
    headings = re.findall(r"^### `?(\w+)`?$", PAGE.read_text(), re.MULTILINE)

    assert headings == IDS
    assert len(set(IDS)) == len(IDS)


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
    assert differences(verification) == NOT_TOLD
    assert verification.passed
    assert verification.bucket_type is BucketType.PRIVATE
    left = ministack.client("s3").list_objects_v2(Bucket="lake", Prefix=prefix)
    assert left["KeyCount"] == 0


@pytest.mark.iam
def test_a_wrong_external_id_stops_at_the_role_and_says_what_to_do(make_integration, iam_identity):
    verification = verify(make_integration(external_id="somebody-elses"), iam_identity)

    later = IDS[IDS.index("assume_role") + 1 : -1]
    assert differences(verification) == {"assume_role": FAIL, **dict.fromkeys(later, SKIP)}
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
    for identifier in ("refuses_missing_external_id", "refuses_wrong_external_id"):
        assert check_of(verification, identifier).status is SKIP
        assert "asks for none" in check_of(verification, identifier).detail


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
    monkeypatch.setattr(
        "graticule.storage.verification.probe.s3_client", _leading_to(ministack, "s3")
    )

    verification = verify(make_integration(trust=trust, endpoint=None), iam_identity)

    wanted = {"refuses_missing_external_id": FAIL, "refuses_wrong_external_id": FAIL}
    assert differences(verification) == NOT_TOLD | wanted
    assert "sts:ExternalId" in check_of(verification, "refuses_wrong_external_id").remedy


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

    found = differences(verification)
    found.pop("read", None)  # others may have left something in the bucket to be read
    assert found == SILENT
    assert verification.passed


@pytest.mark.s3
def test_access_keys_pass_without_a_role(seaweedfs, prefix):
    keys = seaweedfs.keys_of("keyuser")
    integration = integration_on(seaweedfs, f"s3://lake/{prefix}", access_keys=keys)

    found = differences(verify(integration, ServerIdentity()))
    assert found == SILENT | {"assume_role": SKIP, "read": SKIP}


@pytest.mark.s3
def test_a_read_only_role_fails_where_it_would_have_to_write(seaweedfs, s3_identity, prefix):
    integration = integration_on(seaweedfs, f"s3://lake/{prefix}", role_arn=READ_ONLY_ROLE.arn)

    writing = verify(integration, s3_identity)
    reading = verify(replace(integration, read_only=True), s3_identity)

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

    later = IDS[IDS.index("network") + 1 : -1]
    assert differences(verification) == {"network": FAIL, **dict.fromkeys(later, SKIP)}


@pytest.mark.s3
def test_a_store_that_ignores_conditions_on_writes_is_found(seaweedfs, s3_identity, prefix):
    with faulty(seaweedfs.endpoint) as proxy:
        integration = integration_on(seaweedfs, f"s3://lake/{prefix}")
        # The second write is of the same name: it is told that all is well.
        proxy.faults = [PassesOn(), Answers(200, "PUT")]
        verification = verify(replace(integration, endpoint=proxy.endpoint), s3_identity)

    assert check_of(verification, "conditional_write").status is FAIL
    assert check_of(verification, "cleanup").status is PASS


@pytest.mark.s3
def test_a_path_that_overlaps_others_fails_and_names_them(seaweedfs, s3_identity):
    integration = integration_on(seaweedfs, "s3://lake/maps")
    lake = Neighbour("Lake", "s3://lake")
    roads = Neighbour("roads", "s3://lake/roads/0198")

    beside = Surroundings((Neighbour("Beside", "s3://lake/maps2"),), ())
    inside = Surroundings((lake,), ())
    outside = Surroundings((), (roads, Neighbour("maps", "s3://lake/maps/0199")))
    found = [
        check_of(verify(integration, s3_identity, surroundings=each), "overlap")
        for each in (beside, inside, outside)
    ]

    assert [check.status for check in found] == [FAIL, FAIL, FAIL]
    assert "`s3://lake/maps` is in the bucket of storage integration `Beside`" in found[0].detail
    assert "`s3://lake/maps` lies inside the path of storage integration `Lake`" in found[1].detail
    assert "`roads` at `s3://lake/roads/0198`" in found[2].detail
    assert "`maps`" not in found[2].detail


@pytest.mark.s3
def test_a_store_that_ignores_session_policies_is_found(
    seaweedfs, s3_identity, prefix, monkeypatch
):
    # Such a store gives out the whole role whatever policy it is handed.
    monkeypatch.setattr(
        "graticule.storage.verification.probe.AccessProbe.narrow",
        lambda probe, _folder, _access=None: probe.assume(None),
    )

    verification = verify(integration_on(seaweedfs, f"s3://lake/{prefix}"), s3_identity)

    assert check_of(verification, "session_policy_enforced").status is FAIL
    assert "was allowed to read" in check_of(verification, "session_policy_enforced").detail
    assert check_of(verification, "read_only_enforced").detail == "needs `session_policy_enforced`"
    assert check_of(verification, "cleanup").status is PASS


@pytest.mark.s3
def test_reading_sessions_that_write_are_found(seaweedfs, s3_identity, prefix, monkeypatch):
    narrow = AccessProbe.narrow
    monkeypatch.setattr(
        AccessProbe,
        "narrow",
        lambda probe, folder, _access=None: narrow(probe, folder, AccessLevel.WRITE),
    )

    verification = verify(integration_on(seaweedfs, f"s3://lake/{prefix}"), s3_identity)

    assert check_of(verification, "read_only_enforced").status is FAIL
    assert check_of(verification, "cleanup").status is PASS


@pytest.mark.s3
def test_a_bucket_whose_readers_pay_is_learnt_and_works_from_then_on(
    seaweedfs, s3_identity, prefix
):
    with faulty(seaweedfs.endpoint, RequesterPays()) as proxy:
        integration = replace(
            integration_on(seaweedfs, f"s3://lake/{prefix}"), endpoint=proxy.endpoint
        )
        verification = verify(integration, s3_identity)

    assert verification.passed
    assert (verification.bucket_type, verification.requester_pays) == (
        BucketType.REQUESTER_PAYS,
        True,
    )
    assert "every request is charged" in check_of(verification, "list").remedy


@pytest.mark.iam
def test_a_bucket_that_anybody_may_write_to_fails(make_integration, iam_identity, ministack):
    s3 = ministack.client("s3")
    bucket = f"open-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket)
    s3.delete_public_access_block(Bucket=bucket)
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["s3:PutObject"],
        "Resource": [f"arn:aws:s3:::{bucket}/*"],
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    s3.put_bucket_policy(Bucket=bucket, Policy=document)
    location = Location(bucket, "x")
    policy = role_policy(location, AccessLevel.WRITE)

    verification = verify(make_integration(policy=policy, location=location), iam_identity)

    assert check_of(verification, "public_write").status is FAIL
    assert verification.bucket_type is BucketType.PUBLIC
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.iam
def test_rules_that_delete_or_hold_objects_are_told(make_integration, iam_identity, ministack):
    s3 = ministack.client("s3")
    bucket = f"ruled-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    s3.put_bucket_lifecycle_configuration(
        Bucket=bucket,
        LifecycleConfiguration={
            "Rules": [
                _expiring("all", "lake/"),
                _expiring("scratch", "lake/maps/tmp/"),
                _expiring("elsewhere", "logs/"),
            ]
        },
    )
    location = Location(bucket, "lake/maps")
    policy = role_policy(location, AccessLevel.WRITE)
    more = {
        "Effect": "Allow",
        "Action": ["s3:GetLifecycleConfiguration", "s3:GetBucketObjectLockConfiguration"],
        "Resource": [f"arn:aws:s3:::{bucket}"],
    }
    policy["Statement"].append(more)

    integration = make_integration(policy=policy, location=location)
    verification = verify(integration, iam_identity)
    reading = verify(replace(integration, read_only=True), iam_identity)

    lifecycle = check_of(verification, "lifecycle")
    assert (lifecycle.status, check_of(reading, "lifecycle").status) == (FAIL, PASS)
    assert "`all` below `lake/`, `scratch` below `lake/maps/tmp/`" in lifecycle.detail
    assert "elsewhere" not in lifecycle.detail
    assert check_of(verification, "object_lock").status is PASS
    assert check_of(verification, "versioning").detail == "old versions of objects are kept"


def _expiring(name, prefix):
    return {
        "ID": name,
        "Status": "Enabled",
        "Filter": {"Prefix": prefix},
        "Expiration": {"Days": 30},
    }


@pytest.mark.iam
def test_waiting_for_iam_ends_when_the_trust_has_arrived(make_integration, iam_identity, ministack):
    integration = make_integration(external_id="somebody-elses")
    role = integration.role_arn.rpartition("/")[2]
    told = []

    def arrive(checks, waiting):
        if waiting:
            told.append(waiting)
            trust = json.dumps(trust_policy(ministack.catalog_arn, "organisation-1"))
            ministack.client("iam").update_assume_role_policy(RoleName=role, PolicyDocument=trust)

    verification = verify(
        integration, iam_identity, patience_s=60, pauses_s=[0.01], progress=arrive
    )

    assert verification.passed
    assert check_of(verification, "assume_role").detail.endswith("(tried 2 times)")
    assert told == [
        "`assume_role` was refused; IAM may need a moment, trying again in 0 s",
    ]


@pytest.mark.iam
def test_patience_with_iam_is_bounded_and_can_be_cut_short(make_integration, iam_identity):
    integration = make_integration(external_id="somebody-elses")
    stopping = threading.Event()
    told = []

    bounded = verify(integration, iam_identity, patience_s=0.1, pauses_s=[0.03])
    stopped = verify(
        integration,
        iam_identity,
        patience_s=180,
        progress=lambda _checks, waiting: waiting and (told.append(waiting), stopping.set()),
        stopping=stopping,
    )

    assert check_of(bounded, "assume_role").detail.endswith("(tried 4 times)")
    assert check_of(stopped, "assume_role").status is FAIL
    assert len(told) == 1


def _leading_to(engine, service):
    def build(keys, *, region, endpoint, **rest):
        assert endpoint is None
        from graticule.storage import clients  # noqa: PLC0415

        if service == "sts":
            return clients.sts_client(keys, region=region, endpoint=engine.endpoint, **rest)
        return clients.s3_client(keys, region=region, endpoint=engine.endpoint, **rest)

    return build
