import pytest

from graticule.domain.catalog import AccessKeys
from graticule.domain.errors import InvalidRequest
from graticule.domain.secret import Secret
from graticule.services.integration_rules import (
    check_access_keys,
    check_endpoint,
    check_kms_key_arn,
    check_region,
    check_role_arn,
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


def resolve_to(*addresses):
    return lambda _host, _port: list(addresses)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://s3.example.org", "https://s3.example.org"),
        ("HTTPS://S3.Example.ORG:443/", "https://s3.example.org"),
        ("http://s3.example.org:80", "http://s3.example.org"),
        ("http://s3.example.org:9000", "http://s3.example.org:9000"),
        ("https://8.8.8.8", "https://8.8.8.8"),
        ("https://[2606:4700::1111]:8443", "https://[2606:4700::1111]:8443"),
    ],
)
def test_one_endpoint_has_one_spelling(url, expected):
    resolve = resolve_to("93.184.216.34", "2606:4700::1111")

    assert check_endpoint(url, allow_private=False, resolve=resolve) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "s3.example.org",
        "ftp://s3.example.org",
        "https://",
        "https://user@s3.example.org",
        "https://user:pw@s3.example.org",
        "https://@s3.example.org",
        "https://s3.example.org/bucket",
        "https://s3.example.org?x=1",
        "https://s3.example.org?",
        "https://s3.example.org#x",
        "https://s3.example.org:99999",
        "https://s3.example.org:x",
        "https://s3_example.org\\@evil.example",
        "https://exa mple.org",
        "https://[::1",
        "file:///etc/passwd",
    ],
)
def test_what_is_more_or_less_than_scheme_host_and_port_is_refused(url):
    with pytest.raises(InvalidRequest):
        check_endpoint(url, allow_private=True)


PRIVATE = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fd00::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "2002:7f00:1::",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_a_name_that_leads_into_the_operators_network_is_refused(address):
    for addresses in ([address], ["93.184.216.34", address]):
        with pytest.raises(InvalidRequest, match="private, loopback or link-local") as refused:
            check_endpoint(
                "https://s3.example.org", allow_private=False, resolve=resolve_to(*addresses)
            )
        assert address not in str(refused.value)


@pytest.mark.parametrize("address", [a for a in PRIVATE if "%" not in a])
def test_a_private_address_itself_is_refused_unless_the_operator_permits_it(address):
    url = f"http://[{address}]:9000" if ":" in address else f"http://{address}:9000"

    with pytest.raises(InvalidRequest):
        check_endpoint(url, allow_private=False)
    assert check_endpoint(url, allow_private=True) == url


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1", "localhost", "017700000001"])
def test_other_spellings_of_loopback_are_resolved_before_they_are_judged(host):
    with pytest.raises(InvalidRequest):
        check_endpoint(f"http://{host}", allow_private=False)


def test_a_host_that_nobody_knows_is_refused():
    def unknown(_host, _port):
        raise OSError("Name or service not known")

    with pytest.raises(InvalidRequest, match="does not know the host"):
        check_endpoint("https://nowhere.example", allow_private=False, resolve=unknown)


KMS_KEY = "arn:aws:kms:eu-central-1:123456789012:key/0a1b2c3d-0000-1111-2222-333344445555"


@pytest.mark.parametrize(
    ("key", "region"),
    [
        (KMS_KEY, "eu-central-1"),
        ("arn:aws-cn:kms:cn-north-1:123456789012:key/mrk-0a1b", "cn-north-1"),
    ],
)
def test_kms_keys_of_all_partitions_are_taken(key, region):
    assert check_kms_key_arn(key, on_aws=True, region=region) == key


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (KMS_KEY.replace("key/", "alias/"), "is not an alias"),
        (KMS_KEY + "*", "not the ARN of a key"),
        (KMS_KEY + "\n", "not the ARN of a key"),
        (KMS_KEY.replace("eu-central-1", "eu-west-1"), "the bucket's own region, `eu-central-1`"),
        ("0a1b2c3d", "not the ARN of a key"),
    ],
)
def test_a_kms_key_that_s3_or_a_policy_would_not_take_is_refused(key, says):
    with pytest.raises(InvalidRequest, match=says):
        check_kms_key_arn(key, on_aws=True, region="eu-central-1")


def test_other_stores_name_their_keys_as_they_like_but_never_with_a_pattern():
    assert check_kms_key_arn("lake-key", on_aws=False, region="us-east-1") == "lake-key"
    for key in ("lake*", "${aws:username}", 'a"b', ""):
        with pytest.raises(InvalidRequest, match="may hold only"):
            check_kms_key_arn(key, on_aws=False, region="us-east-1")
