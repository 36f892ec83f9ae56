"""IAM policy documents: what a vended session may touch, and what an admin pastes.  Pure.

A location becomes part of a pattern here, so nothing with a wildcard or a variable may pass.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from graticule.access.s3_urls import aws_suffix
from graticule.domain.catalog import AccessLevel
from graticule.domain.errors import InvalidLocation, PolicyTooLarge
from graticule.domain.location import Location

Json = dict[str, Any]

SESSION_POLICY_CHARACTERS_MAX: Final = 2048
"""The limit of the token service on the plain text of a session policy."""

POLICIES_CACHED_MAX: Final = 10_000
"""Of tables whose grants are known to fit: asked with every load."""

PATTERN_CHARACTERS: Final = frozenset("*?$")

READ_ACTIONS: Final = ("s3:GetObject",)
WRITE_ACTIONS: Final = (
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
)
KMS_READ_ACTIONS: Final = ("kms:Decrypt",)
KMS_WRITE_ACTIONS: Final = ("kms:GenerateDataKey",)
# The action names differ from the names of the API calls; these are the ones IAM knows.
BUCKET_FACT_ACTIONS: Final = (
    "s3:GetBucketLocation",
    "s3:GetBucketPublicAccessBlock",
    "s3:GetBucketPolicyStatus",
    "s3:GetBucketRequestPayment",
    "s3:GetBucketVersioning",
    "s3:GetEncryptionConfiguration",
    "s3:GetLifecycleConfiguration",
    "s3:GetBucketObjectLockConfiguration",
)

PARTITIONS: Final = (
    ("cn-", "aws-cn"),
    ("us-gov-", "aws-us-gov"),
    ("us-isob-", "aws-iso-b"),
    ("us-isof-", "aws-iso-f"),
    ("us-iso-", "aws-iso"),
    ("eu-isoe-", "aws-iso-e"),
    ("eusc-", "aws-eusc"),
)
"""The beginnings of regions' names outside the partition `aws`."""


@dataclass(frozen=True, slots=True)
class LocationGrant:
    """What a credential may do at one place: a folder ends with `/`, anything else is one object.

    An object can only be read: a table registered in place reads its sources and never writes them.
    """

    location: str
    access: AccessLevel


def session_policy(
    grants: Sequence[LocationGrant],
    *,
    partition: str = "aws",
    kms_key_arn: str | None = None,
    whole_bucket: bool = False,
) -> Json:
    """The inline policy that narrows a role's session to `grants`, all of one bucket.

    `kms_key_arn` is the key that its objects are encrypted with: to be used through S3 only.
    `whole_bucket` permits a grant on the bucket itself: for the server's own session on an
    integration without a folder, never for one that is vended.

    Raises:
        InvalidLocation: no grant, several buckets, an unsafe or empty key, an object to be written.
    """
    places = [_place(grant, whole_bucket=whole_bucket) for grant in grants]
    buckets = {location.bucket for location, _ in places}
    if len(buckets) != 1:
        raise InvalidLocation(
            "a credential is for locations of exactly one bucket, not "
            f"{', '.join(f'`{bucket}`' for bucket in sorted(buckets)) or 'none'}"
        )
    bucket_arn = f"arn:{partition}:s3:::{buckets.pop()}"
    readable = [_resource(bucket_arn, location, folder=folder) for location, folder in places]
    writable = [
        _resource(bucket_arn, location, folder=True)
        for (location, _), grant in zip(places, grants, strict=True)
        if grant.access is AccessLevel.WRITE
    ]
    listable = [location.key_prefix + "*" for location, folder in places if folder]

    statements = [_allow(READ_ACTIONS, readable)]
    if writable:
        statements.append(_allow(WRITE_ACTIONS, writable))
    if listable:
        statements.append(_allow_list(bucket_arn, listable))
    # A statement of its own: the request carries no prefix, so a condition on one would refuse it.
    statements.append(_allow(("s3:GetBucketLocation",), [bucket_arn]))
    if kms_key_arn is not None and kms_key_arn.startswith("arn:"):
        statements.append(_allow_key(kms_key_arn, writes=bool(writable)))
    return _document(statements)


def encode_policy(document: Json) -> str:
    """The text for the token service: compact and plain ASCII.

    Raises:
        PolicyTooLarge: longer than `SESSION_POLICY_CHARACTERS_MAX`.
    """
    text = json.dumps(document, separators=(",", ":"))
    if len(text) > SESSION_POLICY_CHARACTERS_MAX:
        raise PolicyTooLarge(
            f"the session policy would be {len(text)} characters long; the token service takes at "
            f"most {SESSION_POLICY_CHARACTERS_MAX}. Grant a folder instead of many single objects"
        )
    return text


def fits(
    grants: Sequence[LocationGrant], *, partition: str = "aws", kms_key_arn: str | None = None
) -> bool:
    """True if one credential can hold all of `grants`."""
    return _fits(tuple(grants), partition, kms_key_arn)


@lru_cache(maxsize=POLICIES_CACHED_MAX)
def _fits(grants: tuple[LocationGrant, ...], partition: str, kms_key_arn: str | None) -> bool:
    try:
        encode_policy(session_policy(grants, partition=partition, kms_key_arn=kms_key_arn))
    except PolicyTooLarge:
        return False
    return True


def role_policy(
    location: Location,
    access: AccessLevel,
    *,
    partition: str = "aws",
    kms_key_arn: str | None = None,
) -> Json:
    """What an admin attaches to the role of an integration at `location`.

    `kms_key_arn` adds the use of that key, through S3 only.
    """
    return _document(_rights(location, access, partition, kms_key_arn))


