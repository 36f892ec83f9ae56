"""Session policies allow exactly what was granted, and what admins paste is exactly this."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graticule.domain.catalog import AccessLevel
from graticule.domain.errors import InvalidLocation, PolicyTooLarge
from graticule.domain.location import Location
from graticule.storage.iam_policy import (
    SESSION_POLICY_CHARACTERS_MAX,
    LocationGrant,
    encode_policy,
    fits,
    partition_of,
    role_policy,
    server_policy,
    session_policy,
    trust_policy,
    user_policy,
)
from support.iam import like, may_get, may_list, may_put

READ, WRITE = AccessLevel.READ, AccessLevel.WRITE
TABLE = "s3://lake/c/0198c0de-0000-7000-8000-000000000001/"

segments = st.text(alphabet="ab1_=.,~ü ", min_size=1, max_size=4).filter(
    lambda text: text not in {".", ".."}
)
keys = st.lists(segments, min_size=1, max_size=4).map("/".join)


def test_a_table_may_be_written_in_its_own_folder_and_only_there():
    assert session_policy([LocationGrant("s3://lake/c/t1/", WRITE)]) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["s3:GetObject"],
                "Resource": ["arn:aws:s3:::lake/c/t1/*"],
            },
            {
                "Effect": "Allow",
                "Action": [
                    "s3:PutObject",
                    "s3:DeleteObject",
                    "s3:AbortMultipartUpload",
                    "s3:ListMultipartUploadParts",
                ],
                "Resource": ["arn:aws:s3:::lake/c/t1/*"],
            },
            {
                "Effect": "Allow",
                "Action": ["s3:ListBucket"],
                "Resource": ["arn:aws:s3:::lake"],
                "Condition": {"StringLike": {"s3:prefix": ["c/t1/*"]}},
            },
            {
                "Effect": "Allow",
                "Action": ["s3:GetBucketLocation"],
                "Resource": ["arn:aws:s3:::lake"],
            },
        ],
    }


def test_sources_in_place_stay_read_only_beside_a_writable_table():
    policy = session_policy(
        [
            LocationGrant("s3://lake/c/t1/", WRITE),
            LocationGrant("s3://lake/raw/roads/", READ),
            LocationGrant("s3://lake/raw/one.parquet", READ),
        ]
    )

    assert [statement["Resource"] for statement in policy["Statement"]] == [
        [
            "arn:aws:s3:::lake/c/t1/*",
            "arn:aws:s3:::lake/raw/roads/*",
            "arn:aws:s3:::lake/raw/one.parquet",
        ],
        ["arn:aws:s3:::lake/c/t1/*"],
        ["arn:aws:s3:::lake"],
        ["arn:aws:s3:::lake"],
    ]
    assert policy["Statement"][2]["Condition"] == {
        "StringLike": {"s3:prefix": ["c/t1/*", "raw/roads/*"]}
    }


@given(granted=keys, asked=keys)
def test_a_key_is_readable_and_writable_iff_it_lies_inside_the_granted_folder(granted, asked):
    policy = session_policy([LocationGrant(f"s3://lake/{granted}/", WRITE)])
    inside = asked.startswith(granted + "/")

    assert may_get(policy, "lake", asked) is inside
    assert may_put(policy, "lake", asked) is inside
    assert may_list(policy, "lake", asked) is inside
    assert not may_get(policy, "lake2", asked)


@given(granted=keys, below=keys)
def test_everything_below_a_granted_folder_can_be_reached(granted, below):
    policy = session_policy([LocationGrant(f"s3://lake/{granted}/", WRITE)])

    assert may_get(policy, "lake", f"{granted}/{below}")
    assert may_put(policy, "lake", f"{granted}/{below}")
    assert may_list(policy, "lake", f"{granted}/")
    assert not may_get(policy, "lake", f"{granted}0/{below}")
    assert not may_list(policy, "lake", granted)
    assert not may_list(policy, "lake", None)
    assert not may_list(policy, "lake", "")


@given(granted=keys, asked=keys)
def test_an_object_grant_reads_that_object_and_lists_nothing(granted, asked):
    policy = session_policy([LocationGrant(f"s3://lake/{granted}", READ)])

    assert may_get(policy, "lake", asked) is (asked == granted)
    assert not may_put(policy, "lake", granted)
    assert not may_list(policy, "lake", granted)
    assert not may_list(policy, "lake", granted + "/")


@given(granted=keys, below=keys)
def test_a_read_grant_never_writes(granted, below):
    policy = session_policy([LocationGrant(f"s3://lake/{granted}/", READ)])

    assert may_get(policy, "lake", f"{granted}/{below}")
    assert not may_put(policy, "lake", f"{granted}/{below}")


@pytest.mark.parametrize(
    "location",
    [
        "s3://lake/*/t1/",
        "s3://lake/f?o/",
        "s3://lake/${aws:username}/",
        "s3://lake/a/../b/",
        "s3://lake//a/",
        "s3://lake/",
        "s3://lake",
        "s3://la*ke/a/",
        "gs://lake/a/",
        "",
    ],
)
def test_a_location_that_could_widen_a_policy_is_refused(location):
    with pytest.raises(InvalidLocation):
        session_policy([LocationGrant(location, READ)])


def test_the_whole_bucket_is_only_for_whoever_asks_by_that_name():
    policy = session_policy([LocationGrant("s3://lake/", WRITE)], whole_bucket=True)

    assert may_put(policy, "lake", "anything")
    assert may_list(policy, "lake", "")
    assert not may_get(policy, "lake2", "anything")


@pytest.mark.parametrize("grants", [[], [LocationGrant("s3://a-1/k/", READ)] * 0])
def test_no_grant_is_no_policy(grants):
    with pytest.raises(InvalidLocation):
        session_policy(grants)


def test_one_credential_is_for_one_bucket():
    with pytest.raises(InvalidLocation, match="exactly one bucket"):
        session_policy([LocationGrant("s3://aaa/k/", READ), LocationGrant("s3://bbb/k/", READ)])


def test_a_single_object_cannot_be_granted_for_writing():
    with pytest.raises(InvalidLocation, match="only be read"):
        session_policy([LocationGrant("s3://lake/raw/a.parquet", WRITE)])


def _is_folder(text):
    return all(segment not in {"", ".", ".."} for segment in text.split("/"))


def test_policies_of_generated_locations_stay_well_inside_the_limit():
    def size(count: int) -> int:
        grants = [LocationGrant(TABLE.replace("0001/", f"{n:04}/"), WRITE) for n in range(count)]
        return len(encode_policy(session_policy(grants)))

    assert size(1) < 620
    assert size(8) < SESSION_POLICY_CHARACTERS_MAX


def test_more_sources_than_a_policy_holds_are_refused_by_name_of_the_limit():
    sources = [LocationGrant(f"s3://lake/raw/{n:060}.parquet", READ) for n in range(30)]

    assert fits(sources[:10])
    assert not fits(sources)
    with pytest.raises(PolicyTooLarge, match="at most 2048"):
        encode_policy(session_policy(sources))


@pytest.mark.parametrize(
    ("key", "access", "actions", "via"),
    [
        (
            "arn:aws:kms:eu-central-1:123456789012:key/k",
            WRITE,
            ["kms:Decrypt", "kms:GenerateDataKey"],
            "s3.eu-central-1.amazonaws.com",
        ),
        (
            "arn:aws-cn:kms:cn-north-1:123456789012:key/k",
            READ,
            ["kms:Decrypt"],
            "s3.cn-north-1.amazonaws.com.cn",
        ),
    ],
)
def test_the_key_of_a_bucket_is_used_through_s3_only_and_to_write_only_by_writers(
    key, access, actions, via
):
    policy = session_policy([LocationGrant(TABLE, access)], kms_key_arn=key)

    assert policy["Statement"][-1] == {
        "Effect": "Allow",
        "Action": actions,
        "Resource": [key],
        "Condition": {"StringEquals": {"kms:ViaService": via}},
    }
    without = session_policy([LocationGrant(TABLE, access)])
    assert policy["Statement"][:-1] == without["Statement"]
    assert len(encode_policy(policy)) < 900


def test_a_key_with_a_name_of_the_stores_own_is_not_iams_affair():
    policy = session_policy([LocationGrant(TABLE, WRITE)], kms_key_arn="my-key")

    assert policy == session_policy([LocationGrant(TABLE, WRITE)])


def test_the_key_counts_when_it_is_asked_whether_a_policy_fits():
    sources = [LocationGrant(f"s3://lake/raw/{n:040}.parquet", READ) for n in range(40)]
    key = "arn:aws:kms:eu-central-1:123456789012:key/0198c0de-0000-7000-8000-000000000000"
    most = max(count for count in range(1, 41) if fits(sources[:count]))

    assert most < 40
    assert not fits(sources[:most], kms_key_arn=key)
    assert fits(sources[: most - 3], kms_key_arn=key)


@given(
    st.lists(
        st.text(alphabet="abc/é=", min_size=1, max_size=300).filter(_is_folder),
        min_size=1,
        max_size=40,
        unique=True,
    )
)
def test_whatever_the_sources_a_policy_opens_exactly_them_or_there_is_none(folders):
    """Many sources are never opened by what they have in common: then requests are signed."""
    grants = [LocationGrant(f"s3://lake/{folder}/", READ) for folder in folders]
    policy = session_policy(grants)
    text = json.dumps(policy, separators=(",", ":"))

    assert fits(grants) is (len(text) <= SESSION_POLICY_CHARACTERS_MAX)
    assert policy["Statement"][0]["Resource"] == [
        f"arn:aws:s3:::lake/{folder}/*" for folder in folders
    ]


def test_a_policy_text_is_ascii_and_without_wildcards_but_the_trailing_ones():
    text = encode_policy(session_policy([LocationGrant("s3://lake/Straße/küste/", WRITE)]))

    assert text.isascii()
    assert "?" not in text
    assert "$" not in text
    assert text.count("*") == text.count('/*"')
    assert json.loads(text)["Statement"][0]["Resource"] == ["arn:aws:s3:::lake/Straße/küste/*"]


FACTS = [
    "s3:GetBucketLocation",
    "s3:GetBucketPublicAccessBlock",
    "s3:GetBucketPolicyStatus",
    "s3:GetBucketRequestPayment",
    "s3:GetBucketVersioning",
    "s3:GetEncryptionConfiguration",
    "s3:GetLifecycleConfiguration",
    "s3:GetBucketObjectLockConfiguration",
]


def test_what_an_admin_attaches_to_a_read_only_role():
    assert role_policy(Location("lake", "data"), READ, partition="aws-cn") == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "ReadObjects",
                "Effect": "Allow",
                "Action": ["s3:GetObject"],
                "Resource": ["arn:aws-cn:s3:::lake/data/*"],
            },
            {
                "Sid": "ListFolder",
                "Effect": "Allow",
                "Action": ["s3:ListBucket"],
                "Resource": ["arn:aws-cn:s3:::lake"],
                "Condition": {"StringLike": {"s3:prefix": ["data/*"]}},
            },
            {
                "Sid": "BucketFacts",
                "Effect": "Allow",
                "Action": FACTS,
                "Resource": ["arn:aws-cn:s3:::lake"],
            },
        ],
    }


KEY_ID = "key/1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.mark.parametrize(
    ("partition", "region", "service"),
    [
        ("aws", "eu-central-1", "s3.eu-central-1.amazonaws.com"),
        ("aws-cn", "cn-north-1", "s3.cn-north-1.amazonaws.com.cn"),
        ("aws-us-gov", "us-gov-west-1", "s3.us-gov-west-1.amazonaws.com"),
        ("aws-iso", "us-iso-east-1", "s3.us-iso-east-1.c2s.ic.gov"),
        ("aws-iso-b", "us-isob-east-1", "s3.us-isob-east-1.sc2s.sgov.gov"),
        ("aws-iso-e", "eu-isoe-west-1", "s3.eu-isoe-west-1.cloud.adc-e.uk"),
        ("aws-iso-f", "us-isof-south-1", "s3.us-isof-south-1.csp.hci.ic.gov"),
        ("aws-eusc", "eusc-de-east-1", "s3.eusc-de-east-1.amazonaws.eu"),
    ],
)
def test_a_key_may_be_used_through_s3_in_its_own_region_only(partition, region, service):
    key_arn = f"arn:{partition}:kms:{region}:111122223333:{KEY_ID}"
    statements = {
        access: role_policy(
            Location("lake", "data"), access, partition=partition, kms_key_arn=key_arn
        )["Statement"][-1]
        for access in (READ, WRITE)
    }

    through_s3 = {"StringEquals": {"kms:ViaService": service}}
    assert statements == {
        READ: {
            "Sid": "Encryption",
            "Effect": "Allow",
            "Action": ["kms:Decrypt"],
            "Resource": [key_arn],
            "Condition": through_s3,
        },
        WRITE: {
            "Sid": "Encryption",
            "Effect": "Allow",
            "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
            "Resource": [key_arn],
            "Condition": through_s3,
        },
    }
    assert partition_of(role_arn=None, region=region) == partition


def test_a_user_has_the_rights_of_a_role_and_may_give_out_less_of_them():
    role = role_policy(Location("lake", "data"), WRITE)

    assert user_policy(Location("lake", "data"), WRITE) == {
        "Version": "2012-10-17",
        "Statement": [
            *role["Statement"],
            {
                "Sid": "NarrowedSessions",
                "Effect": "Allow",
                "Action": ["sts:GetFederationToken"],
                "Resource": ["*"],
            },
        ],
    }


def test_the_server_may_assume_roles_that_opted_in_by_their_tag_and_nothing_else():
    assert server_policy("graticuleOrgID", partition="aws-us-gov") == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "RolesThatOptIn",
                "Effect": "Allow",
                "Action": ["sts:AssumeRole"],
                "Resource": ["arn:aws-us-gov:iam::*:role/*"],
                "Condition": {"Null": {"aws:ResourceTag/graticuleOrgID": "false"}},
            }
        ],
    }


def test_a_role_lists_its_folder_and_no_sibling_that_begins_alike():
    policy = role_policy(Location("lake", "data"), WRITE)

    assert may_list(policy, "lake", "data/")
    assert may_list(policy, "lake", "data/deeper/")
    for prefix in (None, "", "d", "data", "data2/", "datab", "other/"):
        assert not may_list(policy, "lake", prefix)


def test_a_role_for_a_whole_bucket_lists_it_without_a_condition():
    policy = role_policy(Location("lake", ""), WRITE)

    assert may_put(policy, "lake", "any/key")
    assert may_list(policy, "lake", None)


def test_the_trust_policy_names_one_principal_and_one_external_id():
    assert trust_policy("arn:aws:iam::1:role/graticule", "org-1") == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": "arn:aws:iam::1:role/graticule"},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"sts:ExternalId": "org-1"}},
            }
        ],
    }


def test_the_trust_policy_can_admit_one_session_tag():
    policy = trust_policy("arn:p", "org-1", session_tag=("graticuleOrgID", "org-1"))

    assert policy["Statement"][1] == {
        "Effect": "Allow",
        "Principal": {"AWS": "arn:p"},
        "Action": "sts:TagSession",
        "Condition": {
            "StringEquals": {"aws:RequestTag/graticuleOrgID": "org-1"},
            "ForAllValues:StringEquals": {"aws:TagKeys": ["graticuleOrgID"]},
        },
    }


@pytest.mark.parametrize(
    ("role_arn", "region", "partition"),
    [
        ("arn:aws-us-gov:iam::1:role/r", "us-east-1", "aws-us-gov"),
        (None, "cn-north-1", "aws-cn"),
        (None, "us-gov-west-1", "aws-us-gov"),
        (None, "eu-central-1", "aws"),
    ],
)
def test_the_partition_follows_the_role_and_else_the_region(role_arn, region, partition):
    assert partition_of(role_arn=role_arn, region=region) == partition


@given(st.text(alphabet="ab*?", max_size=6), st.text(alphabet="ab", max_size=6))
def test_the_evaluators_patterns_are_those_of_a_regular_expression(pattern, text):
    import re  # noqa: PLC0415

    expected = re.fullmatch(pattern.replace("*", ".*").replace("?", "."), text) is not None
    assert like(pattern, text) is expected
