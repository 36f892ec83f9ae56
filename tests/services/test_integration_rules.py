import pytest

from graticule.domain.catalog import AccessKeys
from graticule.domain.errors import InvalidRequest
from graticule.domain.secret import Secret
from graticule.services.integrations.integration_rules import (
    check_access_keys,
    check_region,
    check_role_arn,
    refuse_aws_endpoint,
)

ROLE = "arn:aws:iam::123456789012:role/lake"


@pytest.mark.parametrize(
    "arn",
    [
        ROLE,
        "arn:aws-cn:iam::123456789012:role/lake",
        "arn:aws-us-gov:iam::123456789012:role/path/to/lake",
        "arn:aws-iso-b:iam::123456789012:role/lake",
        "arn:aws-eusc:iam::123456789012:role/a+b=c,d.e@f-g_h",
    ],
)
def test_roles_of_all_partitions_are_taken(arn):
    assert check_role_arn(arn, on_aws=True) == arn
    assert check_role_arn(arn, on_aws=False) == arn


@pytest.mark.parametrize(
    "arn",
    [
        "",
        "lake",
        "arn:aws:iam::12345678901:role/lake",
        "arn:aws:iam::123456789012:user/ana",
        "arn:aws:iam::123456789012:role/",
        "arn:aws:iam::123456789012:role/a b",
        "arn:aws:iam::123456789012:role/lake\n",
        "arn:aws:sts::123456789012:assumed-role/lake/x",
        "arn:aws:s3:::lake",
        "arn:aws:iam::*:role/lake",
        ROLE.replace("1", "١"),
    ],
)
def test_what_is_not_the_arn_of_a_role_is_refused(arn):
    with pytest.raises(InvalidRequest, match="not the ARN of an IAM role"):
        check_role_arn(arn, on_aws=True)


def test_other_stores_have_roles_without_an_account():
    assert check_role_arn("arn:aws:iam:::role/lake", on_aws=False)
    with pytest.raises(InvalidRequest):
        check_role_arn("arn:aws:iam:::role/lake", on_aws=True)


@pytest.mark.parametrize(
    ("region", "role"),
    [
        ("eu-central-1", ROLE),
        ("us-gov-west-1", ROLE.replace(":aws:", ":aws-us-gov:")),
        ("cn-north-1", ROLE.replace(":aws:", ":aws-cn:")),
        ("us-isob-east-1", ROLE.replace(":aws:", ":aws-iso-b:")),
        ("ap-southeast-7", None),
    ],
)
def test_regions_of_aws_are_taken(region, role):
    assert check_region(region, on_aws=True, role_arn=role) == region


@pytest.mark.parametrize(
    ("region", "role"),
    [
        (None, ROLE),
        ("", ROLE),
        ("frankfurt", ROLE),
        ("eu-central-1.evil.example", ROLE),
        ("cn-north-1", ROLE),
        ("eu-central-1", ROLE.replace(":aws:", ":aws-cn:")),
    ],
)
def test_a_region_that_aws_does_not_have_or_the_role_cannot_reach_is_refused(region, role):
    with pytest.raises(InvalidRequest):
        check_region(region, on_aws=True, role_arn=role)


def test_other_stores_may_call_their_region_what_they_like():
    assert check_region(None, on_aws=False, role_arn=None) == "us-east-1"
    assert check_region("garage", on_aws=False, role_arn=None) == "garage"
    with pytest.raises(InvalidRequest):
        check_region("a/b", on_aws=False, role_arn=None)


@pytest.mark.parametrize(
    ("key_id", "secret"),
    [("AKIAEXAMPLE", ""), ("", "s"), ("AK IA", "s"), ("ASIAEXAMPLE", "s"), ("AKIA", "a\nb")],
)
def test_unusable_access_keys_are_refused_without_quoting_the_secret(key_id, secret):
    with pytest.raises(InvalidRequest) as refused:
        check_access_keys(AccessKeys(key_id, Secret(secret)))
    assert len(secret) < 2 or secret not in str(refused.value)


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://s3.amazonaws.com",
        "https://s3.eu-central-1.amazonaws.com",
        "https://s3-eu-west-1.amazonaws.com",
        "https://s3.dualstack.us-west-2.amazonaws.com",
        "https://s3-fips.us-gov-west-1.amazonaws.com",
        "http://s3.cn-north-1.amazonaws.com.cn",
    ],
)
def test_aws_itself_is_no_endpoint(endpoint):
    with pytest.raises(InvalidRequest, match="leave it out"):
        refuse_aws_endpoint(endpoint)


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://bucket.vpce-0a1b2c3d-4e5f.s3.eu-central-1.vpce.amazonaws.com",
        "https://s3.example.org",
        "https://s3.eu-central-1.amazonaws.com.example.org",
        "https://s3.eu-central-1.wasabisys.com",
    ],
)
def test_other_endpoints_are_fine(endpoint):
    refuse_aws_endpoint(endpoint)