def user_policy(
    location: Location,
    access: AccessLevel,
    *,
    partition: str = "aws",
    kms_key_arn: str | None = None,
) -> Json:
    """What an admin attaches to the user whose access keys an integration holds.

    Beside the rights of a role: to ask for sessions that have less of them, which clients get.
    """
    federate = {"Sid": "NarrowedSessions", **_allow(("sts:GetFederationToken",), ["*"])}
    return _document([*_rights(location, access, partition, kms_key_arn), federate])


def server_policy(role_tag: str, *, partition: str = "aws") -> Json:
    """What the operator attaches to the server's own identity.

    It may assume roles that carry the tag, whoever owns them, and nothing else: an owner opts in by
    tagging the role.
    """
    return _document(
        [
            {
                "Sid": "RolesThatOptIn",
                **_allow(("sts:AssumeRole",), [f"arn:{partition}:iam::*:role/*"]),
                "Condition": {"Null": {f"aws:ResourceTag/{role_tag}": "false"}},
            }
        ]
    )


def _rights(
    location: Location,
    access: AccessLevel,
    partition: str,
    kms_key_arn: str | None,
) -> list[Json]:
    _refuse_patterns(location)
    bucket_arn = f"arn:{partition}:s3:::{location.bucket}"
    objects = [_resource(bucket_arn, location, folder=True)]
    listing = (
        _allow_list(bucket_arn, [location.key_prefix + "*"])
        if location.key
        else _allow(("s3:ListBucket",), [bucket_arn])
    )
    statements = [{"Sid": "ReadObjects", **_allow(READ_ACTIONS, objects)}]
    if access is AccessLevel.WRITE:
        statements.append({"Sid": "WriteObjects", **_allow(WRITE_ACTIONS, objects)})
    statements.append({"Sid": "ListFolder", **listing})
    statements.append({"Sid": "BucketFacts", **_allow(BUCKET_FACT_ACTIONS, [bucket_arn])})
    if kms_key_arn is not None and kms_key_arn.startswith("arn:"):
        key = _allow_key(kms_key_arn, writes=access is AccessLevel.WRITE)
        statements.append({"Sid": "Encryption", **key})
    return statements


def trust_policy(
    principal_arn: str, external_id: str, *, session_tag: tuple[str, str] | None = None
) -> Json:
    """Who may assume the role: the server's principal, when it names this external id.

    `session_tag` (key, value) additionally permits sessions that carry exactly this tag.
    """
    principal = {"AWS": principal_arn}
    statements: list[Json] = [
        {
            "Effect": "Allow",
            "Principal": principal,
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"sts:ExternalId": external_id}},
        }
    ]
    if session_tag is not None:
        key, value = session_tag
        statements.append(
            {
                "Effect": "Allow",
                "Principal": principal,
                "Action": "sts:TagSession",
                "Condition": {
                    "StringEquals": {f"aws:RequestTag/{key}": value},
                    "ForAllValues:StringEquals": {"aws:TagKeys": [key]},
                },
            }
        )
    return _document(statements)


def partition_of(*, role_arn: str | None, region: str) -> str:
    """The AWS partition: what the role says, else what the region's name says."""
    if role_arn is not None and role_arn.startswith("arn:"):
        return role_arn.split(":")[1]
    for prefix, partition in PARTITIONS:
        if region.startswith(prefix):
            return partition
    return "aws"


def _place(grant: LocationGrant, *, whole_bucket: bool) -> tuple[Location, bool]:
    location = Location.parse(grant.location)
    _refuse_patterns(location)
    folder = grant.location.endswith("/")
    if not location.key and not (folder and whole_bucket):
        raise InvalidLocation(f"a credential for all of `{grant.location}` is never issued")
    if not folder and grant.access is AccessLevel.WRITE:
        raise InvalidLocation(f"`{grant.location}` is a single object and can only be read")
    return location, folder


def _refuse_patterns(location: Location) -> None:
    # Location refuses them too; but whoever relaxes it must not open the policies.
    if PATTERN_CHARACTERS & set(location.uri):
        raise InvalidLocation(f"`{location}` contains a character that is a pattern in a policy")


def _resource(bucket_arn: str, location: Location, *, folder: bool) -> str:
    return f"{bucket_arn}/{location.key_prefix}*" if folder else f"{bucket_arn}/{location.key}"


def _allow(actions: Sequence[str], resources: Sequence[str]) -> Json:
    return {"Effect": "Allow", "Action": list(actions), "Resource": list(resources)}


def _allow_list(bucket_arn: str, prefixes: Sequence[str]) -> Json:
    return {
        **_allow(("s3:ListBucket",), [bucket_arn]),
        "Condition": {"StringLike": {"s3:prefix": list(prefixes)}},
    }


def _allow_key(kms_key_arn: str, *, writes: bool) -> Json:
    """Uploads in parts decrypt as well, so who writes may do both."""
    region = kms_key_arn.split(":")[3]
    actions = KMS_READ_ACTIONS + (KMS_WRITE_ACTIONS if writes else ())
    return {
        **_allow(actions, [kms_key_arn]),
        "Condition": {"StringEquals": {"kms:ViaService": f"s3.{region}.{aws_suffix(region)}"}},
    }


def _document(statements: Sequence[Json]) -> Json:
    return {"Version": "2012-10-17", "Statement": list(statements)}
